"""Portfolios for tests: lines of lots, traded at the reference prices of the example universe unless a test says so."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from atomic_margin.margin import Portfolio, Universe
from atomic_margin.margin.market.instruments import Side
from atomic_margin.margin.market.portfolio import FORMAT, at_reference

Json = dict[str, str]
EXAMPLE = Path(__file__).parents[1] / "examples" / "universe.json"
FLAT: dict[str, Any] = {"format": FORMAT, "lines": []}


def line(instrument: str, side: Side, lots: int, universe: Universe | None = None, /, **changes: str) -> Json:
    """Return a line as JSON; what the universe does not have is traded at 1."""
    item = (universe or _example()).by_id.get(instrument)
    if item is None:
        return {"instrument": instrument, "side": side, "lots": str(lots), "price": "1", **changes}
    return {**at_reference(item, side, lots), **changes}


def portfolio_json(*held: tuple[str, Side, int], universe: Universe | None = None) -> dict[str, Any]:
    """Return a portfolio as JSON."""
    return {"format": FORMAT, "lines": [line(*one, universe) for one in held]}


def portfolio_of(*held: tuple[str, Side, int], universe: Universe | None = None) -> Portfolio:
    """Return a portfolio."""
    return Portfolio.parse(portfolio_json(*held, universe=universe))


@cache
def _example() -> Universe:
    return Universe.parse(json.loads(EXAMPLE.read_text()))
