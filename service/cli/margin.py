"""`atomic-margin margin`: the true margin of a book, the margin its integers give, and the gap between them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from atomic_margin.bench.gap import (
    AccountMargin,
    Desk,
    FormMargin,
    cross_margin_desk,
    expected_shortfall_desk,
    measure_pmrm,
    measure_pmrm2,
    scan_desk,
)
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.collateral import CollateralHoldings, CollateralSchedule
from atomic_margin.margin.errors import NegativeGap
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin import CrossMarginModel, PoolHoldings
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel
from atomic_margin.margin.models.pmrm2 import Pmrm2Case
from atomic_margin.margin.models.portfolio_margin.fields import json_object, parse_at
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.service.cli.examples import (
    MODELS,
    POOLS,
    POSTED,
    SCHEDULE,
    UNIVERSE,
    example_gross_limit,
    read_market,
    read_pmrm,
)
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_json

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

WIDTHS = (20, 24)

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
        typer.Option(help="scan, expected_shortfall, cross_margin (the example's), pmrm, pmrm2, or a model document."),
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
            help="Posted collateral; for cross_margin by pool.",
            show_default="examples/collateral.json or examples/cross-margin/pools.json",
        ),
    ] = None,
    case: Annotated[Path | None, typer.Option(help="Cases, for pmrm and pmrm2.")] = None,
    name: Annotated[str | None, typer.Option(help="One of several cases of the file.")] = None,
    parameters: Annotated[Path | None, typer.Option(help="Parameter sets, for pmrm.")] = None,
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
        if model in ("pmrm", "pmrm2"):
            _refuse_given("a case, which has its own", portfolio=portfolio, market=market, posted=posted)
            if case is None:
                raise ConfigurationError(f"--model {model} takes a case: give --case FILE")
            accounts = (_pmrm if model == "pmrm" else _pmrm2)(case, name, parameters, parameter_set, bits, gross_limit)
        else:
            given = {"case": case, "name": name, "parameters": parameters, "set": parameter_set}
            _refuse_given("a portfolio and a market", **given)
            if portfolio is None or market is None:
                raise ConfigurationError(f"--model {model} takes a book and prices: give --portfolio and --market")
            known = Universe.parse(read_json(universe))
            book = Portfolio.parse(read_json(portfolio))
            desk = _desk(model, known, market, schedule, posted)
            limit = gross_limit or example_gross_limit()
            accounts = {portfolio.stem: desk.measure(book, limit, (bits,))}
        accounts = {label: _sound(account) for label, account in accounts.items()}
        reports = {label: report(label, account) for label, account in accounts.items()}
        if as_json:
            print_json(next(iter(reports.values())) if len(reports) == 1 else reports)
        else:
            for label, account in accounts.items():
                _print(label, account)


def _sound(account: AccountMargin) -> AccountMargin:
    """Return the account, without integers that exceed the true margin: a defect that must not hide the latter."""
    try:
        account.gaps("initial")
        account.gaps("maintenance")
    except NegativeGap as error:
        return replace(account, forms=(), problem=f"NegativeGap: {error}")
    return account


def report(label: str, account: AccountMargin) -> dict[str, Any]:
    """Return what ``--json`` prints of one account: USD as JSON numbers."""
    true = account.reference
    found: dict[str, Any] = {
        "model": true.model,
        "case": label,
        "initial_excess": true.margin["initial"],
        "maintenance_excess": true.margin["maintenance"],
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


def _gap(account: AccountMargin, item: FormMargin, kind: MarginKind) -> dict[str, float | None]:
    gap = account.gaps(kind)[account.forms.index(item)]
    need, gross = account.reference.requirement[kind], account.gross
    return {
        "unit": float(item.units[kind]),
        "rounding_gap": gap.rounding,
        "model_gap": gap.model,
        "gap": gap.total,
        "gap_percent_of_requirement": 100 * gap.total / need if need > 0 else None,
        "gap_percent_of_gross": 100 * gap.total / gross if gross else None,
    }


def _refuse_given(instead: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise ConfigurationError(f"--{option} does not go with this model, which takes {instead}")


def _chosen(cases: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name is not None and name not in cases:
        raise ConfigurationError(f"no case {name!r} in the file, only {', '.join(map(repr, sorted(cases))) or 'none'}")
    return cases if name is None else {name: cases[name]}


def _pmrm(
    file: Path, name: str | None, parameters: Path | None, chosen: str | None, bits: int, gross_limit: int | None
) -> dict[str, AccountMargin]:
    cases, values = read_pmrm(file, parameters, chosen)
    return {label: measure_pmrm(case, values, (bits,), gross_limit) for label, case in _chosen(cases, name).items()}


def _pmrm2(
    file: Path, name: str | None, parameters: Path | None, chosen: str | None, bits: int, gross_limit: int | None
) -> dict[str, AccountMargin]:
    _refuse_given("its parameters from the case", parameters=parameters, set=chosen)
    given = json_object(read_json(file, numbers=True), "$")
    if "Scenario" in given:
        cases = {file.stem: Pmrm2Case.parse(given)}
    else:
        cases = {label: parse_at(Pmrm2Case, json_object(item, label), label) for label, item in given.items()}
    return {label: measure_pmrm2(case, (bits,), gross_limit) for label, case in _chosen(cases, name).items()}


def _desk(model: str, universe: Universe, market: Path, schedule: Path, posted: Path | None) -> Desk:
    """Return the desk of a model document, told by its field ``name``."""
    document = read_json(MODELS.get(model, Path(model)))
    prices = read_market(market, universe)
    haircuts = CollateralSchedule.parse(read_json(schedule))
    kind = document.get("name") if isinstance(document, dict) else None

    def holdings() -> dict[str, int]:
        return CollateralHoldings.parse(read_json(posted or POSTED)).posted

    def pools() -> dict[str, dict[str, int]]:
        return PoolHoldings.parse(read_json(posted or POOLS)).posted

    desks: dict[str, Callable[[], Desk]] = {
        "scan": lambda: scan_desk(ScanModel.parse(document), universe, prices, haircuts, holdings()),
        "expected_shortfall": lambda: expected_shortfall_desk(
            ExpectedShortfallModel.parse(document), universe, prices, haircuts, holdings()
        ),
        "cross_margin": lambda: cross_margin_desk(
            CrossMarginModel.parse(document), universe, prices, haircuts, pools()
        ),
    }
    if kind not in desks:
        raise MalformedDocument("name", f"{model} names none of the models {', '.join(desks)}")
    return desks[kind]()


def _excess(amount: float) -> str:
    """Return what is left, or missing, of collateral and profit after the margin requirement."""
    return f"{'excess' if amount >= 0 else 'deficit'} {abs(amount):,.2f} USD"


def _print(label: str, account: AccountMargin) -> None:
    true = account.reference
    out.print(
        f"[bold]{escape(label)}[/], model {true.model}: initial {_excess(true.margin['initial'])}, maintenance "
        f"{_excess(true.margin['maintenance'])}; mark to market {true.mark_to_market:,.2f} USD, initial requirement "
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
