"""Where a default stands, and the file that shows it to others."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound
from atomic_margin.service.operator.accounts.defaults import fund_documents, fund_of, rules_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import last_market_of
from atomic_margin.service.operator.store.tables import Account, AnswerRow, EntryRow, Tick
from atomic_margin.service.protocol.account.default_documents import CloseOut, borne_by, returned
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.default_messages import DefaultView, LayerView
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.waterfall import Layer

_FOLLOWING = (
    EventKind.COLLATERAL_SEGREGATED,
    EventKind.COLLATERAL_SOLD,
    EventKind.LOSS_AGREED,
    EventKind.DEFAULT_CLOSED,
)


def default_view(operator: Operator, institution: str) -> DefaultView:
    """Return where a default stands: of one that is closed out how it ended, of an open one what there is by now.

    Raises:
        NotFound: the institution was never in default.
        Conflict: the operator has no waterfall rules.
    """
    rules = rules_of(operator)
    with operator.store.reading() as session:
        account = session.get(Account, institution)
        if account is None:
            raise NotFound(f"institution {institution!r} is not admitted here", "institution")
        state = entries.state_of(account)
        public = state.public
        documents = _documents(session, institution)
        evidence = _evidence(operator, session, institution, documents)
        fund = fund_of(session, operator).of(rules.hash())
    if public.default is None:
        return _closed(public, CloseOut.parse(documents[-1].body), evidence)
    default, own, free = public.default, fund.pop(institution, 0), state.private.free
    # What arrived since and is not segregated yet counts: the next sale or the close-out takes it first.
    held = {name: default.held.get(name, 0) + free.get(name, 0) for name in sorted({*default.held, *free})}
    borne = borne_by(rules, institution, default.loss or 0, held, own, fund)
    return DefaultView(
        institution=institution,
        state=str(public.status),
        cash=rules.cash,
        top_up_usd=default.top_up_usd,
        realised_usd=default.realised_usd,
        stages=default.stages,
        held=held,
        loss=default.loss,
        lines=tuple(_shown(line) for line in borne.lines),
        uncovered=borne.uncovered,
        returned={} if default.loss is None else returned(rules, default.loss, held),
        evidence=evidence,
    )


def _closed(public: PublicState, closing: CloseOut, evidence: dict[str, object]) -> DefaultView:
    return DefaultView(
        institution=public.institution,
        state=str(public.status),
        cash=closing.rules.cash,
        top_up_usd=None,
        realised_usd=None,
        stages=sum(event["type"] == "sale" for event in evidence["events"]),  # type: ignore[attr-defined]
        held={},
        loss=closing.loss,
        lines=tuple(_shown(line) for line in closing.lines),
        uncovered=closing.uncovered,
        returned=closing.returned,
        evidence=evidence,
    )


def _shown(line: Layer) -> LayerView:
    return LayerView(layer=line.layer, institution=line.institution, available=line.available, drawn=line.drawn)


def _documents(session: Session, institution: str) -> list[SignedDocument]:
    """Return the liquidation and what followed it.

    Raises:
        NotFound: there was none.
    """
    kinds = [str(kind) for kind in (EventKind.LIQUIDATED, *_FOLLOWING)]
    query = select(EntryRow).where(EntryRow.institution == institution, EntryRow.kind.in_(kinds))
    found = [
        SignedDocument.parse(entries.document_of(session, row))
        for row in session.scalars(query.order_by(EntryRow.number))
    ]
    if not found:
        raise NotFound(f"institution {institution!r} was never in default", "institution")
    return found


def _evidence(
    operator: Operator, session: Session, institution: str, documents: list[SignedDocument]
) -> dict[str, object]:
    settlement, *events = documents
    answer = session.scalar(select(AnswerRow.document).where(AnswerRow.sha256 == settlement.body["answer"]))
    numbers = sorted({int(event.body["price_sequence"]) for event in events if event.type == "sale"})
    ticks = [session.get_one(Tick, number) for number in numbers]
    shown = []
    for tick in ticks:
        before = last_market_of(session, tick)
        shown.append({"tick": tick.document} | ({} if before is None else {"last_market": before}))
    fund, closed = fund_documents(session), next((one for one in events if one.type == "close-out"), None)
    if closed is not None:
        fund = fund[: int(closed.body["number"])]
    replaced = entries.rotations(session, institution, session.get_one(Account, institution).entries + 1)
    return {
        **({"rotations": replaced} if replaced else {}),
        "format": "atomic-margin/default/1",
        "institution": institution,
        "schedule": operator.terms.schedule.canonical(),
        "answer": answer,
        "settlement": settlement.to_json(),
        "ticks": shown,
        "events": [event.to_json() for event in events],
        "fund": [document.to_json() for document in fund],
    }
