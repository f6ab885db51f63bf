"""The columns of a case: its instruments and the combinations of them that are priced as one entry, and its lots.

For `rows` and whoever wants to know which column is what. In the service a universe is published; a lone case has none,
so one is made of the instruments it lists, with the lots of `lots`. Combinations stay within an expiry:

    vertical     long the lower of two strikes, short the higher; calls or puts
    synthetic    long a call, short a put
    box          a vertical of calls less the vertical of puts: worth the strike difference whatever happens
    fly          a vertical of neighbouring strikes less the next higher one of the same type
    straddle     long a call and a put; a strangle where their strikes differ
    spread       of straddles: that of the lower of two strikes less that of the higher

In an expiry of more than 12 instruments, and in all where a matrix has too few columns otherwise, verticals and spreads
of straddles are of neighbouring strikes, synthetics and straddles of one strike only, so that entries grow with
instruments, not with their square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash
from atomic_margin.margin.errors import LotsTooLarge
from atomic_margin.margin.market.entries import RADIX_BITS, EntryMap, positions, radix_tiers
from atomic_margin.margin.market.instruments import SIDES
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.portfolio_margin.lots import Lot, choose_lots
from atomic_margin.margin.models.portfolio_margin.model import plain
from atomic_margin.margin.models.portfolio_margin.positions import Legs, OptionKey
from atomic_margin.margin.rows.matrix import MAX_ENTRIES, Integers
from atomic_margin.margin.rows.weights import single_lots

WIDE = 12
PERPETUAL = "PERP"
NOTHING = "NONE"

# A name, and (leg, quantity) of its terms.
Combination: TypeAlias = tuple[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Listing:
    """J instruments of one universe: n legs, then combinations, then the perpetual if it is listed.

    Attributes:
        names: J identifiers.
        legs: (J, n) int64, quantity of each leg in one unit of the instrument.
        group: (J,) index of its expiry, -1 for what has none.
        lots: J contract sizes.
        digits: J numbers of radix-32 digits a side.
        gross_weights: J gross weights of one lot, whole USD.
        rounded: (J,) true for a leg, or the perpetual, whose quantities may be rounded down to lots.
    """

    names: tuple[str, ...]
    legs: Integers
    group: npt.NDArray[np.intp]
    lots: tuple[Decimal, ...]
    digits: tuple[int, ...]
    gross_weights: tuple[int, ...]
    rounded: npt.NDArray[np.bool_]

    @property
    def is_perpetual(self) -> npt.NDArray[np.bool_]:
        """(J,) true for the perpetual."""
        return np.array([name == PERPETUAL for name in self.names])

    @property
    def most(self) -> Integers:
        """(J,) the most lots a side holds."""
        return np.array([(1 << RADIX_BITS * digits) - 1 for digits in self.digits], dtype=np.int64)

    @cached_property
    def entry_map(self) -> EntryMap:
        """The columns: instrument, side, digit."""
        terms: list[CanonicalValue] = [
            {
                "name": name,
                "lot": plain(lot),
                "digits": str(digits),
                "legs": {str(leg): str(row[leg]) for leg in np.flatnonzero(row)},
            }
            for name, lot, digits, row in zip(self.names, self.lots, self.digits, self.legs, strict=True)
        ]
        return EntryMap(
            canonical_hash("case-universe", terms),
            tuple(
                column
                for name, gross, digits in zip(self.names, self.gross_weights, self.digits, strict=True)
                for column in positions(name, radix_tiers(digits), gross)
            ),
        )

    @property
    def entries(self) -> tuple[str, ...]:
        """N labels of the columns."""
        return self.entry_map.labels

    @property
    def columns_hash(self) -> str:
        """What names the columns in rows."""
        return self.entry_map.hash()

    def expand(self, long: Floats, short: Floats) -> Floats:
        """Return (R, N) weights of all columns from (R, J) weights of one unit of each instrument and side."""
        source, quantities = self._sources
        columns: Floats = np.concatenate([long, short], axis=1)[:, source] * quantities
        return columns

    @cached_property
    def _sources(self) -> tuple[npt.NDArray[np.intp], Floats]:
        """(N,) instrument of each column, short ones counted after the long ones, and its quantity."""
        lots = [float(lot) for lot in self.lots]
        index = {name: number for number, name in enumerate(self.names)}
        columns = self.entry_map.columns
        source = [SIDES.index(c.side) * len(index) + index[c.instrument] for c in columns]
        quantities = [lots[index[c.instrument]] * c.lots for c in columns]
        return np.array(source, dtype=np.intp), np.array(quantities)

    def encode(self, long: Integers, short: Integers) -> Integers:
        """Return z, int64 of shape (N,), of (J,) lots long and short.

        Raises:
            LotsTooLarge: an instrument has too few digits.
        """
        for lots in (long, short):
            for number in np.flatnonzero(lots > self.most)[:1]:
                raise LotsTooLarge(
                    self.names[number],
                    f"at most {self.most[number]} lots here, got {lots[number]}: give it more digits",
                )
        index = {name: number for number, name in enumerate(self.names)}
        lots_of: dict[str, Integers] = {"long": long, "short": short}
        digits = [
            int(lots_of[c.side][index[c.instrument]]) // c.lots & (1 << c.width) - 1 for c in self.entry_map.columns
        ]
        return np.array(digits, dtype=np.int64)


@dataclass(frozen=True)
class UniverseListing(Listing):
    """The I instruments of a published universe, a leg each or none, whose columns are single lots.

    Attributes:
        universe: the instruments.
    """

    universe: Universe

    @classmethod
    def of_universe(cls, universe: Universe, keys: Sequence[OptionKey | None]) -> "UniverseListing":
        """Return the listing of a universe.

        Args:
            universe: the instruments.
            keys: the option that each is; None for what is none, or has settled.
        """
        legs = {key: number for number, key in enumerate(sorted({key for key in keys if key is not None}))}
        expiries = sorted({key[0] for key in legs})
        rows = np.zeros((len(keys), len(legs)), dtype=np.int64)
        for number, key in enumerate(keys):
            if key is not None:
                rows[number, legs[key]] = 1
        items = universe.instruments
        return cls(
            names=tuple(item.id for item in items),
            legs=rows,
            group=np.array([-1 if key is None else expiries.index(key[0]) for key in keys], dtype=np.intp),
            lots=tuple(item.lot for item in items),
            digits=tuple(1 for _ in items),
            gross_weights=tuple(universe.gross_weight(item) for item in items),
            rounded=np.zeros(len(items), dtype=np.bool_),
            universe=universe,
        )

    @property
    def is_perpetual(self) -> npt.NDArray[np.bool_]:
        """(I,) true for perpetuals."""
        return np.array([item.kind == "perpetual" for item in self.universe.instruments])

    @property
    def entries(self) -> tuple[str, ...]:
        """2 I labels of single lots, long ones first."""
        return single_lots(self.universe)

    @property
    def columns_hash(self) -> str:
        """Hash of the universe: rows are spread over an account's columns later."""
        return self.universe.hash()

    def expand(self, long: Floats, short: Floats) -> Floats:
        """Return (R, 2 I) weights of single lots, long ones first, from (R, I) weights of one unit."""
        lots = np.array([float(lot) for lot in self.lots])
        return np.concatenate([long * lots, short * lots], axis=1)


