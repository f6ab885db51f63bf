"""Books and trades from files: JSON and CSV, encodings, and errors that name file and place.

Cases from the trade (AcadiaSoft/simm-lib 8 and 10, marketcalls/openalgo 703) with files of their own kind; those of the
cases are of portfolio format 1 and get prices here, in the encoding that they have.
"""

import codecs
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.documents.errors import DocumentError, DuplicateId, MalformedDocument, NegativeLots, NotADecimal
from atomic_margin.margin import Universe, errors
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.trades import Trades
from atomic_margin.service.books import BookFile, read_book_file
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError, MalformedRequest
from atomic_margin.service.files import in_file, read_document, read_json
from atomic_margin.service.http.tokens import load_token

from ..outside import outside
from .documents import EXAMPLES

HEADER = "instrument,side,lots,price,funding_index"
BOOK = f"{HEADER}\nBTC-PERP,long,780,97269.4,0\nBTC-25DEC26,short,520,98053.5,\n"
TRADES = (
    "id,side,instrument,fee,price,lots,funding_index\n"
    "t-1,buy,BTC-PERP,7.5,101000,30,0\n"
    "t-2,sell,BTC-PERP,,102000,10,0.25\n"
    "t-3,sell,BTC-25DEC26-90000-P,-1,0,4,\n"
)


@pytest.fixture
def universe() -> Universe:
    return Universe.parse(json.loads((EXAMPLES / "universe.json").read_text()))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def written(content: str | bytes, name: str = "book.csv") -> BookFile:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_book_file(path)

    return written


def test_csv_is_the_portfolio_that_json_is(file: Any, universe: Universe) -> None:
    given = file(BOOK)
    lines = [
        {"instrument": "BTC-PERP", "side": "long", "lots": "780", "price": "97269.4", "funding_index": "0"},
        {"instrument": "BTC-25DEC26", "side": "short", "lots": "520", "price": "98053.5"},
    ]
    document = {"format": "atomic-margin/portfolio/2", "lines": lines}
    assert given.parse() == given.book(universe) == Portfolio.parse(document)
    assert file(json.dumps(document), "book.json").parse() == Portfolio.parse(document)
    assert not given.is_trades
    with pytest.raises(MalformedDocument, match=r"book\.csv: "):
        given.trades()


def test_csv_of_trades_is_told_by_its_sides(file: Any, universe: Universe) -> None:
    given = file(TRADES)
    trades = given.parse()
    assert given.is_trades
    assert isinstance(trades, Trades)
    assert [(item.id, item.side, item.lots, item.fee) for item in trades.trades] == [
        ("t-1", "buy", 30, Decimal("7.5")), ("t-2", "sell", 10, None), ("t-3", "sell", 4, -1)]  # fmt: skip
    assert given.book(universe) == trades.net(universe)
    assert file("instrument,side,lots,price,fee\n").is_trades
    assert file(f"{HEADER}\n").parse().lines == ()


@pytest.mark.parametrize("text", [BOOK, BOOK.replace("\n", "\r\n"), BOOK + "\n\n", BOOK.rstrip("\n")])
@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with BOM", "utf-16-le with BOM", "utf-16-be with BOM"],
)
def test_encodings_and_ends_of_lines(file: Any, text: str, encode: Any) -> None:
    given, plain = file(encode(text)), file(BOOK)
    assert given.document == plain.document
    document = json.dumps(plain.document, indent=1)
    assert file(encode(document), "book.json").document == plain.document


def test_what_is_no_text_is_refused(file: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"book\.csv is not UTF-8 at byte 5: save it as UTF-8"):
        file(b"instr\xff")
    with pytest.raises(ConfigurationError, match=r"book\.csv is not UTF-16 at byte"):
        file(codecs.BOM_UTF16_LE + b"i")
    with pytest.raises(MalformedDocument, match=r"book\.csv, line 1: neither JSON nor CSV"):
        file(BOOK.encode("utf-16-le"))
    with pytest.raises(ConfigurationError, match="is larger than"):
        file(b" " * (16 << 20) + b"  ")


