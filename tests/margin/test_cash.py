"""Cash: what trades leave, what it does to margin, and that integers never make more of it than there is."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    Published,
    Universe,
    check_bounds,
    compile_run,
    encode,
    errors,
    parse_model,
)
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.cash import CASH, cash_lot, cash_tiers, in_lots
from atomic_margin.margin.market.entries import most_lots
from atomic_margin.margin.market.trades import Trades
from atomic_margin.margin.rows.matrix import Place

from ..lines import FLAT, portfolio_of

BITS = 24


def universe_of(*changed: dict[str, str], reference: str = "100050") -> Universe:
    """One perpetual, one dated future and a call, at a reference price."""
    given: list[dict[str, str]] = [
        {"id": "BTC-PERP", "kind": "perpetual"},
        {"id": "BTC-DEC", "kind": "future", "expiry": "2026-12-25T08:00:00Z"},
        {"id": "BTC-C", "kind": "option", "expiry": "2026-12-25T08:00:00Z", "strike": "110000", "right": "call"},
    ]
    items = [{"underlying": "BTC", "lot": "0.1", "digits": "3", "reference_price": reference, **item} for item in given]
    items[2]["reference_price"] = "3000"
    for item, change in zip(items, changed, strict=False):
        item.update(change)
    return Universe.parse(
        {
            "format": "atomic-margin/universe/1",
            "name": "one",
            "currency": "USD",
            "underlyings": {"BTC": {"reference_price": reference}},
            "instruments": items,
        }
    )


def market_json(spot: str = "145072", funding: str | None = None, **expiry: Any) -> dict[str, Any]:
    """Prices of five weeks before expiry; what is None of the expiry's quotes is left out."""
    quotes = {"forward": spot, "volatilities": {"110000": "0.5"}, **expiry}
    return {
        "format": "atomic-margin/market/1",
        "sequence": "1",
        "as_of": "2026-11-20T08:00:00Z",
        "rate": "0",
        "underlyings": {
            "BTC": {
                "spot": spot,
                "perpetual": spot,
                **({} if funding is None else {"funding_index": funding}),
                "expiries": {"2026-12-25T08:00:00Z": {name: q for name, q in quotes.items() if q is not None}},
            }
        },
        "collateral": {"USDC": "1"},
    }


def market_of(spot: str = "145072", funding: str | None = None, **expiry: Any) -> Market:
    return Market.parse(market_json(spot, funding, **expiry))


MODEL = parse_model(
    {
        "format": "atomic-margin/model/1",
        "name": "scan",
        "initial_factor": "1.25",
        "minimum_transfer_amount": "0",
        "charges": {"perpetual": "0.001", "future": "0.001", "option_long": "0.001", "option_short_minimum": "0.01"},
        "scenarios": [
            {"label": "down", "spot": {"BTC": "-0.2"}, "volatility": "0.3", "basis": "0", "coverage": "1"},
            {"label": "up", "spot": {"BTC": "0.2"}, "volatility": "0.3", "basis": "0", "coverage": "1"},
        ],
    }
)
SCHEDULE = CollateralSchedule.parse(
    {
        "format": "atomic-margin/collateral-schedule/2",
        "version": "1",
        "effective_from": "2026-01-01T00:00:00Z",
        "assets": [
            {
                "id": "USDC",
                "kind": "stablecoin",
                "decimals": "6",
                "haircut": "0",
                "price_source": {"quote": "collateral", "id": "USDC"},
                "risk_underlying": None,
                "priority": "1",
            }
        ],
    }
)


def excess(book: Portfolio, universe: Universe, market: Market) -> dict[MarginKind, float]:
    return dict(MODEL.reference(Published(universe, market, SCHEDULE), book, {}).excess)


def integer_excess(
    book: Portfolio, universe: Universe, market: Market, limit: int, bits: int = BITS
) -> dict[tuple[MarginKind, Place], float]:
    columns = EntryMap.of(universe, limit, bits)
    z = encode(book, universe, columns)
    published = Published(universe, market, SCHEDULE)
    given = MODEL.account_rows(published, {}, columns, limit)
    run = compile_run(given.rows.slack_free(), given.collateral, columns, limit, bits=bits, weight_bits=bits - 2)
    found: dict[tuple[MarginKind, Place], float] = {}
    places: tuple[tuple[Place, int], ...] = (("fhe", 0), ("proof", 12))
    for kind in KINDS:
        for place, shift in places:
            matrix = run.of(kind, place)
            check_bounds(matrix, columns, limit, bits + shift, bits - 2 + shift)
            found[kind, place] = float(matrix.usd(int(matrix.surplus(z).min())))
    return found


