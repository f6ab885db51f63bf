"""What custodians cost: a book dealt, its shares checked, and a row opened and proven from them.

    python -m atomic_margin.bench.zk.sharing --entries 128 --rows 24

Seconds are on the clock, the fastest of several runs, for books of 36-bit rows; generators are decoded before it
starts. What goes over the wire to one custodian is its box and the deal without its last degree.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.open_row import open_row, share_row
from atomic_margin.zk.sharing.rows import Row
from atomic_margin.zk.sharing.short import complete, short_bytes, shorten
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.verify.breach import verify_breach
from atomic_margin.zk.verify.lack import verify_lack

BITS = 36
BOX_BYTES = 48
"""What HPKE adds: a key of 32 bytes and a tag of 16."""
STEP = 1 << 20
_CONTEXT = {"institution": "example", "submission": "1"}

T = TypeVar("T")


@dataclass(frozen=True)
class Costs:
    """One book among n custodians, measured.

    Attributes:
        threshold: t.
        custodians: n.
        entries: N.
        rows: R.
        deal_s: the institution deals.
        check_s: a custodian checks its shares against the whole deal.
        complete_s: the same from the deal without its last degree.
        wire_bytes: to one custodian.
        open_s: t shares of one row made, checked and put together.
        prove_s: both proofs of the closer.
        verify_s: both verified.
        proof_bytes: of both.
    """

    threshold: int
    custodians: int
    entries: int
    rows: int
    deal_s: float
    check_s: float
    complete_s: float
    wire_bytes: int
    open_s: float
    prove_s: float
    verify_s: float
    proof_bytes: int


def measure(threshold: int, custodians: int, entries: int, rows: int, group: Group, runs: int = 3) -> Costs:
    """Deal, check and open a book that is made up.

    Args:
        threshold: t.
        custodians: n.
        entries: N, of five bits.
        rows: R; one of them is negative.
        group: backend.
        runs: the fastest counts.
    """
    drawn = random.Random(entries * 1000 + rows)  # noqa: S311 - a book to measure
    values = tuple(drawn.randrange(32) for _ in range(entries))
    commitments, blindings = commit_values(values, bytes(32), _CONTEXT, group)
    holders = tuple(Custodian(point, bytes([point]) * 32) for point in range(1, custodians + 1))
    statement = SharingStatement(commitments, threshold, holders, _CONTEXT)
    (deal, shares), deal_s = _timed(lambda: deal_shares(statement, SharingWitness(values, blindings), group), runs)
    short = shorten(deal)
    _, check_s = _timed(lambda: check_shares(deal, shares[0], 1, group), runs)
    _, complete_s = _timed(lambda: complete(statement, short, shares[0], 1, deal.hash, group), runs)

    weights = np.array([[drawn.randrange(-(1 << 26), 1 << 26) for _ in range(entries)] for _ in range(rows)])
    surplus = weights @ np.array(values)
    offsets = [int(-value) + (1 << (BITS - 4)) for value in surplus]
    offsets[-1] = int(-surplus[-1]) - (1 << (BITS - 4))
    row = Row(deal, tuple(weights[-1].tolist()), offsets[-1])

    opening, open_s = _timed(lambda: open_row(row, [share_row(row, one) for one in shares[:threshold]], group), runs)
    breach = BreachStatement(commitments, weights, tuple(offsets), BITS, _CONTEXT)
    top_up = -(opening.value // STEP) * STEP
    lack = LackStatement(commitments, weights[-1], offsets[-1], top_up, STEP, _CONTEXT)
    proofs, prove_s = _timed(
        lambda: (prove_opened_breach(breach, rows - 1, opening, group), prove_lack(lack, opening, group)), runs
    )

    def verify() -> None:
        verify_breach(breach, proofs[0], group)
        verify_lack(lack, proofs[1], group)

    _, verify_s = _timed(verify, runs)
    wire = short_bytes(statement) + len(shares[0].to_bytes()) + BOX_BYTES
    return Costs(
        threshold, custodians, entries, rows, deal_s, check_s, complete_s, wire, open_s, prove_s, verify_s,
        sum(map(len, proofs)),
    )  # fmt: skip


def _timed(work: Callable[[], T], runs: int) -> tuple[T, float]:
    taken = []
    for _ in range(max(1, runs)):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return result, min(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure two of four and three of six, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m atomic_margin.bench.zk.sharing", description="Time custodians.")
    parser.add_argument("--entries", type=int, default=128, help="of the book")
    parser.add_argument("--rows", type=int, default=24, help="of the matrix")
    given = parser.parse_args(arguments)
    group = load_group("auto")
    load_generators(group, 1024)
    for threshold, custodians in ((2, 4), (3, 6)):
        one = measure(threshold, custodians, given.entries, given.rows, group)
        print(
            f"{threshold} of {custodians}, {one.entries} entries, {one.rows} rows: deal {one.deal_s:.3f} s, check "
            f"{one.check_s:.3f} s ({one.complete_s:.3f} s from the short deal), {one.wire_bytes:,} bytes a custodian; "
            f"open a row {one.open_s:.3f} s, prove {one.prove_s:.3f} s, verify {one.verify_s:.3f} s, "
            f"{one.proof_bytes:,} bytes of proofs",
            flush=True,
        )


if __name__ == "__main__":
    main()
