"""Books shared among custodians, for tests of sharing."""

import dataclasses
import functools

from atomic_margin.zk import load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement

CONTEXT = {"institution": "Harbour Fund", "submission": "3"}
VALUES = (3, 0, 31, 7, 1)
SECRET = bytes(range(32))


@dataclasses.dataclass(frozen=True)
class Book:
    """A statement with its openings, a deal of it and what each custodian has."""

    statement: SharingStatement
    witness: SharingWitness
    deal: Deal
    shares: tuple[Shares, ...]


def custodians(*points: int) -> tuple[Custodian, ...]:
    return tuple(Custodian(point, point.to_bytes(2, "big") * 16) for point in points)


def make(
    threshold: int, points: tuple[int, ...], values: tuple[int, ...] = VALUES, context: dict[str, str] = CONTEXT
) -> Book:
    group = load_group("arkworks")
    commitments, blindings = commit_values(values, SECRET, context, group)
    statement = SharingStatement(commitments, threshold, custodians(*points), context)
    witness = SharingWitness(values, blindings)
    return Book(statement, witness, *deal_shares(statement, witness, group))


@functools.cache
def book() -> Book:
    """Three of five, at points that are not 1 to 5."""
    return make(3, (1, 2, 5, 9, 300))


def replaced(shares: Shares, entry: int, value: int | None = None, blinding: int | None = None) -> Shares:
    """The shares with another value or blinding of one entry."""
    values, blindings = list(shares.values), list(shares.blindings)
    values[entry] = values[entry] if value is None else value
    blindings[entry] = blindings[entry] if blinding is None else blinding
    return dataclasses.replace(shares, values=tuple(values), blindings=tuple(blindings))
