"""Make a tick from prices that were sent, and check one that somebody else made. No clock, no I/O.

`make_tick` and `make_void` are the operator's direction, `verify_tick` and `verify_void` that of agent and verifier:
they trust the sources, not the operator, and recompute what it combined. The bound on the move from one tick to the
next needs the last tick that had a market; the tick names it by hash, and it goes along. `chain` is about the order.

A number that cannot become a tick any more is used up by a *void* one: a source never signs two documents for one
number, so what it signed is all that will come. Documents that do make a tick make no void one. Prices that moved too
far are *staged*, if the rules say when they are confirmed; see `staging`.
"""

from collections.abc import Sequence
from datetime import datetime, timezone

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict, PriceMoveTooLarge, PricesRefused
from atomic_margin.service.feed.changes import rules_of
from atomic_margin.service.feed.combine import Combined, check_move, combine
from atomic_margin.service.feed.staging import recombined, require_confirmed, staged_of
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import RulesChange
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Place, PriceSet, PriceTick, Staged, place_after


def make_tick(
    prices: PriceSet,
    rules: PriceRules,
    received_at: datetime,
    last: PriceTick | None = None,
    last_market: PriceTick | None = None,
    changes: Sequence[RulesChange] = (),
    signed_last: SignedDocument | None = None,
) -> PriceTick:
    """Combine prices into the tick after `last`: one with a market, or a staged one.

    Args:
        prices: as sent.
        rules: sources and bounds.
        received_at: when they arrived, UTC; cut to the second.
        last: the tick before, whatever rules it was made under, or None.
        last_market: the last tick that had a market, or None. The first tick under new rules has no bound on its move.
        changes: of the price rules so far, the one that begins with this tick included.
        signed_last: `last` as it was signed, for what goes on from a staged tick.

    Raises:
        Conflict: the number is not the next one.
        SignatureInvalid, MalformedRequest, TooFewSources: see `combine`.
        PricesRefused: the prices are not later than the last ones.
        PriceMoveTooLarge: see `check_move`; the rules do not say when such prices are confirmed.
    """
    place, received_at = _next_place(prices, rules, last), received_at.replace(microsecond=0)
    combined, moved = _combined(prices, rules, place, received_at, last_market)
    body = {
        **_placed(prices, place, received_at, changes),
        "dropped": [one.model_dump(exclude_none=True) for one in combined.dropped],
    }
    if moved is None:
        return PriceTick.parse({**body, "market": combined.market.canonical()})
    staged = staged_of(combined, moved, last, rules)
    if staged is not None:
        return PriceTick.parse({**body, "staged": staged.canonical()})
    if signed_last is None:
        raise moved
    return PriceTick.parse({**body, "market": combined.market.canonical(), "confirms": signed_last.to_json()})


def make_void(
    prices: PriceSet,
    rules: PriceRules,
    received_at: datetime,
    last: PriceTick | None = None,
    last_market: PriceTick | None = None,
    changes: Sequence[RulesChange] = (),
) -> PriceTick:
    """Use up the number after `last` without prices; arguments as in `make_tick`.

    Raises:
        Conflict: the number is not the next one, or the prices do make a tick.
        SignatureInvalid, MalformedRequest: see `combine`.
    """
    place, received_at = _next_place(prices, rules, last), received_at.replace(microsecond=0)
    try:
        _combined(prices, rules, place, received_at, last_market)
    except PricesRefused:
        return PriceTick.parse({**_placed(prices, place, received_at, changes), "dropped": []})
    raise Conflict("these prices make a tick, so its number is not void: send them as one", "prices")


def verify_tick(tick: PriceTick, rules: PriceRules, last_market: PriceTick | None, operator: str = "") -> Market:
    """Check a tick against one's own rules and return its prices. Whether the operator signed it is checked elsewhere.

    Args:
        tick: as recorded.
        rules: one's own, or those that the changes which the tick carries begin with.
        last_market: the tick that `tick` names as the last one with a market, None if it names none.
        operator: public key of who made it; without it no change of one's own rules is believed.

    Raises:
        RulesNotSigned: see `rules_after`.
        PricesRefused: void, made under other rules, not what its documents combine to, or `last_market` is another
            tick than it names; `.field` says where.
        SignatureInvalid, MalformedRequest, TooFewSources, PriceMoveTooLarge: as in `make_tick`.
    """
    if tick.market is None:
        raise PricesRefused("the tick is void: nothing rests on it", "market")
    rules = rules_of(tick, rules, operator)
    before = _verified_last_market(tick, rules, last_market)
    # (3) Its documents, signed by sources of the rules and naming its place, combine to exactly its prices.
    combined = _recombined(tick, rules)
    # (4) They are later than those of the tick before and within the bounds of a move, or confirm the staged tick.
    try:
        _check_after(before, combined.market, rules)
    except PriceMoveTooLarge as moved:
        require_confirmed(tick, combined, rules, moved, operator)
    else:
        if tick.confirms is not None:
            raise PricesRefused("the prices are within the bound, and confirm nothing", "confirms")
    return combined.market


