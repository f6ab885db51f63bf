"""What makes an answer count: the only place where a `VerifiedCoverage` or a `VerifiedBreach` can be made.

The operator calls `verify_submission` and `verify_answer` on what institutions send; the verifier calls the same
functions on bundles. They raise a named error or return; none returns a bool.
"""

from dataclasses import InitVar, dataclass
from decimal import Decimal

from atomic_margin.margin.top_up import step_units
from atomic_margin.margin.units import RunMatrices, check_gross_limit
from atomic_margin.service.documents import Answer, RunRecord, Submission
from atomic_margin.service.errors import Refused
from atomic_margin.service.signing import SignedDocument
from atomic_margin.service.terms import Terms
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

_SEAL = object()


@dataclass(frozen=True)
class _Verified:
    record: RunRecord
    run_hash: str
    answer_hash: str
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        # Not a field, so that `dataclasses.replace` cannot carry it over to an altered copy.
        if seal is not _SEAL:
            raise TypeError(f"only verify_answer makes a {type(self).__name__}")


@dataclass(frozen=True)
class VerifiedCoverage(_Verified):
    """The committed portfolio plus the posted collateral covers maintenance margin under the run's prices."""


@dataclass(frozen=True)
class VerifiedBreach(_Verified):
    """A decrypted breach flag 1, attested by the institution, with a proven top-up. It alone opens the settlement hook.

    Attributes:
        top_up: X in units of the initial proof matrix.
        top_up_usd: the same in USD, exactly.
        flag: how the flag is known: `attested` by the institution's signature.
    """

    top_up: int
    top_up_usd: Decimal
    flag: str = "attested"


def verify_submission(
    signed: SignedDocument, submission: Submission, terms: Terms, identity: str, group: Group
) -> None:
    """Check a submission against the terms it names, its signature and its portfolio proof.

    Args:
        signed: the document as received.
        submission: its typed body.
        terms: the operator's published terms.
        identity: the institution's registered public key.
        group: backend of the proofs.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: other terms, a gross limit outside what the universe allows, or a proof that does not hold.
        MarginError: the gross limit does not go with the universe.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about these terms.
    for name in ("profile", "universe", "entry_map", "generators"):
        if getattr(submission, name) != terms.hashes[name]:
            raise Refused(f"the submission is for another {name}; fetch the operator's terms and submit again", name)
    if len(submission.commitments) != len(terms.entry_map):
        raise Refused(
            f"the universe has {len(terms.entry_map)} entries, got {len(submission.commitments)} commitments",
            "commitments",
        )
    # (3) The gross limit suits universe and profile, so that no book within it can overflow a row.
    check_gross_limit(submission.gross_limit, terms.entry_map, terms.profile.bits)
    # (4) Every entry is in its range and the book is within the gross limit.
    try:
        verify_portfolio(terms.portfolio_statement(submission), bytes.fromhex(submission.portfolio_proof), group)
    except ProofError as error:
        raise Refused(str(error), "portfolio_proof") from error


def verify_answer(
    signed: SignedDocument,
    answer: Answer,
    *,
    record: RunRecord,
    run_hash: str,
    submission: Submission,
    matrices: RunMatrices,
    terms: Terms,
    identity: str,
    group: Group,
) -> VerifiedCoverage | VerifiedBreach:
    """Check an answer to a run. The submission and its portfolio proof must have been verified before.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: about another run, a flag that does not go with the outcome, a top-up off its step, or a proof that
            does not hold; `.field` names which.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about this very run.
    for name, wanted in (
        ("run_id", record.run_id),
        ("run", run_hash),
        ("operator", record.operator),
        ("institution", record.institution),
        ("submission", record.submission),
        ("price_sequence", record.price_sequence),
    ):
        if getattr(answer, name) != wanted:
            raise Refused(f"the answer is about another {name} than the run's", name)
    # (3) Outcome, flag and top-up go together.
    _check_outcome(answer, record, matrices, terms)
    # (4) The sufficiency proof holds: on maintenance margin as it is, or on initial margin with the top-up added.
    statement = terms.sufficiency_statement(answer, record, submission, matrices)
    try:
        verify_sufficiency(statement, bytes.fromhex(answer.sufficiency_proof), group)
    except ProofError as error:
        raise Refused(str(error), "sufficiency_proof") from error
    answer_hash = signed.body_hash()
    if answer.outcome == "covered":
        return VerifiedCoverage(record, run_hash, answer_hash, _SEAL)
    return VerifiedBreach(record, run_hash, answer_hash, _SEAL, answer.top_up, Decimal(answer.top_up_usd))


def _check_outcome(answer: Answer, record: RunRecord, matrices: RunMatrices, terms: Terms) -> None:
    if answer.outcome == "covered":
        # A decrypted 0 proves nothing and would be an answer to whoever fishes for key bits.
        if answer.flag is not None or answer.flag_output is not None:
            raise Refused("a covered answer carries no flag; its proof is the evidence", "flag")
        if answer.top_up != 0 or answer.top_up_usd != "0":
            raise Refused("a covered answer has no top-up", "top_up")
        return
    if answer.flag != "1":
        raise Refused("a breach answer carries the decrypted flag 1", "flag")
    if answer.flag_output != record.outputs.breach:
        raise Refused("the flag was decrypted from another ciphertext than the run's breach output", "flag_output")
    matrix = matrices.initial_proof
    step = step_units(matrix.unit_exponent, terms.model.minimum_transfer_amount, record.gross_limit)
    if answer.top_up == 0 or answer.top_up % step:
        raise Refused(f"the top-up must be a positive multiple of {step} units, got {answer.top_up}", "top_up")
    exact = format(matrix.usd(answer.top_up), "f")
    if answer.top_up_usd != exact:
        raise Refused(f"{answer.top_up} units are {exact} USD, not {answer.top_up_usd}", "top_up_usd")