def list_case(
    legs: Legs,
    net: Mapping[OptionKey, Decimal],
    perpetual: Decimal | None,
    reference_price: Decimal,
    combine: bool,
) -> Listing:
    """Return the instruments of a case.

    Args:
        legs: the option instruments.
        net: net quantity of each, not rounded.
        perpetual: quantity of perpetuals, or None if the universe does not list them.
        reference_price: of the underlying, USD; gross weights are counted at it.
        combine: whether combinations are listed.
    """
    names = [f"{plain(e)}-{plain(k)}-{'C' if call else 'P'}" for e, k, call in legs.keys]
    rows = list(np.eye(len(names), dtype=np.int64))
    quantities_of = {
        number: [amount for key, amount in net.items() if key[0] == expiry]
        for number, expiry in enumerate(legs.expiries)
    }
    chosen = choose_lots({**quantities_of, -1: [] if perpetual is None else [perpetual]}, reference_price)
    for name, quantities in _fitting(legs, chosen) if combine else []:
        names.append(name)
        rows.append(np.zeros(len(legs.keys), dtype=np.int64))
        for leg, quantity in quantities:
            rows[-1][leg] = quantity
    group = [int(legs.group[int(np.flatnonzero(row)[0])]) for row in rows]
    if perpetual is not None:
        names.append(PERPETUAL)
    elif not names:
        # A matrix has at least one column: an account of collateral alone gets one of no value.
        names.append(NOTHING)
    rows += [np.zeros(len(legs.keys), dtype=np.int64)] * (len(names) - len(rows))
    group += [-1] * (len(names) - len(group))
    lots = [chosen[number] for number in group]
    single = np.array([np.count_nonzero(row) <= 1 for row in rows])
    return Listing(
        names=tuple(names),
        legs=np.array(rows, dtype=np.int64).reshape(len(names), len(legs.keys)),
        group=np.array(group, dtype=np.intp),
        lots=tuple(lot.size for lot in lots),
        digits=tuple(lot.digits for lot in lots),
        gross_weights=tuple(lot.gross_weight(reference_price) for lot in lots),
        rounded=single & np.array([not lot.exact for lot in lots]),
    )


