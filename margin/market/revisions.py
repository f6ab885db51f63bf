"""Revisions of a universe: what may follow what, and how a book goes from one to the next.

A universe is replaced while accounts hold books in it. Instruments that expire are left out of the next one, others are
listed anew, reference prices and lots change. Nobody has to type anything: a line keeps its trade price, so whatever
profit is counted from, the book is worth the same; what has expired becomes cash.

>>> from atomic_margin.margin.market.universe import Universe
>>> def universe(price, lot, *names):
...     return Universe.parse({
...         "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...         "underlyings": {"BTC": {"reference_price": price}},
...         "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": lot,
...                          "reference_price": price, "digits": "3"}]})
>>> old, new = universe("100000", "0.1"), universe("120000", "0.05")
>>> check_revision(old, new)
>>> book = Portfolio.parse({"format": "atomic-margin/portfolio/2", "lines": [
...     {"instrument": "BTC-PERP", "side": "long", "lots": "30", "price": "90000", "funding_index": "0"}]})
>>> moved = carried(book, old, new, None)
>>> moved.lines[0].lots, float(book.cash_against(old)), float(moved.cash_against(new))
(60, 30000.0, 90000.0)
"""

from decimal import Decimal
from fractions import Fraction

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import format_instant
from atomic_margin.margin.errors import NotSettled, UnknownInstrument
from atomic_margin.margin.market.instruments import Instrument
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.trades import plain
from atomic_margin.margin.market.universe import Universe

_SAME = ("kind", "underlying", "expiry", "strike", "right")


def check_revision(old: Universe, new: Universe) -> None:
    """Make sure that every book of a universe can be carried to the next.

    Raises:
        MalformedDocument: an instrument has other terms than before, or a lot that does not divide the old one.
        UnknownInstrument: an instrument that does not expire is left out.
    """
    if old.hash() == new.hash():
        raise MalformedDocument("$", "it is the universe that is in force already; change something, its name at least")
    numbers = {item.id: index for index, item in enumerate(new.instruments)}
    for item in old.instruments:
        if item.id not in numbers:
            if item.expiry is None:
                raise UnknownInstrument("instruments", f"{item.id!r} does not expire and cannot be left out; list it")
            continue
        path, after = f"instruments[{numbers[item.id]}]", new.by_id[item.id]
        for name in _SAME:
            if getattr(item, name) != getattr(after, name):
                raise MalformedDocument(
                    f"{path}.{name}", f"{item.id!r} has another one in the universe before; give it a new id"
                )
        if (Fraction(item.lot) / Fraction(after.lot)).denominator != 1:
            raise MalformedDocument(f"{path}.lot", f"must divide the lot of the universe before, {item.lot:f}")


def is_settled(book: Portfolio, old: Universe, new: Universe, market: Market) -> bool:
    """Return whether every line that the new universe leaves out has its settlement price at a market."""
    gone = [old.by_id[line.instrument] for line in book.lines if line.instrument not in new.by_id and line.lots]
    return all(_settlement(item, market) is not None for item in gone)


def carried(book: Portfolio, old: Universe, new: Universe, market: Market | None) -> Portfolio:
    """Return a book of one universe in the next: the same lines at the same prices, what has expired as cash.

    Args:
        book: in the old universe.
        old: the universe before.
        new: the one after, which `check_revision` let pass.
        market: prices, with the settlement prices of what the new universe leaves out.

    Raises:
        UnknownInstrument: a line's instrument is not in the old universe.
        NotSettled: a line's instrument is left out and has no settlement price yet.
        OutOfRange: the cash has too many decimals, or is too large, to be written down.
    """
    cash = Fraction(book.cash or 0)
    lines: list[dict[str, object]] = []
    for index, line in enumerate(book.lines):
        item = old.named(line.instrument, f"lines[{index}].instrument")
        after = new.by_id.get(item.id)
        if after is not None:
            lots = line.lots * int(Fraction(item.lot) / Fraction(after.lot))
            lines.append({**_json(line.canonical()), "lots": str(lots)})
            continue
        average = None if market is None else _settlement(item, market)
        if average is None and line.lots:
            expiry = "" if item.expiry is None else f" of {format_instant(item.expiry)}"
            raise NotSettled(
                f"lines[{index}].instrument", f"{item.id!r} has no settlement price{expiry} yet; wait for it"
            )
        per_unit = _payoff(item, average or Decimal(0)) - Fraction(line.price)
        cash += (1 if line.side == "long" else -1) * line.lots * Fraction(item.lot) * per_unit
    return Portfolio.parse({"format": book.format, "lines": lines, "cash": plain(cash)})


def _settlement(item: Instrument, market: Market) -> Decimal | None:
    quotes = market.underlyings.get(item.underlying)
    if quotes is None or item.expiry is None:
        return None
    quote = quotes.expiries.get(format_instant(item.expiry))
    return quote.settlement.average if quote is not None and quote.is_settled and quote.settlement else None


def _payoff(item: Instrument, average: Decimal) -> Fraction:
    if item.strike is None:
        return Fraction(average)
    over = Fraction(average) - Fraction(item.strike)
    return max(Fraction(0), over if item.right == "call" else -over)


def _json(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("a line is a JSON object")
    return dict(value)