@pytest.mark.parametrize(
    ("text", "error", "place"),
    [
        (f"{HEADER}\nBTC-PERP,long,1,1,0\nBTC-25DEC26,long,\"1,000\",1,\n", NotADecimal, "line 3, column lots: "),
        (f"{HEADER}\nBTC-PERP,long,1,000,97269.4,0\n", MalformedDocument, "line 2: has 6 fields where the"),
        (f"{HEADER}\nBTC-PERP,BUY,10,1,0\n", MalformedDocument, "line 2, column side: long or short or buy or"),
        (f"{HEADER}\nBTC-PERP,long,1,1,0\nBTC-PERP,sell,1,1,0\n", MalformedDocument, "line 3, column side: long"),
        (f"{HEADER},fee\nBTC-PERP,long,1,1,0,\n", MalformedDocument, "line 2, column side: buy or sell here"),
        (f"{HEADER}\nBTC-PERP,long,2.5,1,0\n", NotADecimal, 'line 2, column lots: write a whole number such as "12"'),
        (f"{HEADER}\nBTC-PERP,short,-10,1,0\n", NegativeLots, "line 2, column lots: at least 0"),
        (f"{HEADER}\nBTC-PERP,long,10,,0\n", NotADecimal, "line 2, column price: write a plain decimal"),
        (f"{HEADER}\nBTC-PERP,long,10,1e5,0\n", NotADecimal, "line 2, column price: write a plain decimal"),
        (f"{HEADER}\n\nBTC PERP,long,10,1,0\n", MalformedDocument, "line 3, column instrument: an identifier"),
        (f"{HEADER}\nBTC-PERP,long,10,1,0\nBTC-PERP,long,5,1,0\n", DuplicateId, "line 3: BTC-PERP long is already at"),
        (f"{HEADER}\nDOGE,long,10,1,\n", errors.UnknownInstrument, "line 2, column instrument: the universe has no"),
        (f"{HEADER}\nBTC-PERP,long,10,1,\n", MalformedDocument, "line 2, column funding_index: BTC-PERP is a"),
        (f"{HEADER}\nBTC-25DEC26,long,10,1,0\n", MalformedDocument, "line 2, column funding_index: BTC-25DEC26 is no"),
        ("instrument,side,lots\nBTC-PERP,long,10\n", MalformedDocument, 'line 1: the column price is missing; add'),
        ("instrument,side,lots,price,Delta\n", MalformedDocument, "line 1, column 5: a header of instrument, side"),
        ("instrument,side,lots,price,lots\n", MalformedDocument, "line 1: the column lots is there twice"),
        ("instrument;side;lots;price\n", MalformedDocument, "line 1: neither JSON nor CSV with a header of instrument"),
        (f"{HEADER}\n\"BTC-PERP,long\n", MalformedDocument, "line 2: not CSV: unexpected end of data"),
        ("", MalformedDocument, "line 1: neither JSON nor CSV"),
        (TRADES.replace("t-2,sell,BTC-PERP", "t-2,sell,DOGE"), errors.UnknownInstrument, "line 3, column instrument: "),
    ],
    ids=range(21),
)  # fmt: skip
def test_csv_is_refused_by_line_and_column(
    file: Any, universe: Universe, text: str, error: type[DocumentError], place: str
) -> None:
    with pytest.raises(error) as refused:
        file(text).book(universe)
    assert f"book.csv, {place}" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "error", "place"),
    [
        ({"lots": 10}, NotADecimal, "lines[0].lots: write the number as a decimal string"),
        ({"lots": 2.5}, NotADecimal, "lines[0].lots: write the number as a decimal string such as \"0.25\", got 2.5"),
        ({"lots": "1,000"}, NotADecimal, "lines[0].lots: write a plain decimal"),
        ({"side": "BUY"}, MalformedDocument, "lines[0].side: Input should be 'long' or 'short'"),
        ({"instrument": "btc-perp"}, errors.UnknownInstrument, "lines[0].instrument: the universe has no"),
        ({"price": None}, NotADecimal, "lines[0].price: write the number as a decimal string"),
    ],
)  # fmt: skip
def test_json_is_refused_by_field(
    file: Any, universe: Universe, change: Any, error: type[DocumentError], place: str
) -> None:
    line = {"instrument": "BTC-PERP", "side": "long", "lots": "10", "price": "1", "funding_index": "0"} | change
    with pytest.raises(error) as refused:
        file(json.dumps({"format": "atomic-margin/portfolio/2", "lines": [line]}), "b.json").book(universe)
    assert f"b.json: {place}" in str(refused.value)


def test_what_netting_shows_is_no_line_of_the_file(file: Any) -> None:
    assert file(TRADES).place("lines[0].lots").endswith("book.csv, netted: lines[0].lots")
    assert file(TRADES).place("cash").endswith("book.csv: cash")


