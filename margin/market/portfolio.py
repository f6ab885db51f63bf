"""A portfolio and its vector: what an institution declares, and the digits that are encrypted and committed.

For the institution's side. The only other thing known of a book is its gross limit, which is public.

>>> book = Portfolio.parse({"format": "atomic-margin/portfolio/1", "positions": [
...     {"instrument": "BTC-PERP", "side": "short", "lots": "70"}]})
>>> from atomic_margin.margin.market.entries import Column
>>> entry_map = EntryMap("", tuple(Column("BTC-PERP", s, d, 9643 * 32**d) for s in ("long", "short") for d in (0, 1)))
>>> encode(book, entry_map).tolist()
[0, 0, 6, 2]
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, Lots, Part, integer_in, require_unique
from atomic_margin.margin.errors import DuplicatePosition, GrossLimitExceeded, LotsTooLarge, UnknownInstrument
from atomic_margin.margin.market.entries import RADIX, EntryMap
from atomic_margin.margin.market.instruments import Side


class Position(Part):
    """Lots held on one side of one instrument; long and short of one instrument are kept apart."""

    instrument: Identifier
    side: Side
    lots: Lots


class Portfolio(Document):
    """An institution's book, format ``atomic-margin/portfolio/1``. It never leaves the institution."""

    TAG: ClassVar[str] = "portfolio"

    format: Literal["atomic-margin/portfolio/1"]
    positions: ListOf[Position]

    @model_validator(mode="after")
    def _check(self) -> "Portfolio":
        names = (f"{item.instrument} {item.side}" for item in self.positions)
        require_unique(names, "positions[{}]".format, DuplicatePosition)
        return self


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


def encode(portfolio: Portfolio, entry_map: EntryMap) -> npt.NDArray[np.int64]:
    """Return the radix-32 digits of ``portfolio``, int64 of shape (N,), each 0 to 31.

    Raises:
        UnknownInstrument: a position's instrument is not in the universe.
        LotsTooLarge: a position has more than 32^digits - 1 lots.
    """
    z = np.zeros(len(entry_map), dtype=np.int64)
    digits = {(c.instrument, c.side): c.digit + 1 for c in entry_map.columns}
    for index, position in enumerate(portfolio.positions):
        key = (position.instrument, position.side)
        if key not in digits:
            raise UnknownInstrument(
                f"positions[{index}].instrument", f"the universe has no instrument {position.instrument!r}"
            )
        largest = RADIX ** digits[key] - 1
        if position.lots > largest:
            raise LotsTooLarge(
                f"positions[{index}].lots",
                f"{position.instrument} has {digits[key]} digits, at most {largest} lots a side; got {position.lots}",
            )
        first = entry_map.first_column[key]
        z[first : first + digits[key]] = [position.lots // RADIX**d % RADIX for d in range(digits[key])]
    return z


def check_gross(z: npt.NDArray[np.int64], entry_map: EntryMap, gross_limit: int) -> None:
    """Raise GrossLimitExceeded unless g·z <= gross_limit (whole USD), EntryOutOfRange if z is no portfolio vector."""
    gross = entry_map.gross(z)
    if gross > gross_limit:
        raise GrossLimitExceeded(
            f"the book's gross weight is {gross} USD, the account's limit {gross_limit} USD: reduce positions or ask "
            "for a higher limit"
        )
