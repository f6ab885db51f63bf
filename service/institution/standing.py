"""Where the account stands, from the agent's own replica: state, collateral, last run, what has a date.

Institution only. Read beside a round that may take long: nothing here waits for the agent's turn. Figures are the
institution's own.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from atomic_margin.documents.strict import instant
from atomic_margin.service.institution.dealing import standing as dealt
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import InstitutionStore, OwnAnswer, OwnEntry, find_sent
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.agent_messages import LastRun, OwnAccountView, Settled
from atomic_margin.service.protocol.documents import RunRecord, Settlement

REMINDED_AT = (90, 50)
"""Per cent of the time to answer after which the agent says that it runs out."""
DAYS_BEFORE = 1
"""So many days before the day of something else it is named."""
_EPOCH = date(1970, 1, 1)
_ENDS = (
    EventKind.COVERED,
    EventKind.BREACH_PROVEN,
    EventKind.OPENED_COVERED,
    EventKind.OPENED_IN_BREACH,
    EventKind.MARGIN_CALLED,
    EventKind.LIQUIDATED,
    EventKind.ANSWER_OVERDUE,
    EventKind.PROOF_OVERDUE,
)
_LOOKED_AT = 64
"""Entries after the record of the last run that are looked at."""


class Reminder(NamedTuple):
    """Something that has a date.

    Attributes:
        key: tells it from others.
        text: what a person reads.
    """

    key: str
    text: str


class Standing(NamedTuple):
    """Where the account stands.

    Attributes:
        account: as the entries make it; None before the first.
        last_run: the newest run with a record, if there was one.
        reminders: what has a date that is near.
        reminded_in: seconds until the next reminder about that run; None if there is none.
        deal: how far the last deal to custodians is; None if there was none.
    """

    account: OwnAccountView | None
    last_run: LastRun | None
    reminders: tuple[Reminder, ...]
    reminded_in: float | None
    deal: str | None = None


def standing(party: Party) -> Standing:
    """Return where the account of a party stands now."""
    state, now = party.history.state, party.settings.clock()
    if state is None:
        return Standing(None, None, (), None)
    found = _last_run(party.store)
    last, times = (None, None) if found is None else found
    of_run, until = ((), None) if last is None or times is None else _of_run(last, times, now)
    return Standing(_view(state, party.history.number), last, (*of_run, *_of_days(state, now)), until, dealt(party))


def _view(state: Account, number: int) -> OwnAccountView:
    public = state.public
    return OwnAccountView(
        state=public.status,
        entries=number,
        submission=None if public.book is None else public.book.sequence,
        waiting=None if public.waiting is None else public.waiting.sequence,
        owes=public.owed is not None,
        free={asset: str(quantity) for asset, quantity in state.private.free.items()},
        posted={asset: str(quantity) for asset, quantity in public.posted.items()},
    )


class _Times(NamedTuple):
    begins: datetime
    ends: datetime


def _last_run(store: InstitutionStore) -> tuple[LastRun, _Times] | None:
    with store.unit_of_work() as session:
        entries = session.query(OwnEntry)
        recorded = entries.filter_by(kind=str(EventKind.RUN_RECORDED)).order_by(OwnEntry.number.desc()).first()
        if recorded is None or recorded.document is None:
            return None
        record = RunRecord.parse(recorded.document["body"])
        later = entries.filter(OwnEntry.number > recorded.number).order_by(OwnEntry.number).limit(_LOOKED_AT).all()
        kind, settled = str(EventKind.RUN_RECORDED), None
        for row in later:
            body = _body(session, row) if row.kind in map(str, _ENDS) else None
            if body is None or body.get("run_id") != record.run_id:
                continue
            kind = row.kind
            if kind in (str(EventKind.MARGIN_CALLED), str(EventKind.LIQUIDATED)):
                settled = Settlement.parse(body)
        answer = session.get(OwnAnswer, record.run_id)
    figures = {} if answer is None else answer.figures
    last = LastRun(
        run_id=record.run_id,
        price_sequence=record.price_sequence,
        state=kind,
        deadline=recorded.document["body"]["deadline"],
        outcome=figures.get("outcome"),
        surplus_true=figures.get("surplus_true"),
        shortfall_true=figures.get("shortfall_true"),
        top_up=figures.get("top_up"),
        settlement=None if settled is None else _settled(settled),
    )
    return last, _Times(instant(record.evaluated_at), instant(record.deadline))


def _body(session: Session, row: OwnEntry) -> dict[str, object] | None:
    if row.document is not None:
        return dict(row.document["body"])
    own = find_sent(session, row.document_hash)
    return None if own is None or own.document is None else dict(own.document["body"])


def _settled(settlement: Settlement) -> Settled:
    return Settled(
        kind=str(settlement.kind),
        top_up_usd=str(settlement.top_up_usd),
        settled_at=settlement.settled_at,
        transfers=tuple(f"{move.quantity} {move.asset} to {move.destination}" for move in settlement.transfers),
    )


def _of_run(last: LastRun, times: _Times, now: datetime) -> tuple[tuple[Reminder, ...], float | None]:
    """Return what is to be said of a run that takes an answer, and when something is next."""
    if last.state != str(EventKind.RUN_RECORDED):
        return (), None
    moments = [(percent, times.begins + (times.ends - times.begins) * percent / 100) for percent in REMINDED_AT]
    over = [percent for percent, moment in moments if moment <= now]
    ahead = [moment for _, moment in moments if moment > now]
    until = (min(ahead) - now).total_seconds() if ahead else None
    if not over:
        return (), until
    text = f"run {last.run_id} has no answer, and {over[0]} % of its time is over; it is owed after {last.deadline}"
    return (Reminder(f"{last.run_id} {over[0]}", text),), until


def _of_days(state: Account, now: datetime) -> tuple[Reminder, ...]:
    """Return what is to be said of days that are near: promises, and the end of the book's universe."""
    near, found = now.date() + timedelta(days=DAYS_BEFORE), []
    netting, book = state.private.netting, state.public.book
    for one in () if netting is None else netting.pending:
        if date.fromisoformat(one.settles) <= near:
            text = f"{one.direction} of {one.quantity} {one.asset} is promised for {one.settles}"
            found.append(Reminder(f"obligation {one.sequence}", text))
    for listed in state.public.universes:
        if book is not None and listed.universe == book.universe and listed.until is not None:
            day = _EPOCH + timedelta(days=listed.until)
            if day <= near:
                text = f"the universe of the book in force takes no more books after {day}"
                found.append(Reminder(f"universe {listed.universe}", text))
    return tuple(found)
