"""Generated books of a universe: what covers are fitted to and gaps are measured on, with different seeds.

For `expected_shortfall.fitting`, tests and benchmarks. A quarter each are directional books, delta-hedged option books
(hedged with the perpetual), basis trades with some options, and long-short books between underlyings. Nothing depends
on the generator's bits being the same elsewhere: a fitted cover is published as data, and every bound holds for every
book.
"""

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.market.entries import RADIX, EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.moves import JointMove, revalue_moves

Lots = npt.NDArray[np.int64]
KINDS_OF_BOOK = ("directional", "delta-hedged", "basis", "long-short")
# USD of notional of one typical position; positions are some hundred lots of the example's contracts.
_NOTIONAL = 2_000_000.0


def sample_books(universe: Universe, market: Market, count: int, seed: int) -> Lots:
    """Return signed lots of ``count`` books, int64 of shape (count, I); book b is of kind b mod 4 (`KINDS_OF_BOOK`).

    Lots stay within the digits of their instrument.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    items = universe.instruments
    names = tuple(universe.underlyings)
    of = np.array([names.index(item.underlying) for item in items])
    is_option = np.array([item.kind == "option" for item in items])
    notional = np.array([float(universe.gross_weight(item)) for item in items])
    delta = _deltas(universe, market)
    hedges = [
        next((i for i, item in enumerate(items) if item.kind == "perpetual" and of[i] == u), None)
        for u in range(len(names))
    ]
    books = np.zeros((count, len(items)))
    for number in range(count):
        kind, book = KINDS_OF_BOOK[number % 4], books[number]
        chosen = draw.choice(len(items), min(len(items), int(draw.integers(3, 25))), replace=False)
        if kind == "basis":
            for u in range(len(names)):
                linear = np.flatnonzero(~is_option & (of == u))
                if linear.size > 1:
                    legs = draw.normal(size=linear.size)
                    book[linear] = (legs - legs.mean() + draw.normal() * 0.1) * 2
            chosen = chosen[is_option[chosen]][:4]
        book[chosen] += draw.normal(size=chosen.size)
        if kind == "long-short":
            sign = np.where(of == draw.integers(len(names)), 1.0, -1.0) * np.sign(delta)
            book *= np.where(book != 0, sign * np.sign(book), 1.0)
        book *= _NOTIONAL * np.exp(draw.normal() * 0.7) / notional
        if kind == "delta-hedged":
            for u, hedge in enumerate(hedges):
                if hedge is not None:
                    book[hedge] -= (book * delta)[of == u].sum() / delta[hedge]
    largest = np.array([RADIX**item.digits - 1 for item in items])
    return np.clip(np.round(books), -largest, largest).astype(np.int64)


def vectors(lots: Lots, entry_map: EntryMap, universe: Universe) -> Lots:
    """Return portfolio vectors without cash, int64 of shape (count, N), of signed lots of shape (count, I)."""
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    columns = entry_map.columns
    at = np.array([index.get(column.instrument, 0) for column in columns])
    sign = np.array([{"long": 1, "short": -1}.get(column.side, 0) for column in columns])
    size = np.array([column.lots for column in columns])
    found: Lots = np.maximum(lots[:, at] * sign, 0) // size % np.array([1 << column.width for column in columns])
    return found


def _deltas(universe: Universe, market: Market) -> npt.NDArray[np.float64]:
    """USD a lot gains when its underlying rises by 1 %."""
    nothing = dict.fromkeys(universe.underlyings, "0")
    up = JointMove.model_validate(
        {"label": "up", "spot": dict.fromkeys(universe.underlyings, "0.01"), "volatility": nothing, "basis": nothing}
    )
    free = LotCharges.model_validate(dict.fromkeys(LotCharges.model_fields, "0"))
    gain: npt.NDArray[np.float64] = revalue_moves([up], free, universe, market).gain[0]
    return gain
