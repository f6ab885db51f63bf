"""Plain reference: whole accounts of equity, debt and tiered collateral, in scaled integers of 10^-16 USD.

An asset may be pledged for three uses (loan, margin, portfolio margin), each with tiers of its own, valued from tier 0
and added up. Quantities times 10^8 and prices times 10^8, or for assets of tiny price 10^2 and 10^14, give values times
10^16. Prices finer than that are rounded against the holder: down for what is owned, up for what is owed.

>>> btc = parse_asset({"symbol": "btc", "usdt_price": "65100.22", "loan_tiers_ratio": "[0-10000:100,10000-20000:90]",
...                    "margin_tiers_ratio": "", "portfolio_tiers_ratio": ""})
>>> btc.collateral(loan=10**8, margin=0, portfolio=0)     # one bitcoin, pledged as loan collateral
190000000000000000000
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from atomic_margin.documents.errors import MalformedDocument, NonPositivePrice, NotADecimal
from atomic_margin.margin.collateral.tiers import TierTable
from atomic_margin.margin.errors import UnknownAsset

VALUE_SCALE = 10**16
TINY_PRICES = frozenset({"shib"})
"""Assets whose quantities count in 10^-2 and prices in 10^-14."""

Status = Literal["valid", "collateral_exceeds_equity", "debt_exceeds_collateral"]

_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,20})?")
# Column names of the two published tables: symbol, price, and tiers by use.
_COLUMNS = (
    ("symbol", "usdt_price", "loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio"),
    (
        "token",
        "asset_usdt_price",
        "collateral_vip_loan_ratio_tiers",
        "collateral_margin_ratio_tiers",
        "collateral_portfolio_margin_ratio_tiers",
    ),
)


@dataclass(frozen=True)
class AssetTiers:
    """Price and tiers of one asset.

    Attributes:
        symbol: name, as published.
        price: USD of one whole unit, not rounded.
        loan: tiers for what is pledged against loans.
        margin: for margin.
        portfolio: for portfolio margin.
    """

    symbol: str
    price: Fraction
    loan: TierTable
    margin: TierTable
    portfolio: TierTable

    @property
    def quantity_scale(self) -> int:
        """Units of quantity in one whole asset."""
        return 10**2 if self.symbol in TINY_PRICES else 10**8

    def value(self, quantity: int, *, owed: bool = False) -> int:
        """Return the value of a scaled quantity, times 10^16; the price is rounded up when it is ``owed``."""
        price = self.price * (VALUE_SCALE // self.quantity_scale)
        return quantity * (math.ceil(price) if owed else math.floor(price))

    def collateral(self, loan: int, margin: int, portfolio: int) -> int:
        """Return what three pledged quantities count for, times 10^16, every band rounded down."""
        uses = ((self.loan, loan), (self.margin, margin), (self.portfolio, portfolio))
        return sum(table.credit_scaled(self.value(quantity), VALUE_SCALE) for table, quantity in uses)


@dataclass(frozen=True)
class Holding:
    """Scaled quantities of one asset in one account.

    Attributes:
        equity: what the account owns.
        debt: what it owes.
        loan: pledged as loan collateral.
        margin: as margin collateral.
        portfolio: as portfolio-margin collateral.
    """

    equity: int
    debt: int
    loan: int
    margin: int
    portfolio: int


@dataclass(frozen=True)
class Account:
    """One account.

    Attributes:
        number: its row number.
        holdings: by asset symbol.
    """

    number: int
    holdings: Mapping[str, Holding]


@dataclass(frozen=True)
class AccountTotals:
    """Totals times 10^16 USD, and whether the account is in order.

    Attributes:
        equity: value of all it owns.
        debt: value of all it owes.
        collateral: tiered value of all it pledged.
        status: the first rule that fails: more pledged than owned of some asset, or debt above collateral.
    """

    equity: int
    debt: int
    collateral: int
    status: Status


def parse_asset(row: Mapping[str, str]) -> AssetTiers:
    """Read one row of an asset table, with either of the two published sets of column names.

    Raises:
        MalformedDocument: columns are missing.
        NotADecimal, NonPositivePrice: the price is wrong.
        TierGap, TierRising, OutOfRange: the tiers are.
    """
    for columns in _COLUMNS:
        if all(name in row for name in columns):
            symbol, price, loan, margin, portfolio = columns
            break
    else:
        raise MalformedDocument("$", f"a row with the columns {', '.join(_COLUMNS[0])} is wanted, got {list(row)}")
    at = f"{row[symbol]}."
    amount = _number(row[price], at + price)
    if amount == 0:
        raise NonPositivePrice(at + price, "a price is above zero")
    tables = [TierTable.parse(row[name], at + name) for name in (loan, margin, portfolio)]
    return AssetTiers(row[symbol], amount, *tables)


def parse_account(row: Mapping[str, str], assets: Mapping[str, AssetTiers]) -> Account:
    """Read one row of an account table: columns e_X, d_X, vl_X, m_X and pm_X for every asset X.

    Raises:
        MalformedDocument: a column is missing.
        NotADecimal: a quantity is no decimal, or finer than its asset's scale.
        UnknownAsset: there is a column of an asset that ``assets`` does not have.
    """
    for column in row:
        if column.startswith("e_") and column[2:] not in assets:
            raise UnknownAsset(column, f"no price and tiers for {column[2:]!r}; add it to the asset table")
    holdings = {}
    for symbol, asset in assets.items():
        quantities = []
        for prefix in ("e_", "d_", "vl_", "m_", "pm_"):
            column = prefix + symbol
            if column not in row:
                raise MalformedDocument(column, "this column is missing; add it")
            quantity = _number(row[column], column) * asset.quantity_scale
            if quantity.denominator != 1:
                raise NotADecimal(column, f"a multiple of 1/{asset.quantity_scale} here, got {row[column]}")
            quantities.append(int(quantity))
        holdings[symbol] = Holding(*quantities)
    return Account(int(_number(row.get("rn", "0"), "rn")), holdings)


def value_account(account: Account, assets: Mapping[str, AssetTiers]) -> AccountTotals:
    """Return an account's totals and status, in integer arithmetic throughout.

    Raises:
        UnknownAsset: the account holds an asset without price and tiers.
    """
    equity = debt = collateral = 0
    pledged_too_much = False
    for symbol, held in account.holdings.items():
        if symbol not in assets:
            raise UnknownAsset(symbol, "no price and tiers; add it to the asset table")
        asset = assets[symbol]
        equity += asset.value(held.equity)
        debt += asset.value(held.debt, owed=True)
        collateral += asset.collateral(held.loan, held.margin, held.portfolio)
        if held.equity or held.debt:
            pledged_too_much |= held.loan + held.margin + held.portfolio > held.equity
    status: Status = "valid"
    if pledged_too_much:
        status = "collateral_exceeds_equity"
    elif debt > collateral:
        status = "debt_exceeds_collateral"
    return AccountTotals(equity, debt, collateral, status)


def _number(text: str, field: str) -> Fraction:
    if not _NUMBER.fullmatch(text):
        raise NotADecimal(field, f'write a plain decimal of at least 0 such as "0.25", got {text[:40]!r}')
    return Fraction(text)
