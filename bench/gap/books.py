"""Generated portfolios of a universe that gaps are measured on, those of `margin.models.books.sample_books`."""

from collections.abc import Iterator

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.books import sample_books


def portfolios(universe: Universe, market: Market, count: int, seed: int = 0) -> Iterator[Portfolio]:
    """Yield generated books of a universe."""
    ids = [item.id for item in universe.instruments]
    for lots in sample_books(universe, market, count, seed):
        yield Portfolio.parse(
            {
                "format": "atomic-margin/portfolio/1",
                "positions": [
                    {"instrument": name, "side": "long" if held > 0 else "short", "lots": str(abs(held))}
                    for name, held in zip(ids, lots.tolist(), strict=True)
                    if held
                ],
            }
        )
