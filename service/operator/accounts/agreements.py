"""Amend collateral agreements and custody: the institution asks by what it signs, and the operator's people agree.

Nothing here agrees by itself: the entry is what both sides sign. An institution asks for one thing at a time.
"""

from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.errors import IneligibleAsset, InitialBelowMaintenance, UnknownAsset
from atomic_margin.service.errors import Conflict, NotFound, Refused
from atomic_margin.service.operator.accounts.asked import asked_again, problem_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, AmendmentRow
from atomic_margin.service.protocol.account.amendments import AgreementAmendment, CustodyAmendment
from atomic_margin.service.protocol.agreement_messages import AmendmentRequest
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument


def ask(operator: Operator, institution: str, document: object) -> AmendmentRequest:
    """Keep what an institution asks to amend, in place of what it asked before; nothing of the account changes.

    Raises:
        SignatureInvalid, Conflict, DocumentError: it could not be entered now; nothing is stored.
        Refused: the agreement names an asset that the schedule does not have, or not what an asset becomes; or
            custodians are to come, and under the terms a book may be in breach that they could not open.
    """
    account = operator.account(institution)
    signed, body = _parsed(document)
    signed.verify(frozenset({account.identity}))
    if isinstance(body, AgreementAmendment):
        try:
            body.agreement.check_schedule(operator.terms.schedule)
        except (UnknownAsset, IneligibleAsset) as error:
            raise Refused(str(error), "agreement.eligible") from error
    else:
        _require_openable(operator, body)
    with operator.store.unit_of_work() as session:
        again = asked_again(session, institution, signed, session.get(AmendmentRow, institution))
        if again is not None:
            return AmendmentRequest(institution=institution, amendment=signed.body_hash(), **again._asdict())
        entries.check(session, session.get_one(Account, institution), signed)
        entries.require_known(session, institution, body.entry)
        session.merge(
            AmendmentRow(
                institution=institution, sha256=signed.body_hash(), document=signed.to_json(), asked_at=now_text()
            )
        )
    return asked(operator, institution)


def asked(operator: Operator, institution: str) -> AmendmentRequest:
    """Return what an institution asked to amend.

    Raises:
        NotFound: nothing, or the operator agreed to it.
    """
    with operator.store.reading() as session:
        row = _row(session, institution)
        problem = problem_of(session, institution, row.document)
    return AmendmentRequest(
        institution=institution, amendment=row.sha256, document=row.document, asked_at=row.asked_at, problem=problem
    )


def agree(operator: Operator, institution: str, amendment: str) -> SignedDocument:
    """Enter what an institution asked to amend; return the signed entry. Twice is once.

    Args:
        operator: who agrees.
        institution: who asked.
        amendment: hash of the document that is agreed to.

    Raises:
        NotFound: the institution is not admitted, or asked for nothing.
        Conflict: it asked for something else, or the account went on since.
        Refused: custodians are to come, and under the terms a book may be in breach that they could not open.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, amendment)
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        row = _row(session, institution)
        if row.sha256 != amendment:
            raise Conflict(f"the institution asks for amendment {row.sha256[:16]}… now; look at it again", "amendment")
        signed, body = _parsed(row.document)
        if isinstance(body, CustodyAmendment):
            _require_openable(operator, body)
        account = session.get_one(Account, institution)
        entry = entries.enter(session, operator.book, account, signed)
        session.delete(row)
    return entry


def _parsed(document: object) -> tuple[SignedDocument, AgreementAmendment | CustodyAmendment]:
    if isinstance(document, dict) and document.get("type") == CustodyAmendment.TYPE:
        return parse_signed(document, CustodyAmendment)
    return parse_signed(document, AgreementAmendment)


def _require_openable(operator: Operator, body: CustodyAmendment) -> None:
    if body.custody is not None:
        try:
            operator.terms.model.check_initial_margin(operator.terms.schedule)
        except InitialBelowMaintenance as error:
            raise Refused(str(error), "custody") from error


def _row(session: Session, institution: str) -> AmendmentRow:
    row = session.get(AmendmentRow, institution)
    if row is None:
        raise NotFound(f"institution {institution!r} asks for no amendment", "institution")
    return row
