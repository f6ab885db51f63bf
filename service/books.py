"""Books and trades that people hand over, in JSON or CSV: one reader for every command that takes them.

CSV has a header and a line for each position, or for each trade:

    instrument,side,lots,price,funding_index
    BTC-PERP,long,780,97269.4,0

    instrument,side,lots,price,funding_index,fee
    BTC-PERP,buy,30,101000,0,7.5

Columns come in any order; `funding_index`, `fee` and `id` may be left out or empty. Sides `long` and `short` make it a
portfolio, `buy` and `sell` trades. Numbers are plain decimals without thousands separators. What is wrong is named by
file, line and column, or by file and field; also what only a universe shows to be wrong.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.margin.market.portfolio import FORMAT as PORTFOLIO
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.trades import FORMAT as TRADES
from atomic_margin.margin.market.trades import Trades, read_book
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.files import placing, read_text
from atomic_margin.service.http.outside_json import parse_json

_NEEDED = ("instrument", "side", "lots", "price")
_OPTIONAL = ("funding_index",)
_OF_TRADES = ("fee", "id")
_ITEM = re.compile(r"(lines|trades)\[(\d+)\](?:\.(\w+))?")
_SIDES = {"long": "lines", "short": "lines", "buy": "trades", "sell": "trades"}


@dataclass(frozen=True)
class BookFile:
    """A portfolio or trades as a file has them.

    Attributes:
        path: of the file.
        document: the JSON document; of CSV, the one it stands for.
        numbers: of CSV, the line in the file of each item of the document.
    """

    path: Path
    document: Any
    numbers: tuple[int, ...] | None = None

    @property
    def is_trades(self) -> bool:
        """Whether it says trades."""
        return isinstance(self.document, dict) and self.document.get("format") == TRADES

    def parse(self) -> Portfolio | Trades:
        """Return the document it holds.

        Raises:
            DocumentError: a field is wrong; the file and its place in there are named.
        """
        with self.named():
            return Trades.parse(self.document) if self.is_trades else Portfolio.parse(self.document)

    def trades(self) -> Trades:
        """Return the trades it holds.

        Raises:
            DocumentError: a field is wrong, or it holds something else; the file is named.
        """
        with self.named():
            return Trades.parse(self.document)

    def book(self, universe: Universe) -> Portfolio:
        """Return the book it holds, trades netted.

        Raises:
            DocumentError: a field is wrong, or does not fit the universe; the file and its place in there are named.
        """
        with self.named():
            found = read_book(self.document, universe)
            # Whatever a line has that does not fit the universe, its cash shows.
            found.cash_against(universe)
            return found

    def place(self, field: str) -> str:
        """Return how a person finds a field of the document in the file."""
        item = _ITEM.fullmatch(field)
        if item is None or (item[1] == "trades") != self.is_trades:
            return f"{self.path}{', netted' if self.is_trades and item else ''}: {field}"
        if self.numbers is None:
            return f"{self.path}: {field}"
        column = "" if item[3] is None else f", column {item[3]}"
        return f"{self.path}, line {self.numbers[int(item[2])]}{column}"

    def named(self) -> AbstractContextManager[None]:
        """Turn the field that an error of the document names into its place in the file."""
        return placing(self.placed)

    def placed(self, error: DocumentError) -> DocumentError:
        """Return the same error with the place in the file instead of the field."""
        problem = error.problem
        if self.numbers is not None and (error.field.startswith("trades[") == self.is_trades):
            numbers = self.numbers
            problem = re.sub(r"(?:lines|trades)\[(\d+)\]", lambda found: f"line {numbers[int(found[1])]}", problem)
        return type(error)(self.place(error.field), problem)


def read_book_file(path: Path) -> BookFile:
    """Return the portfolio or the trades in a file, JSON or CSV, of UTF-8 or UTF-16.

    Raises:
        ConfigurationError: the file cannot be read, is too large, or is no text.
        MalformedRequest: it is not JSON of the form used here.
        MalformedDocument: it is no CSV of the form used here; file, line and column are named.
    """
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        return BookFile(path, parse_json(text.encode(), str(path), numbers=True))
    return _from_csv(path, text)


def _from_csv(path: Path, text: str) -> BookFile:
    rows = _rows(path, text)
    number, header = next(rows, (1, []))
    _check_header(path, number, header)
    items: list[dict[str, str]] = []
    numbers: list[int] = []
    kind = "trades" if set(header) & set(_OF_TRADES) else None
    for number, row in rows:
        if len(row) != len(header):
            raise MalformedDocument(
                f"{path}, line {number}",
                f"has {len(row)} fields where the header has {len(header)}: separate columns by commas, and write "
                "numbers without thousands separators",
            )
        item = dict(zip(header, row, strict=True))
        found = _SIDES.get(item["side"])
        if found is None or (kind or found) != found:
            sides = " or ".join(side for side, of in _SIDES.items() if (kind or of) == of)
            raise MalformedDocument(f"{path}, line {number}, column side", f"{sides} here, got {item['side']!r}")
        kind = found
        items.append({name: value for name, value in item.items() if value or name in _NEEDED})
        numbers.append(number)
    kind = kind or "lines"
    return BookFile(path, {"format": TRADES if kind == "trades" else PORTFOLIO, kind: items}, tuple(numbers))


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, with their lines in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row and row != [""]:
                yield reader.line_num, row
    except csv.Error as error:
        raise MalformedDocument(f"{path}, line {reader.line_num}", f"not CSV: {error}") from None


def _check_header(path: Path, number: int, header: list[str]) -> None:
    known = (*_NEEDED, *_OPTIONAL, *_OF_TRADES)
    where, wanted = f"{path}, line {number}", f"a header of {', '.join(_NEEDED)}, and {', '.join(known[4:])} if need be"
    unknown = [name for name in header if name not in known]
    if not set(header) & set(_NEEDED):
        raise MalformedDocument(where, f"neither JSON nor CSV with {wanted}, separated by commas")
    if unknown:
        raise MalformedDocument(f"{where}, column {header.index(unknown[0]) + 1}", f"{wanted}; got {unknown[0]!r}")
    for name in _NEEDED:
        if name not in header:
            advice = ' ("0" where the premium was settled outside)' if name == "price" else ""
            raise MalformedDocument(where, f"the column {name} is missing; add it{advice}")
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise MalformedDocument(where, f"the column {twice} is there twice; leave one out")
