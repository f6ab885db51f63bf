"""What tests of collateral agreements share: documents, and an operator with one account under one of them."""

from pathlib import Path
from typing import Any

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

from .documents import FUND, example
from .world import World


def agreement(**changes: Any) -> CollateralAgreement:
    """Return an agreement with nothing in it but what is said."""
    return CollateralAgreement.parse(
        {
            "format": "atomic-margin/collateral-agreement/1",
            "name": "CSA",
            "threshold": "0",
            "minimum_transfer_amount": "0",
            "minimum_return_amount": "0",
            "independent_amount": "0",
            "rounding": "0",
            "notification_time": "13:00",
            "settlement_time": "17:00",
            "settlement_days": "0",
            **changes,
        }
    )


def started(
    directory: Path, under: CollateralAgreement | None, terms: Terms | None = None, posted: int | None = None
) -> World:
    """Return an operator with one account under an agreement, its book in force, before its first tick."""
    world = World(directory, Identity.generate(), {}, terms=terms)
    world.agreement = under
    world.enrol(FUND)
    holdings = CollateralHoldings.parse(example("collateral"))
    for asset in sorted({*holdings.posted, *holdings.free}):
        quantity = holdings.posted.get(asset, 0) if posted is None or asset != "USDC" else posted
        world.deposit(FUND, asset, quantity + holdings.free.get(asset, 0), f"custodian-{asset}")
        if quantity:
            world.instruct(FUND, "post", asset, quantity)
    book = encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
    cash = world.columns.is_cash
    world.submit(FUND, tuple(0 if cash[index] and terms else int(value) for index, value in enumerate(book)))
    return world
