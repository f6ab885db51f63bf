"""What agent and verifier find when the operator combines the prices of three sources otherwise than the rules say."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import PricesRefused, RequestError, SignatureInvalid, TooFewSources
from atomic_margin.service.feed.combine import combine
from atomic_margin.service.feed.source import sign_market
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick, place_after

from .documents import Json, example, price_rules
from .three_sources import GOOD, RULES, SOURCES, last_tick, post, prices
from .tick_server import NOON, Ticks
from .world import World

Pair = tuple[PriceTick, PriceTick]


@pytest.fixture
def honest(three_sources: World) -> Pair:
    """A tick in which a source is dropped, and the one before."""
    post(three_sources, prices(1, *GOOD))
    before = last_tick(three_sources)
    post(three_sources, prices(2, "88212.5", "88300", "99999", after=before))
    return last_tick(three_sources), before


def other_market(tick: Any, before: Any) -> None:
    tick["market"]["underlyings"]["BTC"]["spot"] = "88300"


def drop_another(tick: Any, before: Any) -> None:
    tick["dropped"] = [{"source": SOURCES[0].public_key, "reason": "stale"}]


def drop_silently(tick: Any, before: Any) -> None:
    tick["dropped"] = []


def leave_out(tick: Any, before: Any) -> None:
    tick["prices"] = tick["prices"][:1]


def rewrite(tick: Any, before: Any) -> None:
    tick["prices"][0]["body"]["market"]["underlyings"]["BTC"]["spot"] = "88300"


def own_source(tick: Any, before: Any) -> None:
    tick["prices"][0] = Identity.generate().sign("price", tick["prices"][0]["body"]).to_json()


def other_rules(tick: Any, before: Any) -> None:
    tick["rules"] = "1a" * 32


def other_number(tick: Any, before: Any) -> None:
    tick["sequence"] = "3"


def other_previous(tick: Any, before: Any) -> None:
    tick["previous"] = "1a" * 32


def no_last_market(tick: Any, before: Any) -> None:
    tick["last_market"] = NO_TICK


def without_market(tick: Any, before: Any) -> None:
    del tick["market"]
    tick["dropped"] = []


def renamed(tick: Any, before: Any) -> None:
    """Everything of the operator's own agrees; the sources' documents name what they signed."""
    before["received_at"] = "2026-11-20T08:00:09Z"
    tick["previous"] = tick["last_market"] = PriceTick.parse(before).hash()


def before_of_fewer(tick: Any, before: Any) -> None:
    before["prices"] = before["prices"][:1]


@pytest.mark.parametrize(
    ("alter", "error"),
    [
        (other_market, PricesRefused),
        (drop_another, PricesRefused),
        (drop_silently, PricesRefused),
        (leave_out, PricesRefused),
        (rewrite, SignatureInvalid),
        (own_source, SignatureInvalid),
        (other_rules, PricesRefused),
        (other_number, PricesRefused),
        (other_previous, PricesRefused),
        (no_last_market, PricesRefused),
        (without_market, PricesRefused),
        (renamed, TooFewSources),
        (before_of_fewer, PricesRefused),
    ],
    ids=lambda value: value.__name__,
)
def test_a_tick_that_is_not_what_its_sources_signed_is_found(
    honest: Pair, alter: Callable[[Any, Any], None], error: type[RequestError]
) -> None:
    tick, before = honest
    verify_tick(tick, RULES, before)
    altered: Any = copy.deepcopy([tick.canonical(), before.canonical()])
    alter(*altered)
    with pytest.raises(error):
        verify_tick(*(PriceTick.parse(altered[0]), RULES, PriceTick.parse(altered[1])))


def test_the_last_tick_with_a_market_goes_along(honest: Pair) -> None:
    tick, before = honest
    for wrong, said in ((None, "goes along if"), (tick, "names another tick")):
        with pytest.raises(PricesRefused, match=said):
            verify_tick(tick, RULES, wrong)
    with pytest.raises(PricesRefused, match="goes along if"):
        verify_tick(before, RULES, tick)


def test_a_move_that_the_operator_let_pass_is_found() -> None:
    """An operator that takes no notice of a bound: its sources' signatures alone do not make the tick good."""
    chain = Ticks(RULES, *SOURCES)
    before = PriceTick.parse(chain.make(0).body)
    far = chain.prices(1, "40000")
    with pytest.raises(PricesRefused, match="from one tick to the next"):
        chain.take(far)
    combined = combine(far, RULES, place_after(before, RULES), NOON)
    tick = PriceTick.parse(
        {
            **dict(zip(("rules", "previous", "last_market"), place_after(before, RULES)[1:], strict=True)),
            "sequence": "2",
            "received_at": "2026-11-20T12:00:00Z",
            "prices": [document.to_json() for document in far],
            "dropped": [],
            "market": combined.market.canonical(),
        }
    )
    with pytest.raises(PricesRefused, match="from one tick to the next"):
        verify_tick(tick, RULES, before)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"last_market": "older rules"}, "made under other price rules"),
        ({"previous": "1a" * 32}, "does not come before"),
        ({"previous": "first", "last_market": "first"}, "does not come before"),
    ],
    ids=str,
)
def test_sources_that_name_what_does_not_come_before(named: Json, said: str) -> None:
    """Ticks whose sources, all of them, sign what is no chain: that they agree does not make it one."""
    chain = Ticks(price_rules(*SOURCES, max_skew_seconds="59"), *SOURCES)
    older = PriceTick.parse(chain.make(0).body)
    chain.rules = RULES
    first, second = (PriceTick.parse(chain.make(minute).body) for minute in (1, 2))
    hashes = {"older rules": older.hash(), "first": first.hash()}
    place = place_after(second, RULES)._replace(**{name: hashes.get(text, text) for name, text in named.items()})
    market = Market.parse(example("market-1") | {"as_of": "2026-11-20T08:09:00Z"})
    documents = [sign_market(source, market, place) for source in SOURCES]
    tick = PriceTick.parse(
        {
            **place._asdict(),
            "sequence": str(place.sequence),
            "received_at": "2026-11-20T12:00:00Z",
            "prices": [document.to_json() for document in documents],
            "dropped": [],
            "market": combine(documents, RULES, place, NOON).market.canonical(),
        }
    )
    before = next(one for one in (older, first, second) if one.hash() == place.last_market)
    with pytest.raises(PricesRefused, match=said):
        verify_tick(tick, RULES, before)
