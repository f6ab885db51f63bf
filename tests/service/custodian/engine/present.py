"""Custodians of tests: their identities, their shares of rows, and their engines as real processes on loopback."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from atomic_margin.service.custodian.engine.credentials import issue
from atomic_margin.service.custodian.engine.errors import EngineError
from atomic_margin.service.custodian.engine.run import run_engine
from atomic_margin.service.custodian.engine.slack import Shape
from atomic_margin.service.custodian.engine.task import EngineTask, Present, Verdict
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.interpolation import evaluate

DEVIATING = Path(__file__).with_name("deviating.py")


@dataclass(frozen=True)
class Custodian:
    """One that is present."""

    task: EngineTask
    identity: Identity

    def document(self, certified_by: Identity | None = None) -> bytes:
        """What its engine gets on standard input."""
        credentials = issue(certified_by or self.identity, self.task.hash)
        return json.dumps(
            {"task": self.task.to_fields(), "certificate": credentials.certificate, "key": credentials.key}
        ).encode()


def present(
    points: Sequence[int],
    threshold: int,
    maintenance: Sequence[int],
    initial: Sequence[int],
    bits: int = 12,
    seconds: int = 20,
    slack: tuple[Shape, Shape] | None = None,
) -> list[Custodian]:
    """Custodians at these points with shares of these rows, whose slack is of these shapes."""
    identities = [Identity.generate() for _ in points]
    everyone = tuple(
        Present(point, "127.0.0.1", free_port(), identity.public_key)
        for point, identity in zip(points, identities, strict=True)
    )
    polynomials = [
        [value % ORDER, *(random.randrange(ORDER) for _ in range(threshold - 1))] for value in (*maintenance, *initial)
    ]
    found = []
    for point, identity in zip(points, identities, strict=True):
        shares = tuple(evaluate(polynomial, point) for polynomial in polynomials)
        own, others = shares[: len(maintenance)], shares[len(maintenance) :]
        task = EngineTask("ab" * 32, "cd" * 32, threshold, bits, point, everyone, own, others, seconds, slack)
        found.append(Custodian(task, identity))
    return found


def changed(custodian: Custodian, **changes: object) -> Custodian:
    return replace(custodian, task=replace(custodian.task, **changes))  # type: ignore[arg-type]


def together(custodians: Sequence[Custodian]) -> list[Verdict | EngineError]:
    """What each gets when all run at once."""

    def one(custodian: Custodian) -> Verdict | EngineError:
        try:
            return run_engine(custodian.task, custodian.identity)
        except EngineError as error:
            return error

    with ThreadPoolExecutor(len(custodians)) as threads:
        return list(threads.map(one, custodians))


class Deviating:
    """The engine of a custodian that deviates in one way of `deviating.py`; it has its place among those present."""

    def __init__(self, custodian: Custodian, way: str, certified_by: Identity | None = None, marker: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(DEVIATING), way, marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(custodian.document(certified_by))
        self._process.stdin.close()

    def __enter__(self) -> "Deviating":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def said(self) -> dict[str, object]:
        """What it printed; waits for its end."""
        assert self._process.stdout is not None
        line: dict[str, object] = json.loads(self._process.stdout.read())
        return line
