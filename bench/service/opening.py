"""Time the joint computation that opens a silent book: real processes on loopback, from start to the last verdict.

The time of an opening is that of its slowest custodian, with the start of its process and the handshakes. What a book
has of entries does not matter: shares of rows are made before, by each custodian alone.

>>> measure(Size(points=(1, 2, 4), threshold=2, rows=2, bits=12), breach=True, runs=1).size.threshold
2
"""

import secrets
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from atomic_margin.service.custodian.engine.run import run_engine
from atomic_margin.service.custodian.engine.task import EngineTask, Present, Verdict
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.interpolation import evaluate


@dataclass(frozen=True)
class Size:
    """Points of the custodians that are present, threshold, rows of each kind, bits of a row; seconds promised."""

    points: tuple[int, ...]
    threshold: int
    rows: int
    bits: int
    wanted_s: float | None = None


SIZES = (
    Size((1, 2, 4), 2, 24, 36, wanted_s=4.0),
    Size((1, 2, 4, 5, 6), 3, 24, 36, wanted_s=8.0),
)
"""Of (2, 4) and (3, 6), one absent."""


@dataclass(frozen=True)
class Measurement:
    """The median of so many openings, in seconds."""

    size: Size
    breach: bool
    runs: int
    seconds: float


def measure(size: Size, breach: bool, runs: int) -> Measurement:
    """Open ``runs`` invented books, breached or covered; every verdict is held against the rows."""
    seconds = sorted(_open(size, breach) for _ in range(runs))
    return Measurement(size, breach, runs, seconds[len(seconds) // 2])


def _open(size: Size, breach: bool) -> float:
    high = 1 << (size.bits - 1)
    maintenance = [secrets.randbelow(high) for _ in range(size.rows)]
    if breach:
        maintenance[secrets.randbelow(size.rows)] = -high
    initial = [secrets.randbelow(2 * high) - high for _ in range(size.rows)]
    rows = (maintenance.index(min(maintenance)), initial.index(min(initial)))
    identities = [Identity.generate() for _ in size.points]
    tasks = _tasks(size, maintenance, initial, identities)
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(tasks)) as custodians:
        found = list(custodians.map(run_engine, tasks, identities))
    seconds = time.perf_counter() - begun
    expected = Verdict(True, *rows) if breach else Verdict(breach=False)
    if found != [expected] * len(tasks):
        raise AssertionError(f"the engines say {found} of a book of which {expected} is right")
    return seconds


def _tasks(
    size: Size, maintenance: Sequence[int], initial: Sequence[int], identities: Sequence[Identity]
) -> list[EngineTask]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in size.points]
    present = tuple(
        Present(point, "127.0.0.1", one.getsockname()[1], identity.public_key)
        for point, one, identity in zip(size.points, sockets, identities, strict=True)
    )
    for one in sockets:
        one.close()
    polynomials = [
        [row, *(secrets.randbelow(ORDER) for _ in range(size.threshold - 1))] for row in (*maintenance, *initial)
    ]
    request, tasks = secrets.token_hex(32), []
    for point in size.points:
        shares = tuple(evaluate(polynomial, point) for polynomial in polynomials)
        own, others = shares[: size.rows], shares[size.rows :]
        tasks.append(EngineTask(request, "00" * 32, size.threshold, size.bits, point, present, own, others))
    return tasks
