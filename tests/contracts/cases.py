"""Honest statements with proofs, of any size, and where their parts are in calldata."""

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.contracts.calldata import PARTIAL_BITS, Verifiable, proof_calldata, statement_calldata
from atomic_margin.zk import BreachStatement, SufficiencyStatement
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, SufficiencyWitness

# What a context may hold: quotes, strokes, signs outside ASCII, and what looks like the rest of a statement.
CONTEXT = {
    "institution": "Harbour Fund",
    "run": "f" * 64,
    "role": 'maintenance "Größe" \\ €',
    "note": '},"entries":"5","offsets":["1"],"rows":"1"',
}
SECRET = bytes(range(32))


@dataclass(frozen=True)
class Case:
    """A statement and its proof, as Python and as the contract take them."""

    statement: Verifiable
    proof: bytes

    @property
    def function(self) -> str:
        return "verifySufficiency" if isinstance(self.statement, SufficiencyStatement) else "verifyBreach"

    @property
    def calldata(self) -> tuple[bytes, bytes]:
        return (
            statement_calldata(self.statement, most_bits=PARTIAL_BITS),
            proof_calldata(self.statement, self.proof, most_bits=PARTIAL_BITS),
        )


def sufficiency(rows: int, entries: int, bits: int, seed: int = 0, top_up: int = 0) -> Case:
    """Rows with any surplus that fits, the least and the largest one among them."""
    drawn = random.Random(seed)
    values, weights = book(rows, entries, drawn)
    surpluses = [drawn.randrange(1 << bits) for _ in range(rows)]
    surpluses[0], surpluses[-1] = 0, (1 << bits) - 1
    offsets = tuple(surplus - int(row @ values) - top_up for surplus, row in zip(surpluses, weights, strict=True))
    commitments, blindings = commit_values(tuple(map(int, values)), SECRET, CONTEXT)
    statement = SufficiencyStatement(commitments, weights, offsets, top_up, bits, CONTEXT)
    return Case(statement, prove_sufficiency(statement, SufficiencyWitness(tuple(map(int, values)), blindings)))


def breach(rows: int, entries: int, bits: int, seed: int = 0) -> Case:
    """One row is negative at least; the others are anything."""
    drawn = random.Random(seed)
    values, weights = book(rows, entries, drawn)
    surpluses = [drawn.randrange(-(1 << bits), 1 << bits) for _ in range(rows)]
    surpluses[drawn.randrange(rows)] = -drawn.randint(1, 1 << bits)
    offsets = tuple(surplus - int(row @ values) for surplus, row in zip(surpluses, weights, strict=True))
    commitments, blindings = commit_values(tuple(map(int, values)), SECRET, CONTEXT)
    statement = BreachStatement(commitments, weights, offsets, bits, CONTEXT)
    return Case(statement, prove_breach(statement, BreachWitness(tuple(map(int, values)), blindings)))


def book(rows: int, entries: int, drawn: random.Random) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Entries, and weights with the widest there are where they count nothing."""
    values = np.array([drawn.randrange(32) for _ in range(entries)], dtype=np.int64)
    weights = [[drawn.randrange(-(1 << 20), 1 << 20) for _ in range(entries)] for _ in range(rows)]
    values[0] = 0
    weights[0][0], weights[-1][0] = 1 - (1 << 48), (1 << 48) - 1
    return values, np.array(weights, dtype=np.int64)


@dataclass(frozen=True)
class Place:
    """A component in calldata: its part of the contract's enumeration, its number, where it is, and its size."""

    part: str
    index: int
    start: int
    size: int


def statement_places(statement: Verifiable) -> dict[str, Place]:
    """The fields of a statement, first to last."""
    rows, entries = statement.weights.shape
    sizes = [("bits", 2), ("top_up", 8), ("rows", 2), ("entries", 2)]
    sizes += [(f"A {row} {entry}", 8) for row in range(rows) for entry in range(entries)]
    sizes += [(f"c {row}", 8) for row in range(rows)]
    sizes += [(f"V {entry}", 96) for entry in range(entries)]
    places, start = {}, 0
    for name, size in sizes:
        places[name] = Place(name.split()[0], int(name.split()[-1]) if " " in name else 0, start, size)
        start += size
    return places


def proof_places(statement: Verifiable) -> list[Place]:
    """Every point and scalar of a proof, first to last."""
    sizes = [("version", 1, 1)]
    bits = statement.bits * statement.rows
    if isinstance(statement, BreachStatement):
        rows, bits = statement.rows, statement.bits
        sizes += [("W", 96, 1), ("Announcement", 96, rows), ("Share", 32, rows - 1), ("Response", 32, rows)]
        sizes += [("version", 1, 1)]
    parameters = BitParameters.for_bits(bits)
    sizes += [("A", 96, parameters.vector_points), ("S", 96, 1), ("K", 96, len(parameters.cross_exponents))]
    sizes += [(name, 96, 1) for name in ("T1", "T2")] + [(name, 32, 1) for name in ("THat", "TauX", "Mu")]
    places, start = [], 0
    for name, size, count in sizes:
        for index in range(count):
            places.append(Place(name, index, start, size))
            start += size
    for index in range(parameters.rounds):
        places += [Place("L", index, start, 96), Place("R", index, start + 96, 96)]
        start += 192
    for name in ("Left", "Right"):
        places += [Place(name, index, start + 32 * index, 32) for index in range(parameters.tail)]
        start += 32 * parameters.tail
    return places
