"""An invented market of any size: a perpetual and a grid of options on each of two underlyings, and a book in it.

30 strikes at ten expiries are the listing of an exchange: 1,202 instruments.

>>> listing = Listing.of_strikes(30)
>>> listing.instruments
1202
>>> Listing(3).universe()["instruments"][2]["id"]
'BTC-29JAN27-50000-C'
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from atomic_margin.circuits.profile import Profile
from atomic_margin.margin.market.pricing import black76
from atomic_margin.service.protocol.ceilings import instruments_of

JsonObject = dict[str, Any]

AS_OF = "2027-01-04T08:00:00Z"
_YEAR_DAYS = 365
_DAYS = {
    "29JAN27": ("2027-01-29T08:00:00Z", 25),
    "26FEB27": ("2027-02-26T08:00:00Z", 53),
    "26MAR27": ("2027-03-26T08:00:00Z", 81),
    "30APR27": ("2027-04-30T08:00:00Z", 116),
    "28MAY27": ("2027-05-28T08:00:00Z", 144),
    "25JUN27": ("2027-06-25T08:00:00Z", 172),
    "30JUL27": ("2027-07-30T08:00:00Z", 207),
    "27AUG27": ("2027-08-27T08:00:00Z", 235),
    "24SEP27": ("2027-09-24T08:00:00Z", 263),
    "29OCT27": ("2027-10-29T08:00:00Z", 298),
}
"""Expiries by the name they have in identifiers, and days to them."""

GROSS_LIMIT = 1 << 26
"""USD, of the book and all others in the listing."""

_SPOTS = {"BTC": 100_000, "ETH": 3_400}
_LOTS = {"BTC": "0.1", "ETH": "1"}
_VOLATILITY = "0.55"
_RIGHTS = {"call": "C", "put": "P"}
_PERPETUALS = len(_SPOTS)
_CENT = Decimal("0.01")


class _Option(NamedTuple):
    underlying: str
    expiry: str
    strike: int
    right: str

    @property
    def id(self) -> str:
        return f"{self.underlying}-{self.expiry}-{self.strike}-{_RIGHTS[self.right]}"


@dataclass(frozen=True)
class Listing:
    """So many instruments: both perpetuals, then options, strike by strike.

    Attributes:
        instruments: how many, 3 or more.
        digits: radix-32 digits of every instrument.
    """

    instruments: int
    digits: int = 2

    @classmethod
    def of_strikes(cls, strikes: int, digits: int = 2) -> "Listing":
        """Return the listing of so many strikes at every expiry, calls and puts."""
        return cls(_PERPETUALS + strikes * len(_SPOTS) * len(_DAYS) * len(_RIGHTS), digits)

    @property
    def strikes(self) -> int:
        """How many strikes an expiry has at most."""
        return -(-(self.instruments - _PERPETUALS) // (len(_SPOTS) * len(_DAYS) * len(_RIGHTS)))

    def universe(self) -> JsonObject:
        """Return the universe."""
        common = {"digits": str(self.digits)}
        terms: list[JsonObject] = [
            {"id": f"{name}-PERP", "kind": "perpetual", "underlying": name, "lot": _LOTS[name],
             "reference_price": str(spot), **common}
            for name, spot in _SPOTS.items()
        ]  # fmt: skip
        terms += [
            {"id": option.id, "kind": "option", "underlying": option.underlying, "lot": _LOTS[option.underlying],
             "reference_price": _price(option), "expiry": _DAYS[option.expiry][0], "strike": str(option.strike),
             "right": option.right, **common}
            for option in self._options()
        ]  # fmt: skip
        return {
            "format": "atomic-margin/universe/1",
            "name": f"listing of {self.instruments}",
            "currency": "USD",
            "underlyings": {name: {"reference_price": str(spot)} for name, spot in _SPOTS.items()},
            "instruments": terms,
        }

    def market(self, sequence: int = 1, spot_move: str = "0") -> JsonObject:
        """Return prices of the universe, those of its references moved by a share of spot."""
        moved = {name: format(spot * (1 + Decimal(spot_move)), "f") for name, spot in _SPOTS.items()}
        quotes: dict[str, dict[str, dict[str, str]]] = {name: {} for name in _SPOTS}
        for option in self._options():
            at_expiry = quotes[option.underlying].setdefault(_DAYS[option.expiry][0], {})
            at_expiry[str(option.strike)] = _VOLATILITY
        return {
            "format": "atomic-margin/market/1",
            "sequence": str(sequence),
            "as_of": AS_OF,
            "rate": "0",
            "underlyings": {
                name: {
                    "spot": moved[name],
                    "perpetual": moved[name],
                    "expiries": {
                        expiry: {"forward": moved[name], "volatilities": volatilities}
                        for expiry, volatilities in quotes[name].items()
                    },
                }
                for name in _SPOTS
            },
            "collateral": {"USDC": "1"},
        }

    def portfolio(self, lines: int = 40) -> JsonObject:
        """Return a book of so many lines at most, spread over the listing, long and short, traded at the references."""
        terms = self.universe()["instruments"]
        chosen = terms[:_PERPETUALS] + terms[_PERPETUALS :: max(1, (self.instruments - _PERPETUALS) // lines)]
        return {
            "format": "atomic-margin/portfolio/2",
            "lines": [
                {
                    "instrument": item["id"],
                    "side": ("long", "short")[number % 2],
                    "lots": str(3 + number % 7),
                    "price": item["reference_price"],
                    **({"funding_index": "0"} if item["kind"] == "perpetual" else {}),
                }
                for number, item in enumerate(chosen[:lines])
            ],
        }

    def _options(self) -> Iterator[_Option]:
        steps = self.strikes
        options = (
            _Option(name, expiry, spot // 2 + step * (spot // steps), right)
            for step in range(steps)
            for expiry in _DAYS
            for name, spot in _SPOTS.items()
            for right in _RIGHTS
        )
        return islice(options, self.instruments - _PERPETUALS)


def listing_for(profile: Profile) -> Listing:
    """Return the listing of two digits whose columns, cash's among them, fill a profile."""
    return Listing(instruments_of(profile, 2), digits=2)


