"""What a margin model says of collateral: how spot moves in each of its rows, and how much of a move counts there.

Every model hands this to `values` and `transfer`, which know nothing else of models. Collateral moves with spot alone.

>>> moves = SpotMoves(("crash",), ({"BTC": Decimal("-0.2")},), (Decimal(1),), Decimal("1.3"))
>>> moves.now().labels, moves.now().spot[0]["BTC"] == 0
(('now',), True)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from atomic_margin.margin.errors import MovesMismatch


class Scenario(Protocol):
    """What a published scenario has of a row."""

    @property
    def label(self) -> str:
        """Of the row."""

    @property
    def spot(self) -> Mapping[str, Decimal]:
        """Relative move of each underlying's spot."""

    @property
    def coverage(self) -> Decimal:
        """Fraction of the move that counts."""


@dataclass(frozen=True)
class SpotMoves:
    """Spot moves of R rows.

    Attributes:
        labels: R row labels.
        spot: R maps from underlyings to the relative move of their spot, above -1.
        coverage: (R,) fraction of the move that counts, above 0 and at most 1.
        initial_factor: under initial margin collateral moves by this many times as much, at least 1.

    Raises:
        MovesMismatch: not as many labels, moves and coverages.
    """

    labels: tuple[str, ...]
    spot: tuple[Mapping[str, Decimal], ...]
    coverage: tuple[Decimal, ...]
    initial_factor: Decimal

    def __post_init__(self) -> None:
        if not len(self.labels) == len(self.spot) == len(self.coverage) > 0:
            raise MovesMismatch(
                f"{len(self.labels)} labels, {len(self.spot)} moves and {len(self.coverage)} coverages: give one of "
                "each for every row, and at least one row"
            )

    @classmethod
    def of(cls, scenarios: Sequence[Scenario], initial_factor: Decimal) -> "SpotMoves":
        """Return the moves of published scenarios, one row each."""
        return cls(
            tuple(item.label for item in scenarios),
            tuple(item.spot for item in scenarios),
            tuple(item.coverage for item in scenarios),
            initial_factor,
        )

    @classmethod
    def full(cls, labels: Sequence[str], spot: Sequence[Mapping[str, Decimal]], initial_factor: Decimal) -> "SpotMoves":
        """Return moves that count in full."""
        return cls(tuple(labels), tuple(spot), (Decimal(1),) * len(labels), initial_factor)

    def now(self) -> "SpotMoves":
        """Return one row in which no underlying moves: collateral as it is."""
        return SpotMoves.full(("now",), (dict.fromkeys(self.spot[0], Decimal(0)),), self.initial_factor)

    def with_now(self) -> "SpotMoves":
        """Return the same rows after one in which nothing moves."""
        now = self.now()
        return SpotMoves(
            (*now.labels, *self.labels), now.spot + self.spot, now.coverage + self.coverage, self.initial_factor
        )

    def __len__(self) -> int:
        """R."""
        return len(self.labels)