def test_a_purchase_at_market_is_no_profit() -> None:
    universe, market = universe_of(), market_of()
    bought = portfolio_of(("BTC-PERP", "long", 300), universe=universe)
    at_market = Portfolio.parse(
        {
            **FLAT,
            "lines": [
                {"instrument": "BTC-PERP", "side": "long", "lots": "300", "price": "145072", "funding_index": "0"}
            ],
        }
    )
    # 30 BTC fall by a fifth, and are charged a thousandth.
    assert excess(at_market, universe, market)["maintenance"] == pytest.approx(-30 * 145_072 * 0.201)
    assert excess(bought, universe, market)["maintenance"] == pytest.approx(-30 * 145_072 * 0.201 + 30 * 45_022)


def test_format_1_says_what_to_do() -> None:
    with pytest.raises(MalformedDocument) as caught:
        Portfolio.parse({"format": "atomic-margin/portfolio/1", "positions": []})
    assert caught.value.field == "format"
    assert "`lines` in place of `positions`" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"instrument": "BTC-PERP", "price": "1"}, "lines[0].funding_index"),
        ({"instrument": "BTC-DEC", "price": "1", "funding_index": "0"}, "lines[0].funding_index"),
        ({"instrument": "DOGE", "price": "1"}, "lines[0].instrument"),
    ],
)
def test_what_does_not_go_with_an_instrument_is_refused(line: dict[str, str], field: str) -> None:
    book = Portfolio.parse({**FLAT, "lines": [{"side": "long", "lots": "1", **line}]})
    with pytest.raises(DocumentError) as caught:
        book.cash_against(universe_of())
    assert caught.value.field == field


def test_funding_from_before_the_trade_is_not_the_holders() -> None:
    universe = universe_of({"reference_funding_index": "100"})
    line = {"instrument": "BTC-PERP", "side": "long", "lots": "10", "price": "145072", "funding_index": "250"}
    book = Portfolio.parse({**FLAT, "lines": [line]})
    # Bought when the index stood at 250; it has risen by 30 since, which a long position paid.
    before, after = (excess(book, universe, market_of(funding=index))["maintenance"] for index in ("250", "280"))
    assert before - after == pytest.approx(30.0)
    short = Portfolio.parse({**FLAT, "lines": [{**line, "side": "short"}]})
    before, after = (excess(short, universe, market_of(funding=index))["maintenance"] for index in ("250", "280"))
    assert after - before == pytest.approx(30.0)


def test_a_premium_paid_outside_counts_once() -> None:
    """A long option whose premium left the account otherwise enters at price 0 and is worth what it is worth."""
    universe, market = universe_of(), market_of("100050")
    inside, outside = (
        Portfolio.parse({**FLAT, "lines": [{"instrument": "BTC-C", "side": "long", "lots": "100", "price": price}]})
        for price in ("2500", "0")
    )
    assert excess(outside, universe, market)["maintenance"] - excess(inside, universe, market)[
        "maintenance"
    ] == pytest.approx(10 * 2500)
    assert outside.cash_against(universe) == 10 * 3000


TRADES = st.lists(
    st.tuples(
        st.sampled_from(("BTC-PERP", "BTC-DEC", "BTC-C")),
        st.sampled_from(("buy", "sell")),
        st.integers(0, 400),
        st.integers(0, 200_000),
        st.integers(-500, 500),
    ),
    max_size=12,
)


def trades_of(made: list[tuple[str, str, int, int, int]]) -> Trades:
    return Trades.parse(
        {
            "format": "atomic-margin/trades/1",
            "trades": [
                {
                    "instrument": name,
                    "side": side,
                    "lots": str(lots),
                    "price": str(price),
                    **({"funding_index": str(index)} if name == "BTC-PERP" else {}),
                }
                for name, side, lots, price, index in made
            ],
        }
    )


