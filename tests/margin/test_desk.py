"""Cases from the trade, of models of a universe: the one that is there, and five accounts of our own of each kind.

The cases are of portfolio format 1, which had no trade prices; here they get the prices that their stories tell. Every
expected number is a literal of the cases' table, or comes from `slow`, which uses nothing of the package.
"""

import json
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.bench.gap import Desk
from atomic_margin.documents.errors import OutOfRange
from atomic_margin.margin import CollateralSchedule, Market, Portfolio, Published, Universe, parse_model
from atomic_margin.margin.analysis import Account, call_of, contributions, ladder, what_if
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import interpolated_quotes
from atomic_margin.margin.market.portfolio import FORMAT
from atomic_margin.margin.market.revisions import carried
from atomic_margin.margin.market.trades import Trades

from ..outside import outside
from .slow import Json, profit, slow_excess, slow_ladder

EXPIRY = "2026-12-25T08:00:00Z"
SCHEDULE: Json = {
    "format": "atomic-margin/collateral-schedule/2",
    "version": "1",
    "effective_from": "2026-01-01T00:00:00Z",
    "assets": [
        {"id": "USDC", "kind": "stablecoin", "decimals": "6", "haircut": "0.01", "priority": "1",
         "price_source": {"quote": "collateral", "id": "USDC"}},
        {"id": "BTC", "kind": "crypto", "decimals": "8", "haircut": "0.1", "priority": "2",
         "price_source": {"quote": "spot", "id": "BTC"}, "risk_underlying": "BTC"},
    ],
}  # fmt: skip
MODEL: Json = {
    "format": "atomic-margin/model/1",
    "name": "scan",
    "initial_factor": "1.3",
    "minimum_transfer_amount": "1000",
    "charges": {"perpetual": "0.004", "future": "0.003", "option_long": "0.001", "option_short_minimum": "0.01"},
    "scenarios": [
        {"label": f"{spot} {volatility}", "spot": {"BTC": spot, "SHIB": spot}, "volatility": volatility,
         "basis": basis, "coverage": coverage}
        for spot, volatility, basis, coverage in (
            ("-0.2", "0.35", "0", "1"), ("-0.1", "-0.25", "0.01", "1"), ("0", "0.35", "-0.01", "1"),
            ("0.1", "-0.25", "0", "1"), ("0.2", "0.35", "0", "1"), ("-0.5", "1", "0", "0.35"),
            ("0.6", "1", "0", "0.35"))
    ],
}  # fmt: skip


def option(strike: str, right: str, reference: str = "3000") -> Json:
    return {"id": f"BTC-{strike}-{right[0].upper()}", "kind": "option", "underlying": "BTC", "lot": "0.1",
            "reference_price": reference, "digits": "3", "expiry": EXPIRY, "strike": strike,
            "right": right}  # fmt: skip


UNIVERSE: Json = {
    "format": "atomic-margin/universe/1",
    "name": "desk",
    "currency": "USD",
    "underlyings": {"BTC": {"reference_price": "100000"}, "SHIB": {"reference_price": "0.00000832"}},
    "instruments": [
        {"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1", "reference_price": "100050",
         "digits": "3", "reference_funding_index": "12.5"},
        {"id": "BTC-DEC", "kind": "future", "underlying": "BTC", "lot": "0.1", "reference_price": "101000",
         "digits": "3", "expiry": EXPIRY},
        {"id": "SHIB-PERP", "kind": "perpetual", "underlying": "SHIB", "lot": "1000000000",
         "reference_price": "0.00000832", "digits": "3"},
        option("90000", "put"), option("100000", "call"), option("100000", "put"), option("110000", "call"),
    ],
}  # fmt: skip


