"""What a collateral agreement makes of an account: whether it is covered, called, or gets something back. Pure.

The excess of a kind is V - R in the row that binds, so that CSA - V is IA - T less the excess wherever CSA is not
0; where it is, nothing is missing anyway. What comes back is at most what is posted.

>>> from atomic_margin.margin.collateral import CollateralAgreement
>>> agreement = CollateralAgreement.parse({
...     "format": "atomic-margin/collateral-agreement/1", "name": "CSA", "threshold": "0", "independent_amount": "0",
...     "minimum_transfer_amount": "100000", "minimum_return_amount": "50000", "rounding": "10000",
...     "notification_time": "13:00", "settlement_time": "17:00", "settlement_days": "0"})
>>> standing({"maintenance": -100_000.0, "initial": -130_001.0}, 500_000.0, agreement).text
'called 140,000.00 USD'
>>> standing({"maintenance": 90_000.0, "initial": 69_999.0}, 500_000.0, agreement).text
'covered; 60,000.00 USD come back'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from atomic_margin.margin.collateral.agreement import (
    CENT,
    CollateralAgreement,
    call_amount,
    is_called,
    is_covered,
    return_amount,
)
from atomic_margin.margin.kinds import MarginKind

_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Standing:
    """An account under an agreement.

    Attributes:
        agreement: the terms.
        deficit: CSA_m - V where that is more than nothing, USD.
        is_covered: whether no row is called.
        call: what is called, USD, rounded up; 0 for no call. A service may call a coarser multiple.
        returned: what may come back, USD, rounded down; 0 for nothing.
    """

    agreement: CollateralAgreement
    deficit: Decimal
    is_covered: bool
    call: Decimal
    returned: Decimal

    @property
    def text(self) -> str:
        """The same in words."""
        if not self.is_covered:
            return f"called {self.call:,.2f} USD"
        if self.deficit:
            return f"covered: {self.deficit:,.2f} USD are missing, less than the minimum transfer amount"
        return f"covered; {self.returned:,.2f} USD come back" if self.returned else "covered; nothing comes back"


def standing(excess: Mapping[MarginKind, float], posted: float, agreement: CollateralAgreement) -> Standing:
    """Return how an account stands.

    Args:
        excess: of each kind, USD; negative is a deficit.
        posted: what posted collateral is worth at least in a row of initial margin, USD.
        agreement: its terms.
    """
    agreed = agreement.agreed
    credit = agreed.threshold - agreed.independent_amount
    maintenance, initial = (Decimal(excess[kind]).quantize(CENT) + credit for kind in ("maintenance", "initial"))
    called = is_called(-maintenance, _NOTHING, agreed)
    covered = is_covered([maintenance - credit], agreed)
    # A model whose every scenario gains may miss more of maintenance margin: a call brings back both.
    amount = call_amount(max(-initial, -maintenance), _NOTHING, agreed.rounding) if called else _NOTHING
    back = min(initial, Decimal(posted).quantize(CENT))
    returned = return_amount(_NOTHING, back, agreement.minimum_return_amount, agreed.rounding)
    return Standing(agreement, max(_NOTHING, -maintenance), covered, amount, returned if maintenance >= 0 else _NOTHING)
