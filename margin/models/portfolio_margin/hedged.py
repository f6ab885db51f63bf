"""Books of market makers, for the generators of cases of both versions of `pmrm`.

A book is many packages that hedge each other: straddles, strangles, butterflies, boxes and calendars, bought and sold,
and much of each laid off in options nearby.
Straddles of one expiry take away what is left of its vega, perpetuals what is left of its delta. Its size is that of a
desk, 10 m to 4.5 bn USD gross. Book k depends on k and the seed alone.

>>> book = hedged_book("doctest", 0, 0)
>>> sorted({expiry for expiry, _, _ in book.amounts})[0] >= 86400
True
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from atomic_margin.margin.market.pricing import black76
from atomic_margin.margin.models.books import LEAST_GROSS, MOST_GROSS
from atomic_margin.margin.models.portfolio_margin.books import DAY, drawing
from atomic_margin.margin.models.portfolio_margin.positions import YEAR_SECONDS

_EXPIRIES = [DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY, 180 * DAY, 365 * DAY]
_MONEYNESS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 1.0, 1.025, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.5)
_SPOTS = ((97_250.0, 1000), (3_452.0, 50))
# A book has at most so many lots in all, so that rows of 20 bits hold it.
_LOTS = 100_000
# Share of books that are short no wings.
_WINGED = 0.7

Option = tuple[int, int, int]


@dataclass(frozen=True)
class HedgedBook:
    """One book with its market.

    Attributes:
        spot: of the underlying, USD.
        forwards: of each expiry, by seconds to expiry.
        volatilities: of each option (seconds to expiry, strike, 1 for a call), a year.
        amounts: signed quantity of each option held.
        perpetuals: signed quantity.
    """

    spot: float
    forwards: Mapping[int, float]
    volatilities: Mapping[Option, float]
    amounts: Mapping[Option, int]
    perpetuals: int


def hedged_book(model: str, seed: int, number: int, options: int | None = None) -> HedgedBook:
    """Return one book; with ``options`` it holds so many different ones, else as it comes.

    Args:
        model: whose generator asks; another one gets other books.
        seed: of the generator.
        number: of the book.
        options: how many different options are held, over four expiries: a multiple of eight, up to 136.

    Raises:
        ValueError: it is another number.
    """
    if options is not None and (options % 8 or not 8 <= options <= 8 * len(_MONEYNESS)):
        raise ValueError(f"a book holds 8 to {8 * len(_MONEYNESS)} options, a multiple of 8, got {options}")
    draw = drawing(f"{model} hedged", seed, number)
    spot, step = draw.choice(_SPOTS)
    spot = round(spot * draw.uniform(0.9, 1.1), 1)
    expiries = sorted(draw.sample(_EXPIRIES, draw.randint(2, 5) if options is None else 4))
    per_expiry = draw.randint(3, 8) if options is None else options // 2 // len(expiries)
    strikes = {e: _strikes(draw, spot, step, per_expiry) for e in expiries}
    forwards = {e: round(spot * math.exp(draw.uniform(0, 0.08) * e / YEAR_SECONDS), 2) for e in expiries}
    level, slope, smile = draw.uniform(0.35, 0.8), draw.uniform(-0.2, 0.1), draw.uniform(0.1, 0.6)
    volatilities: dict[Option, float] = {}
    for e, call in product(expiries, (0, 1)):
        for strike in strikes[e]:
            k = math.log(strike / forwards[e])
            volatilities[e, strike, call] = round(level + slope * k + smile * k * k, 4)
    held = dict.fromkeys(volatilities, 0.0)
    laid_off = draw.choice((0.0, 0.5, 0.9, 1.0))
    for _ in range(max(8, 3 * len(held) // 4)):
        size, package = draw.choice((-1, 1)) * draw.lognormvariate(0, 0.8), _package(draw, expiries, strikes)
        for key, quantity in package.items():
            held[key] += size * quantity
            # What a client trades is laid off, in some books more than in others, a strike or an expiry away.
            if draw.random() < laid_off:
                held[_neighbour(draw, key, expiries, strikes)] -= size * quantity
    if options is not None:
        held = {key: amount or 1.0 for key, amount in held.items()}
    return _sized(draw, spot, forwards, volatilities, held)


def _strikes(draw: random.Random, spot: float, step: int, count: int) -> list[int]:
    first = draw.randint(max(0, 7 - count), min(8, len(_MONEYNESS) - count))
    return sorted({step * max(1, round(spot * moneyness / step)) for moneyness in _MONEYNESS[first : first + count]})


def _package(draw: random.Random, expiries: list[int], strikes: Mapping[int, list[int]]) -> dict[Option, float]:
    """Return quantities of one package, by option."""
    e = draw.choice(expiries)
    row, kind = strikes[e], draw.choice(("straddle", "strangle", "butterfly", "box", "calendar"))
    low, high = sorted(draw.sample(row, 2)) if len(row) > 1 else (row[0], row[0])
    call = draw.randint(0, 1)
    if kind == "butterfly" and len(row) > 2:
        place = draw.randrange(len(row) - 2)
        return {(e, row[place], call): 1, (e, row[place + 1], call): -2, (e, row[place + 2], call): 1}
    if kind == "box" and low < high:
        return {(e, low, 1): 1, (e, high, 1): -1, (e, low, 0): -1, (e, high, 0): 1}
    if kind == "calendar":
        other = draw.choice(expiries)
        near = min(strikes[other], key=lambda strike: abs(strike - low))
        if other != e:
            return {(e, low, call): 1, (other, near, call): -1}
    if kind == "strangle":
        return {(e, low, 0): 1, (e, high, 1): 1}
    return {(e, low, 0): 1, (e, low, 1): 1}


def _neighbour(draw: random.Random, key: Option, expiries: list[int], strikes: Mapping[int, list[int]]) -> Option:
    """Return an option that is much like another: of the next strike, or of another expiry."""
    e, strike, call = key
    row = strikes[e]
    if len(row) > 1 and draw.random() < 0.7:
        place = row.index(strike)
        return e, row[place + 1 if place + 1 < len(row) else place - 1], call
    other = draw.choice(expiries)
    return other, min(strikes[other], key=lambda item: abs(item - strike)), call


def _sized(
    draw: random.Random,
    spot: float,
    forwards: Mapping[int, float],
    volatilities: Mapping[Option, float],
    held: dict[Option, float],
) -> HedgedBook:
    """Take vega and delta away, and round to whole contracts of a size that suits the book."""
    if draw.random() < _WINGED:
        # Wings are bought until no more puts, and no more calls, are sold than bought.
        last = max(forwards)
        for call, wing in ((0, min), (1, max)):
            net = sum(amount for key, amount in held.items() if key[2] == call)
            held[last, wing(key[1] for key in held if key[0] == last), call] += max(0.0, -net)
    delta, vega = ({key: sense(key, forwards, volatilities) for key in held} for sense in (_delta, _vega))
    e = draw.choice(sorted(forwards))
    strike = min((key[1] for key in held if key[0] == e), key=lambda item: abs(item - forwards[e]))
    hedge = -sum(vega[key] * amount for key, amount in held.items()) / (2 * vega[e, strike, 1])
    for call in (0, 1):
        held[e, strike, call] += hedge
    gross = math.exp(draw.uniform(math.log(LEAST_GROSS), math.log(MOST_GROSS)))
    # Forwards move with spot, by their ratio to it; a perpetual moves by one.
    delta = {key: sense * forwards[key[0]] / spot for key, sense in delta.items()}
    perpetuals = -sum(delta[key] * amount for key, amount in held.items())
    if draw.random() < 0.5:
        # Futures hedge delta as well as perpetuals do: a call bought and a put sold is one.
        held[e, strike, 1] += perpetuals
        held[e, strike, 0] -= perpetuals
        perpetuals = -sum(delta[key] * amount for key, amount in held.items())
    scale = gross / (spot * (sum(map(abs, held.values())) + abs(perpetuals)))
    contract = 10 ** max(0, math.ceil(math.log10(gross / spot / _LOTS)))
    amounts = {key: round(scale * amount / contract) * contract for key, amount in held.items()}
    left = -sum(delta[key] * amount for key, amount in amounts.items())
    return HedgedBook(spot, forwards, volatilities, amounts, round(left / contract) * contract)


def _price(key: Option, forward: float, volatility: float) -> float:
    return float(black76(forward, key[1], volatility, key[0] / YEAR_SECONDS, key[2]))


def _delta(key: Option, forwards: Mapping[int, float], volatilities: Mapping[Option, float]) -> float:
    forward, by = forwards[key[0]], 1e-4 * forwards[key[0]]
    up, down = (_price(key, forward + sign * by, volatilities[key]) for sign in (1, -1))
    return (up - down) / (2 * by)


def _vega(key: Option, forwards: Mapping[int, float], volatilities: Mapping[Option, float]) -> float:
    up, down = (_price(key, forwards[key[0]], volatilities[key] + sign * 1e-4) for sign in (1, -1))
    return (up - down) / 2e-4
