"""Take signed price ticks and schedule one run for every account that is watched."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.margin.collateral import check_schedule
from atomic_margin.margin.market import Market, check_market
from atomic_margin.margin.model import compile_weights
from atomic_margin.service.errors import Conflict, MalformedRequest
from atomic_margin.service.fields import now_text
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import Account, AccountState, Run, RunState, Tick
from atomic_margin.service.operator.submissions import latest_submission
from atomic_margin.service.signing import SignedDocument

# A frozen account is watched like an active one; one in default has nothing left to settle.
WATCHED = (AccountState.ACTIVE.value, AccountState.FROZEN.value)


def take_tick(operator: Operator, document: object) -> list[str]:
    """Verify and store a tick; return the identifiers of the runs it scheduled.

    Raises:
        SignatureInvalid: not signed by a trusted feed.
        Conflict: the sequence number or the time does not advance.
        MarginError: the prices do not fit the universe, named by field. Nothing is stored.
    """
    signed = SignedDocument.parse(document)
    if signed.type != "tick":
        raise MalformedRequest(f"a document of type 'tick' is wanted here, this is {signed.type!r}", "type")
    signed.verify(operator.settings.feeds)
    market = Market.parse(signed.body)
    check_market(market, operator.terms.universe)
    check_schedule(operator.terms.schedule, operator.terms.model, market)
    # Refuses a tick whose weights would not be finite, before anything depends on it.
    compile_weights(operator.terms.model, operator.terms.universe, market)
    with operator.store.unit_of_work() as session:
        _require_newer(session, market)
        session.add(Tick(sequence=market.sequence, document=signed.to_json(), received_at=now_text()))
        session.flush()
        return _schedule(session, market.sequence)


def market_of(tick: Tick) -> Market:
    """Return the prices of a stored tick."""
    return Market.parse(tick.document["body"])


def _schedule(session: Session, sequence: int) -> list[str]:
    scheduled = []
    for account in session.scalars(select(Account).where(Account.state.in_(WATCHED)).order_by(Account.institution)):
        submission = latest_submission(session, account.institution)
        if submission is None:
            continue
        run_id = f"{account.institution}.{sequence}"
        session.add(
            Run(
                run_id=run_id,
                institution=account.institution,
                submission_id=submission.id,
                price_sequence=sequence,
                state=RunState.SCHEDULED.value,
            )
        )
        scheduled.append(run_id)
    return scheduled


def _require_newer(session: Session, market: Market) -> None:
    last = session.scalar(select(func.max(Tick.sequence)))
    if last is None:
        return
    if market.sequence <= last:
        raise Conflict(f"the last tick has sequence number {last}, this one {market.sequence}", "sequence")
    before = market_of(session.get_one(Tick, last)).as_of
    if market.as_of <= before:
        raise Conflict("the tick is not later than the one before it", "as_of")
