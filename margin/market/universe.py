"""The published universe of instruments: everything a portfolio vector can name, in the order of its columns.

Anyone may read it. `Universe.parse` takes a JSON object of format ``atomic-margin/universe/1``; `hash` names it, and
the entry map made of it, for all parties.

>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "96420.5"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "96431", "digits": "3"}]})
>>> universe.gross_weight(universe.instruments[0])
9643
"""

from functools import cached_property
from typing import ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import Document, IdMap, Label, NonEmptyListOf, require_unique
from atomic_margin.margin.errors import UnknownInstrument, UnknownUnderlying
from atomic_margin.margin.market.cash import CASH
from atomic_margin.margin.market.instruments import Instrument, Underlying, gross_weight

MAX_GROSS_WEIGHT = 2**48


class Universe(Document):
    """Instruments and underlyings, format ``atomic-margin/universe/1``."""

    TAG: ClassVar[str] = "universe"

    format: Literal["atomic-margin/universe/1"]
    name: Label
    currency: Literal["USD"]
    underlyings: IdMap[Underlying]
    instruments: NonEmptyListOf[Instrument]

    @model_validator(mode="after")
    def _check(self) -> "Universe":
        require_unique((item.id for item in self.instruments), "instruments[{}].id".format)
        for index, item in enumerate(self.instruments):
            path = f"instruments[{index}]"
            item.check_terms(path)
            if item.underlying not in self.underlyings:
                known = ", ".join(sorted(self.underlyings)) or "none"
                raise UnknownUnderlying(
                    f"{path}.underlying", f"no underlying {item.underlying!r} in `underlyings` (there: {known})"
                )
            if item.id == CASH:
                raise MalformedDocument(f"{path}.id", f"{CASH!r} names the columns of cash; choose another name")
            if self.gross_weight(item) << 5 * (item.digits - 1) > MAX_GROSS_WEIGHT:
                raise OutOfRange(
                    f"{path}.digits", "the top digit is worth over 2^48 USD; use fewer digits or a smaller lot"
                )
        return self

    @cached_property
    def by_id(self) -> dict[str, Instrument]:
        """Instruments by identifier."""
        return {item.id: item for item in self.instruments}

    def named(self, name: str, path: str) -> Instrument:
        """Return an instrument by its identifier, which stands at ``path``.

        Raises:
            UnknownInstrument: the universe has none of this name.
        """
        if name not in self.by_id:
            raise UnknownInstrument(path, f"the universe has no instrument {name!r}")
        return self.by_id[name]

    def gross_weight(self, instrument: Instrument) -> int:
        """Return the gross weight of one lot, in whole USD, by the rule of `instruments.gross_weight`."""
        return gross_weight(instrument.lot, self.underlyings[instrument.underlying].reference_price)
