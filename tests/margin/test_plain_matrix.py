"""Whole matrices of `scan`, compiled again by plain Python floats: every weight and every integer to the bit."""

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from atomic_margin.documents.strict import format_instant
from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    Column,
    EntryMap,
    Instrument,
    Market,
    ScanModel,
    Universe,
    collateral_values,
    compile_run,
    compile_weights,
)
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.elementary import SCALARS
from atomic_margin.margin.market.interpolation import interpolate
from atomic_margin.margin.market.pricing import option_value
from atomic_margin.margin.models.scan.document import Scenario

from ..example_documents import EXAMPLES


def value(item: Instrument, market: Market, scenario: Scenario | None) -> float:
    """One unit of an instrument's underlying, now or in a scenario."""
    quotes = market.underlyings[item.underlying]
    quote = quotes.expiries[format_instant(item.expiry)] if item.expiry else None
    price = float(quote.forward if quote else quotes.perpetual)
    move = 1 + (float(scenario.spot[item.underlying]) if scenario else 0.0)
    basis = 1 + (float(scenario.basis) if scenario and item.kind != "perpetual" else 0.0)
    if scenario:
        price = price * move * basis
    if item.kind != "option" or quote is None or item.strike is None or item.expiry is None:
        return price
    volatility, years = float(quote.volatility(item.strike) or 0), market.years_to(item.expiry)
    if scenario:
        volatility = volatility * (1 + volatility_move(item.underlying, years, scenario))
    found: Any = option_value(
        price, float(item.strike), volatility, years, item.right == "call", float(market.rate), SCALARS
    )
    return float(found)


def volatility_move(underlying: str, years: float, scenario: Scenario) -> float:
    given = scenario.volatility
    move = given if isinstance(given, Decimal) else given[underlying]
    if isinstance(move, Decimal):
        return float(move)
    places, moves = [float(node.days) for node in move], [float(node.move) for node in move]
    return float(interpolate(years * 365.0, places, moves, SCALARS))


def weight(item: Instrument, market: Market, model: ScanModel, scenario: Scenario, factor: float, side: str) -> float:
    now = value(item, market, None)
    scan = float(scenario.coverage) * (value(item, market, scenario) - now)
    moved = float(item.lot) * (factor * scan + (now - float(item.reference_price)))
    charges = model.charges
    fraction = {"perpetual": charges.perpetual, "future": charges.future, "option": charges.option_long}[item.kind]
    if side == "short" and item.kind == "option":
        fraction = charges.option_short_minimum
    charge = factor * (float(item.lot) * float(market.underlyings[item.underlying].spot) * float(fraction))
    return moved - charge if side == "long" else -moved - charge


def cash(column: Column, entry_map: EntryMap) -> float:
    lots = float(entry_map.cash_lot or 0) * column.lots
    return lots if column.side == "receivable" else -lots


@pytest.mark.parametrize("surface", [False, True])
def test_weights_and_integers_are_those_of_plain_python(
    surface: bool,
    model: ScanModel,
    universe: Universe,
    entry_map: EntryMap,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    holdings: CollateralHoldings,
    gross_limit: int,
) -> None:
    if surface:
        model = ScanModel.parse(json.loads((EXAMPLES / "vol-surface" / "model.json").read_text()))
    items = {item.id: item for item in universe.instruments}
    for market in (markets[0], markets[2]):
        weights = compile_weights(model, universe, market).spread(entry_map)
        run = compile_run(
            weights, collateral_values(schedule, model.spot_moves, market, holdings.posted), entry_map, gross_limit
        )
        for kind, factor in (("maintenance", 1.0), ("initial", float(model.initial_factor))):
            plain = [
                [
                    cash(column, entry_map)
                    if column.instrument == "cash"
                    else weight(items[column.instrument], market, model, scenario, factor, column.side)
                    * float(column.lots)
                    for column in entry_map.columns
                ]
                for scenario in model.scenarios
            ]
            assert kind in KINDS
            assert np.array(plain).tobytes() == weights.of(kind).tobytes()  # type: ignore[arg-type]
            for place in ("fhe", "proof"):
                matrix = run.of(kind, place)  # type: ignore[arg-type]
                lost = [0.0 if column.instrument == "cash" else 2.0**-10 for column in entry_map.columns]
                rounded = [
                    [math.floor(math.ldexp(x, -matrix.unit_exponent) - less) for x, less in zip(row, lost, strict=True)]
                    for row in plain
                ]
                assert rounded == matrix.weights.tolist()
