"""Joint market moves, and the universe revalued under them, with a volatility and a basis move for each underlying.

For `expected_shortfall` and `cross_margin`. A move is one row of data: what spot, implied volatility and basis of every
underlying did together, as relative changes; where it came from (history, a generator, a stress committee) does not
matter here.

>>> JointMove.model_validate({
...     "label": "2020-03-12", "spot": {"BTC": "-0.39"}, "volatility": {"BTC": "1.1"}, "basis": {"BTC": "-0.02"}}).label
'2020-03-12'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import numpy as np

from atomic_margin.documents.strict import IdMap, Label, Part, format_instant, in_range
from atomic_margin.margin.errors import UnknownInstrument, UnknownUnderlying
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.instruments import SIDES
from atomic_margin.margin.market.market import Market, check_market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.pricing import Floats, black76, read_only
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.lot_charges import LotCharges

MoveOf = IdMap[Annotated[Decimal, in_range("-1", "10", above=True)]]


class JointMove(Part):
    """One joint move of all underlyings.

    Attributes:
        label: of the move, such as its date.
        spot: relative move of each underlying's spot, above -1 and at most 10; perpetuals and forwards move with it.
        volatility: relative move of each underlying's implied volatilities, at least -1 and at most 10.
        basis: relative move of each underlying's dated forwards against its spot, above -1 and at most 10.
    """

    label: Label
    spot: MoveOf
    volatility: IdMap[Annotated[Decimal, in_range("-1", "10")]]
    basis: MoveOf


@dataclass(frozen=True)
class Values:
    """Instruments now and under S moves, I instruments; read-only. All in USD a lot.

    Attributes:
        profit: (I,) value now minus reference value.
        gain: (S, I) value under each move minus value now.
        charge_long: (I,) charge of a long lot.
        charge_short: (I,) charge of a short lot.
    """

    profit: Floats
    gain: Floats
    charge_long: Floats
    charge_short: Floats


def check_moves(moves: Sequence[JointMove], path: str, universe: Universe) -> None:
    """Raise UnknownUnderlying unless every move names exactly the underlyings of ``universe``, in all three maps."""
    for index, move in enumerate(moves):
        for field in ("spot", "volatility", "basis"):
            given: Mapping[str, Decimal] = getattr(move, field)
            for name in sorted(given.keys() ^ universe.underlyings.keys()):
                what = "the universe has no such underlying" if name in given else 'missing; write "0" for no move'
                raise UnknownUnderlying(f"{path}[{index}].{field}.{name}", what)


def revalue_moves(moves: Sequence[JointMove], charges: LotCharges, universe: Universe, market: Market) -> Values:
    """Value every instrument of ``universe`` now and under every move, in one vectorised pass.

    Futures and perpetuals are worth their price, options Black-76 (`pricing.black76`) on the forward of their expiry.

    Raises:
        DocumentError: market and universe do not fit together (see `check_market`).
        UnknownUnderlying: a move misses an underlying, or has one too many.
    """
    check_market(market, universe)
    check_moves(moves, "scenarios", universe)
    items = universe.instruments
    names = {name: index for index, name in enumerate(universe.underlyings)}
    of = np.array([names[item.underlying] for item in items])
    quotes = [market.underlyings[item.underlying] for item in items]
    dated = [
        quote.expiries[format_instant(item.expiry)] if item.expiry else None
        for item, quote in zip(items, quotes, strict=True)
    ]
    price = np.array([float(e.forward if e else q.perpetual) for e, q in zip(dated, quotes, strict=True)])
    strike = np.array([float(item.strike or 1) for item in items])
    volatility = np.array(
        [
            float(e.volatility(item.strike) or 0) if e and item.strike else 0.0
            for e, item in zip(dated, items, strict=True)
        ]
    )
    years = np.array([market.years_to(item.expiry) if item.kind == "option" and item.expiry else 0.0 for item in items])
    is_option = np.array([item.kind == "option" for item in items])
    is_call = np.array([item.right == "call" for item in items])
    is_dated = np.array([item.kind != "perpetual" for item in items])
    rate = float(market.rate)

    def value(prices: Floats, volatilities: Floats) -> Floats:
        return np.where(is_option, black76(prices, strike, volatilities, years, is_call, rate), prices)

    spot, vol, basis = (
        np.array([[float(getattr(move, field)[name]) for name in names] for move in moves])[:, of]
        for field in ("spot", "volatility", "basis")
    )
    lot = np.array([float(item.lot) for item in items])
    notional = lot * np.array([float(quote.spot) for quote in quotes])
    now = value(price, volatility)
    with np.errstate(over="ignore"):
        shocked = value(price * (1 + spot) * (1 + basis * is_dated), volatility * (1 + vol))
    long = {"perpetual": charges.perpetual, "future": charges.future, "option": charges.option_long}
    short = {**long, "option": charges.option_short_minimum}
    return Values(
        profit=read_only(lot * (now - np.array([float(item.reference_price) for item in items]))),
        gain=read_only(lot * (shocked - now)),
        charge_long=read_only(notional * np.array([float(long[item.kind]) for item in items])),
        charge_short=read_only(notional * np.array([float(short[item.kind]) for item in items])),
    )


def lots_of(portfolio: Portfolio, universe: Universe) -> tuple[Floats, Floats]:
    """Return long and short lots, each of shape (I,), in the universe's order.

    Raises:
        UnknownInstrument: a position's instrument is not in the universe.
    """
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    long, short = np.zeros(len(index)), np.zeros(len(index))
    for number, position in enumerate(portfolio.positions):
        if position.instrument not in index:
            raise UnknownInstrument(
                f"positions[{number}].instrument", f"the universe has no instrument {position.instrument!r}"
            )
        (long if position.side == "long" else short)[index[position.instrument]] += position.lots
    return long, short


def columns(long: Floats, short: Floats, entry_map: EntryMap, universe: Universe) -> Floats:
    """Return weights of the entry map's columns, (R, N), from weights of one lot, (R, I) a side."""
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    at = np.array([SIDES.index(c.side) * len(index) + index[c.instrument] for c in entry_map.columns])
    spread: Floats = np.concatenate([long, short], axis=1)[:, at] * np.array([float(c.lots) for c in entry_map.columns])
    return spread
