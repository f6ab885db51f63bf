"""What a book has gained so far, as one row over its columns: by how much one book may exceed the one it replaces.

Cash has no risk row, so invented cash would offset real losses. But whoever buys at market exchanges cash for a
position of the same value, so the profit so far of a book,

    E(z)  =  Σ over lots  profit of a lot now  +  cash,

stays what it was but for fees. E is linear in z with public weights, so a submission proves by one row over the
commitments of two books that it raises E by an allowance at most. Two books may have different columns and universes;
each has weights of its own, in one unit.

Weights are those of `market.valuation`, the profit of a lot rounded to a unit once and then multiplied, so that in
whatever entries the same lots are spelled, they weigh the same.

>>> from atomic_margin.margin.market.universe import Universe
>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "100000"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "100000", "digits": "1"}]})
>>> market = Market.parse({
...     "format": "atomic-margin/market/1", "sequence": "1", "as_of": "2026-11-20T08:00:00Z", "rate": "0",
...     "underlyings": {"BTC": {"spot": "100500", "perpetual": "101000", "expiries": {}}}, "collateral": {}})
>>> columns = EntryMap.of(universe, 1_000_000, 24)
>>> [weight * 2.0**UNIT_EXPONENT for weight in gain_weights(universe, market, columns)]
[100.0, -100.0, 0.25, 256.0, -0.25, -256.0]
"""

from collections.abc import Sequence
from fractions import Fraction

from atomic_margin.margin.errors import MarginOverflow
from atomic_margin.margin.market.cash import FINEST_LOT
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.market.valuation import value

UNIT_EXPONENT = FINEST_LOT
"""One unit of a gain is 2^-9 USD, a fifth of a cent: no cash lot is finer."""
BITS = 48
"""Bits of the row that a gain is proven by: it holds differences up to half a trillion USD."""
_MAX_WEIGHT = 1 << 47


def gain_weights(universe: Universe, market: Market | None, columns: EntryMap) -> tuple[int, ...]:
    """Return what one unit of each column has gained so far, (N,), in units of 2^UNIT_EXPONENT USD.

    Args:
        universe: the instruments.
        market: prices; None before there are any: then positions are worth their reference prices.
        columns: of an account.

    Raises:
        DocumentError: market and universe do not fit together.
        MarginOverflow: a unit of a column gained more than the row holds.
    """
    unit = Fraction(2) ** UNIT_EXPONENT
    cash = Fraction(columns.cash_lot or 0)
    of_lot: dict[str, int] = {}
    if market is not None:
        values = value(universe, market)
        for item, profit in zip(universe.instruments, (values.lot * values.profit).tolist(), strict=True):
            of_lot[item.id] = round(Fraction(profit) / unit)
    found: list[int] = []
    for column in columns.columns:
        sign = 1 if column.side in ("long", "receivable") else -1
        one = int(cash / unit * column.lots) if column.is_cash else of_lot.get(column.instrument, 0) * column.lots
        if one >= _MAX_WEIGHT or one <= -_MAX_WEIGHT:
            raise MarginOverflow("gain", column.label, "a unit of it gained more than the row of gains holds")
        found.append(sign * one)
    return tuple(found)


def gained(weights: Sequence[int], values: Sequence[int]) -> int:
    """Return E(z), in units of 2^UNIT_EXPONENT USD."""
    return sum(weight * value_ for weight, value_ in zip(weights, values, strict=True))
