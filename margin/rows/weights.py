"""True weights: what every column adds to every row before rounding, of both kinds of margin, USD.

Every model compiles its rows to these, with numpy float64. They come twice: first a column for one lot of every
instrument and side, which depends on no account and is compiled once a tick (`lot_weights`); then, `spread`, the
columns of an account's entry map, cash included; `rounding` makes integers of those.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.errors import MatrixMismatch, NonFiniteWeight, OffsettingPairGain
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.entries import EntryMap, lot_label
from atomic_margin.margin.market.instruments import SIDES
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.market.universe import Universe

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrueWeights:
    """True weights, before rounding, USD, read-only, R rows and N columns.

    Attributes:
        labels: row labels.
        entries: column labels; of single lots, `entries.lot_label`.
        model_hash: of the model.
        entry_map_hash: of the entry map; of single lots, of the universe.
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

    def spread(self, entry_map: EntryMap, with_cash: Booleans | None = None) -> "TrueWeights":
        """Return the weights of an account's columns from those of single lots.

        Multiples are powers of two and a unit of cash weighs its cash lots in every row that has cash, so nothing is
        rounded here.

        Args:
            entry_map: of the account, of the same universe.
            with_cash: (R,) rows in which cash counts; None for all.

        Raises:
            MatrixMismatch: the weights are not of single lots of the entry map's universe.
        """
        if self.entry_map_hash != entry_map.universe_hash:
            raise MatrixMismatch("the weights are compiled for another universe than the entry map's")
        source, lots = entry_map.sources(self.entries)
        cash = np.ones(len(self.labels)) if with_cash is None else with_cash.astype(np.float64)

        def columns(values: Floats) -> Floats:
            spread = values[:, source] * lots
            spread[:, entry_map.is_cash] = cash[:, None] * entry_map.cash_values[entry_map.is_cash]
            return spread

        return TrueWeights(
            labels=self.labels,
            entries=entry_map.labels,
            model_hash=self.model_hash,
            entry_map_hash=entry_map.hash(),
            maintenance=columns(self.maintenance),
            initial=columns(self.initial),
        )


def lot_weights(
    universe: Universe,
    model_hash: str,
    labels: tuple[str, ...],
    maintenance: tuple[Floats, Floats],
    initial: tuple[Floats, Floats],
    margin_rows: int | None = None,
) -> TrueWeights:
    """Return the true weights of single lots of a universe, long ones before short ones.

    Args:
        universe: the instruments.
        model_hash: of the model.
        labels: R row labels.
        maintenance: weights of one long and of one short lot, (R, I) each, USD.
        initial: likewise.
        margin_rows: how many rows, the first ones, are surpluses of an account; None for all. Only in these must long
            and short lots together add nothing.

    Raises:
        OffsettingPairGain: long plus short of one instrument has positive weight in a row.
        NonFiniteWeight: a weight is not finite.
    """
    names = tuple(item.id for item in universe.instruments)
    for long, short in (maintenance, initial):
        check_offsetting_pairs(long[:margin_rows], short[:margin_rows], labels, names)
    return TrueWeights(
        labels=labels,
        entries=single_lots(universe),
        model_hash=model_hash,
        entry_map_hash=universe.hash(),
        maintenance=np.concatenate(maintenance, axis=1),
        initial=np.concatenate(initial, axis=1),
    )


def single_lots(universe: Universe) -> tuple[str, ...]:
    """Return the labels of the single lots of a universe, long ones before short ones."""
    return tuple(lot_label(item.id, side) for side in SIDES for item in universe.instruments)


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
