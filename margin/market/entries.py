"""The entry map: which column of a margin matrix stands for which instrument, side and radix digit.

Shared by all parties and named by its hash. Columns follow the universe's instruments; within one, long digits from
the lowest up, then short digits. Digit d counts 32^d lots and is 5 bits wide, so weights are rounded once per digit,
not once per lot.

>>> from atomic_margin.margin.market.universe import Universe
>>> entry_map = EntryMap.of(Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "96420.5"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "96431", "digits": "2"}]}))
>>> entry_map.labels
('BTC-PERP:long:0', 'BTC-PERP:long:1', 'BTC-PERP:short:0', 'BTC-PERP:short:1')
>>> entry_map.gross_weights
(9643, 308576, 9643, 308576)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.errors import EntryOutOfRange
from atomic_margin.margin.market.instruments import SIDES, Side
from atomic_margin.margin.market.universe import Universe

RADIX_BITS = 5
RADIX = 1 << RADIX_BITS


@dataclass(frozen=True)
class Column:
    """One entry of the portfolio vector.

    Attributes:
        instrument: identifier of the instrument.
        side: long or short.
        digit: d; the entry counts 32^d lots.
        gross_weight: 32^d times the gross weight of one lot, in whole USD.
    """

    instrument: str
    side: Side
    digit: int
    gross_weight: int

    @property
    def lots(self) -> int:
        """Lots one unit of this entry stands for."""
        return 1 << RADIX_BITS * self.digit

    @property
    def label(self) -> str:
        """The column's label, such as ``BTC-PERP:long:0``."""
        return f"{self.instrument}:{self.side}:{self.digit}"


@dataclass(frozen=True)
class EntryMap:
    """The ordered columns of a universe, N of them.

    Attributes:
        universe_hash: hash of the universe they were made of.
        columns: the columns, in order.
    """

    universe_hash: str
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, universe: Universe) -> "EntryMap":
        """Return the entry map of ``universe``."""
        columns = tuple(
            Column(item.id, side, digit, universe.gross_weight(item) << RADIX_BITS * digit)
            for item in universe.instruments
            for side in SIDES
            for digit in range(item.digits)
        )
        return cls(universe.hash(), columns)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Column labels, in order."""
        return tuple(column.label for column in self.columns)

    @cached_property
    def gross_weights(self) -> tuple[int, ...]:
        """Public gross weights g, whole USD, in order."""
        return tuple(column.gross_weight for column in self.columns)

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each entry, in order."""
        return (RADIX_BITS,) * len(self.columns)

    @cached_property
    def first_column(self) -> dict[tuple[str, Side], int]:
        """Index of digit 0 of each instrument and side."""
        return {(c.instrument, c.side): index for index, c in enumerate(self.columns) if c.digit == 0}

    def hash(self) -> str:
        """Return the SHA-256, in hex, that names this map."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        columns = [
            {"label": c.label, "gross_weight": str(c.gross_weight), "width": str(RADIX_BITS)} for c in self.columns
        ]
        return canonical_hash("entry-map", {"universe": self.universe_hash, "columns": columns})

    def gross(self, z: npt.NDArray[np.int64]) -> int:
        """Return g·z, in whole USD, without rounding.

        Raises:
            EntryOutOfRange: ``z`` is no portfolio vector of this map.
        """
        check_entries(z, len(self))
        return sum(g * int(q) for g, q in zip(self.gross_weights, z, strict=True))


def check_entries(z: npt.NDArray[np.int64], entries: int) -> None:
    """Raise EntryOutOfRange unless ``z`` is an int64 vector of that many digits, each 0 to 31."""
    if z.shape != (entries,) or z.dtype != np.int64:
        raise EntryOutOfRange(f"an int64 vector of {entries} entries is wanted, got {z.dtype} of shape {z.shape}")
    bad = np.flatnonzero((z < 0) | (z >= RADIX))
    if bad.size:
        raise EntryOutOfRange(f"entry {bad[0]} is {z[bad[0]]}; digits are 0 to {RADIX - 1}")
