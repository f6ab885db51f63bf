"""What the plain references of models with one surplus a row have in common."""

from dataclasses import dataclass

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.pricing import Floats


@dataclass(frozen=True)
class RowSurplus:
    """Surplus of an account in every row, USD.

    Attributes:
        labels: R row labels.
        maintenance: (R,) surplus under maintenance margin; negative means that the row is not covered, and by how much.
        initial: (R,) likewise under initial margin.
    """

    labels: tuple[str, ...]
    maintenance: Floats
    initial: Floats

    def of(self, kind: MarginKind) -> Floats:
        """Return the surplus of one kind."""
        return self.maintenance if kind == "maintenance" else self.initial

    def shortfall(self, kind: MarginKind) -> float:
        """Return max(0, -min over rows), USD: the least cash that covers every row."""
        return max(0.0, -float(self.of(kind).min()))

    def worst(self, kind: MarginKind) -> str:
        """Return the label of the row with the least surplus."""
        return self.labels[int(self.of(kind).argmin())]
