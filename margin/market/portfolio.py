"""A portfolio and its vector: what an institution declares, and the entries that are encrypted and committed.

For the institution's side. The only other thing known of a book is its gross limit, which is public. A line says what
is held and what it was traded at on average; the difference to the reference price that profit counts from is cash:

>>> from atomic_margin.margin.market.entries import EntryMap
>>> from atomic_margin.margin.market.universe import Universe
>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "100050"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "100050", "digits": "2"}]})
>>> book = Portfolio.parse({"format": "atomic-margin/portfolio/2", "lines": [
...     {"instrument": "BTC-PERP", "side": "long", "lots": "300", "price": "145072", "funding_index": "0"}]})
>>> float(book.cash_against(universe))
-1350660.0
>>> encode(book, universe, EntryMap.of(universe, 64_000_000, 24)).tolist()
[12, 9, 0, 0, 0, 0, 449, 82]
"""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import (
    Document,
    Identifier,
    Label,
    ListOf,
    Lots,
    Part,
    in_range,
    integer_in,
    problem,
    require_unique,
)
from atomic_margin.margin.errors import (
    CashTooLarge,
    DuplicatePosition,
    GrossLimitExceeded,
    LotsTooLarge,
    UnknownInstrument,
)
from atomic_margin.margin.market.cash import CASH, in_lots
from atomic_margin.margin.market.entries import EntryMap, lot_label, most_lots, spell
from atomic_margin.margin.market.instruments import FundingIndex, Instrument, Side
from atomic_margin.margin.market.universe import Universe

FORMAT = "atomic-margin/portfolio/2"
_OLD = "atomic-margin/portfolio/1"

TradePrice = Annotated[Decimal, in_range("0", "1000000000000")]
Money = Annotated[Decimal, in_range("-1000000000000000", "1000000000000000")]


def _format(value: object) -> object:
    if value == _OLD:
        raise problem(
            MalformedDocument,
            f"{_OLD} has no trade prices, so profit made before a purchase would count as its own: write {FORMAT}, "
            '`lines` in place of `positions`, and in each line the average `price` it was traded at ("0" where the '
            "whole premium was paid outside), for perpetuals also the `funding_index` at that time",
        )
    return value


class Line(Part):
    """Lots held on one side of one instrument; long and short of one instrument are kept apart.

    Attributes:
        instrument: identifier of the instrument.
        side: long or short.
        lots: whole lots, at least 0.
        price: average price they were traded at, USD per unit of underlying; 0 where the premium was settled outside.
        funding_index: of perpetuals, likewise the average of the underlying's funding index when they were traded, USD
            per unit.
    """

    instrument: Identifier
    side: Side
    lots: Lots
    price: TradePrice
    funding_index: FundingIndex | None = None


class Portfolio(Document):
    """An institution's book, format ``atomic-margin/portfolio/2``. It never leaves the institution.

    Attributes:
        lines: what is held, and what it was traded at.
        cash: USD that trades of lines no longer held have left, fees taken off; negative for what is owed.
    """

    TAG: ClassVar[str] = "portfolio"

    format: Annotated[Literal["atomic-margin/portfolio/2"], BeforeValidator(_format)]
    lines: ListOf[Line]
    cash: Money | None = None

    @model_validator(mode="after")
    def _check(self) -> "Portfolio":
        names = (f"{item.instrument} {item.side}" for item in self.lines)
        require_unique(names, "lines[{}]".format, DuplicatePosition)
        return self

    def cash_against(self, universe: Universe) -> Fraction:
        """Return the cash of the book in a universe, USD, without rounding; negative for what is owed.

        Raises:
            UnknownInstrument: a line's instrument is not in the universe.
            MalformedDocument: a perpetual has no funding index, or something else has one.
        """
        total = Fraction(self.cash or 0)
        for index, line in enumerate(self.lines):
            item = universe.named(line.instrument, f"lines[{index}].instrument")
            per_unit = item.cash_of(line.price, line.funding_index, f"lines[{index}]")
            total += (1 if line.side == "long" else -1) * line.lots * Fraction(item.lot) * per_unit
        return total


class Institution(Document):
    """The public terms of an account, format ``atomic-margin/institution/1``.

    Attributes:
        name: of the institution.
        gross_limit: G, whole USD; g·z <= G is proven of every submission.
    """

    TAG: ClassVar[str] = "institution"

    format: Literal["atomic-margin/institution/1"]
    name: Label
    gross_limit: Annotated[int, integer_in(1, 2**48)]


def at_reference(item: Instrument, side: Side, lots: int) -> dict[str, str]:
    """Return a line, as JSON, of lots traded at the instrument's reference price: it leaves no cash."""
    line = {
        "instrument": item.id,
        "side": side,
        "lots": str(lots),
        "price": format(item.reference_price, "f"),
    }
    if item.kind == "perpetual":
        line["funding_index"] = format(item.reference_funding_index or Decimal(0), "f")
    return line


def encode(portfolio: Portfolio, universe: Universe, entry_map: EntryMap) -> npt.NDArray[np.int64]:
    """Return the vector of ``portfolio``, int64 of shape (N,), each entry within its width.

    Cash is rounded down to a cash lot: what is owed to the holder is less by up to one, what it owes more.

    Raises:
        UnknownInstrument: a line's instrument is not in the universe, or not among the account's columns.
        LotsTooLarge: a line has more lots than its entries count.
        CashTooLarge: cash is more than its entries count.
        MalformedDocument: see `Portfolio.cash_against`.
    """
    z = np.zeros(len(entry_map), dtype=np.int64)
    for index, line in enumerate(portfolio.lines):
        path = f"lines[{index}]"
        universe.named(line.instrument, f"{path}.instrument")
        found = entry_map.tiers.get(lot_label(line.instrument, line.side))
        if found is None:
            raise UnknownInstrument(
                f"{path}.instrument",
                f"the account's columns do not cover {line.instrument!r}: choose columns that do",
            )
        first, tiers = found
        entries = spell(line.lots, tiers)
        if entries is None:
            raise LotsTooLarge(
                f"{path}.lots",
                f"the columns of {line.instrument} hold at most {most_lots(tiers)} lots a side; got {line.lots}",
            )
        z[first : first + len(tiers)] = entries
    if entry_map.cash_lot is not None:
        _put_cash(z, portfolio.cash_against(universe), entry_map, entry_map.cash_lot)
    return z


def _put_cash(z: npt.NDArray[np.int64], amount: Fraction, entry_map: EntryMap, lot: Decimal) -> None:
    lots = in_lots(amount, lot)
    first, tiers = entry_map.tiers[f"{CASH}:{'receivable' if lots >= 0 else 'payable'}"]
    entries = spell(abs(lots), tiers)
    if entries is None:
        raise CashTooLarge(
            "cash",
            f"the lines' trade prices and `cash` come to {float(amount):,.2f} USD; an account of this gross limit "
            f"holds at most {most_lots(tiers) * lot:f} USD of it: ask for a higher gross limit, or settle cash",
        )
    z[first : first + len(tiers)] = entries


def check_gross(z: npt.NDArray[np.int64], entry_map: EntryMap, gross_limit: int) -> None:
    """Raise GrossLimitExceeded unless g·z <= gross_limit (whole USD), EntryOutOfRange if z is no portfolio vector."""
    gross = entry_map.gross(z)
    if gross > gross_limit:
        raise GrossLimitExceeded(
            f"the book's gross weight is {gross} USD, the account's limit {gross_limit} USD: reduce positions or ask "
            "for a higher limit"
        )
