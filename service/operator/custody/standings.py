"""How far openings are, for custodians and for the operator's people."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound
from atomic_margin.service.operator.custody.openings import is_in_state, parts_of, session_of
from atomic_margin.service.operator.custody.policies import accounts_of, names
from atomic_margin.service.operator.custody.voids import voids_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.custody_tables import OpeningAccusationRow, OpeningRow
from atomic_margin.service.protocol.custodian_messages import (
    AccusationShown,
    Openings,
    OpeningSession,
    OpeningStanding,
    Present,
)

LISTED = 256
"""Openings that are shown at once, the newest first."""


def standing(operator: Operator, request: str) -> OpeningStanding:
    """Return how far an opening is, or how far it came.

    Raises:
        NotFound: there was none.
    """
    with operator.store.reading() as session:
        row = session.get(OpeningRow, request)
        if row is None:
            raise NotFound("there is no such opening", "request")
        return standing_of(session, row)


def open_for(operator: Operator, identity: str) -> Openings:
    """Return the openings that are open, of books whose policy names a custodian."""
    with operator.store.reading() as session:
        query = select(OpeningRow).where(OpeningRow.open, OpeningRow.institution.in_(accounts_of(session, identity)))
        rows = session.scalars(query.order_by(OpeningRow.asked_at, OpeningRow.request))
        return Openings(
            openings=tuple(
                standing_of(session, row)
                for row in rows
                if is_in_state(session, row)
                and names(session, row.institution, str(row.document["body"]["policy"]), identity)
            )
        )


def all_of(operator: Operator) -> Openings:
    """Return openings, over or not, the newest first."""
    with operator.store.reading() as session:
        query = select(OpeningRow).order_by(OpeningRow.asked_at.desc(), OpeningRow.request).limit(LISTED)
        return Openings(openings=tuple(standing_of(session, row) for row in session.scalars(query)))


def standing_of(session: Session, row: OpeningRow) -> OpeningStanding:
    """Return how far an opening is."""
    parts, present = parts_of(session, row), session_of(session, row)
    return OpeningStanding(
        institution=row.institution,
        request=row.document,
        session=None
        if present is None
        else OpeningSession(
            number=present.number,
            present=tuple(
                Present(point=int(point), address=present.present[point]) for point in sorted(present.present, key=int)
            ),
            closer=present.closer,
        ),
        finding=row.finding,
        voids=voids_of(session, row),
        verdicts=tuple(part.verdict for part in parts if part.verdict is not None),
        refusals={str(part.point): part.refusal for part in parts if part.refusal is not None},
        accusations=_accusations(session, row),
        over=not row.open or not is_in_state(session, row),
    )


def _accusations(session: Session, row: OpeningRow) -> tuple[AccusationShown, ...]:
    query = select(OpeningAccusationRow).where(OpeningAccusationRow.request == row.request)
    ordered = query.order_by(OpeningAccusationRow.session, OpeningAccusationRow.point)
    return tuple(
        AccusationShown(session=one.session, closer=one.closer, point=one.point, reason=one.reason)
        for one in session.scalars(ordered)
    )