def _price(option: _Option) -> str:
    spot, years = float(_SPOTS[option.underlying]), _DAYS[option.expiry][1] / _YEAR_DAYS
    value = black76(spot, float(option.strike), float(_VOLATILITY), years, option.right == "call")
    return format(max(Decimal(float(value)).quantize(_CENT), _CENT), "f")


def scan_model(rows: int) -> JsonObject:
    """Return a `scan` model of so many scenarios: moves of spot up to 30 % either way, volatility up and down."""
    step = Decimal("0.6") / max(1, rows - 1)
    return {
        "format": "atomic-margin/model/1",
        "name": "scan",
        "initial_factor": "1.3",
        "minimum_transfer_amount": "1000",
        "charges": {"perpetual": "0.004", "future": "0.004", "option_long": "0.001", "option_short_minimum": "0.01"},
        "scenarios": [
            {
                "label": f"move {row}",
                "spot": dict.fromkeys(_SPOTS, format((step * row - Decimal("0.3")).quantize(Decimal("0.0001")), "f")),
                "volatility": ("0.35", "-0.25")[row % 2],
                "basis": "0",
                "coverage": "1",
            }
            for row in range(rows)
        ],
    }


def cash_schedule() -> JsonObject:
    """Return a collateral schedule of one stablecoin, at par."""
    return {
        "format": "atomic-margin/collateral-schedule/2",
        "version": "1",
        "effective_from": "2026-11-01T00:00:00Z",
        "assets": [
            {
                "id": "USDC",
                "kind": "stablecoin",
                "decimals": "6",
                "haircut": "0",
                "price_source": {"quote": "collateral", "id": "USDC"},
                "risk_underlying": None,
                "priority": "1",
            }
        ],
    }
