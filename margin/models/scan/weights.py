"""From model, universe and prices to true weights: what one lot adds to the account's surplus in each scenario, in USD.

Operator, agent and verifier all call `compile_weights` on the same signed prices; only its rounding into a matrix
(`rows.rounding`) is compared between them. Positions are margined futures-style: profit and loss counts from a
published reference price, options included. With V_0 the value of one unit of underlying's worth of the contract now,
V_s in the scenario, P the profit so far (`market.valuation`), f the model's initial factor and
charge = fraction * spot * lot,

    maintenance, long    lot * (coverage * (V_s - V_0) + P) - charge
    initial, long        lot * (f * coverage * (V_s - V_0) + P) - f * charge

and a short lot has the opposite sign before its own charge. So f multiplies what a scenario makes of a position, and
charges: not the moves, which would be outside what the model was published for, and not the profit so far. A call of
strike 105 that was sold at 2 makes the difference plain; with no volatility it is worth what it pays. Spot rises from
100 to 110, a short lot is charged 1:

>>> parts = {"underlying": "X", "lot": "1", "reference_price": "2", "digits": "1", "expiry": "2027-01-01T00:00:00Z"}
>>> call = {"id": "X-105-C", "kind": "option", "strike": "105", "right": "call", **parts}
>>> universe = Universe.parse({"format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"X": {"reference_price": "100"}}, "instruments": [call]})
>>> market = Market.parse({"format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-01-01T00:00:00Z",
...     "rate": "0", "collateral": {}, "underlyings": {"X": {"spot": "100", "perpetual": "100", "expiries": {
...         "2027-01-01T00:00:00Z": {"forward": "100", "volatilities": {"105": "0"}}}}}})
>>> up = {"label": "up", "spot": {"X": "0.1"}, "volatility": "0", "basis": "0", "coverage": "1"}
>>> charges = {"perpetual": "0", "future": "0", "option_long": "0", "option_short_minimum": "0.01"}
>>> model = ScanModel.parse({"format": "atomic-margin/model/1", "name": "scan", "initial_factor": "1.3",
...     "minimum_transfer_amount": "0", "charges": charges, "scenarios": [up]})
>>> weights = compile_weights(model, universe, market)          # columns: a long lot, a short one
>>> weights.maintenance[0].round(9).tolist()                    # short: 2 of profit - 5 lost - 1 charged
[3.0, -4.0]
>>> weights.initial[0].round(9).tolist()                        # short: 2 - 1.3 · 5 - 1.3; a move of 13 % would lose 8
[4.5, -5.8]
"""

from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.market.valuation import value
from atomic_margin.margin.models.scan.document import ScanModel, check_model
from atomic_margin.margin.models.volatility_moves import volatility_moves
from atomic_margin.margin.rows.weights import TrueWeights, lot_weights


@dataclass(frozen=True)
class Revaluation:
    """Instrument values, USD per unit of underlying, I instruments and R scenarios.

    Attributes:
        lot: (I,) contract sizes.
        profit: (I,) since the reference prices, funding taken off.
        now: (I,) values V_0.
        shocked: (R, I) values V_s.
        coverage: (R,) coverage fractions.
        charge_long: (I,) charge of one long lot, USD.
        charge_short: (I,) charge of one short lot, USD.
    """

    lot: Floats
    profit: Floats
    now: Floats
    shocked: Floats
    coverage: Floats
    charge_long: Floats
    charge_short: Floats


def revalue(model: ScanModel, universe: Universe, market: Market) -> Revaluation:
    """Value every instrument of ``universe`` now and under every scenario, in one vectorised pass.

    Raises:
        DocumentError: the three documents do not fit together (see `check_market`, `check_model`).
    """
    check_model(model, universe)
    values = value(universe, market)
    scenarios = model.scenarios
    spot = np.array([[float(s.spot[name]) for name in universe.underlyings] for s in scenarios])[:, values.underlying]
    basis = np.array([[float(s.basis)] for s in scenarios]) * np.ones(len(values.lot))
    volatility = volatility_moves([s.volatility for s in scenarios], universe, values)
    long, short = model.charges.fractions(universe)
    return Revaluation(
        lot=values.lot,
        profit=values.profit,
        now=values.now,
        shocked=values.under(spot, volatility, basis),
        coverage=np.array([float(s.coverage) for s in scenarios]),
        charge_long=values.charge(long),
        charge_short=values.charge(short),
    )


def compile_weights(model: ScanModel, universe: Universe, market: Market) -> TrueWeights:
    """Compile the true weights of one lot of every instrument and side.

    Raises:
        DocumentError: the three documents do not fit together.
        OffsettingPairGain: long plus short of one instrument has positive weight in a row.
        NonFiniteWeight: a weight is not finite.
    """
    values = revalue(model, universe, market)
    scan = values.coverage[:, None] * (values.shocked - values.now)

    def weights(factor: float) -> tuple[Floats, Floats]:
        moved = values.lot * (factor * scan + values.profit)
        return moved - factor * values.charge_long, -moved - factor * values.charge_short

    return lot_weights(universe, model.hash(), model.labels, weights(1.0), weights(float(model.initial_factor)))
