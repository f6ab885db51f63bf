"""How both proofs of an answer are cut into parts, so that no transaction takes more gas than it may. Pure.

A part is a transaction that records the sum of one slice of a proof's multiplication (`PartsVault`). Every part has the
whole statement and proof and works out all challenges, so it takes what verification takes beside the multiplication,
and its share of that. The last slice of each proof is multiplied by the transaction that settles.

Who sends them is `atomic_margin.contracts.recording`.

>>> multiplication_gas(1), multiplication_gas(128), multiplication_gas(2700)
(12000, 797184, 16815600)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import product

from atomic_margin.contracts.calldata import PARTIAL_BITS, Verifiable, proof_calldata, statement_calldata
from atomic_margin.contracts.errors import PartsError
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.groups import Group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement

MAX_SLICES = 64
"""Most slices of one multiplication."""
BUDGET = 16_000_000
"""Gas of one part unless another limit is wanted: some less than the 16,777,216 of one transaction (EIP-7825)."""

_POINT_GAS, _FIRST_POINT_GAS, _DISCOUNTED = 6_228, 12_000, 128
_RECORD_GAS = 150_000
_SETTLE_GAS = 400_000
_ADDED_PART_GAS = 20_000


class Claim(IntEnum):
    """Which of an answer's proofs, numbered as in `PartsVault`."""

    BREACH = 0
    TOP_UP = 1


@dataclass(frozen=True)
class Proven:
    """A statement and its proof as the contract takes them, and what multiplying them out takes.

    Attributes:
        statement: calldata of the statement.
        proof: calldata of the proof.
        points: that are multiplied.
        work: gas of everything else that verification does, an upper bound.
    """

    statement: bytes
    proof: bytes
    points: int
    work: int

    def gas(self, slices: int) -> int:
        """Return an upper bound of the gas of one slice, the largest, without what a transaction takes beside it."""
        return self.work + multiplication_gas(-(-self.points // slices))

    @cached_property
    def calldata_gas(self) -> int:
        """Gas of statement and proof in a transaction."""
        data = self.statement + self.proof
        zeros = data.count(0)
        return 4 * zeros + 16 * (len(data) - zeros)


@dataclass(frozen=True)
class Answer:
    """Both proofs of a breached account."""

    breach: Proven
    top_up: Proven

    def of(self, claim: Claim) -> Proven:
        """Return one of them."""
        return self.breach if claim is Claim.BREACH else self.top_up

    @property
    def arguments(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return them as `settleInParts` takes them, in order."""
        return self.breach.statement, self.breach.proof, self.top_up.statement, self.top_up.proof


@dataclass(frozen=True)
class Part:
    """What one transaction records: slice ``slice`` of ``slices`` of one proof."""

    claim: Claim
    slice: int
    slices: int


@dataclass(frozen=True)
class Plan:
    """Number of slices of each proof; one is the whole proof, in the transaction that settles."""

    breach_slices: int
    top_up_slices: int

    def slices(self, claim: Claim) -> int:
        """Return the number of slices of one proof."""
        return self.breach_slices if claim is Claim.BREACH else self.top_up_slices

    def parts(self) -> Iterator[Part]:
        """Yield what is recorded: all slices of both proofs but the last ones."""
        for claim in Claim:
            for number in range(self.slices(claim) - 1):
                yield Part(claim, number, self.slices(claim))


def proven(statement: Verifiable, proof: bytes, group: Group | None = None) -> Proven:
    """Return a statement and its proof as `PartsVault` takes them.

    Raises:
        CalldataError: the contract does not verify such a statement.
        PointEncodingError: a point does not decode.
        ProofEncodingError: the proof has another length or version.
    """
    data = statement_calldata(statement, group, most_bits=PARTIAL_BITS)
    proof_data = proof_calldata(statement, proof, group, most_bits=PARTIAL_BITS)
    return Proven(data, proof_data, point_count(statement), _work(statement, len(data) + len(proof_data)))


def answer(breach: BreachStatement, breach_proof: bytes, top_up: SufficiencyStatement, top_up_proof: bytes) -> Answer:
    """Return both proofs of a breached account as `PartsVault` takes them. Errors as those of `proven`."""
    return Answer(proven(breach, breach_proof), proven(top_up, top_up_proof))


def point_count(statement: Verifiable) -> int:
    """Return how many points the verification of a proof multiplies."""
    parameters = _parameters(statement)
    own = parameters.vector_points + len(parameters.cross_exponents) + 3 + 2 * parameters.rounds
    chosen = statement.rows + 1 if isinstance(statement, BreachStatement) else 0
    return 2 + 2 * parameters.length + len(statement.commitments) + own + chosen


def multiplication_gas(points: int) -> int:
    """Return an upper bound of the precompile's gas for so many points: exact for one, and from 128 on (EIP-2537)."""
    return min(_FIRST_POINT_GAS * points, _POINT_GAS * max(points, _DISCOUNTED))


def plan(answer: Answer, budget: int = BUDGET) -> Plan:
    """Return the plan with the fewest parts of which no transaction takes more than ``budget``.

    Raises:
        PartsError: there is none, since what every part has to do beside the multiplication takes too much.
    """
    slices = sorted(product(range(1, MAX_SLICES + 1), repeat=2), key=lambda pair: (sum(pair), pair))
    for breach_slices, top_up_slices in slices:
        made = Plan(breach_slices, top_up_slices)
        # All parts of a proof are reckoned alike.
        recorded = [Part(claim, 0, made.slices(claim)) for claim in Claim if made.slices(claim) > 1]
        most = max([settling_gas(answer, made), *(recording_gas(answer, part) for part in recorded)])
        if most <= budget:
            return made
    raise PartsError(
        f"no {MAX_SLICES} slices of each proof fit transactions of {budget:,} gas: the settlement alone takes "
        f"{settling_gas(answer, Plan(MAX_SLICES, MAX_SLICES)):,}; allow more gas, or prove fewer rows or entries"
    )


def recording_gas(answer: Answer, part: Part) -> int:
    """Return an upper bound of the gas of a transaction that records a part."""
    of = answer.of(part.claim)
    return _RECORD_GAS + of.calldata_gas + of.gas(part.slices)


def settling_gas(answer: Answer, plan: Plan) -> int:
    """Return an upper bound of the gas of the transaction that settles."""
    gas = _SETTLE_GAS + _ADDED_PART_GAS * (plan.breach_slices + plan.top_up_slices - 2)
    for claim in Claim:
        gas += answer.of(claim).calldata_gas + answer.of(claim).gas(plan.slices(claim))
    return gas


def _parameters(statement: Verifiable) -> BitParameters:
    bits = statement.bits if isinstance(statement, BreachStatement) else statement.rows * statement.bits
    return BitParameters.for_bits(bits)


def _work(statement: Verifiable, size: int) -> int:
    """Upper bound of the gas beside calldata and multiplication, fitted to what some sizes take.

    `python -m tests.contracts.vault.parts_gas` compares. Memory is paid for by the square of its words: those of points
    with scalars, and of calldata, which is copied.
    """
    parameters = _parameters(statement)
    entries, rows = len(statement.commitments), statement.rows
    own = parameters.vector_points + len(parameters.cross_exponents) + 2 * parameters.rounds
    words = 5 * point_count(statement) + 3 * size // 32
    parts = (
        90_000,
        150 * entries * rows,
        4_900 * rows,
        2_100 * entries,
        2_000 * own,
        820 * parameters.length,
        300 * parameters.padded,
        words**2 // 1_400,
    )
    return sum(parts)
