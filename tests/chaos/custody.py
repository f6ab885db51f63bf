"""A house whose account has custodians: four processes more, and a witness, on folders that a deal was made in once.

Any two of them have the book together, three compute, and one may be away. What each prints is JSON, in its own log.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomic_margin.service.demo import custodians as demo
from atomic_margin.service.demo.history import witness
from atomic_margin.service.demo.parties import NAME, parties
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.demo.story import Staging
from atomic_margin.service.protocol.custodian_messages import Openings
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import RunState

from ..e2e.harness import PLAIN, World, copy_world
from ..e2e.preloaded import Nursery, Process
from ..e2e.small import write_small_examples
from ..fhe.cluster import children
from .house import House, Lines, Role, open_house

OPENINGS = 1000
"""That the policy allows: a story is of one book."""
OPENING_AFTER_SECONDS = 1
ANSWER_SECONDS = 2
"""By the witness's clock. Whoever is silent here is so for good, and the agent answers later just as well."""
ENGINE_SECONDS, CLOSING_SECONDS = 20, 10
ORPHAN_SECONDS = ENGINE_SECONDS + 10
"""What a killed custodian leaves behind has ended by then."""
ASKING_SECONDS = 30.0
FOLDERS = "custodians"


def deal(root: Path, nursery: Nursery) -> World:
    """Make a world whose account has custodians and a book that was dealt to them; all processes are stopped again."""
    examples = write_small_examples(root / "examples")
    custody = demo.make_custody(root / FOLDERS, opening_after_seconds=OPENING_AFTER_SECONDS, openings=OPENINGS)
    trust = root / "trust.json"
    with (
        parties(Staging.read(examples), root, root, trust, lambda _: None, custody=custody.policy) as running,
        demo.custodians(custody, running.operator.url, trust, root),
    ):
        running.post_collateral()
        running.submit("portfolio.json")
    return World(root, running.sources, nursery, PLAIN)


def copied(dealt: World, root: Path) -> World:
    """Copy such a world."""
    world = copy_world(dealt, root)
    world.program = PLAIN
    return world


