"""What is timed when a tick comes: recompiling A and c for 1,000 instruments and 33 rows, from prices to integers.

For the benchmark command and tests; it makes the inputs and the work, and does no timing of its own. The universe is
invented: one underlying, ten expiries of options, calls and puts at even strikes, and the perpetual.

    for name, work in recompilations(1000, 33).items(): work()
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel, compile_conservative
from atomic_margin.margin.models.pmrm import PmrmCase, PmrmParameters, SpotVolShock
from atomic_margin.margin.models.pmrm.books import pmrm_parameters
from atomic_margin.margin.models.pmrm.rows import row_model
from atomic_margin.margin.models.portfolio_margin.conservative import conservative_rows
from atomic_margin.margin.models.portfolio_margin.listing import list_case
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.rows.rounding import BITS, RunMatrices, compile_run
from atomic_margin.margin.rows.weights import TrueWeights

SPOT = 100_000
EXPIRIES = tuple(f"2027-{month:02d}-26T08:00:00Z" for month in range(1, 11))
GROSS_LIMIT = 1 << 30
_ONE = 10**18
_CHARGES = {"perpetual": "0.01", "future": "0.01", "option_long": "0.005", "option_short_minimum": "0.02"}


def wide_universe(instruments: int) -> Universe:
    """Return a universe of that many instruments, the perpetual among them."""
    terms: list[dict[str, Any]] = [{"id": "BTC-PERP", "kind": "perpetual"}]
    terms += [
        {"id": f"BTC-{number}", "kind": "option", "expiry": expiry, "strike": str(strike), "right": right}
        for number, (expiry, strike, right) in enumerate(_options(instruments - 1))
    ]
    common = {"underlying": "BTC", "lot": "0.1", "reference_price": str(SPOT), "digits": "2"}
    return Universe.parse(
        {
            "format": "atomic-margin/universe/1",
            "name": "wide",
            "currency": "USD",
            "underlyings": {"BTC": {"reference_price": str(SPOT)}},
            "instruments": [{**item, **common} for item in terms],
        }
    )


def wide_market(instruments: int) -> Market:
    """Return prices of the same universe."""
    volatilities: dict[str, dict[str, str]] = {expiry: {} for expiry in EXPIRIES}
    for expiry, strike, _ in _options(instruments - 1):
        volatilities[expiry][str(strike)] = "0.55"
    return Market.parse(
        {
            "format": "atomic-margin/market/1",
            "sequence": "1",
            "as_of": "2026-11-20T08:00:00Z",
            "rate": "0.04",
            "underlyings": {
                "BTC": {
                    "spot": str(SPOT),
                    "perpetual": str(SPOT),
                    "expiries": {
                        expiry: {"forward": str(SPOT + 300 * number), "volatilities": quotes}
                        for number, (expiry, quotes) in enumerate(volatilities.items())
                    },
                }
            },
            "collateral": {},
        }
    )


def recompilations(instruments: int, rows: int) -> dict[str, Callable[[], RunMatrices]]:
    """Return, by model, what compiles the four matrices anew from prices.

    Args:
        instruments: of the universe; for `pmrm` all are options.
        rows: of each matrix. `expected_shortfall` takes one move a row: it has no cover to fit here.
    """
    universe, market = wide_universe(instruments), wide_market(instruments)
    entries = EntryMap.of(universe, GROSS_LIMIT, BITS)
    scan = ScanModel.parse(
        {
            "format": "atomic-margin/model/1",
            "name": "scan",
            "initial_factor": "1.3",
            "minimum_transfer_amount": "1000",
            "charges": _CHARGES,
            "scenarios": [{**move, "volatility": "0.2", "basis": "0", "coverage": "1"} for move in _moves(rows)],
        }
    )
    others = {"volatility": {"BTC": "0.2"}, "basis": {"BTC": "0"}}
    shortfall = ExpectedShortfallModel.parse(
        {
            "format": "atomic-margin/model/1",
            "name": "expected_shortfall",
            "tail": "0.1",
            "initial_factor": "1.3",
            "minimum_transfer_amount": "1000",
            "charges": _CHARGES,
            "scenarios": [{**move, **others} for move in _moves(rows)],
        }
    )
    case, parameters = wide_case(instruments), wide_parameters(rows - 1)
    given = case.market, case.account.ledger, False, parameters
    listing = list_case(row_model(*given).legs, case.account.book.options, None, Decimal(1500), False)

    def run(weights: TrueWeights) -> RunMatrices:
        nothing = np.zeros(len(weights.labels))
        return compile_run(weights.spread(entries), CollateralValues(nothing, nothing), entries, GROSS_LIMIT)

    def pmrm() -> RunMatrices:
        compiled, collateral = conservative_rows(row_model(*given), listing, rows)
        return compile_run(compiled.slack_free(), collateral, listing.entry_map, GROSS_LIMIT >> 10)

    return {
        "scan": lambda: run(compile_weights(scan, universe, market)),
        "expected_shortfall": lambda: run(compile_conservative(shortfall, universe, market)),
        "pmrm": pmrm,
    }


def wide_parameters(scenarios: int) -> PmrmParameters:
    """Return the generated cases' parameters with that many scenarios."""
    shocks = [
        SpotVolShock.model_validate({"spot": f"{0.7 + 0.01 * number:.2f}", "vol": number % 3 - 1})
        for number in range(scenarios)
    ]
    return pmrm_parameters().model_copy(update={"scenarios": tuple(shocks)})


def wide_case(options: int) -> PmrmCase:
    """Return a `pmrm` case of that many option rows over ten expiries."""
    days = {expiry: 30 * (number + 1) * 86400 for number, expiry in enumerate(EXPIRIES)}
    rows = _options(options)
    return PmrmCase.parse(
        {
            "OptionExpiries": [days[expiry] for expiry, _, _ in rows],
            "OptionStrikes": [strike * _ONE // 50 for _, strike, _ in rows],
            "OptionIsCall": [int(right == "call") for _, _, right in rows],
            "OptionAmounts": [(number % 7 - 3) * _ONE for number in range(options)],
            "OptionVols": [_ONE // 2] * options,
            "OptionVolConfidences": [_ONE] * options,
            "FeedExpiries": list(days.values()),
            "ForwardsVariable": [SPOT * _ONE // 50] * len(days),
            "ForwardsFixed": [0] * len(days),
            "ForwardConfidences": [_ONE] * len(days),
            "Rates": [_ONE // 20] * len(days),
            "RateConfidences": [_ONE] * len(days),
            "Cash": 0,
            "Perps": 0,
            "PerpPrice": SPOT * _ONE // 50,
            "PerpConfidence": _ONE,
            "UnrealisedPerpPNL": 0,
            "UnrealisedFunding": 0,
            "Base": 0,
            "SpotPrice": SPOT * _ONE // 50,
            "SpotConfidence": _ONE,
            "StablePrice": _ONE,
        }
    )


def _options(count: int) -> list[tuple[str, int, str]]:
    """Return ``count`` (expiry, strike, right), spread over the expiries."""
    found = [
        (expiry, SPOT // 2 + 1000 * step, right)
        for step in range(-(-count // (2 * len(EXPIRIES))))
        for expiry in EXPIRIES
        for right in ("call", "put")
    ]
    return found[:count]


def _moves(count: int) -> list[dict[str, Any]]:
    return [
        {"label": f"move {number}", "spot": {"BTC": f"{(number - count // 2) / 100:.2f}"}} for number in range(count)
    ]
