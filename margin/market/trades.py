"""Trades, netted to a portfolio: what is still held, and the cash of all of it, exact.

For the institution's side. A trade is one purchase or sale; order makes no difference. What trades leave in cash is
what `market.cash` says, without rounding, so that splitting a trade in two changes nothing.

>>> from atomic_margin.margin.market.universe import Universe
>>> universe = Universe.parse({
...     "format": "atomic-margin/universe/1", "name": "one", "currency": "USD",
...     "underlyings": {"BTC": {"reference_price": "100000"}},
...     "instruments": [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1",
...                      "reference_price": "100000", "digits": "3"}]})
>>> trades = Trades.parse({"format": "atomic-margin/trades/1", "trades": [
...     {"instrument": "BTC-PERP", "side": "buy", "lots": "30", "price": "101000", "funding_index": "0"},
...     {"instrument": "BTC-PERP", "side": "sell", "lots": "10", "price": "102000", "funding_index": "0",
...      "fee": "7.5"}]})
>>> book = trades.net(universe)
>>> [(line.side, line.lots) for line in book.lines], float(book.cash_against(universe))
([('long', 20)], -1007.5)
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from atomic_margin.documents.errors import OutOfRange
from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, Lots, Part, in_range
from atomic_margin.margin.market.instruments import FundingIndex
from atomic_margin.margin.market.portfolio import FORMAT as PORTFOLIO
from atomic_margin.margin.market.portfolio import Money, Portfolio, TradePrice, at_reference
from atomic_margin.margin.market.universe import Universe

FORMAT = "atomic-margin/trades/1"


class Trade(Part):
    """One purchase or sale.

    Attributes:
        instrument: identifier of the instrument.
        side: buy or sell.
        lots: whole lots, at least 0.
        price: USD per unit of underlying; 0 where the whole premium was settled outside.
        funding_index: of perpetuals, the underlying's funding index at the trade, USD per unit.
        fee: USD that was charged and not settled outside; negative for a rebate.
        id: of the trade, for people.
    """

    instrument: Identifier
    side: Literal["buy", "sell"]
    lots: Lots
    price: TradePrice
    funding_index: FundingIndex | None = None
    fee: Annotated[Decimal, in_range("-1000000000000", "1000000000000")] | None = None
    id: Label | None = None


class Trades(Document):
    """Trades of an account, format ``atomic-margin/trades/1``. They never leave the institution.

    Attributes:
        trades: all of them since the book was empty, or since `opening`.
        opening: the book they begin with; left out for an empty one.
        cash: USD that the account had before, beside that book; negative for what it owed.
    """

    TAG: ClassVar[str] = "trades"

    format: Literal["atomic-margin/trades/1"]
    trades: ListOf[Trade]
    opening: Portfolio | None = None
    cash: Money | None = None

    def net(self, universe: Universe) -> Portfolio:
        """Return the book that the trades leave: lines at reference prices, and the exact cash beside them.

        Raises:
            UnknownInstrument: a trade's instrument is not in the universe.
            MalformedDocument: a perpetual has no funding index, or something else has one.
            OutOfRange: the cash has too many decimals, or is too large, to be written down.
        """
        held: dict[str, int] = {}
        cash = Fraction(self.cash or 0)
        if self.opening is not None:
            cash += self.opening.cash_against(universe)
            for line in self.opening.lines:
                held[line.instrument] = held.get(line.instrument, 0) + (
                    line.lots if line.side == "long" else -line.lots
                )
        for index, trade in enumerate(self.trades):
            path = f"trades[{index}]"
            item = universe.named(trade.instrument, f"{path}.instrument")
            signed = trade.lots if trade.side == "buy" else -trade.lots
            held[item.id] = held.get(item.id, 0) + signed
            cash += signed * Fraction(item.lot) * item.cash_of(trade.price, trade.funding_index, path)
            cash -= Fraction(trade.fee or 0)
        return booked(universe, held, cash)


def read_book(document: object, universe: Universe) -> Portfolio:
    """Return the book of a parsed JSON document: a portfolio as it is, or trades, netted.

    Raises:
        DocumentError: the first wrong field, named by its JSON path.
        MarginError: as `Trades.net`.
    """
    if isinstance(document, dict) and document.get("format") == FORMAT:
        return Trades.parse(document).net(universe)
    return Portfolio.parse(document)


def booked(universe: Universe, held: dict[str, int], cash: Fraction) -> Portfolio:
    """Return a book of net lots by instrument, negative for short ones, and the cash beside them, USD.

    Raises:
        OutOfRange: the cash has too many decimals, or is too large, to be written down.
    """
    lines: Iterable[dict[str, str]] = (
        at_reference(universe.by_id[name], "long" if lots > 0 else "short", abs(lots))
        for name, lots in held.items()
        if lots
    )
    return Portfolio.parse({"format": PORTFOLIO, "lines": list(lines), "cash": plain(cash)})


def plain(amount: Fraction) -> str:
    """Return an amount in decimal digits, exactly; amounts of decimal prices and lots have such digits.

    Raises:
        OutOfRange: it has too many.
    """
    scale = 0
    while (amount * 10**scale).denominator != 1:
        scale += 1
        if scale > _MAX_DECIMALS:
            raise OutOfRange("trades", f"their cash has over {_MAX_DECIMALS} decimals; use prices and lots of fewer")
    digits = format(Decimal(int(amount * 10**scale)).scaleb(-scale), "f")
    return digits if amount else "0"


_MAX_DECIMALS = 18