def test_other_documents_are_named_by_file_too(tmp_path: Path) -> None:
    path = tmp_path / "universe.json"
    path.write_bytes(codecs.BOM_UTF8 + b'{"format": "atomic-margin/universe/1", "name": 7}')
    with pytest.raises(MalformedDocument, match=r"universe\.json: name: a label is"):
        read_document(path, Universe.parse)
    with pytest.raises(MalformedRequest, match="numbers are written as decimal strings here, got 7"):
        read_json(path)
    with pytest.raises(NegativeLots, match=r"^here: x: y$"), in_file("here"):
        raise NegativeLots("x", "y")


@pytest.mark.parametrize("text", [BOOK, TRADES], ids=["portfolio", "trades"])
def test_the_agent_is_sent_the_json_that_csv_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    sent: list[Any] = []

    status = {"stage": "enrolled", "problem": None, "enrolled": True, "alarm": None, "contradiction": None}

    def call(_: str, method: str, *__: object, body: Any, **___: object) -> dict[str, Any]:
        if method == "GET":
            return {**status, "key_commitments": None}
        sent.append(body)
        return {"submission_sequence": "7"}

    monkeypatch.setattr("atomic_margin.service.cli.agent_calls.call", call)
    path = tmp_path / "book.csv"
    path.write_text(text)
    load_token(tmp_path / "agent.token")
    arguments = ["institution", "submit", str(path), "--dir", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"submission_sequence": "7"})
    assert sent == [read_book_file(path).document]
    path.write_text(text.replace(",BTC-PERP,", ",BTC PERP,").replace("\nBTC-PERP,", "\nBTC PERP,"))
    refused = CliRunner().invoke(app, arguments)
    assert (refused.exit_code, len(sent)) == (2, 1)
    assert "book.csv, line 2, column instrument: an identifier" in refused.stderr


# --- the cases from the trade


def converted(name: str) -> bytes:
    """A file of the cases in format 2, in the encoding and with the line ends it has."""
    data = (outside("desk") / "13-crif-and-encodings" / name).read_bytes()
    encoding = "utf-16" if data.startswith(codecs.BOM_UTF16_LE) else "utf-8-sig"
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text = data.decode(encoding)
    if name.endswith(".json"):
        old = json.loads(text)
        lines = [{**line, "price": "100050", "funding_index": "0"} for line in old["positions"]]
        text = json.dumps({"format": "atomic-margin/portfolio/2", "lines": lines}, indent=1)
        text = text.replace("\n", "\r\n") if b"\r\n" in data else text
    else:
        head, *rows = text.splitlines()
        text = "\n".join([f"{head},price,funding_index", *(f"{row},100050,0" for row in rows)])
    return text.encode("utf-16") if encoding == "utf-16" else mark + text.encode()


@pytest.mark.parametrize("name", ["bom.json", "utf16.json", "crlf.json", "book.csv"])
def test_files_of_the_cases_are_read(file: Any, universe: Universe, name: str) -> None:
    (line,) = file(converted(name), name).book(universe).lines
    assert (line.instrument, line.side, line.lots) == ("BTC-PERP", "long", 10)
    if name != "book.csv":
        with pytest.raises(MalformedDocument, match=rf"{name}: format: .*write atomic-margin/portfolio/2"):
            file((outside("desk") / "13-crif-and-encodings" / name).read_bytes(), name).parse()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("numbers.json", "numbers.json: lines[0].lots: "),
        ("thousands.json", "thousands.json: lines[0].lots: "),
        ("fraction.json", "fraction.json: lines[0].lots: "),
        ("signed.json", "signed.json: lines[0].lots: "),
        ("buy.json", "buy.json: lines[0].side: "),
        ("case.json", "case.json: lines[0].instrument: "),
        ("dup.json", "dup.json: lines[1]: "),
    ],
)
def test_files_of_the_cases_are_refused_by_field(file: Any, universe: Universe, name: str, place: str) -> None:
    with pytest.raises(DocumentError) as refused:
        file(converted(name), name).book(universe)
    assert place in str(refused.value)


def test_a_table_of_sensitivities_is_no_book(file: Any) -> None:
    with pytest.raises(MalformedDocument, match=r"crif\.tsv, line 1: neither JSON nor CSV with a header of instrument"):
        file((outside("desk") / "13-crif-and-encodings" / "crif.tsv").read_bytes(), "crif.tsv")