def verify_staged(
    tick: PriceTick,
    rules: PriceRules,
    last_market: PriceTick | None,
    operator: str = "",
    last: PriceTick | None = None,
) -> Staged:
    """Check a staged tick: its documents agree, and moved too far.

    Args:
        tick: as recorded.
        rules: as in `verify_tick`.
        last_market: as in `verify_tick`.
        operator: as in `verify_tick`.
        last: the tick before, of whoever follows; without it `since` is taken on the word of the sources that go on.

    Raises:
        PricesRefused: it is not staged, its prices are good, or confirm those staged before, or say another `since`.
        SignatureInvalid, MalformedRequest, TooFewSources: as in `make_tick`.
    """
    if tick.staged is None:
        raise PricesRefused("the tick is not staged", "staged")
    rules = rules_of(tick, rules, operator)
    before = _verified_last_market(tick, rules, last_market)
    combined = recombined(tick, rules)
    try:
        _check_after(before, combined.market, rules)
    except PriceMoveTooLarge as moved:
        if rules.confirm_after_seconds is None:
            raise
        wanted = staged_of(combined, moved, last, rules)
        if last is None and wanted is not None:
            wanted = wanted.model_copy(update={"since": tick.staged.since})
        if wanted != tick.staged:
            detail = "the tick is staged otherwise than its documents and the tick before say"
            raise PricesRefused(detail, "staged") from moved
        return tick.staged
    raise PricesRefused("the prices are within the bound of a move, and staged", "staged")


def verify_void(tick: PriceTick, rules: PriceRules, last_market: PriceTick | None, operator: str = "") -> None:
    """Check a void tick against one's own rules: what was sent makes no tick. Arguments as in `verify_tick`.

    Raises:
        PricesRefused: it is not void, its documents make a tick, or `last_market` is another tick than it names.
        SignatureInvalid, MalformedRequest: as in `make_tick`.
    """
    if tick.market is not None or tick.staged is not None or tick.dropped:
        raise PricesRefused("a void tick has no market, and drops nobody", "market")
    rules = rules_of(tick, rules, operator)
    before = _verified_last_market(tick, rules, last_market)
    try:
        combined = combine(tick.prices, rules, tick.place, _instant(tick.received_at))
        _check_after(before, combined.market, rules)
    except PriceMoveTooLarge as moved:
        if rules.confirm_after_seconds is not None:
            raise PricesRefused("the tick is recorded as void, but its documents are staged", "market") from moved
        return
    except PricesRefused:
        return
    raise PricesRefused("the tick is recorded as void, but its documents make a tick", "market")


def _next_place(prices: PriceSet, rules: PriceRules, last: PriceTick | None) -> Place:
    place = place_after(last, rules)
    if prices.sequence != place.sequence:
        raise Conflict(f"the next tick has number {place.sequence}, these prices are for {prices.sequence}", "sequence")
    return place


def _combined(
    prices: PriceSet, rules: PriceRules, place: Place, received_at: datetime, last_market: PriceTick | None
) -> tuple[Combined, PriceMoveTooLarge | None]:
    """Return the combined prices, and why they are staged or confirm what was."""
    combined = combine(prices.prices, rules, place, received_at)
    if last_market is not None and last_market.market is not None:
        if place.last_market == NO_TICK:
            _require_later(last_market.market, combined.market)
        else:
            try:
                _check_after(last_market.market, combined.market, rules)
            except PriceMoveTooLarge as moved:
                if rules.confirm_after_seconds is None:
                    raise
                return combined, moved
    return combined, None


def _placed(prices: PriceSet, place: Place, received_at: datetime, changes: Sequence[RulesChange]) -> dict[str, object]:
    carried = {"changes": [change.canonical() for change in changes]} if changes else {}
    return {
        **carried,
        "rules": place.rules,
        "sequence": str(place.sequence),
        "previous": place.previous,
        "last_market": place.last_market,
        "received_at": instant_text(received_at),
        "prices": [document.to_json() for document in prices.prices],
    }


def _verified_last_market(tick: PriceTick, rules: PriceRules, last_market: PriceTick | None) -> Market | None:
    # (1) The tick was made under these rules.
    if tick.rules != rules.hash():
        raise PricesRefused("the tick was made under other price rules than these", "rules")
    # (2) The last tick with a market is the one it names, earlier, under the same rules, and what its sources signed.
    if last_market is None or tick.last_market == NO_TICK:
        if last_market is not None or tick.last_market != NO_TICK:
            raise PricesRefused(
                "the last tick with a market goes along if the tick names one, and only then", "last_market"
            )
        return None
    if last_market.hash() != tick.last_market:
        raise PricesRefused("the tick names another tick as the last one with a market", "last_market")
    if last_market.rules != tick.rules:
        raise PricesRefused("the last tick with a market was made under other price rules", "last_market")
    adjacent = last_market.sequence + 1 == tick.sequence
    if last_market.sequence >= tick.sequence or adjacent != (tick.previous == tick.last_market):
        raise PricesRefused("the last tick with a market does not come before this one", "last_market")
    return _recombined(last_market, rules).market


def _recombined(tick: PriceTick, rules: PriceRules) -> Combined:
    combined = combine(tick.prices, rules, tick.place, _instant(tick.received_at))
    if combined.market != tick.market:
        raise PricesRefused("the prices are not what the signed documents combine to", "market")
    if combined.dropped != tick.dropped:
        raise PricesRefused("other sources were dropped than the rules say", "dropped")
    return combined


def _check_after(before: Market | None, after: Market, rules: PriceRules) -> None:
    if before is not None:
        _require_later(before, after)
        check_move(before, after, rules.move)


def _require_later(before: Market, after: Market) -> None:
    if after.as_of <= before.as_of:
        raise PricesRefused("the prices are not later than those of the last tick that had any", "as_of")


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
