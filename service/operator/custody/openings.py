"""Openings of books of silent institutions: the operator asks, custodians take part or refuse, and it keeps sessions.

What they compute goes between them; what passes here is who takes part, shares of rows that the closer alone can read,
and what was found. An opening lapses when its time is over, or too few are left that take part.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import Conflict, NotFound, NotOpened, OpeningOver
from atomic_margin.service.operator.custody import sessions
from atomic_margin.service.operator.custody.policies import point_of, policy_named
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.custody_tables import (
    OpeningAccusationRow,
    OpeningBoxRow,
    OpeningPartRow,
    OpeningRow,
    OpeningSessionRow,
)
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.account.opening_documents import OpeningLapse, OpeningRequest
from atomic_margin.service.protocol.custodian_messages import Accusation, RowBox, RowBoxes, TakesPart
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.signing import SignedDocument

_log = logging.getLogger(__name__)


def ask(operator: Operator, institution: str) -> OpeningRow:
    """Ask custodians to open the book of an account's owed run; return the opening, which is entered.

    Raises:
        NotFound: there is no such account.
        NotOpened: its books cannot be opened, since its collateral is in a vault.
        Conflict: nothing is owed, an opening is open, or the policy allows no more of this book.
    """
    account = operator.account(institution)
    if operator.rail.holds(institution):
        raise NotOpened(
            "collateral of the account is in a vault, whose contracts want the institution's own proofs: a breach that "
            "custodians prove cannot be carried there"
        )
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        public = entries.state_of(account).public
        run, book, custody = public.run, public.book, public.custody
        shared = None if book is None else book.shared
        if run is None or custody is None or shared is None or run.record is None:
            raise Conflict("no run is owed on a book that custodians have shares of", "institution")
        moment = now()
        body = OpeningRequest.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "sequence": str(custody.requests + 1),
                "entry": account.head,
                "run_id": run.run_id,
                "run": run.record,
                "submission": run.submission,
                "policy": shared.policy,
                "deal": shared.deal,
                "requested_at": instant_text(moment),
            }
        )
        signed = body.signed_by(operator.identity)
        entries.enter(session, operator.book, account, signed)
        row = opening_row(operator, signed, moment)
        session.add(row)
        return row


def opening_row(operator: Operator, signed: SignedDocument, moment: datetime) -> OpeningRow:
    """Return the row of an opening that is asked for at a moment."""
    lapses_at = moment + timedelta(seconds=operator.settings.opening_seconds)
    body = OpeningRequest.parse(signed.body)
    return OpeningRow(
        request=signed.body_hash(),
        institution=body.institution,
        run_id=body.run_id,
        document=signed.to_json(),
        asked_at=instant_text(moment),
        lapses_at=instant_text(lapses_at),
    )


def take_part(operator: Operator, identity: str, request: str, part: TakesPart) -> None:
    """Note that a custodian takes part, or has given up on a session; begin the next one when it is its time.

    Raises:
        OpeningOver: the opening is over.
        Conflict: it refused before, gives up on a session that there was not, or accuses whom it cannot.
    """
    with operator.store.unit_of_work() as session:
        opening, policy = open_one(session, request)
        row = _part_of(session, opening, point_of(policy, identity))
        present = session_of(session, opening)
        if row.refusal is not None:
            raise Conflict("the custodian refused to take part in this opening", "state")
        if (part.session or 0) > (0 if present is None else present.number):
            raise Conflict(f"there was no session {part.session} yet", "session")
        for one in part.accuses:
            _keep_accusation(session, opening, row.point, one)
        row.address, row.gave_up = part.address, max(row.gave_up, part.session or 0)
        session.flush()
        advance(operator, session, opening, policy)


def refuse(operator: Operator, identity: str, request: str, reason: str) -> None:
    """Note that a custodian takes no part, and why; the opening lapses if too few are left.

    Raises:
        OpeningOver: the opening is over.
    """
    with operator.store.unit_of_work() as session:
        opening, policy = open_one(session, request)
        row = _part_of(session, opening, point_of(policy, identity))
        row.refusal, row.address = reason, None
        tell(session, "opening refused", institution=opening.institution, point=row.point, reason=reason)
        session.flush()
        if _refusals(session, opening) > len(policy.custodians) - policy.present:
            lapse(operator, session, opening, "refused")


def bring_rows(operator: Operator, identity: str, request: str, box: RowBox) -> None:
    """Keep shares of rows for the closer of the session, or for who opens what was found before.

    Raises:
        OpeningOver: the opening or the session is over.
        Conflict: the custodian is not in the session, or brought others before.
    """
    with operator.store.unit_of_work() as session:
        opening, policy = open_one(session, request)
        present, point = require_session(session, opening, policy, identity, box.session)
        data = bytes.fromhex(box.box)
        row = session.get(OpeningBoxRow, (request, present.number, point))
        if row is None:
            closer = present.closer if box.closer is None else box.closer
            session.add(OpeningBoxRow(request=request, session=present.number, point=point, box=data, closer=closer))
        elif row.box != data:
            raise Conflict("the custodian brought other shares in this session", "box")


def rows_for(operator: Operator, identity: str, request: str) -> RowBoxes:
    """Return what is encrypted to a custodian that computes in the present session.

    Raises:
        OpeningOver: the opening is over.
        NotFound: it does not compute in it.
    """
    with operator.store.reading() as session:
        opening, policy = open_one(session, request)
        present = session_of(session, opening)
        point = point_of(policy, identity)
        if present is None or str(point) not in present.present:
            raise NotFound("shares of rows are for custodians of the present session")
        query = select(OpeningBoxRow).where(OpeningBoxRow.request == request, OpeningBoxRow.session == present.number)
        rows = session.scalars(query)
        return RowBoxes(
            boxes={str(row.point): row.box.hex() for row in rows if (row.closer or present.closer) == point}
        )


def advance(operator: Operator, session: Session, opening: OpeningRow, policy: CustodyPolicy) -> None:
    """Begin the next session if it is its time."""
    rows = {row.point: row for row in parts_of(session, opening) if row.address is not None and row.refusal is None}
    before = session_of(session, opening)
    most = timedelta(seconds=operator.settings.opening_session_seconds)
    points = sessions.chosen(
        [sessions.Part(row.point, row.gave_up, row.failed) for row in rows.values()],
        None if before is None else sessions.Session(before.number, tuple(map(int, before.present))),
        present=policy.present,
        threshold=policy.threshold,
        over=before is not None and instant(before.began_at) + most <= now(),
        tried=[tuple(sorted(map(int, row.present))) for row in _sessions_of(session, opening)],
    )
    if points is None:
        return
    number = 1 if before is None else before.number + 1
    for point in () if before is None else map(int, before.present):
        row = session.get_one(OpeningPartRow, (opening.request, point))
        row.failed += 1 if row.gave_up >= number - 1 else 2
    # What came of the session before is worth nothing any more: another closer makes its own.
    opening.finding = opening.finding_hash = None
    for row in parts_of(session, opening):
        row.verdict = None
    addresses = {str(point): rows[point].address for point in points}
    session.add(
        OpeningSessionRow(
            request=opening.request, number=number, present=addresses, closer=points[0], began_at=now_text()
        )
    )
    session.flush()
    tell(session, "opening session", institution=opening.institution, number=number, points=list(points))


def sweep(operator: Operator) -> list[str]:
    """Begin sessions whose time it is and end openings whose time is over; return requests of those that ended."""
    with operator.store.reading() as session:
        found = list(session.scalars(select(OpeningRow.request).where(OpeningRow.open).order_by(OpeningRow.request)))
    ended = []
    for request in found:
        try:
            # Each by itself: what keeps one from ending does not keep the others open.
            with operator.store.unit_of_work() as session:
                opening = session.get_one(OpeningRow, request)
                _look_at(operator, session, opening)
                ended += [] if opening.open else [request]
        except Exception:
            _log.exception("the opening %s could not be looked after; it is tried again", request)
    return ended


def _look_at(operator: Operator, session: Session, opening: OpeningRow) -> None:
    if not is_in_state(session, opening):
        # The institution answered, or the book was given up: the entry says so already.
        opening.open = False
    elif opening.lapses_at <= now_text():
        lapse(operator, session, opening, _why_late(session, opening))
    elif opening.open:
        advance(operator, session, opening, _policy(session, opening))


def lapse(operator: Operator, session: Session, opening: OpeningRow, reason: str) -> None:
    """Enter that nothing comes of an opening."""
    body = OpeningLapse.parse(
        {
            "institution": opening.institution,
            "operator": operator.identity.public_key,
            "request": opening.request,
            "reason": reason,
            "lapsed_at": now_text(),
        }
    )
    account = session.get_one(Account, opening.institution)
    entries.enter(session, operator.book, account, body.signed_by(operator.identity))
    opening.open = False


def open_one(session: Session, request: str) -> tuple[OpeningRow, CustodyPolicy]:
    """Return an opening that is open, with the custody policy of its book.

    Raises:
        NotFound: there was none.
        OpeningOver: it is over.
    """
    row = session.get(OpeningRow, request)
    if row is None:
        raise NotFound("there is no such opening", "request")
    if not row.open or not is_in_state(session, row):
        raise OpeningOver("the opening is over: the account's entries say what came of it", "request")
    return row, _policy(session, row)


def is_in_state(session: Session, opening: OpeningRow) -> bool:
    """Return whether an opening is the one that the account's state has."""
    custody = entries.state_of(session.get_one(Account, opening.institution)).public.custody
    return custody is not None and custody.opening is not None and custody.opening.request == opening.request


