"""The figures of `atomic-margin margin`: one form for tables on a terminal, JSON and CSV.

Every analysis becomes a `Table` of labelled amounts under maintenance and initial margin, so that a reader of CSV has
one kind of line to read, and JSON has what a table cannot hold.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from rich.markup import escape
from rich.table import Table as Columns

from atomic_margin.bench.gap import AccountExcess, FormExcess
from atomic_margin.margin.analysis import Call, Contributions, Explanation, Ladder, Standing, WhatIf
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import InterpolatedQuote
from atomic_margin.margin.models.interface import Reference
from atomic_margin.service.cli.output import out

Amount = float | Decimal
V = TypeVar("V")


@dataclass(frozen=True)
class Table:
    """Labelled amounts, USD.

    Attributes:
        name: of the table: margin, ladder, contributions, explain or what_if.
        title: for people.
        rows: label, amount under maintenance margin, amount under initial margin.
    """

    name: str
    title: str
    rows: tuple[tuple[str, Amount, Amount], ...]

    def print(self) -> None:
        """Print it for people."""
        out.print(f"\n[bold]{escape(self.title)}[/]", soft_wrap=True)
        columns = Columns(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        columns.add_column("")
        for kind in KINDS:
            columns.add_column(kind, justify="right", no_wrap=True)
        for label, *amounts in self.rows:
            columns.add_row(escape(label), *(f"{amount:,.2f}" for amount in amounts))
        out.print(columns)


def write_csv(path: Path, tables: Iterable[tuple[str, Table]]) -> None:
    """Write tables as one CSV file: case, table, item, maintenance, initial; USD in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "table", "item", *KINDS))
    for case, table in tables:
        writer.writerows((case, table.name, label, *map(_plain, amounts)) for label, *amounts in table.rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _plain(amount: Amount) -> str:
    """Return an amount in full, without an exponent."""
    return format(amount if isinstance(amount, Decimal) else Decimal(repr(amount)), "f")


def both(values: Mapping[MarginKind, V]) -> tuple[V, V]:
    """Return the values of both kinds of margin, in the order of `KINDS`."""
    first, second = KINDS
    return values[first], values[second]


def margin_table(true: Reference) -> Table:
    """Return requirement and excess."""
    rows = (("requirement", *both(true.requirement)), ("excess", *both(true.excess)))
    return Table("margin", "margin", rows)


def ladder_table(found: Ladder) -> Table:
    """Return what is left now and in every scenario."""
    rows = (
        ("now", found.now, found.now),
        *((rung.label, *both({k: rung.of(k) for k in KINDS})) for rung in found.rungs),
    )
    return Table("ladder", "what is left in every scenario, USD", rows)


def contributions_table(found: Sequence[Contributions]) -> Table:
    """Return what everything adds to the binding rows, of both kinds in the order of `KINDS`."""
    labels = dict.fromkeys(part.label for item in found for part in item.parts)
    amounts = [{part.label: part.amount for part in item.parts} for item in found]
    rows = [(label, amounts[0].get(label, 0.0), amounts[1].get(label, 0.0)) for label in labels]
    title = "; ".join(f"{item.kind}: {item.row}" for item in found)
    rows.append(("excess", found[0].excess, found[1].excess))
    return Table("contributions", f"what adds to the binding row, USD ({title})", tuple(rows))


def explain_table(found: Explanation, before: str, after: str) -> Table:
    """Return the effects of every factor, and what they do only together; ``before`` and ``after`` name the ticks."""
    rows = [
        ("excess before", *both(found.before)),
        *((effect.factor, effect.maintenance, effect.initial) for effect in found.effects),
        ("only together", *both({kind: found.residual(kind) for kind in KINDS})),
        ("excess after", *both(found.after)),
        ("change", *both({kind: found.change(kind) for kind in KINDS})),
    ]
    title = f"why the excess changed from {before} to {after}, one factor at a time, USD"
    return Table("explain", title, tuple(rows))


def what_if_table(found: WhatIf) -> Table:
    """Return requirement and excess before and after."""
    before, after = found.before, found.after
    change = {kind: after.excess[kind] - before.excess[kind] for kind in KINDS}
    rows = (
        ("requirement before", *both(before.requirement)),
        ("requirement after", *both(after.requirement)),
        ("excess before", *both(before.excess)),
        ("excess after", *both(after.excess)),
        ("change of excess", *both(change)),
    )
    return Table("what_if", "what the trades would do, USD", rows)


def analysis_json(
    found_ladder: Ladder | None,
    parts: Sequence[Contributions],
    explanation: Explanation | None,
    trades: WhatIf | None,
) -> dict[str, Any]:
    """Return what ``--json`` has of analyses: USD as JSON numbers."""
    found: dict[str, Any] = {}
    if found_ladder is not None:
        rungs = [{"scenario": rung.label, **{kind: rung.of(kind) for kind in KINDS}} for rung in found_ladder.rungs]
        found["ladder"] = {"now": found_ladder.now, "rungs": rungs}
    if parts:
        found["contributions"] = {
            item.kind: {"row": item.row, "excess": item.excess, "parts": [_part(part) for part in item.parts]}
            for item in parts
        }
    if explanation is not None:
        found["explain"] = {
            kind: {
                "before": float(explanation.before[kind]),
                "after": float(explanation.after[kind]),
                "change": float(explanation.change(kind)),
                "effects": {effect.factor: float(effect.of(kind)) for effect in explanation.effects},
                "residual": float(explanation.residual(kind)),
            }
            for kind in KINDS
        }
    if trades is not None:
        found["what_if"] = {
            **{
                name: {"requirement": dict(true.requirement), "excess": dict(true.excess), "worst": dict(true.worst)}
                for name, true in (("before", trades.before), ("after", trades.after))
            },
            "book": trades.book.canonical(),
        }
    return found


def _part(part: Any) -> dict[str, Any]:
    given = {name: getattr(part, name) for name in ("what", "name", "side", "lots", "profit", "amount")}
    return {name: value for name, value in given.items() if value is not None}


def true_json(label: str, true: Reference, call: Call | None = None) -> dict[str, Any]:
    """Return what ``--json`` prints of true margin, and of the call where there may be one."""
    found = {
        "model": true.model,
        "case": label,
        "initial_excess": true.excess["initial"],
        "maintenance_excess": true.excess["maintenance"],
        "mark_to_market": true.mark_to_market,
        **true.details,
        "worst": true.worst["maintenance"],
        "worst_initial": true.worst["initial"],
        "initial_requirement": true.requirement["initial"],
        "maintenance_requirement": true.requirement["maintenance"],
    }
    if call is not None:
        found["call"] = {
            "due": call.is_due,
            "amount": float(call.amount),
            "minimum_transfer_amount": float(call.minimum_transfer_amount),
            "text": call.text,
        }
    return found


def integer_json(account: AccountExcess) -> dict[str, Any]:
    """Return what ``--json`` prints of the integers of an account."""
    found: dict[str, Any] = {
        "gross": account.gross,
        "gross_limit": account.gross_limit,
        "integer": [
            {
                "form": item.form,
                "place": item.place,
                "bits": item.bits,
                "rows": item.rows,
                "entries": item.entries,
                "slack": item.slack,
                "initial_excess": float(item.integer["initial"]),
                "maintenance_excess": float(item.integer["maintenance"]),
                **_gap(account, item, "initial"),
                "maintenance": _gap(account, item, "maintenance"),
            }
            for item in account.forms
        ],
    }
    if account.problem:
        found["integer_problem"] = account.problem
    return found


def _gap(account: AccountExcess, item: FormExcess, kind: MarginKind) -> dict[str, float | None]:
    gap = account.gaps(kind)[account.forms.index(item)]
    gross = account.gross
    return {
        "unit": float(item.units[kind]),
        "rounding_gap": gap.rounding,
        "model_gap": gap.model,
        "gap": gap.total,
        "gap_percent_of_requirement": account.percent_of_requirement(kind, gap.total),
        "gap_percent_of_gross": 100 * gap.total / gross if gross else None,
    }


def interpolated_json(marked: Mapping[str, Sequence[InterpolatedQuote]]) -> list[dict[str, Any]]:
    """Return what ``--json`` prints of volatilities that nobody quoted, by file of prices."""
    return [
        {
            "market": prices,
            "underlying": quote.underlying,
            "expiry": quote.expiry,
            "strike": f"{quote.strike:f}",
            "volatility": quote.volatility,
        }
        for prices, quotes in marked.items()
        for quote in quotes
    ]


def print_interpolated(prices: str, quotes: Sequence[InterpolatedQuote]) -> None:
    """Print which volatilities nobody quoted, and what they are taken to be; ``prices`` names their file."""
    for quote in quotes:
        out.print(f"[yellow]interpolated[/], no quote in {escape(prices)}: {escape(str(quote))}", soft_wrap=True)


def left(amount: float) -> str:
    """Return what is left, or missing, of collateral and profit after the margin requirement; noise is nothing."""
    if round(amount, 2) == 0:
        amount = 0.0
    return f"{'excess' if amount >= 0 else 'deficit'} {abs(amount):,.2f} USD"


def print_true(label: str, true: Reference, call: Call | None = None) -> None:
    """Print requirement, and excess or deficit, of both kinds of margin, and the call where there may be one."""
    out.print(
        f"[bold]{escape(label)}[/], model {true.model}: mark to market {true.mark_to_market:,.2f} USD", soft_wrap=True
    )
    for kind in reversed(KINDS):
        out.print(
            f"{kind}: requirement {true.requirement[kind]:,.2f} USD, {left(true.excess[kind])}, worst: "
            f"{escape(true.worst[kind])}",
            soft_wrap=True,
        )
    if call is not None and call.deficit > 0:
        out.print(f"maintenance deficit {call.deficit:,.2f} USD: {call.text}", soft_wrap=True)
    details = (f"{key.replace('_', ' ')} {value:,.2f}" for key, value in true.details.items())
    out.print(", ".join(details), soft_wrap=True)


def print_standing(found: Standing) -> None:
    """Print what an agreement makes of an account."""
    out.print(f"under {escape(found.agreement.name)}: {found.text}", soft_wrap=True)


def standing_json(found: Standing) -> dict[str, Any]:
    """Return what ``--json`` prints of the same."""
    return {
        "agreement": found.agreement.hash(),
        "covered": found.is_covered,
        "deficit": float(found.deficit),
        "call": float(found.call),
        "return": float(found.returned),
        "text": found.text,
    }


def print_integers(account: AccountExcess) -> None:
    """Print what the integers say, and the gap."""
    if account.forms:
        table = Columns(box=None, pad_edge=False, padding=(0, 0, 0, 1))
        for column in ("form", "place", "bits", "rows", "unit", "initial excess", "rounding", "model", "gap, %"):
            table.add_column(column, justify="left" if column in ("form", "place") else "right")
        for item in account.forms:
            gap = _gap(account, item, "initial")
            share = gap["gap_percent_of_requirement"]
            table.add_row(
                item.form,
                item.place,
                str(item.bits),
                str(item.rows),
                f"{float(item.units['initial']):.4g}",
                f"{float(item.integer['initial']):,.2f}",
                f"{gap['rounding_gap']:,.2f}",
                f"{gap['model_gap']:,.2f}",
                "-" if share is None else f"{share:.4f}",
            )
        out.print(table)
        out.print(
            "The gap, rounding plus model, is initial excess that the integers do not see: USD, and % of the "
            "initial requirement. It is never below zero.",
            soft_wrap=True,
        )
    if account.problem:
        out.print(f"[yellow]no integer rows[/]: {escape(account.problem)}", soft_wrap=True)
