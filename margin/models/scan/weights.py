"""From model, universe and prices to true weights: what one lot adds to the account's surplus in each scenario, in USD.

Operator, agent and verifier all call `compile_weights` on the same signed prices; only its rounding into a matrix
(`rows.rounding`) is compared between them. Positions are margined futures-style: profit and loss counts from a
published reference price, options included. With V_0 the value of one unit of underlying's worth of the contract now,
V_s in the scenario, f the model's initial factor and charge = fraction * spot * lot,

    maintenance, long    lot * (coverage * (V_s - V_0) + (V_0 - Ref)) - charge
    initial, long        lot * (f * coverage * (V_s - V_0) + (V_0 - Ref)) - f * charge

and a short lot has the opposite sign before its own charge. The column of digit d weighs 32^d lots.
"""

from dataclasses import dataclass

import numpy as np

from atomic_margin.documents.strict import format_instant
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.instruments import SIDES
from atomic_margin.margin.market.market import Market, check_market
from atomic_margin.margin.market.pricing import Floats, black76
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.scan.document import ScanModel, check_model
from atomic_margin.margin.rows.weights import TrueWeights, check_offsetting_pairs


@dataclass(frozen=True)
class Revaluation:
    """Instrument values, USD per unit of underlying, I instruments and R scenarios.

    Attributes:
        lot: (I,) contract sizes.
        reference: (I,) reference prices.
        now: (I,) values V_0.
        shocked: (R, I) values V_s.
        coverage: (R,) coverage fractions.
        charge_long: (I,) charge of one long lot, USD.
        charge_short: (I,) charge of one short lot, USD.
    """

    lot: Floats
    reference: Floats
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
    check_market(market, universe)
    check_model(model, universe)
    items = universe.instruments
    names = {name: index for index, name in enumerate(universe.underlyings)}
    quotes = [market.underlyings[item.underlying] for item in items]
    by_expiry = [
        q.expiries[format_instant(item.expiry)] if item.expiry else None for item, q in zip(items, quotes, strict=True)
    ]
    forward = np.array([float(e.forward if e else q.perpetual) for e, q in zip(by_expiry, quotes, strict=True)])
    is_option = np.array([item.kind == "option" for item in items])
    is_call = np.array([item.right == "call" for item in items])
    is_dated = np.array([item.kind != "perpetual" for item in items])
    strike = np.array([float(item.strike or 1) for item in items])
    volatility = np.array(
        [
            float(e.volatility(item.strike) or 0) if e and item.strike else 0.0
            for e, item in zip(by_expiry, items, strict=True)
        ]
    )
    years = np.array([market.years_to(item.expiry) if item.kind == "option" and item.expiry else 0.0 for item in items])
    rate = float(market.rate)

    scenarios = model.scenarios
    moves = np.array([[float(s.spot[name]) for name in names] for s in scenarios])
    spot_move = moves[:, [names[item.underlying] for item in items]]
    basis_move = np.array([[float(s.basis)] for s in scenarios]) * is_dated
    volatility_move = np.array([[float(s.volatility)] for s in scenarios])

    def value(prices: Floats, volatilities: Floats) -> Floats:
        options = black76(prices, strike, volatilities, years, is_call, rate)
        return np.where(is_option, options, prices)

    lot = np.array([float(item.lot) for item in items])
    lot_spot = lot * np.array([float(q.spot) for q in quotes])
    charges = model.charges
    long = {"perpetual": charges.perpetual, "future": charges.future, "option": charges.option_long}
    short = {**long, "option": charges.option_short_minimum}
    with np.errstate(over="ignore"):
        return Revaluation(
            lot=lot,
            reference=np.array([float(item.reference_price) for item in items]),
            now=value(forward, volatility),
            shocked=value(forward * (1 + spot_move) * (1 + basis_move), volatility * (1 + volatility_move)),
            coverage=np.array([float(s.coverage) for s in scenarios]),
            charge_long=lot_spot * np.array([float(long[item.kind]) for item in items]),
            charge_short=lot_spot * np.array([float(short[item.kind]) for item in items]),
        )


def compile_weights(model: ScanModel, universe: Universe, market: Market) -> TrueWeights:
    """Compile the true weights of every column, digit multiples included.

    Raises:
        DocumentError: the three documents do not fit together.
        OffsettingPairGain: long plus short of one instrument has positive weight in a row.
        NonFiniteWeight: a weight is not finite.
    """
    entry_map = EntryMap.of(universe)
    values = revalue(model, universe, market)
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    count = len(index)
    column_of = np.array([SIDES.index(c.side) * count + index[c.instrument] for c in entry_map.columns])
    lots = np.array([float(c.lots) for c in entry_map.columns])
    scan = values.coverage[:, None] * (values.shocked - values.now)
    profit = values.now - values.reference

    def weights(factor: float) -> Floats:
        moved = values.lot * (factor * scan + profit)
        long, short = moved - factor * values.charge_long, -moved - factor * values.charge_short
        check_offsetting_pairs(long, short, model.labels, tuple(index))
        columns: Floats = np.concatenate([long, short], axis=1)[:, column_of] * lots
        return columns

    return TrueWeights(
        labels=model.labels,
        entries=entry_map.labels,
        model_hash=model.hash(),
        entry_map_hash=entry_map.hash(),
        maintenance=weights(1.0),
        initial=weights(float(model.initial_factor)),
    )
