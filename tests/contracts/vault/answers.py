"""Real answers of a small book: a breach proof and a sufficiency proof of its top-up, as the contracts take them."""

import functools
from dataclasses import dataclass

import numpy as np

from atomic_margin.contracts.calldata import PARTIAL_BITS, Checked, expected, proof_calldata, statement_calldata
from atomic_margin.zk import BreachStatement, SufficiencyStatement, load_group
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.prove.breach import argue_breach, prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, SufficiencyWitness

from .world import Proofs


@dataclass(frozen=True)
class Proved:
    """Both statements of an answer with their proofs, as Python has them."""

    breach: BreachStatement
    breach_proof: bytes
    top_up: SufficiencyStatement
    top_up_proof: bytes


@dataclass(frozen=True)
class Answered:
    """An answer and what its proofs are about."""

    proofs: Proofs
    breach: Checked
    top_up: Checked

    @property
    def attested(self) -> dict[str, bytes]:
        """The fields of an attestation that depend on the answer."""
        return {
            "commitments": self.breach.commitments,
            "breachMatrix": self.breach.matrix,
            "topUpMatrix": self.top_up.matrix,
            "breachContext": self.breach.context,
            "topUpContext": self.top_up.context,
        }


def answer(
    top_up: int,
    *,
    run: str = "run",
    owner: int = 0,
    rows: int = 2,
    entries: int = 3,
    bits: int = 8,
    said: int | None = None,
) -> Answered:
    """Return an answer whose worst row is short by as much as the top-up; arguments as those of `prove`."""
    return as_calldata(prove(top_up, run=run, owner=owner, rows=rows, entries=entries, bits=bits, said=said))


def as_calldata(proved: Proved, most_bits: int = PARTIAL_BITS) -> Answered:
    """Return an answer as the contracts take it."""
    first, second = proved.breach, proved.top_up
    proofs = Proofs(
        statement_calldata(first),
        proof_calldata(first, proved.breach_proof),
        statement_calldata(second, most_bits=most_bits),
        proof_calldata(second, proved.top_up_proof, most_bits=most_bits),
        second.top_up,
    )
    return Answered(proofs, expected(first), expected(second, most_bits=most_bits))


def prove(
    top_up: int,
    *,
    run: str = "run",
    owner: int = 0,
    rows: int = 2,
    entries: int = 3,
    bits: int = 8,
    said: int | None = None,
) -> Proved:
    """Return an answer whose worst row is short by as much as the top-up.

    Args:
        top_up: X, which every initial row has to gain; the worst maintenance row is short by X - 1.
        run: names the run in both contexts.
        owner: whose book it is: blindings are of that.
        rows: of both matrices.
        entries: of the book.
        bits: of a surplus and of a shortfall.
        said: X of the answer, which both contexts have, if it is another one than the proof's.
    """
    context = {"institution": f"institution {owner}", "run": run, "top_up": str(top_up if said is None else said)}
    drawn = np.random.default_rng(owner)
    values = tuple(int(one) for one in drawn.integers(1, 32, entries))
    commitments, blindings = _committed(values, owner)
    weights = drawn.integers(-1000, 1000, (rows, entries)).astype(np.int64)
    worth = [int(row @ np.array(values)) for row in weights]
    initial = tuple(-one - top_up + (number % 5) for number, one in enumerate(worth))
    first = BreachStatement(
        commitments, weights, tuple(one + 1 for one in initial), bits, context | {"matrix": "maintenance"}
    )
    second = SufficiencyStatement(commitments, weights, initial, top_up, bits, context | {"matrix": "initial"})
    breach_proof = prove_breach(first, BreachWitness(values, blindings))
    top_up_proof = prove_sufficiency(second, SufficiencyWitness(values, blindings))
    return Proved(first, breach_proof, second, top_up_proof)


def invented(top_up: int, owner: int = 0, entries: int = 3, bits: int = 8) -> Answered:
    """Return an answer about somebody else's book by whoever has its commitments alone: rows of zeros forget the book.

    Both proofs hold. That such matrices are nobody's is what the signers of an oracle are believed for.
    """
    drawn = np.random.default_rng(owner)
    commitments, _ = _committed(tuple(int(one) for one in drawn.integers(1, 32, entries)), owner)
    nothing, guessed = np.zeros((1, entries), dtype=np.int64), (0,) * entries
    context = {"institution": f"institution {owner}", "run": "run", "top_up": str(top_up)}
    first = BreachStatement(commitments, nothing, (-1,), bits, context | {"matrix": "none"})
    second = SufficiencyStatement(commitments, nothing, (-top_up,), top_up, bits, context | {"matrix": "none"})
    breach_proof = argue_breach(first, BreachWitness(guessed, guessed), (-1,), 0, load_group())
    top_up_proof = argue(second.bit_statement(), BitWitness((0,) * bits, guessed, guessed), load_group())
    proofs = Proofs(
        statement_calldata(first),
        proof_calldata(first, breach_proof),
        statement_calldata(second),
        proof_calldata(second, top_up_proof),
        top_up,
    )
    return Answered(proofs, expected(first), expected(second))


@functools.cache
def _committed(values: tuple[int, ...], owner: int) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Commit to a book once: blindings are fresh each time."""
    return commit_values(values, bytes([owner]) * 32, {"owner": str(owner)})
