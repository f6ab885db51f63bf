"""Whether an account is called, and for how much: maintenance margin decides, initial margin is what it is called to.

The minimum transfer amount is a trigger and is never subtracted from an amount. Amounts are whole cents, as they are
shown: what is missed by less than half a cent is met.

>>> call_of({"maintenance": -1.0, "initial": -6124.0}, Decimal(100_000)).text
'below the minimum transfer amount: no call'
>>> call_of({"maintenance": -100_000.0, "initial": -130_000.0}, Decimal(100_000)).amount
Decimal('130000.00')
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from atomic_margin.margin.kinds import MarginKind

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Call:
    """A margin call, or none.

    Attributes:
        deficit: what is missing of maintenance margin, USD, at least 0.
        minimum_transfer_amount: of the model, USD.
        amount: what brings the account back to initial margin, USD; 0 where there is no call. A service may round it
            up, so that it says less of the account.
        text: the same in words.
    """

    deficit: Decimal
    minimum_transfer_amount: Decimal
    amount: Decimal
    text: str

    @property
    def is_due(self) -> bool:
        """Whether there is a call."""
        return self.amount > 0


def call_of(excess: Mapping[MarginKind, float], minimum_transfer_amount: Decimal) -> Call:
    """Return the call of an account with this excess, USD; negative is a deficit."""
    deficit, missing = (max(Decimal(0), -_cents(excess[kind])) for kind in ("maintenance", "initial"))
    if deficit == 0:
        return Call(deficit, minimum_transfer_amount, Decimal(0), "maintenance margin is met: no call")
    if deficit < minimum_transfer_amount:
        return Call(deficit, minimum_transfer_amount, Decimal(0), "below the minimum transfer amount: no call")
    # A model whose every scenario gains may miss more of maintenance margin: a call brings back both.
    amount = max(deficit, missing)
    return Call(deficit, minimum_transfer_amount, amount, f"a call of {amount:,.2f} USD, back to initial margin")


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(_CENT)
