"""Joint market moves, and the universe revalued under them, with a volatility and a basis move for each underlying.

For `expected_shortfall` and `cross_margin`. A move is one row of data: what spot, implied volatility and basis of every
underlying did together, as relative changes; where it came from (history, a generator, a stress committee) does not
matter here.

>>> JointMove.model_validate({
...     "label": "2020-03-12", "spot": {"BTC": "-0.39"}, "volatility": {"BTC": "1.1"}, "basis": {"BTC": "-0.02"}}).label
'2020-03-12'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import numpy as np

from atomic_margin.documents.strict import IdMap, Label, Part, in_range
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.market.valuation import value
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.volatility_moves import VolatilityMove, check_underlyings, volatility_moves

MoveOf = IdMap[Annotated[Decimal, in_range("-1", "10", above=True)]]


class JointMove(Part):
    """One joint move of all underlyings.

    Attributes:
        label: of the move, such as its date.
        spot: relative move of each underlying's spot, above -1 and at most 10; perpetuals and forwards move with it.
        volatility: relative move of each underlying's implied volatilities, at least -1 and at most 10; a factor for
            all expiries, or nodes by days to expiry (`volatility_moves`).
        basis: relative move of each underlying's dated forwards against its spot, above -1 and at most 10.
    """

    label: Label
    spot: MoveOf
    volatility: IdMap[VolatilityMove]
    basis: MoveOf


@dataclass(frozen=True)
class Values:
    """Instruments now and under S moves, I instruments; read-only. All in USD a lot.

    Attributes:
        profit: (I,) since the reference prices, funding taken off.
        gain: (S, I) value under each move minus value now.
        charge_long: (I,) charge of a long lot.
        charge_short: (I,) charge of a short lot.
    """

    profit: Floats
    gain: Floats
    charge_long: Floats
    charge_short: Floats


def check_moves(moves: Sequence[JointMove], path: str, universe: Universe) -> None:
    """Raise UnknownUnderlying unless every move names exactly the underlyings of ``universe``, in all three maps."""
    for index, move in enumerate(moves):
        for field in ("spot", "volatility", "basis"):
            check_underlyings(getattr(move, field), f"{path}[{index}].{field}", universe)


def revalue_moves(moves: Sequence[JointMove], charges: LotCharges, universe: Universe, market: Market) -> Values:
    """Value every instrument of ``universe`` now and under every move, in one vectorised pass.

    Raises:
        DocumentError: market and universe do not fit together (see `check_market`).
        UnknownUnderlying: a move misses an underlying, or has one too many.
    """
    check_moves(moves, "scenarios", universe)
    values = value(universe, market)
    spot, basis = (
        np.array([[float(getattr(move, field)[name]) for name in universe.underlyings] for move in moves])[
            :, values.underlying
        ]
        for field in ("spot", "basis")
    )
    volatility = volatility_moves([move.volatility for move in moves], universe, values)
    long, short = charges.fractions(universe)
    return Values(
        profit=read_only(values.lot * values.profit),
        gain=read_only(values.lot * (values.under(spot, volatility, basis) - values.now)),
        charge_long=read_only(values.charge(long)),
        charge_short=read_only(values.charge(short)),
    )


def lots_of(portfolio: Portfolio, universe: Universe) -> tuple[Floats, Floats]:
    """Return long and short lots, each of shape (I,), in the universe's order.

    Raises:
        UnknownInstrument: a line's instrument is not in the universe.
    """
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    long, short = np.zeros(len(index)), np.zeros(len(index))
    for number, line in enumerate(portfolio.lines):
        universe.named(line.instrument, f"lines[{number}].instrument")
        (long if line.side == "long" else short)[index[line.instrument]] += line.lots
    return long, short
