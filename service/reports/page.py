"""A report as it is shown: a title, facts, tables and notes, plain text all of them. `html` and `pdf` print it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: above it.
        headers: of its columns.
        rows: of texts, as many in each as there are headers.
        numbers: which columns are numbers, and stand to the right.
        empty: what is said where there is no row.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    empty: str = "None."


@dataclass(frozen=True)
class Page:
    """One report.

    Attributes:
        title: what it is.
        subtitle: whose, and of when.
        facts: pairs of a name and a text.
        tables: in order.
        notes: below, a paragraph each.
    """

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


def table(
    caption: str,
    columns: Mapping[str, str],
    lines: Sequence[Mapping[str, Any]],
    numbers: str = "",
    empty: str = "None.",
) -> Table:
    """Return a table of lines.

    Args:
        caption: above it.
        columns: header by name of the field; a field that a line has not is shown as a dash.
        lines: as a report has them.
        numbers: names of the fields that are numbers, apart by spaces.
        empty: said where there is no line.
    """
    right = frozenset(at for at, name in enumerate(columns) if name in numbers.split())
    rows = tuple(tuple(shown(line.get(name)) for name in columns) for line in lines)
    return Table(caption, tuple(columns.values()), rows, right, empty)


def shown(value: Any) -> str:
    """Return a value as text; a dash for none."""
    return "–" if value is None else str(value)


def grouped(text: str) -> str:
    """Return a decimal with its thousands apart.

    >>> grouped("-1234567.50"), grouped("12")
    ('-1,234,567.50', '12')
    """
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{rest}"


def usd(text: str | None) -> str:
    """Return an amount of USD as it is shown; a dash for none."""
    return "–" if text is None else f"{grouped(text)} USD"


HELD = {"balance": "Balance", "asset": "Asset", "amount": "Amount", "quantity": "Smallest units"}
VALUED = {
    "balance": "Balance",
    "asset": "Asset",
    "amount": "Amount",
    "price_usd": "Price",
    "market_usd": "Value",
    "haircut": "Haircut",
    "counted_usd": "After haircut",
}
ENTRY = {"number": "Entry", "at": "Time (UTC)", "kind": "What happened", "document": "Document"}
NUMBERS = "amount quantity price_usd market_usd haircut counted_usd"


def spaced(lines: Sequence[Mapping[str, Any]], whole: bool = False) -> list[dict[str, Any]]:
    """Return lines whose amounts have their thousands apart; hashes are cut short for the eye unless ``whole``."""
    found = []
    for line in lines:
        new = dict(line)
        for name in ("amount", "quantity", "price_usd", "market_usd", "counted_usd", "amount_usd"):
            if new.get(name) is not None:
                new[name] = grouped(str(new[name]))
        if new.get("document") is not None and not whole:
            new["document"] = new["document"][:16] + "…"
        found.append(new)
    return found


def party_facts(report: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the facts that every report of one account begins with."""
    return (
        ("Institution", report["institution"]),
        ("Operator", report["operator"]),
        ("Account in the log", report["account"]),
        ("Log", report["log"]),
    )


def refs_table(refs: Sequence[Mapping[str, Any]], caption: str = "Entries that this rests on") -> Table:
    """Return a table of entries."""
    return table(caption, ENTRY, spaced(refs, whole=True), "number")
