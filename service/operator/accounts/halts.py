"""The kill switch: halt every account at once, and resume. One document, entered in all of them in one unit of work.

A halt of one account alone would be favouritism, or its reverse: `store.entries` enters these documents in all
accounts, or in one that is new, and nowhere else. What a halt stops is in the account machine.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, HaltRow
from atomic_margin.service.protocol.account.halt_documents import SCOPES, Halt, HaltScope, Resume
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.signing import SignedDocument


def halt(operator: Operator, reason: str, scope: tuple[HaltScope, ...] = SCOPES, ticks: int = 60) -> SignedDocument:
    """Halt every account; return the signed document. One that is in force is replaced.

    Args:
        operator: whose accounts.
        reason: in its people's words.
        scope: what is halted.
        ticks: after how many it is over by itself.

    Raises:
        DocumentError: the scope is empty, the reason no line, or there are too many ticks.
    """
    with operator.announcing, operator.store.unit_of_work() as session:
        at = entries.newest(session)
        body = _body(operator, session, reason, at) | {"scope": list(scope), "until": str(at.tick + ticks)}
        return _announced(operator, session, Halt.parse(body))


def resume(operator: Operator, reason: str) -> SignedDocument:
    """End the halt of every account; return the signed document.

    Raises:
        Conflict: none is in force.
        DocumentError: the reason is no line.
    """
    with operator.announcing, operator.store.unit_of_work() as session:
        at = entries.newest(session)
        row = in_force(session, at)
        if row is None:
            raise Conflict("no halt is in force; nothing is to be resumed", "halt")
        body = _body(operator, session, reason, at) | {"halt": row.sha256}
        return _announced(operator, session, Resume.parse(body))


def in_force(session: Session, at: At) -> HaltRow | None:
    """Return the halt that is in force."""
    row = newest(session)
    if row is None or row.document["type"] != Halt.TYPE or at.tick > Halt.parse(row.document["body"]).until:
        return None
    return row


def newest(session: Session) -> HaltRow | None:
    """Return the last halt or resume."""
    return session.scalar(select(HaltRow).order_by(HaltRow.number.desc()).limit(1))


def tell(operator: Operator, session: Session, account: Account) -> None:
    """Enter the last halt or resume into an account that was just opened."""
    row = newest(session)
    if row is not None:
        entries.enter_in_new(session, operator.book, account, SignedDocument.parse(row.document))


def _body(operator: Operator, session: Session, reason: str, at: At) -> dict[str, object]:
    last = newest(session)
    return {
        "operator": operator.identity.public_key,
        "number": str(1 if last is None else last.number + 1),
        "reason": reason,
        "tick": at.tick_hash,
        "tick_sequence": str(at.tick),
        "announced_at": now_text(),
    }


def _announced(operator: Operator, session: Session, body: Halt | Resume) -> SignedDocument:
    signed = body.signed_by(operator.identity)
    session.add(HaltRow(number=body.number, sha256=signed.body_hash(), document=signed.to_json()))
    entries.enter_in_all(session, operator.book, signed)
    return signed
