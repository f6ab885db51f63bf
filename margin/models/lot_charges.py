"""Charges on every gross lot: what several models add to their scenarios, so that hedged lots are not free."""

from decimal import Decimal
from typing import Annotated

from atomic_margin.documents.strict import Part, in_range

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