def _fitting(legs: Legs, lots: Mapping[int, Lot]) -> list[Combination]:
    """Return all combinations, or those of neighbouring strikes, or none: as many as a matrix has columns for."""
    for widest in (WIDE, 0):
        found = _combinations(legs, widest)
        columns = len(SIDES) * lots[-1].digits
        for leg in [*range(len(legs.keys)), *(terms[0][0] for _, terms in found)]:
            columns += len(SIDES) * lots[int(legs.group[leg])].digits
        if columns <= MAX_ENTRIES:
            return found
    return []


def _combinations(legs: Legs, widest: int) -> list[Combination]:
    """Return name and (leg, quantity) terms of every combination."""
    found: list[Combination] = []
    for number, expiry in enumerate(legs.expiries):
        own = [leg for leg in range(len(legs.keys)) if legs.group[leg] == number]
        calls, puts = ({legs.keys[leg][1]: leg for leg in own if legs.keys[leg][2] is side} for side in (True, False))
        stem = plain(expiry)
        sides = (("C", sorted(calls.items())), ("P", sorted(puts.items())))
        wide = len(own) <= widest
        for letter, items in sides:
            for (low, first), (high, second) in combinations(items, 2) if wide else pairwise(items):
                found.append((f"{stem}-{plain(low)}-{plain(high)}-{letter}V", ((first, 1), (second, -1))))
            for (low, first), (_, middle), (high, last) in zip(items, items[1:], items[2:], strict=False):
                found.append((f"{stem}-{plain(low)}-{plain(high)}-{letter}F", ((first, 1), (middle, -2), (last, 1))))
        for call, put in product(calls, puts):
            if wide or call == put:
                found.append((f"{stem}-{plain(call)}-{plain(put)}-S", ((calls[call], 1), (puts[put], -1))))
                found.append((f"{stem}-{plain(call)}-{plain(put)}-D", ((calls[call], 1), (puts[put], 1))))
        both = sorted(calls.keys() & puts.keys())
        for low, high in pairwise(both):
            terms = ((calls[low], 1), (calls[high], -1), (puts[low], -1), (puts[high], 1))
            found.append((f"{stem}-{plain(low)}-{plain(high)}-B", terms))
        for low, high in combinations(both, 2) if wide else pairwise(both):
            terms = ((calls[low], 1), (calls[high], -1), (puts[low], 1), (puts[high], -1))
            found.append((f"{stem}-{plain(low)}-{plain(high)}-DS", terms))
    return found
