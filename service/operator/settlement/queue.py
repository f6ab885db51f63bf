"""Which verified breaches wait, and which of them may settle now: halts, and the rules about too many at once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.strict import instant
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import halted
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account, AnswerRow, EntryRow, Run, SettlementRow
from atomic_margin.service.protocol.breakers import BreakerRules, Done, Waiting, releasable
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.waterfall import unit_price


def waiting(session: Session) -> list[Waiting]:
    """Return every verified breach that is not settled, in the order of the log."""
    query = (
        select(Run.run_id, AnswerRow.document, EntryRow.leaf, EntryRow.entry)
        .join(AnswerRow, AnswerRow.run_id == Run.run_id)
        .join(EntryRow, (EntryRow.institution == Run.institution) & (EntryRow.subject == AnswerRow.sha256))
        .where(Run.state == RunState.BREACH_VERIFIED)
        .order_by(EntryRow.leaf)
    )
    return [
        Waiting(leaf, instant(entry["body"]["entered_at"]), Decimal(answer["body"]["top_up_usd"]), run_id)
        for run_id, answer, leaf, entry in session.execute(query)
    ]


def may_settle(operator: Operator, session: Session) -> list[str]:
    """Return the runs whose breach may settle now, in the order in which they do."""
    found = waiting(session)
    if not found or halted.stops(session, _account(session, found[0].run_id), "settlements"):
        # A halt is of every account.
        return []
    rules = operator.settings.breakers
    if rules is None:
        return [one.run_id for one in found]
    moment = now()
    released = releasable(rules, found, _done(session, rules, moment), _posted(operator, session), moment)
    return [one.run_id for one in released]


def _account(session: Session, run_id: str) -> Account:
    return session.get_one(Account, session.get_one(Run, run_id).institution)


def _done(session: Session, rules: BreakerRules, moment: datetime) -> list[Done]:
    """Return the settlements of the window, the last ones of the ledger."""
    begin, found = moment - timedelta(seconds=rules.window_seconds), []
    query = select(SettlementRow.document).order_by(SettlementRow.transaction_id.desc()).execution_options(yield_per=64)
    with session.execute(query) as rows:
        for (document,) in rows:
            one = Done(instant(document["body"]["settled_at"]), Decimal(document["body"]["top_up_usd"]))
            if one.settled <= begin:
                break
            found.append(one)
    return found


def _posted(operator: Operator, session: Session) -> Decimal:
    """Return what all accounts have posted, whole USD at the newest prices, without haircuts; unpriced assets are 0."""
    row = newest_market(session)
    if row is None:
        return Decimal(0)
    market = operator.compiled_ticks.of(row).market
    held: dict[str, int] = {}
    for state in session.scalars(select(Account.public_state)):
        posted: Mapping[str, str] = state.get("posted", {})
        for asset, quantity in posted.items():
            held[asset] = held.get(asset, 0) + int(quantity)
    total = Fraction(0)
    for asset, units in held.items():
        try:
            total += units * unit_price(operator.terms.schedule, market, asset)
        except MarginError:
            continue
    return Decimal(int(total))
