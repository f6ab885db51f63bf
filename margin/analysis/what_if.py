"""What-if: an account before and after trades that were not made.

Trades are added to the book at their own prices. Lines of instruments that nobody trades stay as they are; the others
are netted with the trades, as the agent nets them.
"""

from dataclasses import dataclass, replace

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.analysis.account import Account, require_account
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.trades import Trades
from atomic_margin.margin.models.case import AnyCase
from atomic_margin.margin.models.interface import Reference


@dataclass(frozen=True)
class WhatIf:
    """An account before and after.

    Attributes:
        before: margin of the account as it is.
        after: margin with the trades.
        book: the book with the trades.
    """

    before: Reference
    after: Reference
    book: Portfolio


def what_if(account: Account | AnyCase, trades: Trades) -> WhatIf:
    """Return margin before and after ``trades``.

    Raises:
        NotAnalysed: for a case, which takes no trades.
        UnknownInstrument: the universe has no such instrument.
        MalformedDocument: the trades begin with a book of their own, a perpetual has no funding index, or something
            else has one.
    """
    given = require_account(account, "a what-if")
    book = with_trades(given, trades)
    return WhatIf(given.reference(), replace(given, book=book).reference(), book)


def with_trades(account: Account, trades: Trades) -> Portfolio:
    """Return an account's book with ``trades`` added; errors as for `what_if`."""
    if trades.opening is not None:
        raise MalformedDocument("opening", "added trades begin with the account's own book; leave this out")
    universe, book = account.published.universe, account.book
    traded = {trade.instrument for trade in trades.trades}
    parts: tuple[list[object], list[object]] = ([], [])
    for line in book.lines:
        parts[line.instrument in traded].append(line.canonical())
    opening = Portfolio.parse({"format": book.format, "lines": parts[True]})
    both = Trades.parse({**_json(trades), "opening": opening.canonical()}).net(universe)
    cash = (both.cash or 0) + (book.cash or 0)
    lines = parts[False] + [line.canonical() for line in both.lines]
    return Portfolio.parse({"format": book.format, "lines": lines, "cash": format(cash, "f") if cash else "0"})


def _json(trades: Trades) -> dict[str, object]:
    value = trades.canonical()
    if not isinstance(value, dict):
        raise TypeError("trades are a JSON object")
    return dict(value)
