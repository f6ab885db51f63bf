"""What the plain references of both versions say of an account; each adds the contingencies of its own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.model import BASIS


@dataclass(frozen=True)
class CaseMargin(ABC):
    """Margin of an account, R scenarios over E expiries with a position. Money is in the currency of cash.

    Attributes:
        labels: R scenario labels.
        losses: (R,) profit (positive) or loss (negative) under each scenario: after the static discount, and dampened
            where the version dampens.
        expiries: E seconds to expiry, ascending.
        expiry_values: (E,) value of each expiry's options now.
        expiry_shocked: (R, E) value under each scenario, before the static discount.
        expiry_basis: (E,) charge for the basis of each expiry, at most 0.
        mark_to_market: value of the account now, cash included.
        min_span: the least of ``losses``.
        initial_excess: mark to market less the initial margin requirement.
        maintenance_excess: mark to market less the maintenance margin requirement.
    """

    labels: tuple[str, ...]
    losses: Floats
    expiries: tuple[Decimal, ...]
    expiry_values: Floats
    expiry_shocked: Floats
    expiry_basis: Floats
    mark_to_market: float
    min_span: float
    initial_excess: float
    maintenance_excess: float

    @property
    @abstractmethod
    def basis_loss(self) -> float:
        """The sum of ``expiry_basis``."""

    @abstractmethod
    def factor_of(self, kind: MarginKind) -> float:
        """Multiplier of losses in one kind of margin."""

    def excess_of(self, kind: MarginKind) -> float:
        """Mark to market less the requirement of one kind."""
        return self.maintenance_excess if kind == "maintenance" else self.initial_excess

    @property
    def worst(self) -> str:
        """Label of the binding scenario, or ``basis`` when the basis loss is worse."""
        return BASIS if self.basis_loss < self.min_span else self.labels[int(self.losses.argmin())]
