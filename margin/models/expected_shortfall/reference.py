"""Expected shortfall of a book in plain floating point, straight from positions: what the rows are held against.

For the institution and for tests. The loss of move s is that of the whole account, collateral that moves with spot
included; expected shortfall is the average of the k = a S largest losses, the last of them counted in part:

    surplus = profit so far + collateral now - charges - ES(losses)            (maintenance)
    surplus = profit so far + collateral now - f charges - ES(losses_f)        (initial)

with f times what positions gain or lose under the same moves in losses_f, and collateral as `collateral` values it for
initial margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, collateral_values
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.breakdown import BindingRow
from atomic_margin.margin.models.expected_shortfall.cover import tail_average
from atomic_margin.margin.models.expected_shortfall.document import ExpectedShortfallModel
from atomic_margin.margin.models.moves import lots_of, revalue_moves
from atomic_margin.margin.models.surplus import RowSurplus


@dataclass(frozen=True)
class ExpectedShortfall:
    """An account's expected shortfall, USD.

    Attributes:
        profit: profit and loss of the book since it was traded, as of now.
        charges: on gross lots, maintenance.
        collateral: posted collateral after haircut, now.
        losses: (S,) of the account under each move, maintenance; gains are negative.
        value_at_risk: the smallest loss that at most a fraction a of the moves exceed, maintenance.
        maintenance_shortfall: expected shortfall of `losses`.
        initial_shortfall: likewise for initial margin.
        maintenance: surplus under maintenance margin.
        initial: surplus under initial margin.
        maintenance_requirement: expected shortfall of the positions alone plus charges, at least 0.
        initial_requirement: likewise for initial margin.
    """

    profit: float
    charges: float
    collateral: float
    losses: Floats
    value_at_risk: float
    maintenance_shortfall: float
    initial_shortfall: float
    maintenance: float
    initial: float
    maintenance_requirement: float
    initial_requirement: float

    def of(self, kind: MarginKind) -> float:
        """Return the surplus of one kind."""
        return self.maintenance if kind == "maintenance" else self.initial

    def shortfall(self, kind: MarginKind) -> float:
        """Return max(0, -surplus), USD."""
        return max(0.0, -self.of(kind))


def value_at_risk(losses: Floats, depth: Fraction) -> float:
    """Return the loss that at most ``depth`` of the S moves exceed, the smallest such: the ⌊k⌋ + 1-th largest.

    At k = S it is the smallest loss. Rockafellar & Uryasev 2002 (their α is 1 - a).
    """
    ordered = np.sort(losses)[::-1]
    return float(ordered[min(int(depth), len(ordered) - 1)])


def collateral_moves(
    model: ExpectedShortfallModel, schedule: CollateralSchedule, market: Market, holdings: Mapping[str, int]
) -> tuple[float, CollateralValues]:
    """Return what posted collateral is worth now, and what it gains under each move, both after haircut, USD.

    Raises:
        UnknownAsset, NegativeHolding, OutOfRange, UnpricedAsset, UnknownUnderlying: see `collateral.collateral_values`.
    """
    values = collateral_values(schedule, model.spot_moves, market, holdings)
    now = float(values.maintenance[0])
    return now, CollateralValues(values.maintenance[1:] - now, values.initial[1:] - now)


def expected_shortfall(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    holdings: Mapping[str, int],
) -> ExpectedShortfall:
    """Return the expected shortfall and the surplus of a book with ``holdings`` posted (smallest units), unrounded.

    Raises:
        DocumentError: the documents do not fit together.
    """
    long, short = lots_of(portfolio, universe)
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    now, gains = collateral_moves(model, schedule, market, holdings)
    scan = values.gain @ (long - short)
    profit = float(values.profit @ (long - short)) + float(portfolio.cash_against(universe))
    charges = float(values.charge_long @ long + values.charge_short @ short)
    factor, depth = float(model.initial_factor), float(model.depth)
    maintenance = float(tail_average(-scan - gains.maintenance, depth))
    initial = float(tail_average(-factor * scan - gains.initial, depth))
    alone = float(tail_average(-scan, depth)) + charges
    return ExpectedShortfall(
        profit=profit,
        charges=charges,
        collateral=now,
        losses=-scan - gains.maintenance,
        value_at_risk=value_at_risk(-scan - gains.maintenance, model.depth),
        maintenance_shortfall=maintenance,
        initial_shortfall=initial,
        maintenance=profit + now - charges - maintenance,
        initial=profit + now - factor * charges - initial,
        maintenance_requirement=max(0.0, alone),
        initial_requirement=max(0.0, factor * alone),
    )


def surplus_by_move(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    holdings: Mapping[str, int],
) -> RowSurplus:
    """Return what the account has left if each single move comes true, unrounded; arguments as `expected_shortfall`.

    Raises:
        DocumentError: the documents do not fit together.
    """
    long, short = lots_of(portfolio, universe)
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    now, gains = collateral_moves(model, schedule, market, holdings)
    here = float(values.profit @ (long - short)) + float(portfolio.cash_against(universe)) + now
    charges = float(values.charge_long @ long + values.charge_short @ short)
    scan = values.gain @ (long - short)
    left = {
        kind: here + factor * (scan - charges) + gains.of(kind)
        for kind, factor in zip(KINDS, (1.0, float(model.initial_factor)), strict=True)
    }
    return RowSurplus(model.labels, left["maintenance"], left["initial"])


def tail_weights(losses: Floats, depth: Fraction) -> Floats:
    """Return the weights, (S,), with which losses enter their `tail_average`; they sum to 1.

    >>> tail_weights(np.array([1.0, 3.0, 2.0]), Fraction(3, 2)).round(4).tolist()
    [0.0, 0.6667, 0.3333]
    """
    whole = min(int(depth), len(losses))
    order = np.argsort(-losses, kind="stable")
    weights = np.zeros(len(losses))
    weights[order[:whole]] = 1 / float(depth)
    if depth > whole and len(losses) > whole:
        weights[order[whole]] = float(depth - whole) / float(depth)
    return weights


def tail_row(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    schedule: CollateralSchedule,
    portfolio: Portfolio,
    holdings: Mapping[str, int],
    kind: MarginKind,
) -> BindingRow:
    """Return the excess as a sum over lots: each counts with its average over the moves in the account's tail.

    These are the Euler contributions of expected shortfall, D. Tasche, "Risk contributions and performance
    measurement" (1999).

    Raises:
        DocumentError: the documents do not fit together.
    """
    left = surplus_by_move(model, universe, market, schedule, portfolio, holdings).of(kind)
    weights = tail_weights(-left, model.depth)
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    now, gains = collateral_moves(model, schedule, market, holdings)
    factor = float(model.initial_factor) if kind == "initial" else 1.0
    moved = factor * (weights @ values.gain) + values.profit
    return BindingRow(
        label=f"average of the worst {float(model.depth):g} of {len(model.scenarios)} moves",
        long=moved - factor * values.charge_long,
        short=-moved - factor * values.charge_short,
        collateral={"collateral": now + float(weights @ gains.of(kind))},
    )
