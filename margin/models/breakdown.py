"""An account's excess taken apart: scenario by scenario, and the binding row lot by lot. Plain floating point.

For `universe` and its models, whose `scenario_surplus` and `binding_row` `margin.analysis` asks for. A model whose
conservative rows are exact has both from them; one with kinks says itself which line binds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import ordered_sum
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.surplus import RowSurplus
from atomic_margin.margin.rows.weights import TrueWeights


@dataclass(frozen=True)
class BindingRow:
    """The row that binds for one account, as a sum, I instruments; USD.

    The excess is what its lots add, and its cash, and all of `collateral` and `constants`.

    Attributes:
        label: of the row.
        long: (I,) what one long lot adds, profit since the reference price and charges included.
        short: (I,) likewise for a short lot.
        collateral: what is posted, as the row counts it, by pool.
        constants: what belongs to no line, by name, such as a transfer limit that binds.
    """

    label: str
    long: Floats
    short: Floats
    collateral: Mapping[str, float]
    constants: Mapping[str, float] = field(default_factory=dict)


def surplus_of_rows(
    weights: TrueWeights, collateral: CollateralValues, lots: tuple[Floats, Floats], cash: float
) -> RowSurplus:
    """Return the surplus in every row of single lots.

    Args:
        weights: of single lots, long ones before short ones, R rows.
        collateral: (R,) of each kind.
        lots: long and short lots, (I,) each.
        cash: of the account, USD.
    """
    held = [*lots[0], *lots[1]]
    found = {kind: ordered_sum(weights.of(kind) * held, axis=1) + cash + collateral.of(kind) for kind in KINDS}
    return RowSurplus(weights.labels, found["maintenance"], found["initial"])


def row_that_binds(
    weights: TrueWeights, collateral: CollateralValues, surplus: RowSurplus, kind: MarginKind
) -> BindingRow:
    """Return the row of least surplus, from the arguments and the result of `surplus_of_rows`."""
    row = int(surplus.of(kind).argmin())
    count = weights.shape[1] // 2
    values = weights.of(kind)[row]
    return BindingRow(
        label=weights.labels[row],
        long=values[:count],
        short=values[count:],
        collateral={"collateral": float(collateral.of(kind)[row])},
    )