def session_of(session: Session, opening: OpeningRow) -> OpeningSessionRow | None:
    """Return the present session of an opening."""
    query = select(OpeningSessionRow).where(OpeningSessionRow.request == opening.request)
    return session.scalar(query.order_by(OpeningSessionRow.number.desc()).limit(1))


def require_session(
    session: Session, opening: OpeningRow, policy: CustodyPolicy, identity: str, number: int | None
) -> tuple[OpeningSessionRow, int]:
    """Return the present session, which is the one with that number if one is given, with the caller's point.

    Raises:
        OpeningOver: another session took the place of the one with that number, or there is none.
        Conflict: the caller does not compute in it.
    """
    present, point = session_of(session, opening), point_of(policy, identity)
    if present is None or number not in (None, present.number):
        raise OpeningOver("this is not the present session of the opening; look how far it is", "session")
    if str(point) not in present.present:
        raise Conflict(f"the custodian at point {point} does not compute in session {present.number}", "session")
    return present, point


def parts_of(session: Session, opening: OpeningRow) -> list[OpeningPartRow]:
    """Return what custodians said of an opening, by ascending point."""
    query = select(OpeningPartRow).where(OpeningPartRow.request == opening.request)
    return list(session.scalars(query.order_by(OpeningPartRow.point)))


