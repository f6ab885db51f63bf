"""Breakers in the operator's HTTP face: the kill switch, and what stops at the moment."""

from fastapi import APIRouter

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import queue
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.protocol.breaker_messages import BreakersView, HaltAsked, ResumeAsked
from atomic_margin.service.protocol.signing import SignedDocument


def breakers_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls about breakers."""
    router = APIRouter(prefix="/v1/breakers", tags=["operator"])

    @router.get("")
    def breakers() -> BreakersView:
        """A tick that is staged, the halt in force, and the breaches that wait."""
        return shown(operator)

    @router.post("/halts", status_code=201)
    def halt(asked: HaltAsked) -> SignedDocument:
        """Halt every account at once; returns the signed document, which every account has an entry about."""
        return halts.halt(operator, asked.reason, tuple(asked.scope), asked.ticks)

    @router.post("/resumes", status_code=201)
    def resume(asked: ResumeAsked) -> SignedDocument:
        """End the halt of every account; returns the signed document."""
        return halts.resume(operator, asked.reason)

    return router


def shown(operator: Operator) -> BreakersView:
    """Return what stops at the moment."""
    rules = operator.settings.breakers
    with operator.store.reading() as session:
        tick = newest_tick(session)
        halt = halts.in_force(session, entries.newest(session))
        due = queue.may_settle(operator, session)
        waiting = [
            {
                "run_id": one.run_id,
                "leaf": one.leaf,
                "since": instant_text(one.since),
                "top_up_usd": format(one.usd, "f"),
                "due": one.run_id in due,
            }
            for one in queue.waiting(session)
        ]
        return BreakersView.parse(
            {
                "staged": None if tick is None or "staged" not in tick.document["body"] else tick.document,
                "halt": None if halt is None else halt.document,
                "rules": None if rules is None else rules.canonical(),
                "waiting": waiting,
            }
        )
