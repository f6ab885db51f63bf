"""True weights: by hand, against the plain report, and fast."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    ScanModel,
    TrueWeights,
    Universe,
    black76,
    check_market,
    check_model,
    check_offsetting_pairs,
    collateral_values,
    compile_weights,
    encode,
    errors,
    true_surplus,
)

Example = Callable[[str], dict[str, Any]]
DEC = "2026-12-25T08:00:00Z"


def column(weights: TrueWeights, label: str) -> int:
    return weights.entries.index(label)


def test_the_example_model_has_the_published_24_scenarios(model: ScanModel) -> None:
    moves = [(float(s.spot["BTC"]), float(s.spot["ETH"]), float(s.basis), float(s.coverage)) for s in model.scenarios]
    grid = [m for m in moves if m[0] == m[1] and abs(m[0]) <= 0.15 and m[2:] == (0, 1)]
    assert len(moves) == 24
    assert len(grid) == 15
    assert moves.count((-0.2, -0.2, 0, 1)) == 1
    assert [m for m in moves if m[3] == 0.35] == [(0.3, 0.3, 0, 0.35), (-0.3, -0.3, 0, 0.35)]
    assert sum(m[0] == -m[1] != 0 for m in moves) == 4
    assert sorted(m[2] for m in moves if m[2]) == [-0.02, 0.02]


def test_weights_of_a_perpetual_by_hand(
    universe: Universe, entry_map: EntryMap, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    weights = compile_weights(model, universe, markets[0]).spread(entry_map)
    row = model.labels.index("extreme -30% vol up")
    now, reference, charge = 96430.1, 97269.4, 0.004 * 0.1 * 96420.5
    assert float(markets[0].underlyings["BTC"].perpetual) == now
    scan, profit = 0.35 * -0.3 * now, now - reference
    for side, sign in (("long", 1), ("short", -1)):
        maintenance = sign * 0.1 * (scan + profit) - charge
        initial = sign * 0.1 * (1.3 * scan + profit) - 1.3 * charge
        for digit in (0, 1, 2):
            at = row, column(weights, f"BTC-PERP:{side}:{digit}")
            assert weights.maintenance[at] == pytest.approx(32**digit * maintenance)
            assert weights.initial[at] == pytest.approx(32**digit * initial)


def test_weights_of_an_option_and_a_future_by_hand(
    universe: Universe, entry_map: EntryMap, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    market = markets[1]
    weights = compile_weights(model, universe, market).spread(entry_map)
    quotes = market.underlyings["ETH"]
    forward = float(quotes.expiries[DEC].forward)
    years = (34 * 24 + 19) / (365 * 24)
    for label, spot, basis, vol in (("spot -10% vol down", -0.1, 0, -0.25), ("basis up", 0, 0.02, 0)):
        row = model.labels.index(label)
        moved = forward * (1 + spot) * (1 + basis)
        future = universe.by_id["ETH-25DEC26"]
        expected = moved - float(future.reference_price) - 0.004 * float(quotes.spot)
        assert weights.maintenance[row, column(weights, "ETH-25DEC26:long:0")] == pytest.approx(expected)

        option = universe.by_id["ETH-25DEC26-3000-P"]
        sigma = float(quotes.expiries[DEC].volatilities["3000"]) * (1 + vol)
        value = float(black76(moved, 3000, sigma, years, False, 0.0395))
        expected = float(option.reference_price) - value - 0.01 * float(quotes.spot)
        assert weights.maintenance[row, column(weights, "ETH-25DEC26-3000-P:short:0")] == pytest.approx(expected)


def test_a_basis_shock_leaves_perpetuals_alone(
    universe: Universe, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    weights = compile_weights(model, universe, markets[0])
    perpetual = column(weights, "BTC-PERP:long")
    rows = [model.labels.index(label) for label in ("unchanged", "basis up", "basis down")]
    assert len(set(weights.maintenance[rows, perpetual])) == 1


def test_columns_add_up_to_the_plain_report(
    universe: Universe,
    entry_map: EntryMap,
    model: ScanModel,
    markets: tuple[Market, ...],
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    holdings: CollateralHoldings,
) -> None:
    z = encode(portfolio, universe, entry_map)
    for market in markets:
        weights = compile_weights(model, universe, market).spread(entry_map)
        collateral = collateral_values(schedule, model.spot_moves, market, holdings.posted)
        report = true_surplus(model, universe, market, schedule, portfolio, holdings.posted)
        np.testing.assert_allclose(weights.maintenance @ z + collateral.maintenance, report.maintenance, atol=1e-5)
        np.testing.assert_allclose(weights.initial @ z + collateral.initial, report.initial, atol=1e-5)
        assert report.maintenance_requirement < report.initial_requirement


def test_the_report_knows_its_instruments(
    universe: Universe, model: ScanModel, markets: tuple[Market, ...], schedule: CollateralSchedule, example: Example
) -> None:
    book = example("portfolio")
    book["lines"][1]["instrument"] = "DOGE-PERP"
    with pytest.raises(errors.UnknownInstrument) as caught:
        true_surplus(model, universe, markets[0], schedule, Portfolio.parse(book), {})
    assert caught.value.field == "lines[1].instrument"


def test_long_plus_short_never_adds_margin(
    universe: Universe, entry_map: EntryMap, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    for market in markets:
        weights = compile_weights(model, universe, market).spread(entry_map)
        assert sum(":long:" in label for label in weights.entries) == 98
        for values in (weights.maintenance, weights.initial):
            at = {label: index for index, label in enumerate(weights.entries)}
            for label, index in at.items():
                if ":long:" in label:
                    assert (values[:, index] + values[:, at[label.replace(":long:", ":short:")]] <= 0).all()


def test_a_pair_that_adds_margin_is_refused() -> None:
    long, short = np.array([[-1.0, 5.0], [2.0, 1.0]]), np.array([[1.0, -5.0], [-2.0, -0.999]])
    with pytest.raises(errors.OffsettingPairGain, match=r"row 'b': long plus short of Y"):
        check_offsetting_pairs(long, short, ("a", "b"), ("X", "Y"))
    check_offsetting_pairs(long, short - 0.01, ("a", "b"), ("X", "Y"))


def test_weights_are_finite_and_read_only(universe: Universe, model: ScanModel, markets: tuple[Market, ...]) -> None:
    weights = compile_weights(model, universe, markets[0])
    with pytest.raises(ValueError, match="read-only"):
        weights.maintenance[0, 0] = 0
    bad = weights.initial.copy()
    bad[3, 4] = np.nan
    with pytest.raises(errors.NonFiniteWeight):
        TrueWeights(weights.labels, weights.entries, "", "", weights.maintenance, bad)


def test_everything_in_the_universe_is_alive_and_priced(universe: Universe, example: Example) -> None:
    def refused(change: Callable[[dict[str, Any]], object]) -> document_errors.DocumentError:
        given = example("market-1")
        change(given)
        with pytest.raises(document_errors.DocumentError) as caught:
            check_market(Market.parse(given), universe)
        return caught.value

    error = refused(lambda m: m.update(as_of=DEC))
    assert (type(error), error.field) == (errors.UnpricedInstrument, f"underlyings.BTC.expiries.{DEC}.settlement")
    error = refused(lambda m: m.update(as_of="1900-01-01T00:00:00Z"))
    assert (type(error), error.field) == (document_errors.OutOfRange, "instruments[1].expiry")
    error = refused(lambda m: m["underlyings"].pop("ETH"))
    assert (type(error), error.field) == (errors.UnpricedInstrument, "underlyings.ETH")
    error = refused(lambda m: m["underlyings"]["BTC"]["expiries"].pop(DEC))
    assert (type(error), error.field) == (errors.UnpricedInstrument, f"underlyings.BTC.expiries.{DEC}")
    error = refused(lambda m: m["underlyings"]["BTC"]["expiries"][DEC]["volatilities"].clear())
    assert type(error) is errors.UnpricedInstrument
    assert error.field == f"underlyings.BTC.expiries.{DEC}.volatilities"


def test_extreme_but_allowed_documents_still_compile(universe: Universe, example: Example) -> None:
    given = example("model-scan")
    given["scenarios"][0] |= {"spot": dict.fromkeys(("BTC", "ETH"), "-0." + "9" * 27), "volatility": "-1"}
    given["scenarios"][1] |= {"spot": dict.fromkeys(("BTC", "ETH"), "10"), "volatility": "10", "basis": "10"}
    market = example("market-1")
    market["underlyings"]["BTC"]["expiries"][DEC] = {
        "forward": "1000000000000",
        "volatilities": dict.fromkeys(("80000", "90000", "100000", "110000", "120000"), "50"),
    }
    market["underlyings"]["ETH"]["expiries"][DEC]["forward"] = "0." + "0" * 27 + "1"
    weights = compile_weights(ScanModel.parse(given), universe, Market.parse(market))
    assert np.isfinite(weights.initial).all()


def test_a_strike_is_found_however_the_market_spells_it(universe: Universe, example: Example) -> None:
    given = example("market-1")
    volatilities = given["underlyings"]["BTC"]["expiries"][DEC]["volatilities"]
    volatilities["110000.00"] = volatilities.pop("110000")
    check_market(Market.parse(given), universe)


def test_a_model_moves_every_underlying_and_no_other(universe: Universe, example: Example) -> None:
    given = example("model-scan")
    del given["scenarios"][4]["spot"]["ETH"]
    with pytest.raises(errors.UnknownUnderlying, match='write "0"') as missing:
        check_model(ScanModel.parse(given), universe)
    assert missing.value.field == "scenarios[4].spot.ETH"
    given["scenarios"][4]["spot"] = {"BTC": "0", "ETH": "0", "SOL": "0"}
    with pytest.raises(errors.UnknownUnderlying, match="no such underlying") as unknown:
        check_model(ScanModel.parse(given), universe)
    assert unknown.value.field == "scenarios[4].spot.SOL"


def test_a_thousand_instruments_under_33_scenarios_compile_at_once(example: Example) -> None:
    strikes = [str(20_000 + 200 * i) for i in range(500)]
    instruments = [
        {
            "id": f"BTC-{strike}-{right}",
            "kind": "option",
            "underlying": "BTC",
            "lot": "0.1",
            "reference_price": "1000",
            "digits": "2",
            "expiry": DEC,
            "strike": strike,
            "right": right,
        }
        for strike in strikes
        for right in ("call", "put")
    ]
    universe = Universe.parse({**example("universe"), "instruments": instruments})
    given = example("market-1")
    given["underlyings"]["BTC"]["expiries"][DEC]["volatilities"] = dict.fromkeys(strikes, "0.55")
    market = Market.parse(given)
    given = example("model-scan")
    given["scenarios"] += [{**s, "label": s["label"] + " again"} for s in given["scenarios"][:9]]
    model = ScanModel.parse(given)

    # Of the processor: other tests run beside this one.
    started = time.process_time()
    weights = compile_weights(model, universe, market)
    assert time.process_time() - started < 2
    assert weights.maintenance.shape == (33, 2000)
    spread = weights.spread(EntryMap.of(universe, 1 << 40, 24))
    assert time.process_time() - started < 2
    assert spread.maintenance.shape == (33, 4004)
    assert math.isfinite(spread.initial.sum())