def market(spot: str = "100000", **changes: Any) -> Json:
    price = Decimal(spot)
    quotes = {
        "forward": f"{price * Decimal('1.01'):f}",
        "volatilities": {"90000": "0.55", "100000": "0.5", "110000": "0.52"},
    }
    return {
        "format": "atomic-margin/market/1",
        "sequence": "1",
        "as_of": "2026-11-20T08:00:00Z",
        "rate": "0.04",
        "underlyings": {
            "BTC": {
                "spot": spot, "perpetual": f"{price + 72:f}", "funding_index": "31.25", "expiries": {EXPIRY: quotes}
            },
            "SHIB": {"spot": "0.00000841", "perpetual": "0.0000084", "expiries": {}},
        },
        "collateral": {"USDC": "0.9998"},
    } | changes  # fmt: skip


def line(instrument: str, side: str, lots: int, price: str, funding_index: str | None = None) -> Json:
    found = {"instrument": instrument, "side": side, "lots": str(lots), "price": price}
    return found if funding_index is None else found | {"funding_index": funding_index}


def book(*lines: Json, cash: str = "0") -> Json:
    return {"format": FORMAT, "lines": list(lines), "cash": cash}


def account(prices: Json, held: Json, posted: Json, universe: Json = UNIVERSE, model: Json = MODEL) -> Account:
    parsed = Published(Universe.parse(universe), Market.parse(prices), CollateralSchedule.parse(SCHEDULE))
    rules: Any = parse_model(model)
    return Account(rules, parsed, Portfolio.parse(held), {name: int(quantity) for name, quantity in posted.items()})


def assert_right(prices: Json, held: Json, posted: Json) -> Account:
    """Excess, ladder and every line's contribution are those of the slow implementation, to 12 digits."""
    found = account(prices, held, posted)
    documents = (MODEL, UNIVERSE, prices, SCHEDULE, held, posted)
    expected, slow = slow_excess(*documents), slow_ladder(*documents)
    true, rungs = found.reference(), ladder(found).rungs
    alone = [slow_ladder(MODEL, UNIVERSE, prices, SCHEDULE, book(one), {}) for one in held["lines"]]
    for kind in KINDS:
        parts = contributions(found, kind)
        for part, left in zip(parts.parts, alone, strict=False):
            assert part.amount == pytest.approx(float(left[kind][parts.row]), rel=1e-12, abs=1e-6)
        assert true.excess[kind] == pytest.approx(float(expected[kind]), rel=1e-12, abs=1e-6)
        assert parts.excess == pytest.approx(float(expected[kind]), rel=1e-12, abs=1e-6)
        for rung in rungs:
            assert rung.of(kind) == pytest.approx(float(slow[kind][rung.label]), rel=1e-12, abs=1e-6)
    return found


def case(
    name: str, prices: Json, portfolio: str = "portfolio", posted: str = "posted", model: str = "model"
) -> Account:
    """A case from the trade, its lines at their stories' prices, or at the reference price where there is no story."""
    folder = outside("desk") / name

    def read(part: str) -> Json:
        found: Json = json.loads((folder / f"{part}.json").read_text())
        return found

    universe, tick = read("universe"), read("market")
    items = {item["id"]: item for item in universe["instruments"]}
    lines = []
    for old in read(portfolio)["positions"]:
        item = items[old["instrument"]]
        priced = {**old, "price": prices.get(item["id"], item["reference_price"])}
        lines.append(priced | ({"funding_index": "0"} if item["kind"] == "perpetual" else {}))
    tick |= prices.get("market", {})
    rules: Any = parse_model(read(model))
    published = Published(Universe.parse(universe), Market.parse(tick), CollateralSchedule.parse(read("schedule")))
    return Account(rules, published, Portfolio.parse(book(*lines)), rules.parse_posted(read(posted)))


def cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


# --- bought after a rally


def test_what_was_bought_after_a_rally_has_made_nothing() -> None:
    found = case("17-bought-after-rally", {"BTC-PERP": "145072"}).reference()
    assert cents(found.excess["maintenance"]) == -887_832
    assert found.mark_to_market == 0


def test_a_purchase_at_market_brings_no_profit() -> None:
    found = case("17c-buys-at-market", {"BTC-PERP": "145072"}).reference()
    assert round(found.excess["maintenance"]) == -2_939_095


