"""What a book gained so far, E: by hand, the same however it is spelled, and raised by nothing but what was gained."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.margin import EntryMap, Market, Portfolio, Universe, encode, errors
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.margin.market.revisions import carried, check_revision
from atomic_margin.margin.market.trades import Trades
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gain_weights, gained

from ..lines import FLAT
from .test_cash import market_of, universe_of

LIMIT = 1 << 28
UNIT = 2.0**UNIT_EXPONENT


def gain(book: Portfolio, universe: Universe, market: Market | None, columns: EntryMap | None = None) -> float:
    """E of a book, USD."""
    chosen = columns or EntryMap.of(universe, LIMIT, 24)
    return gained(gain_weights(universe, market, chosen), encode(book, universe, chosen).tolist()) * UNIT


def held(lots: int, price: str, cash: str = "0", side: str = "long", index: str = "0") -> Portfolio:
    line = {"instrument": "BTC-PERP", "side": side, "lots": str(lots), "price": price, "funding_index": index}
    return Portfolio.parse({**FLAT, "lines": [line], "cash": cash})


def lot_of(universe: Universe) -> float:
    return float(EntryMap.of(universe, LIMIT, 24).cash_lot or 0)


def test_by_hand() -> None:
    """Bought at 101,000 with the index at 10; the mark is 103,000 and the index 40; 7 USD of fees are owed."""
    universe = universe_of({"reference_funding_index": "4"})
    lot = lot_of(universe)
    assert lot == 64
    for side, sign in (("long", 1), ("short", -1)):
        exact = sign * 3.0 * ((103_000 - 101_000) - (40 - 10)) - 7
        found = gain(held(30, "101000", "-7", side, "10"), universe, market_of("103000", funding="40"))
        assert exact - lot < found <= exact
    # Before there are prices a position is worth its reference price: 30 lots bought 950 above it, funding taken off.
    found = gain(held(30, "101000", "0", "long", "10"), universe, None)
    exact = 3.0 * ((100_050 - 101_000) + (10 - 4))
    assert exact - lot < found <= exact


@settings(deadline=None, max_examples=40)
@given(
    lots=st.integers(0, 8191),
    both=st.integers(0, 300),
    price=st.integers(50_000, 200_000),
    spot=st.integers(50_000, 200_000),
    tiers=st.sampled_from([[["1", "13"]], [["1", "5"], ["32", "8"]], [["1", "3"], ["8", "10"]]]),
)
def test_other_spellings_and_columns_gained_the_same(
    lots: int, both: int, price: int, spot: int, tiers: list[list[str]]
) -> None:
    universe, market = universe_of(), market_of(str(spot))
    book = held(lots, str(price))
    own = EntryMap.of(universe, LIMIT, 24)
    other = EntryMap.of(universe, LIMIT, 24, ColumnChoice.parse({"tiers": {"perpetual": tiers}}).tiers_of(universe))
    assert gain(book, universe, market, own) == gain(book, universe, market, other)
    # Long and short lots of one instrument on top gain nothing.
    weights, z = gain_weights(universe, market, own), encode(book, universe, own)
    offset = z.copy()
    for side in ("long", "short"):
        offset[own.tiers[f"BTC-DEC:{side}"][0]] += both
    assert gained(weights, offset.tolist()) == gained(weights, z.tolist())


@settings(deadline=None, max_examples=40)
@given(
    lots=st.integers(0, 400),
    price=st.integers(80_000, 120_000),
    spot=st.integers(80_000, 120_000),
    reference=st.integers(80_000, 120_000),
    split=st.sampled_from(["0.1", "0.05", "0.02"]),
)
def test_a_book_carried_to_a_revision_gained_the_same(
    lots: int, price: int, spot: int, reference: int, split: str
) -> None:
    """To the cash lot: another reference price moves gains between positions and cash, which is rounded down."""
    old = universe_of()
    new = universe_of({"lot": split, "reference_price": str(reference)})
    if new.hash() != old.hash():
        check_revision(old, new)
    market, book = market_of(str(spot)), held(lots, str(price))
    lot = lot_of(old)
    before, after = gain(book, old, market), gain(carried(book, old, new, None), new, market)
    # A lot of a unit may also be rounded: 2^-10 USD for each.
    assert abs(before - after) < lot + lots * 5 * UNIT


@settings(deadline=None, max_examples=40)
@given(lots=st.integers(0, 400), spot=st.integers(80_000, 120_000), invented=st.integers(1, 10**7))
def test_invented_cash_raises_it_by_as_much(lots: int, spot: int, invented: int) -> None:
    universe, market = universe_of(), market_of(str(spot))
    lot = lot_of(universe)
    before = gain(held(lots, "100050"), universe, market)
    found = gain(held(lots, "100050", str(invented)), universe, market)
    assert invented - lot < found - before <= invented
    # A whole number of cash lots to the bit.
    assert gain(held(lots, "100050", str(int(lot) * 7)), universe, market) - before == 7 * lot


def test_a_loss_left_out_raises_it_by_as_much() -> None:
    """A loss-making position that is not committed to any more, or a payable that is not carried on."""
    universe, market = universe_of(), market_of("90000")
    honest = held(100, "100050")
    assert gain(Portfolio.parse(FLAT), universe, market) - gain(honest, universe, market) == 100_500.0


@settings(deadline=None, max_examples=60)
@given(
    lots=st.integers(0, 300),
    more=st.integers(-300, 300),
    spot=st.integers(80_000, 120_000),
    index=st.integers(-50, 50),
    fee=st.integers(0, 5000),
)
def test_a_trade_at_market_changes_it_by_its_fee(lots: int, more: int, spot: int, index: int, fee: int) -> None:
    universe, market = universe_of(), market_of(str(spot), funding=str(index))
    opening = held(lots, "97000")
    trade = {
        "instrument": "BTC-PERP",
        "side": "buy" if more >= 0 else "sell",
        "lots": str(abs(more)),
        "price": str(spot),
        "funding_index": str(index),
        "fee": str(fee),
    }
    traded = Trades.parse({"format": "atomic-margin/trades/1", "trades": [trade], "opening": opening.canonical()}).net(
        universe
    )
    lot = lot_of(universe)
    raised = gain(traded, universe, market) - gain(opening, universe, market)
    assert -fee - lot < raised < -fee + lot


def test_weights_are_exact_multiples_and_opposite() -> None:
    universe, market = universe_of(), market_of("103333.37")
    columns = EntryMap.of(universe, LIMIT, 24)
    weights = dict(zip(columns.labels, gain_weights(universe, market, columns), strict=True))
    for tier in (0, 1, 2):
        assert weights[f"BTC-PERP:long:{tier}"] == 32**tier * weights["BTC-PERP:long:0"]
        assert weights[f"BTC-PERP:short:{tier}"] == -weights[f"BTC-PERP:long:{tier}"]
    assert abs(weights["BTC-PERP:long:0"] * UNIT - 328.337) <= UNIT / 2
    for side, sign in (("receivable", 1), ("payable", -1)):
        for tier, (size, _) in enumerate(columns.tiers[f"cash:{side}"][1]):
            exact = Fraction(columns.cash_lot or 0) / Fraction(2) ** UNIT_EXPONENT * size
            assert weights[f"cash:{side}:{tier}"] == sign * exact


def test_a_gain_that_no_row_holds_is_refused() -> None:
    universe = universe_of({"lot": "1000000", "digits": "1"})
    with pytest.raises(errors.MarginOverflow, match="row of gains") as caught:
        gain_weights(universe, market_of("900000000"), EntryMap.of(universe, LIMIT, 24))
    assert (caught.value.row, caught.value.entry) == ("gain", "BTC-PERP:long:0")


def test_z_is_what_is_summed() -> None:
    columns = EntryMap.of(universe_of(), LIMIT, 24)
    weights = gain_weights(universe_of(), market_of("123456"), columns)
    z = np.random.default_rng(1).integers(0, 32, len(columns))
    assert gained(weights, z.tolist()) == int(np.array(weights) @ z)
