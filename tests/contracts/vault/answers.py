"""Real answers of a small book: a breach proof and a sufficiency proof of its top-up, as the contracts take them."""

import functools
from dataclasses import dataclass

import numpy as np

from atomic_margin.contracts.calldata import PARTIAL_BITS, Checked, expected, proof_calldata, statement_calldata
from atomic_margin.zk import BreachStatement, SufficiencyStatement
from atomic_margin.zk.prove.breach import prove_breach
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
    top_up: int, *, run: str = "run", owner: int = 0, rows: int = 2, entries: int = 3, bits: int = 8
) -> Answered:
    """Return an answer whose worst row is short by as much as the top-up; arguments as those of `prove`."""
    return as_calldata(prove(top_up, run=run, owner=owner, rows=rows, entries=entries, bits=bits))


def as_calldata(proved: Proved, most_bits: int = PARTIAL_BITS) -> Answered:
    """Return an answer as the contracts take it."""
    first, second = proved.breach, proved.top_up
    proofs = Proofs(
        statement_calldata(first),
        proof_calldata(first, proved.breach_proof),
        statement_calldata(second, most_bits=most_bits),
        proof_calldata(second, proved.top_up_proof, most_bits=most_bits),
    )
    return Answered(proofs, expected(first), expected(second, most_bits=most_bits))


def prove(top_up: int, *, run: str = "run", owner: int = 0, rows: int = 2, entries: int = 3, bits: int = 8) -> Proved:
    """Return an answer whose worst row is short by as much as the top-up.

    Args:
        top_up: X, which every initial row has to gain; the worst maintenance row is short by X - 1.
        run: names the run in both contexts.
        owner: whose book it is: blindings are of that.
        rows: of both matrices.
        entries: of the book.
        bits: of a surplus and of a shortfall.
    """
    context = {"institution": f"institution {owner}", "run": run, "top_up": str(top_up)}
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


@functools.cache
def _committed(values: tuple[int, ...], owner: int) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Commit to a book once: blindings are fresh each time."""
    return commit_values(values, bytes([owner]) * 32, {"owner": str(owner)})
