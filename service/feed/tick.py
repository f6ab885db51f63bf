"""Make a tick from prices that were sent, and check one that somebody else made. No clock, no I/O.

`make_tick` is the operator's direction, `verify_tick` the agent's and the verifier's: they trust the sources, not the
operator, and recompute what it combined. The bound on the move from one tick to the next needs the tick before, so a
tick carries the documents that counted in it.
"""

from datetime import datetime, timezone

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict, PricesRefused
from atomic_margin.service.feed.combine import check_move, combine
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import PriceSet, PriceTick


def make_tick(
    prices: PriceSet, rules: PriceRules, received_at: datetime, last: SignedDocument | None = None
) -> PriceTick:
    """Combine prices into the tick after `last`.

    Args:
        prices: as sent.
        rules: sources and bounds.
        received_at: when they arrived, UTC; cut to the second.
        last: the signed tick before, whatever rules it was made under, or None. The first tick under new rules has no
            `previous`, and no bound on its move.

    Raises:
        Conflict: sequence number or time does not advance.
        SignatureInvalid, MalformedRequest, PricesRefused, TooFewSources: see `combine`.
        PriceMoveTooLarge: see `check_move`.
    """
    before = None if last is None else PriceTick.parse(last.body)
    if before is not None and prices.sequence <= before.sequence:
        raise Conflict(f"the last tick has sequence number {before.sequence}, this one {prices.sequence}", "sequence")
    received_at = received_at.replace(microsecond=0)
    combined = combine(prices.prices, rules, prices.sequence, received_at)
    previous = None
    if last is not None and before is not None:
        _require_later(before.market, combined.market)
        if before.rules == rules.hash():
            check_move(before.market, combined.market, rules.move)
            left_out = {one.source for one in before.dropped}
            previous = {
                "tick": last.body_hash(),
                "sequence": str(before.sequence),
                "received_at": before.received_at,
                "prices": [document.to_json() for document in before.prices if document.signer not in left_out],
            }
    return PriceTick.parse(
        {
            "rules": rules.hash(),
            "sequence": str(prices.sequence),
            "received_at": instant_text(received_at),
            "prices": [document.to_json() for document in prices.prices],
            "dropped": [one.model_dump(exclude_none=True) for one in combined.dropped],
            "market": combined.market.canonical(),
            "previous": previous,
        }
    )


def verify_tick(tick: PriceTick, rules: PriceRules) -> Market:
    """Check a tick against one's own rules and return its prices. Whether the operator signed it is checked elsewhere.

    Raises:
        PricesRefused: made under other rules, or not what its documents combine to; `.field` says where.
        SignatureInvalid, MalformedRequest, TooFewSources, PriceMoveTooLarge, Conflict: as in `make_tick`.
    """
    # (1) It was made under these rules.
    if tick.rules != rules.hash():
        raise PricesRefused("the tick was made under other price rules than these", "rules")
    # (2) Its documents, signed by sources of the rules, combine to exactly its prices.
    combined = combine(tick.prices, rules, tick.sequence, _instant(tick.received_at))
    if combined.market != tick.market:
        raise PricesRefused("the prices are not what the signed documents combine to", "market")
    if combined.dropped != tick.dropped:
        raise PricesRefused("other sources were dropped than the rules say", "dropped")
    # (3) They are later than those of the tick before and within the bounds of a move.
    if tick.previous is not None:
        before = combine(tick.previous.prices, rules, tick.previous.sequence, _instant(tick.previous.received_at))
        if before.dropped:
            raise PricesRefused("documents of the tick before do not count under the rules", "previous.prices")
        if tick.previous.sequence >= tick.sequence:
            raise Conflict("the tick before has no lower sequence number", "previous.sequence")
        _require_later(before.market, combined.market)
        check_move(before.market, combined.market, rules.move)
    return combined.market


def _require_later(before: Market, after: Market) -> None:
    if after.as_of <= before.as_of:
        raise Conflict("the prices are not later than those of the tick before", "as_of")


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
