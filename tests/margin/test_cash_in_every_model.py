"""Cash, funding and expiry in every model of a universe: integers stay below the true excess, and payoffs are cash."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    Published,
    Universe,
    model_named,
    parse_model,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.revisions import carried, check_revision
from atomic_margin.margin.models.books import sample_books

from ..lines import FLAT, portfolio_json
from .books import book_of
from .every_form import every_form
from .settings import NAMES, setting_of
from .test_registry import read

LIMIT = 1 << 29
EXPIRY = "2026-12-25T08:00:00Z"
SHARES = ["0", "0.1", "0.5", "0.999", "1"]


def market_at(elapsed: str, averages: dict[str, int], funding: int, tick: int = 1) -> Market:
    """A tick within the settlement window of December, or at its end."""
    document = copy.deepcopy(read(f"market-{tick}.json"))
    document["as_of"] = EXPIRY if elapsed == "1" else "2026-12-25T07:45:00Z"
    for name, quotes in document["underlyings"].items():
        quotes["funding_index"] = str(funding)
        quotes["expiries"][EXPIRY]["settlement"] = {"average": str(averages[name]), "elapsed": elapsed}
        if elapsed == "1":
            quotes["expiries"][EXPIRY] = {"volatilities": {}, "settlement": quotes["expiries"][EXPIRY]["settlement"]}
    return Market.parse(document)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cash=st.integers(-(10**8), 10**8),
    funding=st.integers(-400, 400),
    elapsed=st.sampled_from(SHARES),
    btc=st.integers(70_000, 130_000),
    eth=st.integers(2_000, 5_000),
    tick=st.integers(1, 4),
)
@pytest.mark.parametrize("name", NAMES)
def test_integers_never_exceed_the_true_excess(
    name: str,
    seed: int,
    cash: int,
    funding: int,
    elapsed: str,
    btc: int,
    eth: int,
    tick: int,
) -> None:
    """In the conservative form and the exact one, FHE and proof, around an expiry."""
    setting = setting_of(name)
    model, posted, universe = setting.model, setting.posted, setting.universe
    published = Published(universe, market_at(elapsed, {"BTC": btc, "ETH": eth}, funding, tick), setting.schedule)
    # Books are drawn at prices of an ordinary day.
    lots = sample_books(universe, Market.parse(read("market-1.json")), 4, seed)[seed % 4] // 2
    book = Portfolio.parse({**book_of(lots, universe).canonical(), "cash": str(cash)})  # type: ignore[dict-item]
    true = model.reference(published, book, posted)
    columns = EntryMap.of(universe, LIMIT, 24)
    seen = set()
    for form, kind, place, excess in every_form(model, published, posted, book, columns, LIMIT):
        seen.add(form)
        assert excess <= true.excess[kind] + 1e-9 * LIMIT, (form, kind, place)
    assert seen == set(model.FORMS)


@settings(max_examples=10, deadline=None)
@given(funding=st.integers(-400, 400), index=st.integers(-400, 400), lots=st.integers(1, 300))
@pytest.mark.parametrize("name", NAMES)
def test_funding_from_before_the_trade_is_nobodys(name: str, funding: int, index: int, lots: int) -> None:
    """Bought at the mark now, at whatever index: the same as bought at the mark, had the index always stood there."""
    setting = setting_of(name)
    model = setting.model
    published = Published(setting.universe, market_at("0", {"BTC": 1, "ETH": 1}, funding), setting.schedule)
    mark = read("market-1.json")["underlyings"]["BTC"]["perpetual"]

    def bought(at: int) -> Portfolio:
        line = {"instrument": "BTC-PERP", "side": "short", "lots": str(lots), "price": mark, "funding_index": str(at)}
        return Portfolio.parse({**FLAT, "lines": [line]})

    now, then = (
        model.reference(published, bought(at), model.nothing_posted()).mark_to_market for at in (funding, index)
    )
    assert now == pytest.approx(0.0, abs=1e-4)
    # A short position receives what the index rose by while it was held.
    assert then == pytest.approx(lots * 0.1 * (funding - index), abs=1e-4)


EXPIRING = [
    ("BTC-25DEC26", "long", 40),
    ("BTC-25DEC26-100000-C", "long", 30),
    ("BTC-25DEC26-90000-P", "short", 20),
    ("ETH-25DEC26", "short", 300),
    ("ETH-25DEC26-3400-P", "long", 50),
]


@pytest.mark.long
@settings(max_examples=10, deadline=None)
@given(
    btc=st.integers(70_000, 130_000),
    eth=st.integers(2_000, 5_000),
    held=st.lists(st.sampled_from(EXPIRING), unique=True, max_size=5),
)
@pytest.mark.parametrize("name", ["scan", "pmrm", "pmrm2", "expected_shortfall"])
def test_an_expired_book_equals_its_payoff_in_cash(name: str, btc: int, eth: int, held: list[Any]) -> None:
    """In the universe that still lists it, and in one that does not: by the reference, and to rounding in integers."""
    setting = setting_of(name)
    model, posted, schedule, old = setting.model, setting.posted, setting.schedule, setting.universe
    market, document = market_at("1", {"BTC": btc, "ETH": eth}, 11), setting.universe_document
    listed = {item.id for item in old.instruments}
    held = [line for line in held if line[0] in listed]
    document["instruments"] = [item for item in document["instruments"] if item.get("expiry") != EXPIRY]
    new = Universe.parse({**document, "name": "next"})
    check_revision(old, new)
    book = Portfolio.parse({**portfolio_json(*held, universe=old), "cash": "1000"})
    moved = carried(book, old, new, market)
    assert moved.lines == ()
    before = model.reference(Published(old, market, schedule), book, posted)
    after = model.reference(Published(new, market, schedule), moved, posted)
    for kind in KINDS:
        assert before.excess[kind] == pytest.approx(after.excess[kind], abs=1e-3)
    for universe, one, true in ((old, book, before), (new, moved, after)):
        columns = EntryMap.of(universe, LIMIT, 24)
        published = Published(universe, market, schedule)
        for _, kind, _, excess in every_form(model, published, posted, one, columns, LIMIT):
            assert excess <= true.excess[kind] + 1e-3


@settings(max_examples=10, deadline=None)
@given(
    btc=st.integers(70_000, 130_000),
    eth=st.integers(2_000, 5_000),
    held=st.lists(st.sampled_from(EXPIRING), unique=True, min_size=1, max_size=5),
)
def test_under_cross_margin_a_payoff_counts_as_cash_where_transfers_are_free(
    schedule: CollateralSchedule, btc: int, eth: int, held: list[Any]
) -> None:
    """Elsewhere a gain is worth its credit until it is cash, and a venue's own pool bears its loss in full."""
    universe, market = setting_of("cross_margin").universe, market_at("1", {"BTC": btc, "ETH": eth}, 11)
    document = read("cross-margin/model.json")
    free = copy.deepcopy(document)
    for venue in free["venues"]:
        venue |= {"transfer_limit": None, "transfer_haircut": "0"}
    free["offsets"][0]["credit"] = "1"
    published = Published(universe, market, schedule)
    posted = model_named("cross_margin").parse_posted(read("cross-margin/pools.json"))  # type: ignore[attr-defined]
    book = portfolio_json(*held, universe=universe)
    rest = Universe.parse(
        {
            **read("universe.json"),
            "name": "next",
            "instruments": [i for i in read("universe.json")["instruments"] if i.get("expiry") != EXPIRY],
        }
    )

    def both(rules: Any, book: Portfolio) -> tuple[Any, Any, float]:
        cash = carried(book, universe, rest, market)
        expired, paid = (rules.reference(published, one, posted) for one in (book, cash))
        return expired.excess, paid.excess, float(cash.cash or 0)

    expired, paid, _ = both(parse_model(free), Portfolio.parse(book))
    for kind in KINDS:
        assert expired[kind] == pytest.approx(paid[kind], abs=1e-3)
    one = Portfolio.parse({**book, "lines": book["lines"][:1]})
    expired, paid, payoff = both(parse_model(document), one)
    for kind in KINDS:
        # Cash from a gain is worth more than the gain, cash that is owed less than the loss: it reaches every venue.
        assert (expired[kind] - paid[kind]) * (1 if payoff < 0 else -1) >= -1e-3
