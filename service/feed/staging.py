"""Prices that move beyond the bound: staged, and confirmed by a second window of sources. Pure; no clock, no I/O.

A tick beyond the bound on moves from the last good prices has no market, but `staged` ones. Of the tick after it:

- within the bound of the last good prices, it is a tick like any other, and what was staged is dropped;
- within the bound of the staged ones, it is confirmed if at least `required` of its documents are
  `confirm_after_seconds` later than the first staged prices, and staged once more until then, with the same first time;
- otherwise it is staged anew, and the time begins again.

A document names the tick before by its hash and its own number, so one that made the staged tick cannot confirm it.
The time is that of the documents: whoever posts cannot shorten it. What confirms carries the staged tick whole, which
its sources named; so a verifier has it at hand. The first time in a staged tick is checked by whoever follows the
chain, the sources among them, before they sign what comes after it.
"""

from datetime import timedelta

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import PriceMoveTooLarge, PricesRefused
from atomic_margin.service.feed.combine import Combined, check_move, combine
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.ticks import Price, PriceTick, Staged


def staged_of(combined: Combined, moved: PriceMoveTooLarge, last: PriceTick | None, rules: PriceRules) -> Staged | None:
    """Return what is staged of prices beyond the bound, or None if they confirm what was staged before.

    Args:
        combined: the prices.
        moved: why they are no tick by themselves.
        last: the tick before.
        rules: of both, with `confirm_after_seconds`.
    """
    if moved.field is None:
        raise TypeError("a move that is too large names its quote")
    as_of = instant_text(combined.market.as_of)
    anew = Staged(quote=moved.field, since=as_of, market=combined.market)
    if last is None or last.staged is None or last.rules != rules.hash():
        return anew
    if not _within(last.staged.market, combined.market, rules):
        return anew
    if _is_second_window(combined, last.staged, rules):
        return None
    return anew.model_copy(update={"since": last.staged.since})


def require_confirmed(
    tick: PriceTick, combined: Combined, rules: PriceRules, moved: PriceMoveTooLarge, operator: str
) -> None:
    """Make sure a tick beyond the bound of a move goes on from a staged one that its sources named.

    Args:
        tick: with a market.
        combined: what its documents combine to.
        rules: it was made under.
        moved: why it is no tick by itself.
        operator: public key of who made the staged tick; without it its signature is not checked.

    Raises:
        PricesRefused: it confirms another tick than the one before, or too early, or too far from it.
        PriceMoveTooLarge: it confirms nothing.
        SignatureInvalid, MalformedRequest, DocumentError: the staged tick is not what it has to be.
    """
    if tick.confirms is None or rules.confirm_after_seconds is None:
        raise moved
    if operator:
        tick.confirms.verify(frozenset({operator}))
    signed, before = parse_signed(tick.confirms.to_json(), PriceTick)
    if signed.body_hash() != tick.previous or before.staged is None:
        raise PricesRefused("what it confirms is not the tick before, or that was not staged", "confirms")
    if (before.rules, before.last_market) != (tick.rules, tick.last_market):
        raise PricesRefused("what it confirms moved from other prices, or under other rules", "confirms")
    recombined(before, rules)
    if not _within(before.staged.market, combined.market, rules):
        raise PricesRefused("the prices are not within the bound of the staged ones", "confirms")
    if not _is_second_window(combined, before.staged, rules):
        raise PricesRefused(
            f"fewer than {rules.required} sources signed {rules.confirm_after_seconds} s after the prices were staged",
            "confirms",
        )


def recombined(tick: PriceTick, rules: PriceRules) -> Combined:
    """Combine the documents of a staged tick again.

    Raises:
        PricesRefused: they are not what it says.
        SignatureInvalid, MalformedRequest, TooFewSources: see `combine`.
    """
    combined = combine(tick.prices, rules, tick.place, instant(tick.received_at))
    if tick.staged is None or combined.market != tick.staged.market:
        raise PricesRefused("the staged prices are not what the signed documents combine to", "staged.market")
    if combined.dropped != tick.dropped:
        raise PricesRefused("other sources were dropped than the rules say", "dropped")
    if instant(tick.staged.since) > combined.market.as_of:
        raise PricesRefused("the first of the staged prices is later than these", "staged.since")
    return combined


def _within(before: Market, after: Market, rules: PriceRules) -> bool:
    try:
        check_move(before, after, rules.move)
    except PriceMoveTooLarge:
        return False
    return True


def _is_second_window(combined: Combined, staged: Staged, rules: PriceRules) -> bool:
    """Return whether enough sources signed late enough; one that is early neither helps nor stops."""
    if rules.confirm_after_seconds is None:
        return False
    earliest = instant(staged.since) + timedelta(seconds=rules.confirm_after_seconds)
    times = [Price.parse(document.body).market.as_of for document in combined.used]
    return sum(time >= earliest for time in times) >= rules.required
