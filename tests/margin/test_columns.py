"""What an account covers of a universe: tiers, narrowing, what is refused, and integers in tiers of its own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, MalformedDocument, OutOfRange
from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    Published,
    Universe,
    UniverseModel,
    check_gross_limit,
    encode,
    errors,
    models,
    parse_model,
)
from atomic_margin.margin.market.columns import MAX_TIERS, ColumnChoice
from atomic_margin.margin.market.entries import spell
from atomic_margin.margin.models.books import sample_books

from ..lines import portfolio_json, portfolio_of
from .books import book_of
from .every_form import every_form
from .test_registry import read

LIMIT = 1 << 30
# Two tiers a side, wide ones: 5 bits of single lots, and 8 or 5 bits of 32.
TWO_TIERS = {"perpetual": [["1", "5"], ["32", "8"]], "future": [["1", "5"], ["32", "8"]], "option": [["1", "10"]]}
UNIVERSE_MODELS = [name for name, rules in models().items() if issubclass(rules, UniverseModel)]


def test_nothing_chosen_is_the_whole_universe_in_its_digits(universe: Universe) -> None:
    chosen = ColumnChoice.parse({}).tiers_of(universe)
    assert EntryMap.of(universe, LIMIT, 24, chosen).hash() == EntryMap.of(universe, LIMIT, 24).hash()


def test_underlyings_and_expiries_narrow(universe: Universe) -> None:
    near = "2026-12-25T08:00:00Z"
    found = ColumnChoice.parse({"underlyings": ["ETH"]}).tiers_of(universe)
    assert set(found) == {item.id for item in universe.instruments if item.underlying == "ETH"}
    found = ColumnChoice.parse({"underlyings": ["BTC"], "expiries": [near]}).tiers_of(universe)
    assert set(found) == {
        item.id
        for item in universe.instruments
        if item.underlying == "BTC" and (item.expiry is None or item.id.startswith("BTC-25DEC26"))
    }
    assert "BTC-PERP" in found
    columns = EntryMap.of(universe, LIMIT, 24, found)
    assert {column.instrument for column in columns.columns} == {*found, "cash"}
    with pytest.raises(errors.UnknownInstrument, match="the account's columns do not cover 'ETH-PERP'") as caught:
        encode(portfolio_of(("BTC-PERP", "long", 1), ("ETH-PERP", "short", 1)), universe, columns)
    assert caught.value.field == "lines[1].instrument"


def test_tiers_are_the_columns_of_each_kind(universe: Universe) -> None:
    columns = EntryMap.of(universe, LIMIT, 24, ColumnChoice.parse({"tiers": TWO_TIERS}).tiers_of(universe))
    first = [column for column in columns.columns if column.instrument == "BTC-PERP"]
    assert [(c.label, c.lots, c.width, c.gross_weight) for c in first] == [
        ("BTC-PERP:long:0", 1, 5, 9725),
        ("BTC-PERP:long:1", 32, 8, 32 * 9725),
        ("BTC-PERP:short:0", 1, 5, 9725),
        ("BTC-PERP:short:1", 32, 8, 32 * 9725),
    ]
    assert len(columns) == 6 * 2 * 2 + 40 * 2 + 4
    z = encode(portfolio_of(("BTC-PERP", "short", 8191), ("ETH-25DEC26-3400-P", "long", 1023)), universe, columns)
    held = {columns.labels[at]: int(z[at]) for at in np.flatnonzero(z)}
    assert held == {"BTC-PERP:short:0": 31, "BTC-PERP:short:1": 255, "ETH-25DEC26-3400-P:long:0": 1023}
    with pytest.raises(errors.LotsTooLarge, match="at most 8191 lots"):
        encode(portfolio_of(("BTC-PERP", "short", 8192)), universe, columns)


@pytest.mark.parametrize(
    ("choice", "field", "error"),
    [
        ({"underlyings": []}, "underlyings", MalformedDocument),
        ({"expiries": ["2026-12-25"]}, "expiries[0]", MalformedDocument),
        ({"tiers": {"perpetual": []}}, "tiers.perpetual", MalformedDocument),
        ({"tiers": {"perpetual": [["2", "5"]]}}, "tiers.perpetual", MalformedDocument),
        ({"tiers": {"perpetual": [["1", "5"], ["1", "5"]]}}, "tiers.perpetual", MalformedDocument),
        ({"tiers": {"perpetual": [["1", "5"], ["64", "5"], ["32", "5"]]}}, "tiers.perpetual", MalformedDocument),
        ({"tiers": {"option": [[str(1 << n), "5"] for n in range(MAX_TIERS + 1)]}}, "tiers.option", MalformedDocument),
        ({"tiers": {"future": [["1", "5"], ["33", "5"]]}}, "tiers.future[1][0]", OutOfRange),
        ({"tiers": {"future": [["1", "17"]]}}, "tiers.future[0][1]", OutOfRange),
        ({"tiers": {"future": [["1", "0"]]}}, "tiers.future[0][1]", OutOfRange),
        ({"tiers": {"swap": [["1", "5"]]}}, "tiers.swap", MalformedDocument),
        ({"instruments": ["BTC-PERP"]}, "instruments", MalformedDocument),
    ],
)
def test_what_is_no_choice_is_refused(choice: Any, field: str, error: type[DocumentError]) -> None:
    with pytest.raises(error) as caught:
        ColumnChoice.parse(choice)
    assert caught.value.field == field


def test_what_a_universe_does_not_have_is_refused(universe: Universe, example: Any) -> None:
    with pytest.raises(errors.UnknownUnderlying, match="no 'SOL', only BTC, ETH") as caught:
        ColumnChoice.parse({"underlyings": ["BTC", "SOL"]}).tiers_of(universe)
    assert caught.value.field == "underlyings[1]"
    dated = {**example("universe"), "instruments": [i for i in example("universe")["instruments"] if "expiry" in i]}
    with pytest.raises(errors.UnknownInstrument, match="no instrument of the universe is left"):
        ColumnChoice.parse({"expiries": ["2031-01-01T08:00:00Z"]}).tiers_of(Universe.parse(dated))
    huge = {**example("universe")}
    huge["underlyings"] = {**huge["underlyings"], "BTC": {"reference_price": "1000000000"}}
    with pytest.raises(OutOfRange, match=r"highest tier of BTC-PERP is worth over 2\^48"):
        ColumnChoice.parse({"tiers": {"perpetual": [["1", "5"], ["16777216", "5"]]}}).tiers_of(Universe.parse(huge))


@given(data=st.data(), widths=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_entries_count_the_lots_they_spell(data: st.DataObject, widths: list[int]) -> None:
    sizes = sorted(data.draw(st.sets(st.integers(1, 12), min_size=len(widths) - 1, max_size=len(widths) - 1)))
    tiers = tuple(zip([1, *(1 << size for size in sizes)], widths, strict=True))
    lots = data.draw(st.integers(0, sum(size * ((1 << width) - 1) for size, width in tiers) + 5))
    entries = spell(lots, tiers)
    if entries is not None:
        assert sum(entry * size for entry, (size, _) in zip(entries, tiers, strict=True)) == lots
        assert all(0 <= entry < 1 << width for entry, (_, width) in zip(entries, tiers, strict=True))


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), cash=st.integers(-(10**8), 10**8), tick=st.integers(0, 3))
@pytest.mark.parametrize("name", UNIVERSE_MODELS)
def test_integers_never_exceed_the_true_excess_in_tiers_of_ones_own(
    name: str,
    universe: Universe,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    seed: int,
    cash: int,
    tick: int,
) -> None:
    """Every form and place, with cash, in two tiers and in the universe's digits; both say the same book."""
    rules = models()[name]
    assert issubclass(rules, UniverseModel)
    model, posted = parse_model(read(str(rules.EXAMPLE))), rules.parse_posted(read(rules.EXAMPLE_POSTED))
    published = Published(universe, markets[tick], schedule)
    lots = sample_books(universe, markets[0], 4, seed)[seed % 4] // 2
    book = Portfolio.parse({**book_of(lots, universe).canonical(), "cash": str(cash)})  # type: ignore[dict-item]
    true = model.reference(published, book, posted)
    chosen = ColumnChoice.parse({"tiers": TWO_TIERS}).tiers_of(universe)
    for columns in (EntryMap.of(universe, LIMIT, 24, chosen), EntryMap.of(universe, LIMIT, 24)):
        check_gross_limit(LIMIT, columns, 24)
        lot = float(columns.cash_lot or 0)
        for form, kind, place, excess in every_form(model, published, posted, book, columns, LIMIT):
            assert excess <= true.excess[kind] + 1e-9 * LIMIT, (form, kind, place)
            # Exact rows lose rounding alone: a lot of cash, and some of the requirement.
            if form == "exact":
                assert excess >= true.excess[kind] - lot - 1e-3 * abs(true.requirement[kind]) - 1e-6 * LIMIT


def test_a_line_is_spelled_in_the_accounts_columns_only_in_whole_lots(universe: Universe) -> None:
    """70 lots in 1 + 32 lots a unit are 2 and 6; cash is there in every choice of columns, at its place behind them."""
    columns = EntryMap.of(universe, LIMIT, 24, ColumnChoice.parse({"tiers": TWO_TIERS}).tiers_of(universe))
    book = Portfolio.parse({**portfolio_json(("ETH-PERP", "long", 70)), "cash": "-1"})
    z = encode(book, universe, columns)
    first, _ = columns.tiers["ETH-PERP:long"]
    assert z[first : first + 2].tolist() == [6, 2]
    assert z[-4:].tolist() == [0, 0, 1, 0]
