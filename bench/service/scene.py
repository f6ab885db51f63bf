"""What a load is played with: terms, price rules, and prices that fall tick by tick, so that some books breach.

Every institution holds the same book, a long perpetual. Most have posted enough for the whole fall; the others only
what the book requires at first, and enough free collateral for all the calls that follow.

>>> scene = Scene("tiny", ticks=4)
>>> [float(scene.market(number)["underlyings"]["BTC"]["spot"]) for number in (1, 4)]
[100000.0, 60000.0]
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from atomic_margin.bench.service.listing import AS_OF, GROSS_LIMIT, Listing, cash_schedule, listing_for, scan_model
from atomic_margin.circuits.profile import Profile, profile_by_name
from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import AccountColumns, Terms

JsonObject = dict[str, Any]

FALL = Decimal("0.4")
"""By which share prices have fallen at the last tick."""
ASSET, DECIMALS = "USDC", 6
LOTS = 50
"""Of the perpetual, in every book."""
AMPLE_USD = 4_000_000
"""Posted by an institution that stays covered, and free at one that does not: more than the book is worth."""
SOURCES = 3


@dataclass(frozen=True)
class Scene:
    """Documents of one load.

    Attributes:
        profile_name: of the circuits.
        ticks: over which prices fall.
    """

    profile_name: str
    ticks: int

    @cached_property
    def profile(self) -> Profile:
        """The profile."""
        return profile_by_name(self.profile_name)

    @cached_property
    def listing(self) -> Listing:
        """The instruments."""
        return listing_for(self.profile)

    def documents(self) -> dict[str, JsonObject]:
        """Return model, universe and collateral schedule."""
        rows = self.profile.rows
        return {"model": scan_model(rows), "universe": self.listing.universe(), "schedule": cash_schedule()}

    def terms(self) -> Terms:
        """Return what these documents say."""
        documents = self.documents()
        return Terms.parse(documents["model"], documents["universe"], documents["schedule"], self.profile)

    def portfolio(self) -> JsonObject:
        """Return everybody's book."""
        first = self.listing.universe()["instruments"][0]
        line = {"instrument": first["id"], "side": "long", "lots": str(LOTS), "price": first["reference_price"]}
        return {"format": "atomic-margin/portfolio/2", "lines": [{**line, "funding_index": "0"}]}

    def account(self, terms: Terms) -> AccountColumns:
        """Return everybody's columns."""
        return AccountColumns(terms.universe.hash(), GROSS_LIMIT)

    def market(self, number: int) -> JsonObject:
        """Return the prices of a tick, a minute after those before."""
        fallen = (FALL * (number - 1) / max(1, self.ticks - 1)).quantize(Decimal("0.0001"))
        market = self.listing.market(number, str(-fallen) if fallen else "0")
        as_of: datetime = instant(AS_OF) + timedelta(minutes=number - 1)
        return {**market, "as_of": instant_text(as_of)}

    def required_usd(self, terms: Terms) -> int:
        """Return the least whole USD that cover everybody's book at the first tick, and a little more."""
        account = self.account(terms)
        market = Market.parse(self.market(1))
        matrix = terms.compile(market, {}, account).maintenance_proof
        surplus = int(matrix.surplus(terms.encode(Portfolio.parse(self.portfolio()), account)).min())
        return int(matrix.usd(max(0, -surplus))) + 1000


def price_rules(sources: list[Identity]) -> PriceRules:
    """Return rules wide enough for the fall, under which most of the sources have to sign."""
    return PriceRules.parse(
        {
            "format": "atomic-margin/price-rules/1",
            "sources": [source.public_key for source in sources],
            "required": str(len(sources) // 2 + 1),
            "max_skew_seconds": "60",
            "max_age_seconds": "unbounded",
            "outlier": {"price": "0.02", "volatility": "0.05", "rate": "0.01"},
            "move": {"price": "0.9", "volatility": "1", "rate": "0.05"},
        }
    )
