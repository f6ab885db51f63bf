"""Collateral on the operator's ledger: the schedule, its value in every scenario, and what to move for a call.

For the operator and for everyone who recomputes c; it stands on `market`. `schedule` holds the documents, `tiers` the
concentration tiers, `moves` what a margin model says of collateral, `values` what holdings are worth, `transfer` the
choice and the check of what a margin call moves, `agreement` the terms of an account and what they add to c.
"""

from atomic_margin.margin.collateral.agreement import Agreed, CollateralAgreement
from atomic_margin.margin.collateral.moves import SpotMoves
from atomic_margin.margin.collateral.schedule import (
    Asset,
    AssetPriceSource,
    CollateralHoldings,
    CollateralSchedule,
    ConcentrationTier,
    Eligibility,
    check_accepted,
    check_holdings,
    check_schedule,
)
from atomic_margin.margin.collateral.transfer import check_substitution, check_transfer, select_return, select_transfer
from atomic_margin.margin.collateral.values import (
    CollateralValues,
    collateral_values,
    market_worth,
    pool_collateral_values,
    worth_now,
)

__all__ = [
    "Agreed",
    "Asset",
    "AssetPriceSource",
    "CollateralAgreement",
    "CollateralHoldings",
    "CollateralSchedule",
    "CollateralValues",
    "ConcentrationTier",
    "Eligibility",
    "SpotMoves",
    "check_accepted",
    "check_holdings",
    "check_schedule",
    "check_substitution",
    "check_transfer",
    "collateral_values",
    "market_worth",
    "pool_collateral_values",
    "select_return",
    "select_transfer",
    "worth_now",
]
