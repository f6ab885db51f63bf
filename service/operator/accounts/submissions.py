"""Take encrypted portfolios: signature, machine, nonce, ciphertext and all three proofs are checked, then stored.

Whether a portfolio comes in force at once or waits for the end of a run is for the account machine to say. Collateral
that it pays losses with leaves in the same transaction.
"""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.custody.dealings import require_dealt
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, EntryRow, SubmissionRow, Tick
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.verification import verify_gain, verify_submission
from atomic_margin.zk.groups import Point


def submit(
    operator: Operator,
    institution: str,
    document: object,
    open_due: Callable[[Operator, str], None] = lambda operator, institution: None,
) -> SignedDocument:
    """Verify and store a submission; return the signed entry, the operator's receipt.

    The same submission again gets the same entry.

    Args:
        operator: who takes it.
        institution: whose it is.
        document: as it arrived.
        open_due: begins the run that the account has due, so that it is on the book that was there at its tick; called
            once the submission is verified.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, submission = parse_signed(document, Submission)
    # Cheap checks first: a stranger's submission costs no proof verification.
    signed.verify(frozenset({account.identity}))
    with operator.store.reading() as session:
        earlier = _check(session, institution, signed, submission)
    if earlier is not None:
        return SignedDocument.parse(earlier.entry)
    keys = operator.key_pair(operator.enrolled_keys(institution, submission.evaluation_keys))
    points: dict[bytes, Point] = {}
    ciphertext = verify_submission(signed, submission, operator.terms, account.identity, keys, operator.group, points)
    before, market = _compared(operator, submission)
    verify_gain(submission, before, market, operator.terms, operator.group)

    # Every proof about this book will be about these commitments.
    operator.proofs.remember(points)
    operator.blobs.put(ciphertext.to_bytes())
    open_due(operator, institution)
    with operator.store.unit_of_work() as session:
        earlier = _check(session, institution, signed, submission)
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        row = session.get_one(Account, institution)
        row.nonce = None
        public_before = row.public_state
        entry = entries.enter(session, operator.book, row, signed)
        session.add(
            SubmissionRow(
                institution=institution,
                sequence=submission.sequence,
                sha256=signed.body_hash(),
                document=signed.to_json(),
                public_before=public_before,
                public_after=row.public_state,
                received_at=now_text(),
            )
        )
        settles = submission.gain.settles
        if settles is not None:
            move = ledger.Move(settles.asset, settles.quantity, ledger.posted(institution), ledger.SETTLED)
            ledger.book(session, f"losses/{institution}/{submission.sequence}", "losses", [move])
        return entry


def submission_of(session: Session, sha256: str) -> SubmissionRow:
    """Return the submission with that hash; one that is in force is always there."""
    return session.execute(select(SubmissionRow).where(SubmissionRow.sha256 == sha256)).scalar_one()


def _compared(operator: Operator, submission: Submission) -> tuple[Submission | None, Market | None]:
    """Return the book and the prices that a submission's gain is counted by; the machine says that they are right."""
    gain = submission.gain
    with operator.store.reading() as session:
        stored = None if gain.before is None else submission_of(session, gain.before)
        tick = None if gain.price_sequence == 0 else session.get_one(Tick, gain.price_sequence)
    before = None if stored is None else Submission.parse(stored.document["body"])
    return before, None if tick is None else operator.compiled_ticks.of(tick).market


def _check(session: Session, institution: str, signed: SignedDocument, submission: Submission) -> EntryRow | None:
    """Make sure that a submission can be entered now; return its entry if it was."""
    earlier = entries.entry_of(session, institution, signed.body_hash())
    if earlier is not None:
        return earlier
    row = session.get_one(Account, institution)
    entries.check(session, row, signed)
    if row.nonce is None or submission.nonce != row.nonce:
        raise Conflict("the submission does not carry the current nonce; fetch one and submit again", "nonce")
    entries.require_known(session, institution, submission.entry)
    require_dealt(session, entries.state_of(row).public, submission)
    return None
