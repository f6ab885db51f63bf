"""The entry map: which column of a margin matrix stands for which instrument, side and tier, and which for cash.

Shared by all parties and named by its hash. Columns follow the universe's instruments; within one, long tiers from the
lowest up, then short ones. A tier counts so many lots a unit and is so many bits wide: radix-32 digits unless an
account chose otherwise (`columns`). Behind the instruments comes what trades have left in cash, receivable and
payable, in cash lots whose size goes by the account's gross limit (`market.cash`).

>>> from atomic_margin.margin.market.universe import Universe
>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "96420.5"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "96431", "digits": "2"}]})
>>> entry_map = EntryMap.of(universe, gross_limit=64_000_000, bits=24)
>>> entry_map.labels[:4]
('BTC-PERP:long:0', 'BTC-PERP:long:1', 'BTC-PERP:short:0', 'BTC-PERP:short:1')
>>> entry_map.gross_weights[:4], entry_map.widths[:4]
((9643, 308576, 9643, 308576), (5, 5, 5, 5))
>>> entry_map.labels[4:], entry_map.widths[4:]
(('cash:receivable:0', 'cash:receivable:1', 'cash:payable:0', 'cash:payable:1'), (10, 11, 10, 11))
>>> entry_map.cash_lot
Decimal('16')
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash
from atomic_margin.margin.errors import EntryOutOfRange, MatrixMismatch
from atomic_margin.margin.market.cash import CASH, CASH_SIDES, CashSide, cash_lot, cash_tiers, coarser
from atomic_margin.margin.market.instruments import SIDES, Instrument, Side
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.market.universe import Universe

RADIX_BITS = 5
RADIX = 1 << RADIX_BITS
MAX_WIDTH = 16
"""Bits of the widest entry there is."""

Tiers = tuple[tuple[int, int], ...]
"""Lots a unit counts, and bits, of every entry of a side."""


@dataclass(frozen=True)
class Column:
    """One entry of the portfolio vector.

    Attributes:
        instrument: identifier of the instrument, or `CASH`.
        side: long or short; receivable or payable for cash.
        tier: number of the entry within its side, from 0.
        lots: lots one unit of this entry stands for; cash lots for cash.
        width: bits of the entry.
        gross_weight: of one unit, in whole USD; 0 for cash, which has no risk of its own.
    """

    instrument: str
    side: Side | CashSide
    tier: int
    lots: int
    width: int
    gross_weight: int

    @property
    def is_cash(self) -> bool:
        """Whether the entry counts cash."""
        return self.instrument == CASH

    @property
    def label(self) -> str:
        """The column's label, such as ``BTC-PERP:long:0``."""
        return f"{self.instrument}:{self.side}:{self.tier}"

    @property
    def of(self) -> str:
        """Label of what it counts, `lot_label`."""
        return f"{self.instrument}:{self.side}"


def lot_label(instrument: str, side: Side) -> str:
    """Return the label of one lot of an instrument on one side, in the rows of a model before they have columns."""
    return f"{instrument}:{side}"


def radix_tiers(digits: int) -> Tiers:
    """Return the tiers of so many radix-32 digits."""
    return tuple((1 << RADIX_BITS * digit, RADIX_BITS) for digit in range(digits))


def positions(instrument: str, tiers: Tiers, gross_weight: int) -> Iterator[Column]:
    """Yield the columns of one instrument: long tiers, then short ones.

    Args:
        instrument: its identifier.
        tiers: of either side.
        gross_weight: of one lot, whole USD.
    """
    for side in SIDES:
        for tier, (lots, width) in enumerate(tiers):
            yield Column(instrument, side, tier, lots, width, gross_weight * lots)


