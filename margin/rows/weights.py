"""True weights: what every column adds to every row before rounding, of both kinds of margin, USD.

Every model compiles its rows to these, with numpy float64; `rounding` makes integers of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atomic_margin.margin.errors import NonFiniteWeight, OffsettingPairGain
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.pricing import Floats, read_only


@dataclass(frozen=True)
class TrueWeights:
    """True weights, before rounding, USD, read-only, R rows and N columns.

    Attributes:
        labels: row labels.
        entries: column labels.
        model_hash: of the model.
        entry_map_hash: of the entry map.
        maintenance: (R, N) float64.
        initial: (R, N) float64.
    """

    labels: tuple[str, ...]
    entries: tuple[str, ...]
    model_hash: str
    entry_map_hash: str
    maintenance: Floats
    initial: Floats

    def __post_init__(self) -> None:
        shape = (len(self.labels), len(self.entries))
        for kind in KINDS:
            values = read_only(self.of(kind))
            if values.shape != shape or not np.isfinite(values).all():
                raise NonFiniteWeight(f"{kind} weights must be finite and of shape {shape}, got shape {values.shape}")
            object.__setattr__(self, kind, values)

    def of(self, kind: MarginKind) -> Floats:
        """Return the weights of one kind."""
        return self.maintenance if kind == "maintenance" else self.initial

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.labels), len(self.entries)


def check_offsetting_pairs(long: Floats, short: Floats, labels: tuple[str, ...], instruments: tuple[str, ...]) -> None:
    """Make sure a long and a short lot of one instrument together never add margin.

    Only then is it harmless that a vector may hold both, or spell the same lots in other digits.

    Args:
        long: (R, I) weights of one long lot, USD.
        short: (R, I) weights of one short lot, USD.
        labels: R row labels.
        instruments: I identifiers.

    Raises:
        OffsettingPairGain: naming the first such row and instrument.
    """
    both = long + short
    gains = np.argwhere(both > 0)
    if gains.size:
        row, column = (int(i) for i in gains[0])
        raise OffsettingPairGain(
            f"row {labels[row]!r}: long plus short of {instruments[column]} weighs {both[row, column]:+g} USD a lot; "
            "its charges must not sum to less than zero"
        )
