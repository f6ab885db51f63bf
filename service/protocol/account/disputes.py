"""Disputes in the account machine: when there may be one, what it holds, and how it ends. Pure.

- At most one is open, at most `MAX_A_DAY` begin at prices of one day, and one at most once the account is in default:
  otherwise one after the other would keep from sale what a liquidation took.
- An entry is disputed once. A dispute that was withdrawn may be said anew, one that was resolved or lapsed may not.
- While one is open nothing leaves the account, see `require_not_held`. Runs, answers, calls and settlements go on.
"""

from decimal import Decimal

from atomic_margin.documents.strict import instant
from atomic_margin.service.protocol.account.errors import AccountHeld, TooManyDisputes, WrongDispute, WrongTick
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.state import Account, Disputes, OpenDispute, PublicState
from atomic_margin.service.protocol.account.values import (
    At,
    body_of,
    day_of_time,
    made,
    require_next,
    updated,
    with_public,
)
from atomic_margin.service.protocol.disputes import (
    LONGEST_SECONDS,
    MAX_A_DAY,
    MAX_OFFER_TICKS,
    MAX_OVER,
    Dispute,
    DisputeLapse,
    DisputeResolution,
    DisputeWithdrawal,
)
from atomic_margin.service.protocol.states import AccountState


def require_not_held(public: PublicState, what: str) -> None:
    """Make sure that no dispute holds an account: asked before anything leaves it, and before anything of it is sold.

    A margin call and a liquidation do not ask: they move what is proven to be owed, and a dispute is no way out.

    Raises:
        AccountHeld: one is open.
    """
    if public.disputes is not None and public.disputes.open is not None:
        named = public.disputes.open
        raise AccountHeld(
            f"dispute {named.dispute[:16]}… about entry {named.number} holds the account; {what} after it is resolved, "
            "withdrawn or lapsed",
            "disputes.open",
        )


def disputed(state: Account, event: Event, at: At) -> Account:
    """Open a dispute."""
    body, public = body_of(event, Dispute), state.public
    before = public.disputes or made(Disputes)
    require_next(body.sequence, before.sequence, "dispute")
    if before.open is not None:
        raise TooManyDisputes(f"dispute {before.open.dispute[:16]}… is open; end it first", "sequence")
    _check_prices(body, at)
    day = day_of_time(body.priced_at)
    if day < before.day:
        raise WrongTick("its prices are of a day before that of the last dispute", "priced_at")
    on_day = before.on_day + 1 if day == before.day else 1
    if on_day > MAX_A_DAY:
        raise TooManyDisputes(f"{MAX_A_DAY} disputes began at prices of that day; dispute it at the next", "sequence")
    in_default = public.status is AccountState.IN_DEFAULT
    if in_default and before.in_default:
        raise TooManyDisputes("an account in default has one dispute, and it was had", "sequence")
    if body.number in before.over or body.number <= before.floor:
        raise WrongDispute(f"a dispute about entry {body.number} ended before, or about many after it", "number")
    opened = made(
        OpenDispute,
        dispute=event.document,
        subject=body.subject,
        number=body.number,
        amount=body.amount,
        price_sequence=at.market,
        tick=at.market_hash,
    )
    opened = updated(opened, kind=body.kind)
    after = updated(before, sequence=body.sequence, day=day, on_day=on_day, open=opened)
    return with_public(state, disputes=updated(after, in_default=before.in_default or in_default))


def _check_prices(body: Dispute, at: At) -> None:
    if not 1 <= body.price_sequence <= at.market:
        said = f"it is at tick {body.price_sequence}, the newest with a market is {at.market}"
        raise WrongTick(said if at.market else f"{said}: there were no prices yet", "price_sequence")
    newest = body.price_sequence == at.market
    if newest and body.tick != at.market_hash:
        raise WrongTick(f"tick {at.market} has another hash", "tick")


def resolved(state: Account, event: Event, at: At) -> Account:
    """End a dispute by what both sides sign."""
    body = body_of(event, DisputeResolution)
    before, opened = _open(state, body.dispute)
    if not at.tick <= body.until <= at.tick + MAX_OFFER_TICKS:
        raise WrongTick(f"the institution is bound to it until tick {body.until}, the newest is {at.tick}", "until")
    if None not in (body.amount, opened.amount) and Decimal(body.amount or 0) > Decimal(opened.amount or 0):
        raise WrongDispute(f"{opened.amount} USD are in dispute, and it says {body.amount}", "amount")
    return _ended(state, before, opened)


def withdrawn(state: Account, event: Event, at: At) -> Account:
    """End a dispute because its institution disputes the entry no more."""
    before, _ = _open(state, body_of(event, DisputeWithdrawal).dispute)
    return with_public(state, disputes=updated(before, open=None))


def lapsed(state: Account, event: Event, at: At) -> Account:
    """End a dispute that stood for the longest time."""
    body = body_of(event, DisputeLapse)
    before, opened = _open(state, body.dispute)
    if (body.begins.price_sequence, body.begins.tick) != (opened.price_sequence, opened.tick):
        raise WrongTick(f"the dispute was entered at tick {opened.price_sequence}", "begins")
    if (body.ends.price_sequence, body.ends.tick) != (at.market, at.market_hash):
        raise WrongTick(f"the newest tick with a market is {at.market}", "ends")
    stood = (instant(body.ends.priced_at) - instant(body.begins.priced_at)).total_seconds()
    if stood < LONGEST_SECONDS:
        raise WrongDispute(f"it stood for {int(stood)} s of prices, it lapses after {LONGEST_SECONDS}", "ends")
    return _ended(state, before, opened)


def _open(state: Account, dispute: str) -> tuple[Disputes, OpenDispute]:
    before = state.public.disputes
    if before is None or before.open is None or before.open.dispute != dispute:
        raise WrongDispute("it is about another dispute than the open one, or none is open", "dispute")
    return before, before.open


def _ended(state: Account, before: Disputes, opened: OpenDispute) -> Account:
    over = sorted({*before.over, opened.number})
    floor = before.floor
    if len(over) > MAX_OVER:
        floor, *over = over
    return with_public(state, disputes=updated(before, open=None, over=tuple(over), floor=floor))
