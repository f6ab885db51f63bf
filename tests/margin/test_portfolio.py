"""Columns, gross weights and the digits of a book."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.margin import BITS, EntryMap, Universe, check_entries, check_gross, encode, errors, gross_weight

from ..lines import portfolio_of

book = portfolio_of


@pytest.mark.parametrize(
    ("lot", "price", "weight"),
    [("0.1", "97250", 9725), ("0.1", "97250.1", 9726), ("1", "0.01", 1), ("0.001", "1000", 1), ("0.001", "1000.1", 2)],
)
def test_the_gross_weight_is_rounded_up_to_at_least_one_dollar(lot: str, price: str, weight: int) -> None:
    assert gross_weight(Decimal(lot), Decimal(price)) == weight


def test_columns_follow_the_universe(universe: Universe, entry_map: EntryMap) -> None:
    assert len(entry_map) == 6 * 3 * 2 + 40 * 2 * 2 + 4
    assert 127 <= len(entry_map) <= 256
    assert entry_map.labels[:7] == (
        *(f"BTC-PERP:{side}:{digit}" for side in ("long", "short") for digit in range(3)),
        "BTC-25DEC26:long:0",
    )
    assert entry_map.gross_weights[:3] == (9725, 32 * 9725, 1024 * 9725)
    assert set(entry_map.widths[:-4]) == {5}
    assert entry_map.labels[-4:] == tuple(
        f"cash:{side}:{tier}" for side in ("receivable", "payable") for tier in (0, 1)
    )
    # Cash has no gross weight, and half of the gross limit fits on either side.
    assert entry_map.gross_weights[-4:] == (0, 0, 0, 0)
    assert entry_map.widths[-4:] == (10, 7, 10, 7)
    assert entry_map.cash_lot == 256
    assert entry_map.universe_hash == universe.hash()


def test_the_hash_of_the_entry_map_is_frozen_and_follows_the_universe(
    entry_map: EntryMap, gross_limit: int, example: Callable[[str], dict[str, Any]]
) -> None:
    assert entry_map.hash() == "a7597ebac6585d72ecd4dbac8c23b0a87c906b6cbc19429e390e526204910c69"
    other = example("universe")
    other["instruments"][0]["reference_price"] = "97270"
    assert EntryMap.of(Universe.parse(other), gross_limit, BITS).hash() != entry_map.hash()


@given(lots=st.integers(0, 32**3 - 1), short=st.integers(0, 32**2 - 1))
def test_digits_add_up_to_the_lots(lots: int, short: int, universe: Universe, entry_map: EntryMap) -> None:
    z = encode(book(("BTC-PERP", "long", lots), ("ETH-25DEC26-3400-P", "short", short)), universe, entry_map)
    assert z.dtype == np.int64
    assert z.shape == (len(entry_map),)
    held = dict.fromkeys([("BTC-PERP", "long"), ("ETH-25DEC26-3400-P", "short")], 0)
    for column, digit in zip(entry_map.columns, z.tolist(), strict=True):
        assert 0 <= digit < 32
        if digit:
            held[column.instrument, column.side] += digit * column.lots
    assert list(held.values()) == [lots, short]
    g = {"BTC-PERP": 9725, "ETH-25DEC26-3400-P": 3452}
    assert entry_map.gross(z) == lots * g["BTC-PERP"] + short * g["ETH-25DEC26-3400-P"]


def test_an_empty_book_is_a_book(universe: Universe, entry_map: EntryMap) -> None:
    assert not encode(book(), universe, entry_map).any()


def test_positions_outside_the_universe_are_refused(universe: Universe, entry_map: EntryMap) -> None:
    with pytest.raises(errors.UnknownInstrument) as unknown:
        encode(book(("BTC-PERP", "long", 1), ("DOGE-PERP", "long", 1)), universe, entry_map)
    assert unknown.value.field == "lines[1].instrument"
    with pytest.raises(errors.LotsTooLarge, match="at most 1023 lots") as large:
        encode(book(("ETH-25DEC26-3400-P", "short", 1024)), universe, entry_map)
    assert large.value.field == "lines[0].lots"


def test_the_gross_limit_is_inclusive(universe: Universe, entry_map: EntryMap) -> None:
    z = encode(book(("BTC-PERP", "long", 100)), universe, entry_map)
    check_gross(z, entry_map, 972_500)
    with pytest.raises(errors.GrossLimitExceeded, match="972500 USD"):
        check_gross(z, entry_map, 972_499)


@pytest.mark.parametrize("bad", [-1, 32, 2**40])
def test_entries_are_five_bits(bad: int, entry_map: EntryMap) -> None:
    z = np.zeros(len(entry_map), dtype=np.int64)
    z[5] = bad
    with pytest.raises(errors.EntryOutOfRange, match="entry 5"):
        check_gross(z, entry_map, 10**9)
    with pytest.raises(errors.EntryOutOfRange, match="float64"):
        check_entries(np.zeros(len(entry_map)), len(entry_map))  # type: ignore[arg-type]
    with pytest.raises(errors.EntryOutOfRange, match="shape"):
        check_entries(z[1:], len(entry_map))
