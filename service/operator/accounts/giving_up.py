"""Give up a book that its institution can open no more: the institution asks, and the operator's people agree.

Nothing here agrees by itself. What an institution asks for stays a question until `agree` is called, which enters it:
the entry is what both sides sign.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, NotFound
from atomic_margin.service.operator.accounts.asked import asked_again, problem_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, GivingUpRow, Run
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.events import GivingUp
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import GivingUpRequest
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunEvent, RunState


def ask(operator: Operator, institution: str, document: object) -> GivingUpRequest:
    """Keep what an institution asks to give up, in place of what it asked before; nothing of the account changes.

    The same again is the same question, whatever became of it.

    Raises:
        SignatureInvalid, Conflict, DocumentError: it could not be entered now; nothing is stored.
    """
    account = operator.account(institution)
    signed, body = parse_signed(document, GivingUp)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        again = asked_again(session, institution, signed, session.get(GivingUpRow, institution))
        if again is not None:
            return GivingUpRequest(institution=institution, giving_up=signed.body_hash(), **again._asdict())
        entries.check(session, session.get_one(Account, institution), signed)
        entries.require_known(session, institution, body.entry)
        row = GivingUpRow(
            institution=institution, sha256=signed.body_hash(), document=signed.to_json(), asked_at=now_text()
        )
        session.merge(row)
    return asked(operator, institution)


def asked(operator: Operator, institution: str) -> GivingUpRequest:
    """Return what an institution asked to give up.

    Raises:
        NotFound: nothing, or the operator agreed to it.
    """
    with operator.store.reading() as session:
        row = session.get(GivingUpRow, institution)
        if row is None:
            raise NotFound(f"institution {institution!r} asks to give no book up", "institution")
        problem = problem_of(session, institution, row.document)
    return GivingUpRequest(
        institution=institution,
        giving_up=row.sha256,
        document=row.document,
        asked_at=row.asked_at,
        problem=problem,
    )


def agree(operator: Operator, institution: str, giving_up: str) -> SignedDocument:
    """Enter what an institution asked to give up, and end its runs; return the signed entry. Twice is once.

    Args:
        operator: who agrees.
        institution: who asked.
        giving_up: hash of the document that is agreed to.

    Raises:
        NotFound: the institution is not admitted, or asked for nothing.
        Conflict: it asked for something else, or the account went on since.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, giving_up)
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        row = session.get(GivingUpRow, institution)
        if row is None:
            raise NotFound(f"institution {institution!r} asks to give no book up", "institution")
        if row.sha256 != giving_up:
            raise Conflict(f"the institution asks to give up {row.sha256[:16]}… now; look at it again", "giving_up")
        account = session.get_one(Account, institution)
        begun = entries.state_of(account).public.run
        entry = entries.enter(session, operator.book, account, SignedDocument.parse(row.document))
        _end_runs(session, institution, None if begun is None else begun.run_id)
        session.delete(row)
    return entry


def _end_runs(session: Session, institution: str, begun: str | None) -> None:
    """End the account's open run, and those whose turn did not come."""
    scheduled = select(Run).where(Run.institution == institution, Run.state == RunState.SCHEDULED)
    for run in session.scalars(scheduled):
        move_run(run, RunEvent.BOOK_GIVEN_UP)
    if begun is not None:
        move_run(session.get_one(Run, begun), RunEvent.BOOK_GIVEN_UP)
