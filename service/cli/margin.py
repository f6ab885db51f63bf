"""`atomic-margin margin`: the true margin of a book, the margin its integers give, and the gap between them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from atomic_margin.bench.gap import AccountExcess, Desk, FormExcess, measure_case
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import NegativeGap
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.models.case import AnyCase, CaseModel
from atomic_margin.margin.models.registry import models
from atomic_margin.margin.models.universe import LedgerModel, Published, UniverseModel
from atomic_margin.service.cli.examples import (
    SCHEDULE,
    UNIVERSE,
    example_gross_limit,
    read_cases,
    read_model,
    read_posted,
    read_published,
)
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_json

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

WIDTHS = (20, 24)


_CASES = {name: rules for name, rules in models().items() if issubclass(rules, CaseModel)}
_OTHERS = {name: rules for name, rules in models().items() if issubclass(rules, UniverseModel)}


def _names() -> str:
    return f"{', '.join(_OTHERS)} (the example's), {', '.join(_CASES)}"


def _pooled() -> str:
    return ", ".join(name for name, rules in _OTHERS.items() if not issubclass(rules, LedgerModel))


def _posted_examples() -> str:
    return " or ".join(f"examples/{path}" for path in dict.fromkeys(rules.EXAMPLE_POSTED for rules in _OTHERS.values()))


def _with_sets() -> str:
    return ", ".join(name for name, rules in _CASES.items() if not rules.PARAMETERS_IN_CASE)


HELP = """Print the true margin of a book, the margin that integer rows give, and the gap.

The true margin is computed in plain floating point. The integers are what the operator's circuit (place fhe) and the
proof (place proof) work on; they never exceed the true margin. The gap has two parts: what the form of the rows gives
up (model gap) and what rounding to integers gives up (rounding gap). Nothing is sent and nothing is encrypted here.

The example book:

    atomic-margin margin --model scan --portfolio examples/portfolio.json --market examples/market-1.json

A portfolio-margin case, {name: {"Scenario": ...}}, with the set NAME of a parameter file:

    atomic-margin margin --model pmrm --case case.json --parameters parameters.json --set NAME

A case of the second version brings its own parameters, {"Scenario": ..., "Parameters": ...}:

    atomic-margin margin --model pmrm2 --case case.json --json

Exit status 0: computed, whatever the margin is. 2: an input is wrong; the message names the field.
"""


@app.command(help=HELP)
def margin(
    model: Annotated[
        str,
        typer.Option(help=f"{_names()}, or a model document."),
    ],
    portfolio: Annotated[Path | None, typer.Option(help="Book; examples/portfolio.json is one.")] = None,
    market: Annotated[Path | None, typer.Option(help="Prices; examples/market-1.json are some.")] = None,
    universe: Annotated[Path, typer.Option(help="Instruments.", show_default="examples/universe.json")] = UNIVERSE,
    schedule: Annotated[
        Path, typer.Option(help="Eligible collateral and haircuts.", show_default="examples/collateral-schedule.json")
    ] = SCHEDULE,
    posted: Annotated[
        Path | None,
        typer.Option(
            help=f"Posted collateral; for {_pooled()} by pool.",
            show_default=_posted_examples(),
        ),
    ] = None,
    case: Annotated[Path | None, typer.Option(help=f"Cases, for {' and '.join(_CASES)}.")] = None,
    name: Annotated[str | None, typer.Option(help="One of several cases of the file.")] = None,
    parameters: Annotated[Path | None, typer.Option(help=f"Parameter sets, for {_with_sets()}.")] = None,
    parameter_set: Annotated[str | None, typer.Option("--set", help="Name of the parameter set.")] = None,
    gross_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Public limit on the size of the book, whole USD.",
            show_default="that of examples/institution.json, or a quarter above the case's book",
        ),
    ] = None,
    bits: Annotated[int, typer.Option(help="Width of FHE rows: 20 or 24. Proof rows have 12 more.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines, in full precision.")] = False,
) -> None:
    """Print true and integer margin; `HELP` is what the user reads."""
    with plain_errors(named=True):
        if bits not in WIDTHS:
            raise ConfigurationError(f"--bits is 20 or 24, got {bits}")
        rules = models().get(model)
        if rules is not None and issubclass(rules, CaseModel):
            _refuse_given("a case, which has its own", portfolio=portfolio, market=market, posted=posted)
            if case is None:
                raise ConfigurationError(f"--model {model} takes a case: give --case FILE")
            cases = _chosen(read_cases(rules, case, parameters, parameter_set), name)
            accounts = {label: measure_case(item, (bits,), gross_limit) for label, item in cases.items()}
        else:
            given = {"case": case, "name": name, "parameters": parameters, "set": parameter_set}
            _refuse_given("a portfolio and a market", **given)
            if portfolio is None or market is None:
                raise ConfigurationError(f"--model {model} takes a book and prices: give --portfolio and --market")
            desk = _desk(model, read_published(universe, market, schedule), posted)
            book = Portfolio.parse(read_json(portfolio))
            limit = gross_limit or example_gross_limit()
            accounts = {portfolio.stem: desk.measure(book, limit, (bits,))}
        accounts = {label: _sound(account) for label, account in accounts.items()}
        reports = {label: report(label, account) for label, account in accounts.items()}
        if as_json:
            print_json(next(iter(reports.values())) if len(reports) == 1 else reports)
        else:
            for label, account in accounts.items():
                _print(label, account)


def _sound(account: AccountExcess) -> AccountExcess:
    """Return the account, without integers that exceed the true margin: a defect that must not hide the latter."""
    try:
        account.gaps("initial")
        account.gaps("maintenance")
    except NegativeGap as error:
        return replace(account, forms=(), problem=f"NegativeGap: {error}")
    return account


def report(label: str, account: AccountExcess) -> dict[str, Any]:
    """Return what ``--json`` prints of one account: USD as JSON numbers."""
    true = account.reference
    found: dict[str, Any] = {
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


def _refuse_given(instead: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise ConfigurationError(f"--{option} does not go with this model, which takes {instead}")


def _chosen(cases: Mapping[str, AnyCase], name: str | None) -> Mapping[str, AnyCase]:
    if name is not None and name not in cases:
        raise ConfigurationError(f"no case {name!r} in the file, only {', '.join(map(repr, sorted(cases))) or 'none'}")
    return cases if name is None else {name: cases[name]}


def _desk(model: str, published: Published, posted: Path | None) -> Desk[Any, Any, Any]:
    rules = read_model(model)
    if not isinstance(rules, UniverseModel):
        raise MalformedDocument("name", f"{model} is of a model that takes no portfolio: give --case")
    return Desk(rules, published, read_posted(rules, posted))


def _excess(amount: float) -> str:
    """Return what is left, or missing, of collateral and profit after the margin requirement."""
    return f"{'excess' if amount >= 0 else 'deficit'} {abs(amount):,.2f} USD"


def _print(label: str, account: AccountExcess) -> None:
    true = account.reference
    out.print(
        f"[bold]{escape(label)}[/], model {true.model}: initial {_excess(true.excess['initial'])}, maintenance "
        f"{_excess(true.excess['maintenance'])}; mark to market {true.mark_to_market:,.2f} USD, initial requirement "
        f"{true.requirement['initial']:,.2f} USD, worst: "
        f"{escape(true.worst['initial'])}",
        soft_wrap=True,
    )
    details = (f"{key.replace('_', ' ')} {value:,.2f}" for key, value in true.details.items())
    out.print(", ".join(details), soft_wrap=True)
    if account.forms:
        table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1))
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
