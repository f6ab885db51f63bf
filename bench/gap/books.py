"""Generated portfolios of a universe that gaps are measured on, those of `margin.models.books.sample_books`."""

from collections.abc import Iterator

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import FORMAT, Portfolio, at_reference
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.books import sample_books


def portfolios(universe: Universe, market: Market, count: int, seed: int = 0) -> Iterator[Portfolio]:
    """Yield generated books of a universe, traded at its reference prices."""
    items = universe.instruments
    for lots in sample_books(universe, market, count, seed):
        yield Portfolio.parse(
            {
                "format": FORMAT,
                "lines": [
                    at_reference(item, "long" if held > 0 else "short", abs(held))
                    for item, held in zip(items, lots.tolist(), strict=True)
                    if held
                ],
            }
        )
