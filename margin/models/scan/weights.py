"""From model, universe and prices to true weights: what one lot adds to the account's surplus in each scenario, in USD.

Operator, agent and verifier all call `compile_weights` on the same signed prices; only its rounding into a matrix
(`rows.rounding`) is compared between them. Positions are margined futures-style: profit and loss counts from a
published reference price, options included. With V_0 the value of one unit of underlying's worth of the contract now,
V_s in the scenario, P the profit so far (`market.valuation`), f the model's initial factor and
charge = fraction * spot * lot,

    maintenance, long    lot * (coverage * (V_s - V_0) + P) - charge
    initial, long        lot * (f * coverage * (V_s - V_0) + P) - f * charge

and a short lot has the opposite sign before its own charge.
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
