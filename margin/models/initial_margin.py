"""Whether initial margin may ask for less than maintenance margin: a book in breach would lack no initial margin then.

Initial margin counts gains too. Of one account let E(f) be a margin row, with the slack that leaves most, in which what
a scenario changes of positions counts f times, charges count f times, and collateral moves by f times as much.
Maintenance margin is E(1); initial margin is E(F) with F >= 1, or less.

**Claim.** If E is concave, and some initial row is at most E(0) for any book, then a negative maintenance row leaves
some initial row negative. *Proof.* E(1) >= (1 - 1/F) E(0) + E(F) / F, so if E(1) < 0, E(0) or E(F) is negative. ∎

What an agreement adds, no more to initial rows than to others, changes nothing of that, nor does rounding, which raises
no row: only a breach that rounding alone makes may lack no initial margin. Positions and charges are linear in f; what
venues spare each other is concave, and expected shortfall convex. So it takes two things:

- *A row without a gain*: nothing moves in it, so it is E(0) less charges (`check_unchanged`). An average over a tail is
  such a row if as many moves as the tail has move nothing, for then it is never a gain.
- *Collateral with room* (`check_collateral`): its worth is concave in f until it is worth nothing and loses no more.

With F = 1 rows of both kinds are the same, and it takes neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from atomic_margin.margin.collateral import CollateralSchedule, SpotMoves
from atomic_margin.margin.errors import InitialBelowMaintenance
from atomic_margin.margin.models.volatility_moves import TenorNode


class Scenario(Protocol):
    """What published scenarios have in common."""

    @property
    def spot(self) -> Mapping[str, Decimal]:
        """Relative move of each underlying's spot."""

    @property
    def volatility(self) -> "Decimal | Mapping[str, Decimal | tuple[TenorNode, ...]]":
        """Relative moves of implied volatilities."""

    @property
    def basis(self) -> Decimal | Mapping[str, Decimal]:
        """Relative moves of dated forwards against spot."""


def check_unchanged(scenarios: Sequence[Scenario], least: Fraction = Fraction(1)) -> None:
    """Make sure that at least so many scenarios move nothing.

    Raises:
        InitialBelowMaintenance: there are fewer.
    """
    found = sum(not any(_moves(item)) for item in scenarios)
    if found < least:
        needed = -(-least.numerator // least.denominator)
        as_many = "" if needed == 1 else ", as many as the tail has"
        raise InitialBelowMaintenance(
            "scenarios",
            f"{found} of them move nothing, and it takes {needed}{as_many}: a book that gains in all "
            "others may be in breach of maintenance margin and lack no initial margin; add such with spot, volatility "
            "and basis 0, or set `initial_factor` to 1",
        )


def check_collateral(moves: SpotMoves, schedule: CollateralSchedule) -> None:
    """Make sure that no collateral would lose more than all under initial margin.

    Raises:
        InitialBelowMaintenance: an asset would.
    """
    for index, asset in enumerate(schedule.assets):
        for label, spot, coverage in zip(moves.labels, moves.spot, moves.coverage, strict=True):
            move = Fraction(spot.get(asset.risk_underlying or "", Decimal(0)))
            if 1 + Fraction(moves.initial_factor) * Fraction(coverage) * move < 0:
                raise InitialBelowMaintenance(
                    f"assets[{index}].risk_underlying",
                    f"in scenario {label!r} {asset.id} would lose more than all of its value under initial margin, and "
                    "it loses all at most: a book against it may be in breach of maintenance margin and lack no "
                    "initial margin; publish a smaller move or initial factor, or take no such collateral",
                )


def _moves(scenario: Scenario) -> Iterable[Decimal]:
    """Yield every move of a scenario."""
    for of in (scenario.spot, scenario.volatility, scenario.basis):
        for move in of.values() if isinstance(of, Mapping) else (of,):
            yield from (move,) if isinstance(move, Decimal) else (node.move for node in move)
