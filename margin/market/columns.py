"""What an account's commitments cover of a universe, and in which entries: a public, coarse choice of the institution.

A universe that lists everything has more columns than a book needs, and its lots suit some books only. An account may
leave out underlyings and expiries it does not trade, and say for each kind of instrument how many lots its entries
count. Coarse on purpose: it says which markets somebody is in, not which contracts it holds.

>>> from atomic_margin.margin.market.universe import Universe
>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "two", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "100000"}, "ETH": {"reference_price": "3400"}},
...     "instruments": [
...         {"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1", "reference_price": "100000",
...          "digits": "3"},
...         {"id": "ETH-PERP", "kind": "perpetual", "underlying": "ETH", "lot": "1", "reference_price": "3400",
...          "digits": "3"}]})
>>> choice = ColumnChoice.parse({"underlyings": ["BTC"], "tiers": {"perpetual": [["1", "5"], ["32", "8"]]}})
>>> choice.tiers_of(universe)
{'BTC-PERP': ((1, 5), (32, 8))}
"""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import (
    Identifier,
    InstantText,
    NonEmptyListOf,
    Part,
    format_instant,
    integer_in,
    problem,
)
from atomic_margin.margin.errors import UnknownInstrument, UnknownUnderlying
from atomic_margin.margin.market.entries import MAX_WIDTH, Tiers, radix_tiers
from atomic_margin.margin.market.instruments import Instrument
from atomic_margin.margin.market.universe import MAX_GROSS_WEIGHT, Universe

MAX_TIERS = 4
_MAX_LOTS = 1 << 24


def _tier(value: object) -> object:
    return tuple(value) if isinstance(value, list) and len(value) == 2 else value


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise problem(OutOfRange, f"lots a unit are a power of two, so that weights are exact, got {value}")
    return value


def _rising(tiers: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    lots = [size for size, _ in tiers]
    if len(tiers) > MAX_TIERS or lots[0] != 1 or lots != sorted(set(lots)):
        raise problem(
            MalformedDocument, f"1 to {MAX_TIERS} pairs [lots a unit, bits], the first of 1 lot, each of more lots"
        )
    return tiers


_TierLots = Annotated[int, integer_in(1, _MAX_LOTS), AfterValidator(_power_of_two)]
_Tier = Annotated[tuple[_TierLots, Annotated[int, integer_in(1, MAX_WIDTH)]], BeforeValidator(_tier)]
_Tiers = Annotated[NonEmptyListOf[_Tier], AfterValidator(_rising)]


class TierChoice(Part):
    """Entries a side of each kind of instrument, as pairs of lots a unit and bits; left out for the universe's digits.

    Attributes:
        perpetual: of perpetuals.
        future: of dated futures.
        option: of options.
    """

    perpetual: _Tiers | None = None
    future: _Tiers | None = None
    option: _Tiers | None = None


class ColumnChoice(Part):
    """What an account covers of a universe; what is left out is not narrowed.

    Attributes:
        underlyings: identifiers of the underlyings it trades.
        expiries: of what has an expiry, those it trades.
        tiers: entries of each kind of instrument.
    """

    underlyings: NonEmptyListOf[Identifier] | None = None
    expiries: NonEmptyListOf[InstantText] | None = None
    tiers: TierChoice | None = None

    def tiers_of(self, universe: Universe) -> dict[str, Tiers]:
        """Return the tiers of every instrument that is covered, by identifier.

        Raises:
            UnknownUnderlying: the universe has no such underlying.
            UnknownInstrument: nothing is left.
            OutOfRange: a tier is worth over 2^48 USD.
        """
        for index, name in enumerate(self.underlyings or ()):
            if name not in universe.underlyings:
                known = ", ".join(sorted(universe.underlyings))
                raise UnknownUnderlying(f"underlyings[{index}]", f"the universe has no {name!r}, only {known}")
        found = {item.id: self._tiers(item) for item in universe.instruments if self._covers(item)}
        if not found:
            raise UnknownInstrument("underlyings", "no instrument of the universe is left; choose more")
        for name, tiers in found.items():
            if universe.gross_weight(universe.by_id[name]) * tiers[-1][0] > MAX_GROSS_WEIGHT:
                raise OutOfRange("tiers", f"a unit of the highest tier of {name} is worth over 2^48 USD")
        return found

    def _covers(self, item: Instrument) -> bool:
        in_underlyings = self.underlyings is None or item.underlying in self.underlyings
        in_expiries = self.expiries is None or item.expiry is None or format_instant(item.expiry) in self.expiries
        return in_underlyings and in_expiries

    def _tiers(self, item: Instrument) -> Tiers:
        chosen: Tiers | None = None if self.tiers is None else getattr(self.tiers, item.kind)
        return radix_tiers(item.digits) if chosen is None else chosen
