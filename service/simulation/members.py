"""The accounts of a simulated crash: books, collateral, and what institutions have elsewhere, drawn from a seed."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from atomic_margin.margin.collateral import market_worth
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import FORMAT, Portfolio, at_reference
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.valuation import Valuation, value
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.service.protocol.breakers import Waiting
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.simulation.accounts import SimulatedAccount
from atomic_margin.service.simulation.assumptions import Assumptions

CASH = "USDC"
_LEAST_GROSS_LIMIT = 1 << 26


@dataclass
class Member:
    """An account with its book, which only its institution would know.

    Attributes:
        account: by the machine.
        lots: signed, of each instrument.
        cash: that the book's trades left, USD.
        gross_limit: G.
        z: entries of the account.
        outside: USD that the institution has elsewhere.
        arriving: tick at which that arrives, once it was asked for.
        due: what settles its open breach, and at which tick.
        waits: the place of that breach in the order of answers.
        closing: part of the book that is still to be sold after a liquidation, 0 to 1.
        proceeds: what liquidation brought so far, USD.
    """

    account: SimulatedAccount
    lots: Floats
    cash: float
    gross_limit: int
    z: Integers
    outside: float
    arriving: int | None = None
    due: tuple[int, Market, Decimal] | None = None
    waits: Waiting | None = None
    closing: float = 0.0
    proceeds: float = 0.0


@dataclass(frozen=True)
class Members:
    """Draws accounts: the same for every regime.

    Attributes:
        assumptions: of the crash.
        terms: that all accounts are under.
        base: market document that it begins with.
    """

    assumptions: Assumptions
    terms: Terms
    base: dict[str, Any]

    def drawn(self, draw: np.random.Generator) -> list[Member]:
        """Return accounts with books and collateral, at the beginning."""
        assumed, market = self.assumptions, Market.parse({**self.base, "sequence": "1"})
        lots = sample_books(self.terms.universe, market, assumed.accounts, assumed.seed)
        worth = value(self.terms.universe, market)
        return [self._member(number, book, market, worth, draw) for number, book in enumerate(lots)]

    def _member(
        self, number: int, lots: Integers, market: Market, worth: Valuation, draw: np.random.Generator
    ) -> Member:
        assumed, universe = self.assumptions, self.terms.universe
        book = Portfolio.parse(
            {
                "format": FORMAT,
                "lines": [
                    # Traded at what the instrument is worth now: nobody begins with a gain or a loss.
                    {
                        **at_reference(item, "long" if held > 0 else "short", abs(int(held))),
                        "price": format(Decimal(float(now)).quantize(Decimal("0.01")), "f"),
                    }
                    for item, held, now in zip(universe.instruments, lots, worth.now, strict=True)
                    if held
                ],
            }
        )
        gross = sum(
            universe.gross_weight(item) * abs(int(held)) for item, held in zip(universe.instruments, lots, strict=True)
        )
        limit = max(_LEAST_GROSS_LIMIT, 1 << int(np.ceil(np.log2(2 * gross + 1))))
        account = SimulatedAccount(f"fund-{number + 1:04}", self.terms)
        columns = AccountColumns(universe.hash(), limit)
        z = self.terms.encode(book, columns)
        need = self.requirement(market, columns, z)
        posted, free, outside = (draw.uniform(*span) for span in (assumed.posted, assumed.free, assumed.outside))
        coins = number % 2 == 1
        account.submit(limit)
        for asset, quantity in self._collateral(need * posted, coins, market).items():
            account.deposit(asset, quantity)
            account.post(asset, quantity)
        for asset, quantity in self._collateral(need * free, coins, market).items():
            account.deposit(asset, quantity)
        cash = -float((lots * worth.lot * worth.now).sum())
        return Member(account, lots.astype(float), cash, limit, z, need * outside)

    def requirement(self, market: Market, columns: AccountColumns, z: Integers) -> float:
        """Return what a book needs of initial margin, USD, without any collateral."""
        weights = self.terms.rows(market, columns.universe).spread(self.terms.columns(columns)).slack_free()
        return max(0.0, -float((weights.initial @ z).min()))

    def _collateral(self, usd: float, coins: bool, market: Market) -> dict[str, int]:
        """Return collateral that is worth so much after haircut: cash, or coins and cash."""
        found: dict[str, int] = {}
        share = self.assumptions.coin_share if coins else 0.0
        for asset_id, part in ((self._coin(), share), (CASH, 1.0)):
            if asset_id is None or usd * part < 1:
                continue
            units = int(usd * part / unit_worth(self.terms, market, asset_id))
            if units:
                found[asset_id] = units
                usd -= usd * part
        return found

    def _coin(self) -> str | None:
        found = (asset.id for asset in self.terms.schedule.assets if asset.risk_underlying is not None)
        return next(found, None)


def unit_worth(terms: Terms, market: Market, asset: str) -> float:
    """Return what a smallest unit is worth after haircut, USD; measured on many, as worth is in whole USD."""
    decimals: int = next(one.decimals for one in terms.schedule.assets if one.id == asset)
    many: int = 10 ** (decimals + 3)
    return float(market_worth(terms.schedule, terms.model.spot_moves, market, asset, many)) / many


def price_of(asset: Any, market: Market) -> float:
    """Return the price of an asset of the schedule, USD, without haircut.

    Raises:
        MarginError: the market does not price it.
    """
    price = asset.price_in(market)
    if price is None:
        raise MarginError(f"the market does not price {asset.id}")
    return float(price)