@pytest.mark.parametrize(
    ("spot", "held", "posted"),
    [
        ("145000", book(line("BTC-PERP", "long", 300, "145072", "31.25")), {}),
        ("61000", book(line("BTC-PERP", "short", 40, "61072", "31.25")), {"USDC": "250000000000"}),
        ("128000.5", book(line("BTC-DEC", "long", 77, "129280.505"), line("BTC-PERP", "short", 70, "99000", "-3")), {}),
        ("100000", book(line("BTC-100000-C", "long", 55, "0"), cash="-1234.56"), {"BTC": "150000000"}),
        (
            "88000",
            book(
                line("BTC-90000-P", "short", 120, "4100.25"),
                line("BTC-110000-C", "short", 120, "2750"),
                line("BTC-PERP", "long", 31, "93000.5", "17"),
                line("BTC-PERP", "short", 12, "97000", "20.125"),
                cash="5000.01",
            ),
            {"USDC": "900000000000", "BTC": "1"},
        ),
    ],
)
def test_trade_prices_of_our_own_accounts(spot: str, held: Json, posted: Json) -> None:
    found = assert_right(market(spot), held, posted)
    with_trade = what_if(found, at_market(found, "BTC-PERP", 50))
    assert with_trade.before.mark_to_market == pytest.approx(with_trade.after.mark_to_market, abs=1e-6)


def at_market(given: Account, instrument: str, lots: int) -> Trades:
    """A purchase at the mark and the funding index of the tick."""
    quotes = given.published.market.underlyings["BTC"]
    trade = {"instrument": instrument, "side": "buy", "lots": str(lots), "price": format(quotes.perpetual, "f")}
    trade["funding_index"] = format(quotes.funding_index or Decimal(0), "f")
    return Trades.parse({"format": "atomic-margin/trades/1", "trades": [trade]})


# --- expiry


def test_an_expired_option_is_its_payoff_in_cash() -> None:
    quotes = {"settlement": {"average": "104000", "elapsed": "1"}, "volatilities": {}}
    tick = {"underlyings": {"BTC": {"spot": "104000", "perpetual": "104000", "expiries": {EXPIRY: quotes}}}}
    found = case("01-expiry-tick", {"BTC-25DEC26-100000-C": "0", "market": tick})
    true = found.reference()
    posted = 1_000_000
    assert cents(true.mark_to_market - posted) == -40_000
    assert all(cents(true.excess[kind]) == posted - 40_000 for kind in KINDS)
    old = found.published.universe
    later = old.canonical()
    assert isinstance(later, dict)
    assert isinstance(later["instruments"], list)
    later["instruments"] = later["instruments"][:1]
    moved = carried(found.book, old, Universe.parse(later), found.published.market)
    assert (moved.lines, moved.cash) == ((), -40_000)


@pytest.mark.parametrize("average", ["64000", "90000", "99999.99", "104000", "151234.5"])
def test_our_own_expired_books_are_their_payoff(average: str) -> None:
    tick = market(average, as_of=EXPIRY)
    tick["underlyings"]["BTC"]["expiries"][EXPIRY] = {
        "settlement": {"average": average, "elapsed": "1"}, "volatilities": {}}  # fmt: skip
    held = book(
        line("BTC-100000-C", "short", 100, "0"), line("BTC-90000-P", "long", 33, "1800.5"),
        line("BTC-DEC", "short", 12, "98000"), line("BTC-110000-C", "long", 7, "0"), cash="10",
    )  # fmt: skip
    found = assert_right(tick, held, {"USDC": "1000000000"})
    assert all(len({round(rung.of(kind), 6) for rung in ladder(found).rungs}) == 1 for kind in KINDS)
    assert found.reference().requirement["initial"] == pytest.approx(0, abs=1e-6)


def test_a_window_that_has_begun_moves_only_in_part() -> None:
    tick = market("103000", as_of="2026-12-25T07:45:00Z")
    tick["underlyings"]["BTC"]["expiries"][EXPIRY]["settlement"] = {"average": "101500", "elapsed": "0.5"}
    held = book(line("BTC-100000-P", "long", 60, "2000"), line("BTC-DEC", "short", 60, "100500"))
    assert_right(tick, held, {})


