"""Concentration tiers: the more of one asset, the smaller the part of the next dollar that counts as collateral.

A table splits a collateral value, USD, into bands and counts a percentage of each, like marginal tax bands. Percentages
never rise, so the credited value is concave: it is the least of a few straight lines, and can be written as rows.

>>> from fractions import Fraction
>>> table = TierTable.parse("[0-10000:100, 10000-20000:90]")
>>> table.credit(Fraction(12_000)), table.credit(Fraction(50_000))
(Fraction(11800, 1), Fraction(19000, 1))
>>> [(line.percent, line.base) for line in table.lines]
[(100, 0), (90, 100000), (0, 1900000)]

`rows` compiles tables to integer rows, `accounts` values whole accounts in scaled integers.
"""

from atomic_margin.margin.tiers.accounts import (
    Account,
    AccountTotals,
    AssetTiers,
    parse_account,
    parse_asset,
    value_account,
)
from atomic_margin.margin.tiers.rows import (
    SlackRows,
    TierRows,
    best_slack,
    combine_rows,
    compile_rows,
    finest_scale,
    slack_rows,
)
from atomic_margin.margin.tiers.table import NO_LIMIT, Line, Tier, TierTable

__all__ = [
    "NO_LIMIT",
    "Account",
    "AccountTotals",
    "AssetTiers",
    "Line",
    "SlackRows",
    "Tier",
    "TierRows",
    "TierTable",
    "best_slack",
    "combine_rows",
    "compile_rows",
    "finest_scale",
    "parse_account",
    "parse_asset",
    "slack_rows",
    "value_account",
]
