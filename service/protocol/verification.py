"""What makes an answer count: the only place where a `VerifiedCoverage` or a `VerifiedBreach` can be made.

The operator calls `verify_submission` and `verify_answer` on what institutions send; the verifier calls the same
functions on bundles. They raise a named error or return; none returns a bool.
"""

import hashlib
from dataclasses import InitVar, dataclass
from decimal import Decimal
from typing import Literal

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.fhe.masks import Ciphertext
from atomic_margin.margin.collateral import market_worth
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import Refused, UnknownUniverse
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.answer_claims import AnswerGround, answer_claims
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.opening_claims import OpeningGround, check_verdicts, verify_finding
from atomic_margin.service.protocol.proven import require_proven
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import (
    ciphertext_of,
    encryption_statement,
    gain_statement,
    portfolio_statement,
)
from atomic_margin.service.protocol.submissions import Settles, Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group, Point
from atomic_margin.zk.verify.encryption import verify_encryption
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.queue import VerificationQueue
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
            raise TypeError(f"only verify_answer and verify_opened make a {type(self).__name__}")


@dataclass(frozen=True)
class VerifiedCoverage(_Verified):
    """The committed portfolio plus the posted collateral covers maintenance margin under the run's prices."""


@dataclass(frozen=True)
class VerifiedBreach(_Verified):
    """A proven breach and a proven top-up, of one of two kinds. It alone opens the settlement hook.

    The institution proves its flag 1 besides, and that X is enough in every row. Custodians open the book of a silent
    one without a flag, and X is what one row lacks, so no more than is missing.

    Attributes:
        top_up: X in units of the initial proof matrix.
        top_up_usd: the same in USD, without rounding.
        flag: how the breach is known: `proven`, with the decryption proof, or `opened` by custodians.
    """

    top_up: int
    top_up_usd: Decimal
    flag: Literal["proven", "opened"] = "proven"


def verify_submission(
    signed: SignedDocument,
    submission: Submission,
    terms: Terms,
    identity: str,
    keys: KeyPair,
    group: Group,
    known: dict[bytes, Point] | None = None,
) -> Ciphertext:
    """Check a submission against the terms it names, its signature and both its proofs; return its ciphertexts.

    Args:
        signed: the document as received.
        submission: its typed body.
        terms: the operator's published terms.
        identity: the institution's registered public key.
        keys: the commitments of the enrolment that the evaluation keys came with.
        group: backend of the proofs.
        known: points decoded before, by their bytes; those decoded now are added.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: other terms or keys, a ciphertext hash that is not that of the bodies under their masks, or a proof
            that does not hold.
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the terms.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about these terms.
    _check_columns(submission, terms)
    # (3) It is under the enrolled keys, and the words it names are its bodies under masks that nobody chose.
    if submission.key_commitments != keys.hash:
        raise Refused("the submission is under other keys than the enrolled ones; enrol them first", "key_commitments")
    try:
        ciphertext = ciphertext_of(submission, terms)
    except MalformedCiphertext as error:
        raise Refused(str(error), "bodies") from error
    if hashlib.sha256(ciphertext.to_bytes()).hexdigest() != submission.ciphertext:
        raise Refused("the words of its masks and bodies do not have the hash that is named", "ciphertext")
    # (4) The gross limit suits the terms, so that no book within it can overflow a row or need an unprovable top-up.
    terms.check_gross_limit(submission)
    # (5) Every entry is in its range and the book is within the gross limit.
    known = {} if known is None else known
    _check_portfolio(submission, terms, group, known)
    # (6) Each ciphertext encrypts the committed entry under the committed key.
    try:
        statement = encryption_statement(submission, terms, keys, ciphertext)
        verify_encryption(statement, bytes.fromhex(submission.encryption_proof), group, known)
    except ProofError as error:
        raise Refused(str(error), "encryption_proof") from error
    return ciphertext


def verify_committed(signed: SignedDocument, submission: Submission, terms: Terms, identity: str, group: Group) -> None:
    """Check that a submission is the institution's and commits to a book, which is what another's gain needs of it.

    Arguments and errors are those of `verify_submission`; keys, ciphertexts and the gross limit are not looked at.
    """
    signed.verify(frozenset({identity}))
    _check_columns(submission, terms)
    _check_portfolio(submission, terms, group, {})


def _check_columns(submission: Submission, terms: Terms) -> None:
    for name in ("profile", "generators"):
        if getattr(submission, name) != terms.hashes[name]:
            raise Refused(f"the submission is for another {name}; fetch the operator's terms and submit again", name)
    try:
        columns = terms.columns(submission)
    except UnknownUniverse:
        raise
    except (DocumentsError, ProfileError) as error:
        raise Refused(f"its choice of columns does not go with the terms: {error}", "columns") from error
    if submission.entry_map != columns.hash():
        raise Refused("the submission names other columns than its gross limit and choice give", "entry_map")
    if len(submission.commitments) != len(columns):
        raise Refused(
            f"the account has {len(columns)} columns, got {len(submission.commitments)} commitments", "commitments"
        )


def _check_portfolio(submission: Submission, terms: Terms, group: Group, known: dict[bytes, Point]) -> None:
    try:
        entries = portfolio_statement(submission, terms)
        verify_portfolio(entries, bytes.fromhex(submission.portfolio_proof), group, known)
    except ProofError as error:
        raise Refused(str(error), "portfolio_proof") from error


def verify_answer(
    signed: SignedDocument,
    answer: Answer,
    *,
    record: RunRecord,
    run_hash: str,
    submission: Submission,
    market: Market,
    matrices: RunMatrices,
    terms: Terms,
    identity: str,
    keys: KeyPair,
    flag_words: bytes | None,
    group: Group,
    queue: VerificationQueue | None = None,
) -> VerifiedCoverage | VerifiedBreach:
    """Check an answer to a run. The submission and its proofs must have been verified before.

    `market` has the prices of the run's tick, and `matrices` are what they give. `keys` are the commitments of the
    submission's enrolment; `flag_words` the raw words of the run's breach flag, needed for a breach only. With a
    `queue`, proofs that wait at the same time are verified together.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: about another run, a flag that does not go with the outcome, a top-up off its step, or a proof that
            does not hold; `.field` names which.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about this very run; outcome, flag and top-up go together; and its proofs hold.
    ground = AnswerGround(record, run_hash, submission, market, matrices, terms, keys, flag_words)
    require_proven(answer_claims(answer, ground), group, queue)
    answer_hash = signed.body_hash()
    if answer.outcome == "covered":
        return VerifiedCoverage(record, run_hash, answer_hash, _SEAL)
    return VerifiedBreach(record, run_hash, answer_hash, _SEAL, answer.top_up, Decimal(answer.top_up_usd))


