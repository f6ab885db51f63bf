"""The processes that institutions of a load live in, a share of them in each.

A process prepares its institutions, says so line by line, and then answers every run that the trace tells of, until it
is told to stop. Only `load` starts them.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from atomic_margin.bench.service.institution import Ground, Institution
from atomic_margin.bench.service.plain import PlainKeys
from atomic_margin.bench.service.scene import Scene
from atomic_margin.bench.service.tracing import RECORDED, follow
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.openings import KeyOpenings, commit_keys, read_openings
from atomic_margin.service.protocol.trust import TrustFile

IDLE_SECONDS = 0.02
OPENINGS = "openings.json"
STOP_SECONDS = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """What one process does.

    Attributes:
        scene: terms and prices.
        plain: whether keys are of known bits.
        url: of the operator.
        trust: the trust file.
        trace: file that the operator's process writes.
        receipts: file that this process writes a line to for every answer.
        folder: of all institutions.
        units: collateral that each of this share posts, by name.
    """

    scene: Scene
    plain: bool
    url: str
    trust: dict[str, Any]
    trace: Path
    receipts: Path
    folder: Path
    units: dict[str, int]


class PlayerProcess:
    """A started process, from the side of the load."""

    def __init__(self, share: Share) -> None:
        """Start it; it prepares at once."""
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_play, args=(share, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = 0
        self.is_prepared = False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid or 0

    def look(self) -> None:
        """Hear what the process says.

        Raises:
            RemoteError: it failed, or ended.
        """
        try:
            while self._pipe.poll():
                kind, value = self._pipe.recv()
                if kind == "failed":
                    raise RemoteError(f"a process of institutions failed: {value}")
                if kind == "ready":
                    self.ready = value
                else:
                    self.is_prepared = True
        except EOFError:
            raise RemoteError("a process of institutions ended; see its log") from None

    def stop(self) -> None:
        """Tell it to stop after the answer in hand, and wait."""
        if self.process.is_alive():
            self._pipe.send("stop")
            self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._pipe.close()


def _play(share: Share, pipe: Connection) -> None:
    try:
        institutions = _prepared(share, pipe)
        pipe.send(("prepared", None))
        _answer(share, institutions, pipe)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        raise


def _prepared(share: Share, pipe: Connection) -> dict[str, Institution]:
    ground = Ground(share.scene, share.scene.terms(), TrustFile.parse(share.trust), share.plain)
    shared = _shared_openings(share) if share.plain else None
    found: dict[str, Institution] = {}
    for name, units in share.units.items():
        one = found[name] = Institution(name, share.folder / name, ground, shared)
        one.connect(share.url)
        if not one.ready:
            one.prepare(units)
        pipe.send(("ready", len(found)))
    return found


def _shared_openings(share: Share) -> KeyOpenings:
    """Return openings of the known bits, which every institution of a plain load has in common."""
    return read_openings(PlainKeys(share.scene.profile), (share.folder / OPENINGS).read_text())


def write_shared_openings(scene: Scene, folder: Path) -> None:
    """Commit to the known bits, once for all institutions and processes."""
    openings = commit_keys(PlainKeys(scene.profile), bytes(32), {"institution": "everybody"})
    (folder / OPENINGS).write_text(openings.to_json())


def _answer(share: Share, institutions: dict[str, Institution], pipe: Connection) -> None:
    with share.receipts.open("a", buffering=1) as receipts:
        for event in follow(share.trace):
            if event is None:
                if pipe.poll(IDLE_SECONDS):
                    return
            elif event["event"] == RECORDED and event["institution"] in institutions:
                started = time.monotonic()
                said = _answered(institutions[event["institution"]], event["run_id"])
                line = {"run_id": event["run_id"], "recorded": event["at"], "started": started, **said}
                receipts.write(json.dumps({**line, "at": time.monotonic()}) + "\n")


def _answered(institution: Institution, run_id: str) -> dict[str, Any]:
    try:
        entry = institution.answer(run_id)
    except (RemoteError, AgentRefused) as error:
        _log.warning("run %s is not answered: %s", run_id, error)
        return {"refused": str(error)}
    return {"silent": True} if entry is None else {"entry": entry}


def shares_of(names: Sequence[str], processes: int) -> list[list[str]]:
    """Return names dealt out to so many processes."""
    return [list(names[first::processes]) for first in range(min(processes, len(names)))]
