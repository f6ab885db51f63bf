"""The scan model: a published list of scenarios and charges, in the manner of SPAN and of portfolio margin grids.

Anyone may read it. A scenario moves the spot of every underlying, implied volatilities (all by one factor, or by
underlying and time to expiry) and the basis of dated forwards, and counts a fraction (coverage) of the result, as SPAN
counts its extreme moves at 35 % (CME, "CME SPAN methodology").

>>> model = ScanModel.parse({
...     "format": "atomic-margin/model/1", "name": "scan", "initial_factor": "1.3", "minimum_transfer_amount": "100000",
...     "charges": {"perpetual": "0.005", "future": "0.005", "option_long": "0.001", "option_short_minimum": "0.01"},
...     "scenarios": [{"label": "crash", "spot": {"BTC": "-0.2"}, "volatility": "0.5", "basis": "0", "coverage": "1"}]})
>>> model.labels
('crash',)
"""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.strict import Document, IdMap, Label, NonEmptyListOf, Part, in_range, require_unique
from atomic_margin.margin.collateral import SpotMoves
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.volatility_moves import ScenarioVolatility, check_underlyings


class Scenario(Part):
    """One row of the model.

    Attributes:
        label: of the row.
        spot: relative move of each underlying's spot, above -1; perpetuals and forwards move with it.
        volatility: relative move of implied volatilities, at least -1: one factor for all of them, or a move for every
            underlying, each a factor or nodes by days to expiry (`volatility_moves`).
        basis: relative move of dated forwards (futures, and options through them) against spot, above -1; spot,
            perpetuals and collateral do not have it.
        coverage: fraction of the result that counts, above 0 and at most 1.
    """

    label: Label
    spot: IdMap[Annotated[Decimal, in_range("-1", "10", above=True)]]
    volatility: ScenarioVolatility
    basis: Annotated[Decimal, in_range("-1", "10", above=True)]
    coverage: Annotated[Decimal, in_range("0", "1", above=True)]


class ScanModel(Document):
    """A margin model, format ``atomic-margin/model/1``, name ``scan``.

    Attributes:
        scenarios: the rows, in order.
        charges: per lot, as fractions of spot.
        initial_factor: initial margin counts what positions gain or lose in a scenario, and charges, this many times;
            the moves are those of maintenance margin. Collateral moves by this many times as much of spot.
        minimum_transfer_amount: USD; no margin call is smaller.
    """

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["scan"]
    initial_factor: Annotated[Decimal, in_range("1", "10")]
    minimum_transfer_amount: Annotated[Decimal, in_range("0", "1000000000000")]
    charges: LotCharges
    scenarios: NonEmptyListOf[Scenario]

    @model_validator(mode="after")
    def _check(self) -> "ScanModel":
        require_unique((item.label for item in self.scenarios), "scenarios[{}].label".format)
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Row labels, in order."""
        return tuple(item.label for item in self.scenarios)

    @property
    def spot_moves(self) -> SpotMoves:
        """What collateral goes by: the spot moves of the scenarios, with their coverage."""
        return SpotMoves.of(self.scenarios, self.initial_factor)


def check_model(model: ScanModel, universe: Universe) -> None:
    """Raise UnknownUnderlying unless every scenario moves exactly the underlyings of ``universe``."""
    for index, scenario in enumerate(model.scenarios):
        check_underlyings(scenario.spot, f"scenarios[{index}].spot", universe)
        if not isinstance(scenario.volatility, Decimal):
            check_underlyings(scenario.volatility, f"scenarios[{index}].volatility", universe)
