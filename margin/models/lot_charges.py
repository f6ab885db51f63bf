"""Charges on every gross lot: what several models add to their scenarios, so that hedged lots are not free."""

from decimal import Decimal
from typing import Annotated

from atomic_margin.documents.strict import Part, in_range
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.market.universe import Universe

Charge = Annotated[Decimal, in_range("0", "1")]


class LotCharges(Part):
    """Charge on every gross lot, as a fraction of the spot value of one lot; it is added to scan risk.

    Attributes:
        perpetual: each side.
        future: each side.
        option_long: long options.
        option_short_minimum: short options, so that far out-of-the-money shorts are never free.
    """

    perpetual: Charge
    future: Charge
    option_long: Charge
    option_short_minimum: Charge

    def fractions(self, universe: Universe) -> tuple[Floats, Floats]:
        """Return the fractions of long and of short lots of every instrument, each (I,)."""
        long = {"perpetual": self.perpetual, "future": self.future, "option": self.option_long}
        short = {**long, "option": self.option_short_minimum}
        kinds = [item.kind for item in universe.instruments]
        return read_only([float(long[kind]) for kind in kinds]), read_only([float(short[kind]) for kind in kinds])
