"""What the settlement of a proven breach has to move: the operator's hook books it, the agent expects it. Pure.

Both know all that it depends on, so an operator has no say in which assets move, nor in whether an account that could
have met the call is liquidated.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import NamedTuple

from atomic_margin.margin.collateral import select_transfer
from atomic_margin.margin.errors import InsufficientFreeCollateral
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.documents import Answer, Settlement, SettlementKind, Transfer
from atomic_margin.service.protocol.terms import Terms


class Rightful(NamedTuple):
    """What a settlement has to be.

    Attributes:
        kind: `margin_call`, or `liquidation` when free collateral does not cover the top-up.
        transfers: what moves, in the order that the document has.
    """

    kind: SettlementKind
    transfers: tuple[Transfer, ...]


def rightful_transfers(
    terms: Terms,
    market: Market,
    top_up_usd: Decimal,
    *,
    counted: Mapping[str, int],
    free: Mapping[str, int],
    posted: Mapping[str, int],
    eligible: Collection[str] | None = None,
) -> Rightful:
    """Return the settlement that follows from a proven top-up.

    Args:
        terms: of the run.
        market: prices of the run's tick.
        top_up_usd: X of the answer, in USD.
        counted: posted collateral that the run counts: `posted` of its record.
        free: the account's free collateral just before, in smallest units.
        posted: its posted collateral just before; more than is counted if some was posted meanwhile.
        eligible: assets that the account's agreement lets be posted; None for all.

    Raises:
        MarginError: the market does not price the collateral, or the schedule does not know it.
    """
    try:
        # Against what was posted when the run was evaluated: the proven X is on top of that.
        may = {asset: free[asset] for asset in free if eligible is None or asset in eligible}
        chosen = select_transfer(top_up_usd, may, terms.schedule, terms.model.spot_moves, market, posted=counted)
    except InsufficientFreeCollateral:
        return Rightful("liquidation", _everything(free, posted))
    moved = sorted(chosen.items())
    return Rightful("margin_call", tuple(_transfer(asset, quantity, "free", "posted") for asset, quantity in moved))


def check_settled(settlement: Settlement, answer: Answer | Opened) -> None:
    """Make sure that a settlement is of the top-up that an answer proved, or custodians, in units and in USD.

    Raises:
        Refused: it is of another one.
    """
    if settlement.top_up != answer.top_up or Decimal(settlement.top_up_usd) != Decimal(answer.top_up_usd):
        raise Refused(
            f"it settles {settlement.top_up_usd} USD, {settlement.top_up} units; the answer proved {answer.top_up_usd} "
            f"USD, {answer.top_up} units",
            "top_up_usd",
        )


def _everything(free: Mapping[str, int], posted: Mapping[str, int]) -> tuple[Transfer, ...]:
    return tuple(
        _transfer(asset, quantity, source, "liquidation")
        for source, held in (("free", free), ("posted", posted))
        for asset, quantity in sorted(held.items())
        if quantity
    )


def _transfer(asset: str, quantity: int, source: str, destination: str) -> Transfer:
    return Transfer.parse({"asset": asset, "quantity": str(quantity), "source": source, "destination": destination})
