"""Generated portfolios of a universe that gaps are measured on, those of `margin.models.books`."""

from collections.abc import Iterator

from atomic_margin.margin.kinds import Books
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import FORMAT, Portfolio, at_reference
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.books import hedged_books, sample_books


def portfolios(
    universe: Universe, market: Market, count: int, seed: int = 0, books: Books = "mixed"
) -> Iterator[Portfolio]:
    """Yield generated books of a universe, traded at its reference prices."""
    items, made = universe.instruments, sample_books if books == "mixed" else hedged_books
    for lots in made(universe, market, count, seed):
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
