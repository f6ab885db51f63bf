"""The order of ticks, for whoever keeps the newest it knows: a source before it signs, an agent before it answers.

`follow` takes the next tick of an operator's chain, or names what is wrong with it. Numbers have no gap, each tick
names the one before by hash, and every tick is made under the pinned rules, or those that their sources changed them
to. Only before the first tick under newly
pinned rules may there be ticks under the rules that were known until then: their sources are not pinned any more, so
of them order and signature are checked alone. No clock, no I/O.
"""

from dataclasses import dataclass

from atomic_margin.service.errors import PricesRefused, TickForked, TickGoneBack, TickSkipped
from atomic_margin.service.feed.changes import require_continued, rules_of
from atomic_margin.service.feed.tick import verify_staged, verify_tick, verify_void
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Place, PriceTick, place_after


@dataclass(frozen=True)
class Known:
    """The newest tick somebody knows.

    Attributes:
        last: that tick, signed.
        last_market: the last tick that had a market, signed: `last` itself unless it is void, or None.
    """

    last: SignedDocument
    last_market: SignedDocument | None

    @property
    def sequence(self) -> int:
        """Number of the newest tick."""
        return PriceTick.parse(self.last.body).sequence

    def next_place(self, rules: PriceRules) -> Place:
        """Return the place of the tick that comes next under some rules."""
        return place_after(PriceTick.parse(self.last.body), rules)


def begin(last: SignedDocument, last_market: SignedDocument | None, rules: PriceRules, operator: str) -> Known:
    """Take the first tick somebody sees, on the word of its sources; there is none to compare it with.

    Args:
        last: the tick.
        last_market: the tick it names as the last one with a market, None if it names none.
        rules: pinned.
        operator: pinned public key.

    Raises:
        PricesRefused, SignatureInvalid, MalformedRequest, DocumentError: see `verify_tick` and `verify_void`.
    """
    last.verify(frozenset({operator}))
    _, tick = parse_signed(last, PriceTick)
    before = None
    if last_market is not None:
        last_market.verify(frozenset({operator}))
        _, before = parse_signed(last_market, PriceTick)
    _verify(tick, rules, before, operator, None)
    return Known(last, last_market if tick.market is None else last)


def follow(known: Known, signed: SignedDocument, rules: PriceRules, operator: str) -> Known:
    """Return what is known once a tick was seen: the next one, or the newest once more.

    Raises:
        TickForked: another tick of the newest number, or the next one, but after another tick.
        TickGoneBack: of an earlier number.
        TickSkipped: a number is left out.
        RulesNotSigned: the rules changed without enough of their sources, or in another tick than they said.
        PricesRefused: made under other rules, or not what its sources signed; see `verify_tick` and `verify_void`.
        SignatureInvalid, MalformedRequest, DocumentError: no tick of the operator's.
    """
    # (1) The operator signed it.
    signed.verify(frozenset({operator}))
    _, tick = parse_signed(signed, PriceTick)
    newest = PriceTick.parse(known.last.body)
    # (2) It is the next one, and says so itself.
    if signed.body_hash() == known.last.body_hash():
        return known
    if tick.sequence == newest.sequence:
        raise TickForked(f"there are two ticks of number {tick.sequence}", known.last.to_json(), signed.to_json())
    if tick.sequence < newest.sequence:
        raise TickGoneBack(f"tick {tick.sequence} comes after tick {newest.sequence} was seen")
    if tick.sequence > newest.sequence + 1:
        raise TickSkipped(f"after tick {newest.sequence} comes {newest.sequence + 1}, this is {tick.sequence}")
    if tick.previous != known.last.body_hash():
        other = f"tick {tick.sequence} follows another tick {newest.sequence} than was seen"
        raise TickForked(other, known.last.to_json(), signed.to_json())
    # (3) It is made under the pinned rules, as their sources changed them, or those that hold until these are pinned.
    require_continued(newest, tick)
    in_force = rules_of(tick, rules, operator)
    if tick.rules == in_force.hash():
        if tick.last_market != known.next_place(in_force).last_market:
            raise PricesRefused("its move is measured from another tick than the last one with a market", "last_market")
        known_market = None if known.last_market is None else PriceTick.parse(known.last_market.body)
        _verify(tick, rules, None if tick.last_market == NO_TICK else known_market, operator, newest)
    elif tick.rules != newest.rules:
        raise PricesRefused("the tick was made under price rules that were never pinned", "rules")
    return Known(signed, known.last_market if tick.market is None else signed)


def _verify(
    tick: PriceTick, rules: PriceRules, last_market: PriceTick | None, operator: str, last: PriceTick | None
) -> None:
    if tick.staged is not None:
        verify_staged(tick, rules, last_market, operator, last)
    elif tick.market is None:
        verify_void(tick, rules, last_market, operator)
    else:
        verify_tick(tick, rules, last_market, operator)