def verify_opened(
    signed: SignedDocument,
    opened: Opened,
    *,
    ground: OpeningGround,
    policy: CustodyPolicy,
    group: Group,
    queue: VerificationQueue | None = None,
) -> VerifiedCoverage | VerifiedBreach:
    """Check what custodians found of a book. The submission and its proofs must have been verified before.

    That an opening of this run was open is for the account machine to say.

    Args:
        signed: the document as received.
        opened: its typed body.
        ground: run, book and matrices.
        policy: that the book was dealt under.
        group: backend of the proofs.
        queue: verifies with whatever else waits, where there is one.

    Raises:
        SignatureInvalid: not signed by the operator, or a verdict not by its custodian.
        Refused: about another run, too few verdicts, or a proof that does not hold; `.field` names which.
    """
    record, finding = ground.record, opened.finding
    # (1) The operator entered it, for this account.
    signed.verify(frozenset({record.operator}))
    # (2) As many custodians as have the book together say so, and what is proven is about this very run.
    check_verdicts(opened.verdicts, finding, policy)
    verify_finding(finding, ground, group, queue)
    document = signed.body_hash()
    if finding.outcome == "covered":
        return VerifiedCoverage(record, ground.run_hash, document, _SEAL)
    usd = Decimal(finding.top_up_usd)
    return VerifiedBreach(record, ground.run_hash, document, _SEAL, finding.top_up, usd, "opened")


def verify_gain(
    submission: Submission,
    before: Submission | None,
    market: Market | None,
    terms: Terms,
    group: Group,
) -> None:
    """Check that a book gained at most as much more as it says than the one it is compared with, by its prices.

    Losses that it settles are paid for by collateral that is worth as much at the same prices. That these are the right
    book and the right prices is for the account machine to say.

    Args:
        submission: the document, whose other proofs hold.
        before: the document it is compared with; None for none.
        market: of the tick it names; None before there is one.
        terms: of the account.
        group: backend of the proof.

    Raises:
        Refused: the day is not that of the prices, they do not price the universe, what leaves for losses is worth less
            than these, or the proof does not hold.
    """
    gain = submission.gain
    if gain.day != day_of(market):
        raise Refused(f"its gain is counted on day {gain.day}, its prices are of day {day_of(market)}", "gain.day")
    if gain.settles is not None:
        _check_paid(gain.settles, market, terms)
    try:
        statement = gain_statement(submission, gain, before, terms, market)
        verify_sufficiency(statement, bytes.fromhex(submission.gain_proof), group)
    except (MarginError, ProofError) as error:
        raise Refused(str(error), "gain_proof") from error


def paid_for(settles: Settles, market: Market, terms: Terms) -> int:
    """Return what the collateral is worth that leaves for losses, whole USD, rounded down.

    Raises:
        MarginError: the schedule does not have the asset, or the market does not price it.
    """
    return market_worth(terms.schedule, terms.model.spot_moves, market, settles.asset, settles.quantity)


def _check_paid(settles: Settles, market: Market | None, terms: Terms) -> None:
    try:
        worth = 0 if market is None else paid_for(settles, market, terms)
    except MarginError as error:
        raise Refused(str(error), "gain.settles.asset") from error
    if settles.usd > worth:
        raise Refused(
            f"{settles.quantity} units of {settles.asset} are worth {worth} USD at this tick, and {settles.usd} USD of "
            "losses are to be settled by them: let more of it leave",
            "gain.settles.usd",
        )


def day_of(market: Market | None) -> int:
    """Return the day of prices, whole days since 1970-01-01 in UTC; 0 where there are none."""
    return 0 if market is None else int(market.as_of.timestamp()) // 86_400
