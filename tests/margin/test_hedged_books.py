"""Books of market makers are flat and large, and what was done for them is: rows, entries and splits lose less."""

import math
from typing import Any

import numpy as np
import pytest

from atomic_margin.margin.market.entries import RADIX
from atomic_margin.margin.models.books import LEAST_GROSS, MOST_GROSS, hedged_books
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.moves import JointMove, revalue_moves
from atomic_margin.margin.models.pmrm.books import pmrm_hedged_case, pmrm_parameters
from atomic_margin.margin.models.pmrm.rows import compile_case as compile_first
from atomic_margin.margin.models.pmrm2 import Pmrm2Case, compile_case, pmrm2_margin
from atomic_margin.margin.models.pmrm2.books import pmrm2_hedged_case
from atomic_margin.margin.models.portfolio_margin.compiled import model_rows
from atomic_margin.margin.models.portfolio_margin.hedged import HedgedBook, hedged_book

from .pmrm2_cases import DAY, SCENARIO, feed, option, parameters
from .test_pmrm2 import black, slow
from .test_pmrm2_rows import check

ONE = pmrm_parameters()


def value(book: HedgedBook, spot: float = 1.0, volatility: float = 0.0) -> float:
    """What the book is worth after a move of spot, as a factor, and of all volatilities, in points."""
    total = book.perpetuals * book.spot * (spot - 1)
    for key, amount in book.amounts.items():
        expiry, strike, call = key
        vol, forward = book.volatilities[key] + volatility, book.forwards[expiry] * spot
        total += amount * black(forward, strike, vol, expiry / (365 * DAY), bool(call))
    return total


@pytest.mark.parametrize("number", range(20))
def test_books_of_market_makers_are_flat_and_large(number: int) -> None:
    book = hedged_book("test", 1, number)
    assert book == hedged_book("test", 1, number)
    contracts = sum(map(abs, book.amounts.values())) + abs(book.perpetuals)
    gross = book.spot * contracts
    assert 0.9 * LEAST_GROSS < gross < 1.1 * MOST_GROSS
    delta = (value(book, 1.0001) - value(book, 0.9999)) / 0.0002
    assert abs(delta) < 0.002 * gross
    vega = (value(book, 1, 1e-4) - value(book, 1, -1e-4)) / 2e-4
    alone = sum(
        abs(amount) * book.spot * math.sqrt(expiry / (365 * DAY)) for (expiry, _, _), amount in book.amounts.items()
    )
    assert abs(vega) < 0.01 * alone


def test_so_many_options_are_held_as_are_asked_for() -> None:
    book = hedged_book("test", 0, 0, options=64)
    assert len(book.amounts) == 64
    assert len({expiry for expiry, _, _ in book.amounts}) == 4


def test_books_of_a_universe_are_flat_and_fit_it(universe: Any, markets: Any) -> None:
    books = hedged_books(universe, markets[0], 20, 3)
    assert np.array_equal(books, hedged_books(universe, markets[0], 20, 3))
    largest = np.array([RADIX**item.digits - 1 for item in universe.instruments])
    assert (np.abs(books) <= largest).all()
    notional = np.array([float(universe.gross_weight(item)) for item in universe.instruments])
    gross = np.abs(books) @ notional
    assert (gross > 1e6).all()
    free = LotCharges.model_validate(dict.fromkeys(LotCharges.model_fields, "0"))
    for name, most in (("spot", 0.004), ("volatility", 0.004)):
        moves = {"spot": "0", "volatility": "0", "basis": "0"} | {name: "0.01"}
        document = {"label": name} | {key: dict.fromkeys(universe.underlyings, move) for key, move in moves.items()}
        gain = revalue_moves([JointMove.model_validate(document)], free, universe, markets[0]).gain[0]
        # One percent of the move on all of gross would be a hundredth of it.
        assert (np.abs(books @ gain) < most * 0.01 * gross + 0.5 * notional.max()).all()


@pytest.mark.long
@pytest.mark.parametrize("number", range(4))
def test_the_forms_of_hedged_books_are_in_order(number: int) -> None:
    check(pmrm2_hedged_case(number))


def test_a_book_that_would_take_too_many_columns_has_fewer_combinations() -> None:
    wide, narrow = (compile_case(pmrm2_hedged_case(number)) for number in (0, 58))
    for compiled in (wide, narrow):
        assert len(compiled.entry_map) <= 4096
    calls = [name for name in narrow.listing.names if name.endswith("-D")]
    assert all(name.split("-")[1] == name.split("-")[2] for name in calls)


def looseness(case: Pmrm2Case, most_rows: int) -> float:
    true = pmrm2_margin(case)
    compiled = compile_case(case, most_rows=most_rows)
    return float(true.initial_excess - model_rows(compiled, "initial").min()) / (
        true.mark_to_market - true.initial_excess
    )


@pytest.mark.long
def test_rows_spent_on_a_discount_narrow_the_gap() -> None:
    cases = [pmrm2_hedged_case(number) for number in range(12)]
    once, twice = (np.array([looseness(case, rows) for case in cases]) for rows in (24, 64))
    assert (twice >= -1e-9).all()
    assert once.max() < 0.5
    assert twice.mean() < 0.85 * once.mean()
    assert len(compile_case(cases[0], most_rows=24).rows.labels) == 20
    assert len(compile_case(cases[0], most_rows=64).rows.labels) == 37
    first = pmrm_hedged_case(0)
    assert [len(compile_first(first, ONE, most_rows=rows).rows.labels) for rows in (42, 43)] == [22, 43]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("rows", [24, 64])
def test_a_straddle_against_another_is_one_entry(side: int, rows: int) -> None:
    """As two call and put spreads it would lose the discount of the one that gains."""
    held = [
        option(90 * DAY, strike, call, "0.7", side * sign * 5)
        for strike, sign in ((1400, 1), (1600, -1))
        for call in (0, 1)
    ]
    document = {
        "Scenario": SCENARIO | {"Options": held, "OptionFeeds": [feed(90 * DAY, 1500)]},
        "Parameters": parameters(),
    }
    case = Pmrm2Case.parse(document)
    compiled = compile_case(case, most_rows=rows)
    used = {column.instrument for column, count in zip(compiled.entry_map.columns, compiled.z, strict=True) if count}
    assert used == {"7776000-1400-1600-DS"}
    assert model_rows(compiled, "initial").min() == pytest.approx(slow(document)["initial_excess"], rel=1e-9)
