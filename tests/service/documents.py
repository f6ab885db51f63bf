"""The small set of documents as the service takes them, and rules for prices that one source signs."""

import copy
from typing import Any

from atomic_margin.circuits.profile import TINY
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.instruments import Side
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

from ..e2e.small import EXAMPLES as EXAMPLES
from ..e2e.small import GROSS_LIMIT as GROSS_LIMIT
from ..e2e.small import read, small_examples
from ..lines import portfolio_of

Json = dict[str, Any]

FUND, OTHER = "larkfield", "harbour"

# Of two assets, both posted and free: enough for market-1, short by one call under market-2, which takes all free bills
# and some USDC, and with what is left free not enough under market-4.
COLLATERAL = {
    "format": "atomic-margin/collateral-holdings/1",
    "posted": {"TBILL-2027-02": "11000000", "USDC": "200000000000"},
    "free": {"TBILL-2027-02": "3000000", "USDC": "140000000000"},
}


def example(name: str) -> Json:
    """Return a fresh copy of one of the documents."""
    documents = {**small_examples(), "collateral.json": COLLATERAL}
    value: Json = copy.deepcopy(documents[f"{name}.json"])
    return value


def full_example(name: str) -> Json:
    """Return one of the project's example documents as it is."""
    value: Json = read(f"{name}.json")
    return value


def example_terms() -> Terms:
    return Terms.parse(example("model-scan"), example("universe"), example("collateral-schedule"), TINY)


def price_rules(*sources: Identity, required: int | None = None, **changes: object) -> PriceRules:
    """Rules wide enough for the story's crash; one source is k = n = 1 of the same mechanism."""
    return PriceRules.parse(
        {
            "format": "atomic-margin/price-rules/1",
            "sources": [source.public_key for source in sources],
            "required": str(len(sources) // 2 + 1 if required is None else required),
            "max_skew_seconds": "60",
            "max_age_seconds": "unbounded",
            "outlier": {"price": "0.02", "volatility": "0.05", "rate": "0.01"},
            "move": {"price": "0.5", "volatility": "1", "rate": "0.05"},
            **changes,
        }
    )


def book_of(values: tuple[int, ...], entry_map: EntryMap, universe: Universe) -> Portfolio:
    """Return the portfolio whose entries are `values`, traded at reference prices."""
    lots: dict[tuple[str, Side], int] = {}
    cash = 0
    for value, column in zip(values, entry_map.columns, strict=True):
        if column.side == "long" or column.side == "short":
            side = column.instrument, column.side
            lots[side] = lots.get(side, 0) + value * column.lots
        else:
            cash += value * column.lots * (1 if column.side == "receivable" else -1)
    held = [(*side, count) for side, count in lots.items() if count]
    book = portfolio_of(*held, universe=universe)
    return book.model_copy(update={"cash": cash * entry_map.cash_lot}) if cash and entry_map.cash_lot else book