@dataclass(frozen=True)
class EntryMap:
    """The ordered columns of an account, N of them.

    Attributes:
        universe_hash: hash of the universe they were made of.
        columns: the columns, in order.
        cash_lot: USD that one unit of the lowest cash entries counts; None where the columns have no cash.
    """

    universe_hash: str
    columns: tuple[Column, ...]
    cash_lot: Decimal | None = None

    @classmethod
    def of(
        cls,
        universe: Universe,
        gross_limit: int,
        bits: int,
        chosen: Mapping[str, Tiers] | None = None,
        weight_bits: int | None = None,
    ) -> "EntryMap":
        """Return the entry map of an account.

        Args:
            universe: the instruments.
            gross_limit: G, whole USD; the cash lot goes by it.
            bits: width of a row of the FHE profile, sign included; so does it by this.
            chosen: tiers of the instruments that the account's vector covers, by identifier; None for all of them, in
                the universe's digits.
            weight_bits: width of a weight of the FHE profile, sign included; None where weights are as wide as rows.
        """
        columns: list[Column] = []
        for item in universe.instruments:
            tiers = _tiers(item, chosen)
            columns += positions(item.id, tiers, universe.gross_weight(item)) if tiers else ()
        largest = max((column.gross_weight for column in columns), default=1)
        doubled = coarser(gross_limit, bits, largest=largest, weight_bits=weight_bits) if weight_bits else 0
        tiers = cash_tiers(bits, doubled, weight_bits)
        for side in CASH_SIDES:
            columns += (Column(CASH, side, tier, lots, width, 0) for tier, (lots, width) in enumerate(tiers))
        return cls(universe.hash(), tuple(columns), cash_lot(gross_limit, bits, doubled))

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

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bits of each entry, in order."""
        return tuple(column.width for column in self.columns)

    @cached_property
    def tiers(self) -> dict[str, tuple[int, Tiers]]:
        """First column and tiers of each instrument and side, by `lot_label`; cash likewise."""
        found: dict[str, tuple[int, Tiers]] = {}
        for index, column in enumerate(self.columns):
            first, tiers = found.get(column.of, (index, ()))
            found[column.of] = first, (*tiers, (column.lots, column.width))
        return found

    @cached_property
    def is_cash(self) -> npt.NDArray[np.bool_]:
        """(N,) which columns count cash."""
        return np.array([column.is_cash for column in self.columns], dtype=np.bool_)

    @cached_property
    def gross_divisors(self) -> Floats:
        """(N,) gross weights to divide weights by; infinite for cash, which the gross limit does not bound."""
        return read_only([float(c.gross_weight) if c.gross_weight else np.inf for c in self.columns])

    def cash_reach(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how far cash alone can move each row, (R,), from the integer weights of all columns, (R, N).

        Nobody bounds it but the widths of its entries. What raises a row and what lowers it count apart.
        """
        tops = (1 << np.array(self.widths, dtype=np.int64)[self.is_cash]) - 1
        cash = weights[:, self.is_cash]
        up, down = (np.maximum(sign * cash, 0) * tops for sign in (1, -1))
        reach: npt.NDArray[np.int64] = np.maximum(up.sum(axis=1), down.sum(axis=1))
        return reach

    @cached_property
    def most_payable(self) -> int:
        """The most units that the entries of payable cash count together, whatever a unit of them stands for."""
        return sum((1 << column.width) - 1 for column in self.columns if column.side == "payable")

    @cached_property
    def cash_values(self) -> Floats:
        """(N,) USD that one unit of a column of cash is worth to its holder; 0 elsewhere."""
        lot = float(self.cash_lot or 0)
        sign = {"receivable": lot, "payable": -lot}
        return read_only([sign[c.side] * c.lots if c.is_cash else 0.0 for c in self.columns])

    def sources(self, lots: tuple[str, ...]) -> tuple[npt.NDArray[np.intp], Floats]:
        """Return where columns come from: (N,) index among the labels of single lots, and (N,) lots of one unit.

        Columns of cash are among no lots; they point to the first, with no lots of it.

        Raises:
            MatrixMismatch: a column counts what is not there.
        """
        index = {label: number for number, label in enumerate(lots)}
        missing = [c.of for c in self.columns if not c.is_cash and c.of not in index]
        if missing:
            raise MatrixMismatch(f"the rows have no weight of {missing[0]}, which the entry map counts")
        source = [0 if c.is_cash else index[c.of] for c in self.columns]
        return np.array(source, dtype=np.intp), read_only([0.0 if c.is_cash else float(c.lots) for c in self.columns])

    def hash(self) -> str:
        """Return the SHA-256, in hex, that names this map."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        columns: list[CanonicalValue] = [
            {"label": c.label, "lots": str(c.lots), "gross_weight": str(c.gross_weight), "width": str(c.width)}
            for c in self.columns
        ]
        named: dict[str, CanonicalValue] = {"universe": self.universe_hash, "columns": columns}
        if self.cash_lot is not None:
            named["cash_lot"] = format(self.cash_lot, "f")
        return canonical_hash("entry-map", named)

    def check(self, z: npt.NDArray[np.int64]) -> None:
        """Raise EntryOutOfRange unless ``z`` is an int64 vector of N entries within their widths."""
        check_entries(z, len(self))
        bad = np.flatnonzero(z >= 1 << np.array(self.widths, dtype=np.int64))
        if bad.size:
            at = int(bad[0])
            raise EntryOutOfRange(f"entry {at}, {self.labels[at]}, is {z[at]}; it has {self.widths[at]} bits")

    def gross(self, z: npt.NDArray[np.int64]) -> int:
        """Return g·z, in whole USD, without rounding.

        Raises:
            EntryOutOfRange: ``z`` is no portfolio vector of this map.
        """
        self.check(z)
        return sum(g * int(q) for g, q in zip(self.gross_weights, z, strict=True))


def check_entries(z: npt.NDArray[np.int64], entries: int) -> None:
    """Raise EntryOutOfRange unless ``z`` is an int64 vector of that many entries, of at most `MAX_WIDTH` bits each."""
    if z.shape != (entries,) or z.dtype != np.int64:
        raise EntryOutOfRange(f"an int64 vector of {entries} entries is wanted, got {z.dtype} of shape {z.shape}")
    bad = np.flatnonzero((z < 0) | (z >= 1 << MAX_WIDTH))
    if bad.size:
        raise EntryOutOfRange(f"entry {bad[0]} is {z[bad[0]]}; entries are 0 to {(1 << MAX_WIDTH) - 1}")


def spell(lots: int, tiers: Tiers) -> list[int] | None:
    """Return the entries that count so many lots, highest tiers first as full as they go; None if there is no room.

    >>> spell(70, ((1, 5), (32, 5)))
    [6, 2]
    >>> spell(1024, ((1, 5), (32, 5))) is None
    True
    """
    found = [0] * len(tiers)
    for tier in reversed(range(len(tiers))):
        size, width = tiers[tier]
        found[tier] = min(lots // size, (1 << width) - 1)
        lots -= found[tier] * size
    return None if lots else found


def most_lots(tiers: Tiers) -> int:
    """Return the most lots that tiers count."""
    return sum(size * ((1 << width) - 1) for size, width in tiers)


def _tiers(item: Instrument, chosen: Mapping[str, Tiers] | None) -> Tiers:
    return radix_tiers(item.digits) if chosen is None else chosen.get(item.id, ())