# --- minimum transfer amount


@pytest.mark.parametrize(
    ("name", "excess"), [("exactly_covered_MTA_100k", 0), ("short_by_1_USD_MTA_100k", -1), ("short_by_50k", -50_000)]
)
def test_an_account_is_short_by_what_it_is_short_by(name: str, excess: int) -> None:
    files = (f"portfolio-{name}", f"posted-{name}", "model-mta100000")
    found = case("14-minimum-transfer-amount", {}, *files)
    assert cents(found.reference().excess["maintenance"]) == excess
    call = call_of(found.reference().excess, found.model.minimum_transfer_amount)
    assert (call.is_due, call.amount, call.minimum_transfer_amount) == (False, 0, 100_000)
    below = "below the minimum transfer amount: no call"
    assert call.text == (below if excess else "maintenance margin is met: no call")


def test_without_a_minimum_a_dollar_is_called() -> None:
    name = "short_by_1_USD_MTA_0_G_41m"
    files = (f"portfolio-{name}", f"posted-{name}", "model-mta0")
    found = case("14-minimum-transfer-amount", {}, *files).reference()
    call = call_of(found.excess, Decimal(0))
    # 1 BTC: 20 % of 100,050 and 0.4 % of spot, once and 1.3 times, against 20,409 posted.
    assert (call.deficit, call.amount) == (1, Decimal("1.3") * 20_410 - 20_409)


@pytest.mark.parametrize("short", ["0", "0.000001", "1", "99999.99", "100000"])
def test_our_own_accounts_are_short_by_what_they_are_short_by(short: str) -> None:
    """Posted in an asset that keeps its value, so that maintenance margin is missed by a chosen amount."""
    held = book(line("BTC-PERP", "long", 100, "100072", "31.25"), line("BTC-90000-P", "short", 200, "2800"))
    need = -slow_excess(MODEL, UNIVERSE, market(), SCHEDULE, held, {})["maintenance"]
    units = (need - Decimal(short)) * 10**6 / (Decimal("0.9998") * Decimal("0.99"))
    found = assert_right(market(), held, {"USDC": str(int(units))}).reference()
    assert found.excess["maintenance"] == pytest.approx(-float(short), abs=2e-6)
    missed = Decimal(short).quantize(Decimal("0.01"))
    for minimum in (Decimal(0), Decimal(1), Decimal(100_000)):
        call = call_of(found.excess, minimum)
        assert call.deficit == missed
        assert call.is_due == (missed > 0 and missed >= minimum)
        if call.is_due:
            assert call.amount == -cents(found.excess["initial"])


# --- low-priced tokens


def test_a_token_at_a_hundred_thousandth_of_a_dollar_has_larger_lots() -> None:
    found = case("10-shib-lot-1m-G64m", {})
    universe = found.published.universe.canonical()
    assert isinstance(universe, dict)
    larger = universe | {"instruments": [UNIVERSE["instruments"][2]]}
    held = book(line("SHIB-PERP", "short", 30, "0.00000832", "0"))
    listed = Published(Universe.parse(larger), found.published.market, found.published.schedule)
    other = Account(found.model, listed, Portfolio.parse(held), found.posted)
    assert other.reference().excess == pytest.approx(found.reference().excess, rel=1e-12)
    measured = Desk(other.model, listed, other.posted).measure(other.book, 64_000_000, (20,))
    # A lot of 10^6 of them is worth 8.32 USD and weighs 9; one of 10^9 weighs what it is worth.
    assert measured.gross == 30 * 8320
    assert all(gap.total < 1e4 for gap in measured.gaps("initial"))


@pytest.mark.parametrize(
    ("side", "lots", "price"),
    [
        ("short", 30, "0.00000832"), ("long", 1, "0.00000001"), ("long", 32767, "0.0000084"),
        ("short", 5000, "0.00001"), ("long", 777, "0.000007654321"),
    ],
)  # fmt: skip
def test_our_own_books_of_a_low_priced_token(side: str, lots: int, price: str) -> None:
    assert_right(market(), book(line("SHIB-PERP", side, lots, price, "0")), {"USDC": "5000000000"})


