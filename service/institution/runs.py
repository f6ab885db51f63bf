"""What the agent checks before it says anything about a run, and the plaintext figures it compares with.

The operator is not trusted: the record must be signed by the pinned operator, about the agent's own submission, under
the pinned terms and prices that pinned sources signed, with matrices that the agent's own computation confirms.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import AgentRefused, RequestError
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.institution.sufficient import Position, Shown
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CheckedRun:
    """A run the agent accepts as its own.

    Attributes:
        record: the operator's record.
        run_hash: its hash.
        position: the agent's book under the signed prices, with matrices that the agent compiled itself.
        true: the plain floating-point margin of the book.
        coverage: the rows that show that the book has maintenance margin; None if it has not.
    """

    record: RunRecord
    run_hash: str
    position: Position
    true: Reference
    coverage: Shown | None

    @property
    def market(self) -> Market:
        """The signed prices."""
        return self.position.market

    @property
    def matrices(self) -> RunMatrices:
        """Those of the run."""
        return self.position.matrices

    @property
    def z(self) -> IntArray:
        """The agent's portfolio vector."""
        return self.position.z

    @property
    def plaintext_flag(self) -> int:
        """Whether any row of the evaluated matrix is negative for the agent's own book."""
        return int(bool((self.matrices.maintenance_fhe.surplus(self.z) < 0).any()))

    @property
    def covered(self) -> bool:
        """Whether maintenance margin is met in fine rows, which decide what is owed."""
        return self.coverage is not None


@dataclass(frozen=True)
class DecryptedFlag:
    """The flag of a run, right by the agent's own integers, and the raw words it was decrypted from."""

    value: int
    words: bytes


@dataclass(frozen=True)
class PresentedRun:
    """A run as the operator presents it, its record parsed and nothing checked.

    Attributes:
        view: what the operator sent.
        signed: the signed record in it.
        record: its body.
    """

    view: RunView
    signed: SignedDocument
    record: RunRecord


def present(view: RunView) -> PresentedRun:
    """Parse the record of a run, once for everything that is done with it.

    Raises:
        AgentRefused: there is no readable record.
    """
    try:
        return PresentedRun(view, *parse_signed(view.record, RunRecord))
    except (RequestError, DocumentsError) as error:
        raise AgentRefused(f"run {view.run_id!r} has no readable record ({error})") from error


def check_run(
    run: PresentedRun, trust: TrustFile, terms: Terms, submission: Submission, submission_hash: str, book: Portfolio
) -> CheckedRun:
    """Check a run as the operator presents it.

    Raises:
        AgentRefused: it is not what the agent pinned, or not about this submission.
    """
    view, signed, record = run.view, run.signed, run.record
    try:
        # (1) The pinned operator signed it, under the pinned terms.
        signed.verify(frozenset({trust.operator}))
        _require_equal(record, {"operator": trust.operator, **terms.hashes})
        # (2) It is about this agent's submission, as sent.
        wanted = {
            "institution": submission.institution,
            "submission": submission_hash,
            "submission_sequence": submission.sequence,
            "universe": submission.universe,
            "entry_map": submission.entry_map,
            "gross_limit": submission.gross_limit,
            "columns": submission.columns,
            "ciphertext": submission.ciphertext,
            "evaluation_keys": submission.evaluation_keys,
            "key_commitments": submission.key_commitments,
        }
        _require_equal(record, wanted)
        # (3) Enough pinned sources signed the prices, which combine by the pinned rules to what the operator signed.
        signed_tick, tick = parse_signed(view.tick, PriceTick)
        signed_tick.verify(frozenset({trust.operator}))
        before = None
        if view.last_market is not None:
            signed_before, before = parse_signed(view.last_market, PriceTick)
            signed_before.verify(frozenset({trust.operator}))
        market = verify_tick(tick, trust.prices, before, trust.operator)
        _require_equal(record, {"tick": signed_tick.body_hash(), "price_sequence": market.sequence})
        # (4) The matrices are what these prices and this collateral give, to the bit.
        matrices = terms.matrices_of(record, market)
    except (RequestError, DocumentsError, MarginError) as error:
        raise AgentRefused(f"run {view.run_id!r}: {error}") from error
    z = terms.encode(book, submission)
    true = terms.reference(market, record, book)
    position = Position(terms, market, record.posted, record, matrices, z, record.agreed)
    return CheckedRun(record, signed.body_hash(), position, true, position.coverage())


def decrypt_and_compare(run: CheckedRun, keys: InstitutionKeys, output_of: Callable[[str], bytes]) -> DecryptedFlag:
    """Decrypt flag and surplus, compare both with the agent's own integers, and return the flag and its words.

    Args:
        run: a checked run.
        keys: the institution's FHE keys.
        output_of: fetches the raw words of a function's output.

    Raises:
        AgentRefused: the run was not evaluated, or an output is not the one the record names.
        DecryptionOutOfRange: an error that honest evaluation does not leave.
        EvaluationMismatch: flag or surplus are not what the agent's integers give.
    """
    if run.record.outputs is None:
        raise AgentRefused(f"run {run.record.run_id!r} was not evaluated; there is nothing to decrypt")
    words = {name: output_of(name) for name in ("surplus", "breach")}
    for name, data in words.items():
        if hashlib.sha256(data).hexdigest() != getattr(run.record.outputs, name):
            raise AgentRefused(f"the {name} output sent is not the one of the run record")
    flag = int(keys.decrypt("breach", words["breach"]).values[0])
    surplus = keys.decrypt("surplus", words["surplus"]).values
    expected = run.matrices.maintenance_fhe.surplus(run.z)
    if flag != run.plaintext_flag or not np.array_equal(surplus[: len(expected)], expected):
        raise EvaluationMismatch("the decrypted outputs are not those of the run's matrix; the flag is withheld")
    return DecryptedFlag(flag, words["breach"])


class EvaluationMismatch(AgentRefused):
    """The operator evaluated something else: withhold the flag, raise the alarm, replace the keys."""


def _require_equal(record: RunRecord, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if getattr(record, name) != value:
            raise AgentRefused(f"the run record has another {name} than this agent pinned or sent")
