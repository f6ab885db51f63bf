"""Take encrypted portfolios: signature, sequence, nonce, ciphertext and both proofs are checked, then stored.

A frozen account may bring the very same commitments under new keys, which moves nothing: an institution whose keys are
no longer to be used could otherwise never answer a breach again.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, Refused
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.tables import Account, SubmissionRow
from atomic_margin.service.protocol.documents import Receipt, Submission, parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import SUBMITTING, AccountState
from atomic_margin.service.protocol.verification import verify_submission


def submit(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Verify and store a submission; return the operator's signed receipt.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, submission = parse_signed(document, Submission)
    # Cheap checks first: a stranger's submission costs no proof verification.
    signed.verify(frozenset({account.identity}))
    if submission.institution != institution:
        raise Refused(f"the submission is of {submission.institution!r}, the path says {institution!r}", "institution")
    if submission.operator != operator.identity.public_key:
        raise Refused("the submission is addressed to another operator", "operator")
    with operator.store.unit_of_work() as session:
        _require_current(session, submission)
    keys = operator.key_pair(operator.enrolled_keys(institution, submission.evaluation_keys))
    ciphertext = verify_submission(signed, submission, operator.terms, account.identity, keys, operator.group)

    receipt = Receipt(
        document=signed.body_hash(),
        operator=operator.identity.public_key,
        result="accepted",
        received_at=now_text(),
    )
    operator.blobs.put(ciphertext.to_bytes())
    with operator.store.unit_of_work() as session:
        row = _require_current(session, submission)
        row.nonce = None
        session.add(
            SubmissionRow(
                institution=institution,
                sequence=submission.sequence,
                sha256=signed.body_hash(),
                document=signed.to_json(),
                received_at=receipt.received_at,
            )
        )
    return receipt.signed_by(operator.identity)


def latest_submission(session: Session, institution: str) -> SubmissionRow | None:
    """Return the submission with the highest sequence number, if there is any."""
    query = select(SubmissionRow).where(SubmissionRow.institution == institution)
    return session.scalar(query.order_by(SubmissionRow.sequence.desc()).limit(1))


def _require_current(session: Session, submission: Submission) -> Account:
    row = session.get_one(Account, submission.institution)
    if row.state not in SUBMITTING:
        raise Conflict(f"the account is {row.state}; it cannot submit", "state")
    if row.state is AccountState.FROZEN:
        _require_same_book(latest_submission(session, submission.institution), submission)
    if submission.evaluation_keys != row.evaluation_keys:
        raise Refused("the submission names other evaluation keys than the enrolled ones", "evaluation_keys")
    if row.nonce is None or submission.nonce != row.nonce:
        raise Conflict("the submission does not carry the current nonce; fetch one and submit again", "nonce")
    query = select(func.max(SubmissionRow.sequence)).where(SubmissionRow.institution == submission.institution)
    expected = (session.scalar(query) or 0) + 1
    if submission.sequence != expected:
        raise Conflict(f"the next submission sequence number is {expected}, got {submission.sequence}", "sequence")
    return row


def _require_same_book(latest: SubmissionRow | None, submission: Submission) -> None:
    before = None if latest is None else Submission.parse(latest.document["body"])
    if (
        before is None
        or (before.commitments, before.gross_limit) != (submission.commitments, submission.gross_limit)
        or before.evaluation_keys == submission.evaluation_keys
    ):
        raise Conflict("the account is frozen; it can only bring the same commitments under new keys", "state")
