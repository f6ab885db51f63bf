"""Generated books of a universe: what covers are fitted to and gaps are measured on, with different seeds.

For `expected_shortfall.fitting`, tests and benchmarks. A quarter each are directional books, delta-hedged option books
(hedged with the perpetual), basis trades with some options, and long-short books between underlyings. Nothing depends
on the generator's bits being the same elsewhere: a fitted cover is published as data, and every bound holds for every
book.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.market.entries import RADIX, EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.moves import JointMove, revalue_moves

Lots = npt.NDArray[np.int64]
KINDS_OF_BOOK = ("directional", "delta-hedged", "basis", "long-short")
# USD gross of the books of market makers.
LEAST_GROSS, MOST_GROSS = 10_000_000.0, 4_500_000_000.0
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


def hedged_books(universe: Universe, market: Market, count: int, seed: int) -> Lots:
    """Return signed lots of ``count`` books of market makers, int64 of shape (count, I).

    Every book is packages of options that hedge each other (straddles, butterflies, boxes, calendars), on one or both
    of up to two underlyings; straddles take its vega away and perpetuals its delta. Gross is 10 m to 4.5 bn USD, or
    less where the digits of the universe hold no more.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    items, books = universe.instruments, np.zeros((count, len(universe.instruments)))
    notional = np.array([float(universe.gross_weight(item)) for item in items])
    largest = np.array([RADIX**item.digits - 1 for item in items])
    delta, vega = _deltas(universe, market), _vegas(universe, market)
    desks = [_Desk.of(universe, name) for name in universe.underlyings]
    desks = [desk for desk in desks if desk.ladders]
    for book in books:
        for desk in draw.permutation(np.array(desks, dtype=object))[: int(draw.integers(1, 3))]:
            for _ in range(int(draw.integers(8, 40))):
                size = draw.choice([-1.0, 1.0]) * np.exp(draw.normal() * 0.8)
                for index, quantity in desk.package(draw):
                    book[index] += size * quantity
            of = desk.members
            for index in desk.straddle:
                book[index] -= (book * vega)[of].sum() / (2 * vega[desk.straddle[0]])
            if desk.hedge is not None:
                book[desk.hedge] -= (book * delta)[of].sum() / delta[desk.hedge]
        gross = float(np.abs(book) @ notional)
        if gross:
            wanted = np.exp(draw.uniform(np.log(LEAST_GROSS), np.log(MOST_GROSS))) / gross
            book *= min(wanted, float((largest / np.maximum(np.abs(book), 1e-9)).min()))
        book[:] = np.round(book)
        for desk in desks:
            # What rounding options to lots has left of delta is hedged too.
            if desk.hedge is not None:
                book[desk.hedge] -= np.round((book * delta)[desk.members].sum() / delta[desk.hedge])
    return np.clip(books, -largest, largest).astype(np.int64)


@dataclass(frozen=True)
class _Desk:
    """The instruments of one underlying, by what they are; indices into the universe.

    Attributes:
        members: (I,) true for its instruments.
        hedge: its perpetual, if it has one.
        ladders: of each expiry, (call, put) of the strikes that have both, by strike.
    """

    members: npt.NDArray[np.bool_]
    hedge: int | None
    ladders: list[list[tuple[int, int]]]

    @classmethod
    def of(cls, universe: Universe, name: str) -> "_Desk":
        """Sort the instruments of one underlying."""
        items = list(enumerate(universe.instruments))
        strikes: dict[object, dict[object, dict[str | None, int]]] = {}
        for index, item in items:
            if item.underlying == name and item.kind == "option":
                strikes.setdefault(item.expiry, {}).setdefault(item.strike, {})[item.right] = index
        ladders = [
            [(sides["call"], sides["put"]) for _, sides in sorted(ladder.items(), key=str) if len(sides) == 2]
            for ladder in strikes.values()
        ]
        return cls(
            members=np.array([item.underlying == name for _, item in items]),
            hedge=next((i for i, item in items if item.underlying == name and item.kind == "perpetual"), None),
            ladders=[ladder for ladder in ladders if ladder],
        )

    @property
    def straddle(self) -> tuple[int, int]:
        """The two options that vega is hedged with: the middle strike of the last expiry."""
        ladder = self.ladders[-1]
        return ladder[len(ladder) // 2]

    def package(self, draw: np.random.Generator) -> list[tuple[int, float]]:
        """Return the quantities of one package, by instrument."""
        ladder = self.ladders[int(draw.integers(len(self.ladders)))]
        low, high = sorted(int(i) for i in draw.integers(len(ladder), size=2))
        side, kind = int(draw.integers(2)), str(draw.choice(["straddle", "butterfly", "box", "calendar"]))
        if kind == "butterfly" and 0 < low < len(ladder) - 1:
            return [(ladder[low - 1][side], 1.0), (ladder[low][side], -2.0), (ladder[low + 1][side], 1.0)]
        if kind == "box" and low < high:
            (call, put), (other_call, other_put) = ladder[low], ladder[high]
            return [(call, 1.0), (other_call, -1.0), (put, -1.0), (other_put, 1.0)]
        other = self.ladders[int(draw.integers(len(self.ladders)))]
        if kind == "calendar" and other is not ladder:
            return [(ladder[low][side], 1.0), (other[min(low, len(other) - 1)][side], -1.0)]
        return [(index, 1.0) for index in ladder[low]]


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
    return _gains(universe, market, spot="0.01")


def _vegas(universe: Universe, market: Market) -> npt.NDArray[np.float64]:
    """USD a lot gains when volatilities of its underlying rise by 1 % of themselves."""
    return _gains(universe, market, volatility="0.01")


def _gains(universe: Universe, market: Market, spot: str = "0", volatility: str = "0") -> npt.NDArray[np.float64]:
    moves = {"spot": spot, "volatility": volatility, "basis": "0"}
    up = JointMove.model_validate(
        {"label": "up"} | {name: dict.fromkeys(universe.underlyings, move) for name, move in moves.items()}
    )
    free = LotCharges.model_validate(dict.fromkeys(LotCharges.model_fields, "0"))
    gain: npt.NDArray[np.float64] = revalue_moves([up], free, universe, market).gain[0]
    return gain
