"""What makes findings void, as the custodian that opened their rows brings it: kept for the others, who verify it.

It is not verified here, since nothing of the operator's follows from it: custodians that find it right go on with what
the session computed beside it, or say that the session came to nothing, and the next one is of others
(`custody.sessions`).
"""

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict, Refused
from atomic_margin.service.operator.custody.openings import open_one, require_session
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.custody_tables import OpeningBoxRow, OpeningRow, OpeningVoidRow
from atomic_margin.service.operator.store.tables import JsonObject
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.custodian_messages import VoidBrought
from atomic_margin.service.protocol.opening_voids import OpeningVoid


def take_void(operator: Operator, identity: str, request: str, brought: VoidBrought) -> None:
    """Keep what a custodian of the present session brings, for the others. The same again changes nothing.

    Raises:
        OpeningOver: the opening or the session is over.
        Conflict: it does not compute in it, or brought another one.
        Refused: it is about something else.
        DocumentError: it is of no such form.
    """
    void = OpeningVoid.parse(brought.void)
    with operator.store.unit_of_work() as session:
        opening, policy = open_one(session, request)
        present, point = require_session(session, opening, policy, identity, void.session)
        for name, wanted in (
            ("institution", opening.institution),
            ("operator", operator.identity.public_key),
            ("request", request),
            ("run", opening.document["body"]["run"]),
            ("submission", opening.document["body"]["submission"]),
            ("closer", point),
        ):
            if getattr(void, name) != wanted:
                raise Refused(f"it is about another {name} than it is brought for", f"void.{name}")
        row = session.get(OpeningVoidRow, (request, present.number, point))
        if row is not None:
            if OpeningVoid.parse(row.document) != void:
                raise Conflict("the custodian made another finding void in this session", "void")
            return
        document = dict(brought.void)
        session.add(OpeningVoidRow(request=request, session=present.number, closer=point, document=document))
        # Of the rows that are void nobody needs shares; those of what takes their place come anew. Since it is not
        # verified here, nobody makes away with shares that were sent to somebody else.
        boxes = delete(OpeningBoxRow).where(OpeningBoxRow.request == request, OpeningBoxRow.session == present.number)
        session.execute(boxes.where(func.coalesce(OpeningBoxRow.closer, present.closer) == point))
        tell(session, "opening finding void", institution=opening.institution, number=present.number, closer=point)


def voids_of(session: Session, opening: OpeningRow) -> tuple[JsonObject, ...]:
    """Return what makes findings of an opening void, by ascending session."""
    query = select(OpeningVoidRow.document).where(OpeningVoidRow.request == opening.request)
    return tuple(session.scalars(query.order_by(OpeningVoidRow.session, OpeningVoidRow.closer)))