@settings(deadline=None, max_examples=60)
@given(made=TRADES, data=st.data())
def test_splitting_and_ordering_trades_changes_nothing(
    made: list[tuple[str, str, int, int, int]], data: st.DataObject
) -> None:
    universe = universe_of()
    whole = trades_of(made).net(universe)
    split = []
    for name, side, lots, price, index in made:
        first = data.draw(st.integers(0, lots))
        split += [(name, side, first, price, index), (name, side, lots - first, price, index)]
    other = trades_of(data.draw(st.permutations(split))).net(universe)
    assert {(line.instrument, line.side, line.lots) for line in whole.lines} == {
        (line.instrument, line.side, line.lots) for line in other.lines
    }
    assert whole.cash == other.cash
    columns = EntryMap.of(universe, 1 << 30, BITS)
    assert np.array_equal(
        encode(whole, universe, columns)[columns.is_cash], encode(other, universe, columns)[columns.is_cash]
    )


@settings(deadline=None, max_examples=40)
@given(made=TRADES, spot=st.integers(60_000, 220_000), limit=st.integers(28, 32))
def test_integers_never_exceed_the_true_excess(
    made: list[tuple[str, str, int, int, int]], spot: int, limit: int
) -> None:
    universe, market = universe_of(), market_of(str(spot), funding="17")
    book = trades_of(made).net(universe)
    true = excess(book, universe, market)
    for (kind, place), found in integer_excess(book, universe, market, 1 << limit).items():
        assert found <= true[kind] + 1e-6 * max(1.0, abs(true[kind])), (kind, place)


@settings(deadline=None, max_examples=40)
@given(lots=st.integers(1, 400), bought=st.integers(50_000, 200_000), spot=st.integers(60_000, 220_000))
def test_closing_at_the_market_leaves_what_cash_alone_has(lots: int, bought: int, spot: int) -> None:
    universe, market = universe_of(), market_of(str(spot), funding="3")
    closed = trades_of([("BTC-PERP", "buy", lots, bought, 0), ("BTC-PERP", "sell", lots, spot, 3)]).net(universe)
    assert closed.lines == ()
    made = (Fraction(spot) - bought - 3) * lots / 10
    assert closed.cash_against(universe) == made
    for kind in KINDS:
        assert excess(closed, universe, market)[kind] == pytest.approx(float(made))


@pytest.mark.parametrize("bits", [16, 20, 24])
@pytest.mark.parametrize("limit", [1_000_000, 64_000_000, 1 << 33])
def test_cash_holds_half_the_gross_limit_and_no_more(bits: int, limit: int) -> None:
    universe = universe_of()
    columns, lot = EntryMap.of(universe, limit, bits), cash_lot(limit, bits)
    # A lot less where the limit is a power of two: 2^(bits-3) - 1 lots of 4 G / 2^bits.
    assert Decimal(limit) / 2 - lot <= most_lots(cash_tiers(bits)) * lot < 2 * Decimal(limit)
    for amount in (Decimal(limit) / 2 - lot, lot - Decimal(limit) / 2):
        z = encode(Portfolio.parse({**FLAT, "cash": format(amount, "f")}), universe, columns)
        assert 0 <= float(amount) - float(np.sum(z * columns.cash_values)) < lot
    with pytest.raises(errors.CashTooLarge) as caught:
        encode(Portfolio.parse({**FLAT, "cash": format(-2 * Decimal(limit), "f")}), universe, columns)
    assert caught.value.field == "cash"


@pytest.mark.parametrize(
    ("amount", "lots"), [("0", 0), ("15.99", 0), ("16", 1), ("-0.01", -1), ("-16", -1), ("-17", -2)]
)
def test_cash_is_rounded_against_the_holder_once(amount: str, lots: int) -> None:
    assert in_lots(Fraction(amount), Decimal(16)) == lots
    universe = universe_of()
    columns = EntryMap.of(universe, 64_000_000, 24)
    z = encode(Portfolio.parse({**FLAT, "cash": amount}), universe, columns)
    first, tiers = columns.tiers[f"{CASH}:{'receivable' if lots >= 0 else 'payable'}"]
    assert sum(int(z[first + tier]) * size for tier, (size, _) in enumerate(tiers)) == abs(lots)