def _sessions_of(session: Session, opening: OpeningRow) -> list[OpeningSessionRow]:
    return list(session.scalars(select(OpeningSessionRow).where(OpeningSessionRow.request == opening.request)))


def _part_of(session: Session, opening: OpeningRow, point: int) -> OpeningPartRow:
    row = session.get(OpeningPartRow, (opening.request, point))
    if row is None:
        row = OpeningPartRow(request=opening.request, point=point, gave_up=0, failed=0)
        session.add(row)
    return row


def _keep_accusation(session: Session, opening: OpeningRow, point: int, said: Accusation) -> None:
    """Keep what a custodian says of another's shares of rows, which were sent to it; the first time counts."""
    about = session.get(OpeningSessionRow, (opening.request, said.session))
    box = session.get(OpeningBoxRow, (opening.request, said.session, said.point))
    if about is None or box is None or said.point == point or (box.closer or about.closer) != point:
        raise Conflict(
            f"the custodian at point {said.point} sent the one at point {point} no shares of rows in session "
            f"{said.session}: only who has them knows what they are",
            "accuses",
        )
    if session.get(OpeningAccusationRow, (opening.request, said.session, said.point)) is None:
        session.add(
            OpeningAccusationRow(
                request=opening.request, session=said.session, point=said.point, closer=point, reason=said.reason
            )
        )
        named = {"number": said.session, "closer": point, "accused": said.point, "reason": said.reason}
        tell(session, "custodian accused", level=logging.WARNING, institution=opening.institution, **named)


def _refusals(session: Session, opening: OpeningRow) -> int:
    query = select(func.count()).select_from(OpeningPartRow)
    refused = query.where(OpeningPartRow.request == opening.request, OpeningPartRow.refusal.is_not(None))
    return session.scalar(refused) or 0


def _why_late(session: Session, opening: OpeningRow) -> str:
    return "too few custodians" if session_of(session, opening) is None else "took too long"


def _policy(session: Session, row: OpeningRow) -> CustodyPolicy:
    """Return the policy that the book was dealt under, whatever the account is under since."""
    return policy_named(session, row.institution, str(row.document["body"]["policy"]))