@dataclass
class Custodian(Role):
    """A custodian's process, and what is started by it.

    Attributes:
        point: in the policy.
        orphans: engines that outlived it.
    """

    point: int = 0
    orphans: list[int] = field(default_factory=list)

    def kill_all(self) -> None:
        """Let it and its engine end as if the power had gone."""
        engines = self._held()
        super().kill()
        for engine in engines:
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)

    def kill_alone(self) -> None:
        """Let it end and its engine go on, as a system does that is out of memory."""
        engines = self._held()
        super().kill()
        self.orphans += engines

    def _held(self) -> list[int]:
        """Return its engines; it starts no other one meanwhile, for it is stopped."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        return children(self.process.pid)

    def left(self) -> list[int]:
        """Return orphans that go on."""
        return [pid for pid in self.orphans if b"atomic_margin.service.custodian.engine" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@dataclass
class CustodyHouse:
    """The running parties.

    Attributes:
        house: operator and agent.
        custodians: by point, ascending.
        markets: prices of runs that were owed, by run.
        asked: how many openings were asked for.
    """

    house: House
    custodians: tuple[Custodian, ...]
    markets: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: int = 0

    def owe(self) -> str:
        """Play a tick that nobody answers; return its run, which is owed then."""
        number = self.house.tick()
        self.house.wait_over(number, (RunState.UNPROVEN,))
        run_id = f"{NAME}.{number}"
        self.markets[run_id] = self.house.prices(number)
        return run_id

    def ask(self) -> str:
        """Have the operator's people ask for the opening, until it is not too early; return the hash of the request."""
        root = self.house.world.root
        arguments = ["operator", "open", NAME, "--dir", str(root / "operator"), "--operator", self.house.url]
        nursery, log = self.house.world.nursery, root / "open.log"
        end = time.monotonic() + ASKING_SECONDS
        status = None
        while status != 0:
            assert time.monotonic() < end, log.read_text()
            pid = nursery.ask(module="atomic_margin", arguments=arguments, log=str(log), environment={})["pid"]
            status = Process(nursery, pid).wait(60)
        self.asked += 1
        return self.newest()[0]

    def newest(self) -> tuple[str, bool]:
        """Return the hash of the request that was made last, and whether its opening is over."""
        shown = self.house.ask("/v1/openings", Openings)
        assert shown is not None
        numbered = {int(one.request["body"]["sequence"]): one for one in shown.openings}
        last = numbered[max(numbered)]
        return SignedDocument.parse(last.request).body_hash(), last.over

    def eventually(self, good: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something; a custodian that ended by itself is a fault."""

        def look() -> bool:
            for one in self.custodians:
                assert one.process is None or one.alive(), f"{one.name} ended by itself: see {one.log}"
            return good()

        try:
            self.house.eventually(look, lambda: what, seconds)
        except AssertionError as error:
            ends = [f"{one.log}:\n" + "\n".join(one.log.read_text().splitlines()[-12:]) for one in self.custodians]
            raise AssertionError("\n".join([str(error), *ends])) from None


@dataclass(frozen=True)
class Watching:
    """Looks at every custodian's log, and the operator's, from when it was made."""

    logs: dict[str, Lines]

    @classmethod
    def of(cls, custody: CustodyHouse) -> "Watching":
        return cls({role.name: Lines(role.log) for role in (custody.house.operator, *custody.custodians)})

    def wait(self, good: Callable[[dict[str, Any]], bool], times: int, seconds: float) -> bool:
        """Wait until so many lines were good, of whichever log; return whether they were in time."""
        end, seen = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for lines in self.logs.values():
                seen += sum(1 for line in lines.read() if good(line))
            if seen >= times:
                return True
            time.sleep(0.005)
        return False


@contextmanager
def open_custody(world: World, free: str | None = None) -> Iterator[CustodyHouse]:
    """Start witness, operator, agent and custodians, and stop what runs at the end.

    Args:
        world: made by `deal`.
        free: what the institution gets for calls, by default what other houses do; smallest units.
    """
    root = world.root
    with witness(root / "operator", root / "witness", root / "witness.log") as watch:
        options = (
            "--witness", f"{watch.url}={watch.witness}", "--checkpoint-seconds", "1",
            "--answer-seconds", str(ANSWER_SECONDS),
        )  # fmt: skip
        more = {} if free is None else {"free": free}
        with open_house(world, options=options, **more) as house:
            custodians = tuple(_custodian(house, point) for point in range(1, demo.CUSTODIANS + 1))
            try:
                for one in custodians:
                    one.start()
                yield CustodyHouse(house, custodians)
            finally:
                for one in custodians:
                    if one.process is not None:
                        one.send(signal.SIGTERM)


def _custodian(house: House, point: int) -> Custodian:
    world, port = house.world, free_port()
    folder = world.root / FOLDERS / f"custodian-{point}"
    return Custodian(
        world.nursery,
        "atomic_margin",
        [
            "custodian", "serve", "--dir", str(folder), "--operator", house.url, "--trust", str(world.trust),
            "--engine-port", str(port), "--interval", "0.3", "--engine-seconds", str(ENGINE_SECONDS),
            "--closing-seconds", str(CLOSING_SECONDS), "--log-format", "json",
        ],
        world.root / f"{folder.name}.log",
        point=point,
    )  # fmt: skip


def folders(root: Path) -> list[Path]:
    """Return the custodians' folders in a world, by their points."""
    return [root / FOLDERS / f"custodian-{point}" for point in range(1, demo.CUSTODIANS + 1)]


def names(root: Path) -> dict[str, Path]:
    """Return their folders by their public keys."""
    return {Identity.load_or_create(one / "custodian.key").public_key: one for one in folders(root)}