def test_lots_have_a_limit() -> None:
    def listed(lot: str, digits: str = "1") -> Universe:
        item = UNIVERSE["instruments"][2] | {"lot": lot, "digits": digits}
        return Universe.parse(UNIVERSE | {"instruments": [item]})

    universe = listed("1000000000000")
    assert universe.gross_weight(universe.instruments[0]) == 8_320_000
    with pytest.raises(OutOfRange, match=r"^instruments\[0\]\.lot: above 0 and at most 1000000000000 here"):
        listed("1000000000001")
    dear = UNIVERSE | {"underlyings": UNIVERSE["underlyings"] | {"SHIB": {"reference_price": "300"}}}
    item = UNIVERSE["instruments"][2] | {"lot": "1000000000000", "digits": "1"}
    with pytest.raises(OutOfRange, match="over 2\\^48 USD; use fewer digits or a smaller lot"):
        Universe.parse(dear | {"instruments": [item]})


# --- one wing quote missing


def test_a_missing_wing_is_held_flat() -> None:
    found = case("28-one-wing-quote-missing", {})
    published = found.published
    (wing,) = interpolated_quotes(published.market, published.universe)
    assert (wing.underlying, wing.expiry, wing.strike, wing.volatility) == ("BTC", EXPIRY, 110_000, 0.5)
    # The right value: what the whole market gives with the last quote written once more.
    smile = {"80000": "0.60", "90000": "0.55", "100000": "0.50", "110000": "0.50"}
    expiries = {EXPIRY: {"forward": "101000", "volatilities": smile}}
    last = {"BTC": {"spot": "100000", "perpetual": "100050", "expiries": expiries}}
    quoted = case("28-one-wing-quote-missing", {"market": {"underlyings": last}})
    assert quoted.reference() == found.reference()
    # 0.1 BTC at 100,050 against a million: 20 % down, and a charge of 0.4 % of spot.
    assert cents(found.reference().excess["maintenance"]) == 1_000_000 - 2_041


@pytest.mark.parametrize(
    ("quotes", "held"),
    [
        ({"100000": "0.5", "110000": "0.52"}, book(line("BTC-90000-P", "long", 60, "2000"))),
        ({"90000": "0.55", "100000": "0.5"}, book(line("BTC-110000-C", "short", 25, "1500"))),
        ({"90000": "0.55", "110000": "0.52"}, book(
            line("BTC-100000-C", "long", 9, "0"), line("BTC-100000-P", "short", 9, "0"))),
        ({"95000": "0.8"}, book(line("BTC-90000-P", "short", 12, "2500"), line("BTC-110000-C", "short", 12, "1400"))),
        ({"60000": "1.3", "140000.00": "0.4"}, book(
            line("BTC-90000-P", "long", 3, "1"), line("BTC-PERP", "long", 3, "99000", "0"))),
    ],
)  # fmt: skip
def test_our_own_books_without_a_quote(quotes: Json, held: Json) -> None:
    prices = market()
    prices["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"] = quotes
    assert_right(prices, held, {"USDC": "1000000000000"})


# --- nothing posted


@pytest.mark.parametrize(
    ("instrument", "side", "lots", "price"),
    [
        ("BTC-PERP", "long", 300, "100050"), ("BTC-PERP", "short", 300, "100050"), ("BTC-DEC", "long", 9, "100000"),
        ("BTC-100000-C", "short", 40, "3000"), ("BTC-90000-P", "long", 1000, "0.01"),
    ],
)  # fmt: skip
def test_nothing_posted_counts_nothing(instrument: str, side: str, lots: int, price: str) -> None:
    funding = {"funding_index": "12.5"} if instrument == "BTC-PERP" else {}
    held = book(line(instrument, side, lots, price) | funding)
    found = assert_right(market(), held, {})
    bare = account(market(), held, {})
    assert bare.model.nothing_posted() == {}
    assert found.reference().mark_to_market == pytest.approx(float(profit(UNIVERSE, market(), held)), abs=1e-6)
