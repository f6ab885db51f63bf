"""`atomic-margin margin`: the true margin of a book, what its integers say, and what an analyst asks of either."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.bench.gap import AccountExcess, Desk, measure_case
from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.margin.analysis import (
    Account,
    Call,
    Ladder,
    Standing,
    call_of,
    contributions,
    explain,
    ladder,
    standing,
    what_if,
)
from atomic_margin.margin.collateral import CollateralAgreement
from atomic_margin.margin.errors import NegativeGap
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import InterpolatedQuote, interpolated_quotes
from atomic_margin.margin.models.case import AnyCase, CaseModel
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.registry import models
from atomic_margin.margin.models.universe import LedgerModel, UniverseModel
from atomic_margin.service.books import BookFile, read_book_file
from atomic_margin.service.cli.examples import INSTITUTION, example_gross_limit, naming_cases, read_cases
from atomic_margin.service.cli.ladder_picture import ladder_picture
from atomic_margin.service.cli.margin_documents import Files, Read, read_account, read_change, require_named
from atomic_margin.service.cli.margin_figures import (
    Table,
    analysis_json,
    contributions_table,
    explain_table,
    integer_json,
    interpolated_json,
    ladder_table,
    margin_table,
    print_integers,
    print_interpolated,
    print_standing,
    print_true,
    standing_json,
    true_json,
    what_if_table,
    write_csv,
)
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

WIDTHS = (20, 24)

_CASES = {name: rules for name, rules in models().items() if issubclass(rules, CaseModel)}
_OTHERS = {name: rules for name, rules in models().items() if issubclass(rules, UniverseModel)}


def _pooled() -> str:
    return ", ".join(name for name, rules in _OTHERS.items() if not issubclass(rules, LedgerModel))


def _with_sets() -> str:
    return ", ".join(name for name, rules in _CASES.items() if not rules.PARAMETERS_IN_CASE)


HELP = """Print requirement and excess of a book, the margin that integer rows give, and the gap.

The true margin is computed in plain floating point. The integers are what the operator's circuit (place fhe) and the
proof (place proof) work on; they never exceed the true margin. The gap has two parts: what the form of the rows gives
up (model gap) and what rounding to integers gives up (rounding gap). Nothing is sent and nothing is encrypted here.

Nothing counts that you do not name: give model, book, prices, universe, schedule, posted collateral (or `none`) and
gross limit, or with --example those of examples/ for what you leave out:

    atomic-margin margin --model scan --example

The book is a portfolio or trades, JSON or CSV. With an analysis, integers are left out and no gross limit is wanted:

    atomic-margin margin --model scan --example --ladder --contributions

    atomic-margin margin --model scan --example --explain A.json B.json

    atomic-margin margin --model scan --example --what-if trades.csv

A portfolio-margin case, {name: {"Scenario": ...}}, with the set NAME of a parameter file:

    atomic-margin margin --model pmrm --case case.json --parameters parameters.json --set NAME

A case of the second version brings its own parameters, {"Scenario": ..., "Parameters": ...}:

    atomic-margin margin --model pmrm2 --case case.json --json

Exit status 0: computed, whatever the margin is. 2: an input is wrong; the message names the file and the field.
"""


@dataclass(frozen=True)
class _Asked:
    """What is wanted of every account beside its margin."""

    ladder: bool
    contributions: bool
    picture: Path | None
    what_if: BookFile | None
    agreement: CollateralAgreement | None = None

    @property
    def something(self) -> bool:
        return self.ladder or self.contributions or self.picture is not None or self.what_if is not None


@dataclass(frozen=True)
class _Found:
    """One account's figures."""

    label: str
    true: Reference
    integers: AccountExcess | None
    tables: tuple[Table, ...]
    analysis: Mapping[str, Any]
    ladder: Ladder | None
    interpolated: Mapping[str, tuple[InterpolatedQuote, ...]] = field(default_factory=dict)
    call: Call | None = None
    standing: Standing | None = None


@app.command(help=HELP)
def margin(
    model: Annotated[
        str, typer.Option(help=f"A model document; {', '.join(_CASES)}; with --example one of {', '.join(_OTHERS)}.")
    ],
    portfolio: Annotated[Path | None, typer.Option(help="Book or trades, JSON or CSV.")] = None,
    market: Annotated[Path | None, typer.Option(help="Prices; examples/market-1.json are some.")] = None,
    universe: Annotated[Path | None, typer.Option(help="Instruments; examples/universe.json are some.")] = None,
    schedule: Annotated[Path | None, typer.Option(help="Eligible collateral and haircuts.")] = None,
    posted: Annotated[
        str | None, typer.Option(help=f"File of posted collateral, for {_pooled()} by pool; or none.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Take what is not given from examples/.")] = False,
    case: Annotated[Path | None, typer.Option(help=f"Cases, for {' and '.join(_CASES)}.")] = None,
    name: Annotated[str | None, typer.Option(help="One of several cases of the file.")] = None,
    parameters: Annotated[Path | None, typer.Option(help=f"Parameter sets, for {_with_sets()}.")] = None,
    parameter_set: Annotated[str | None, typer.Option("--set", help="Name of the parameter set.")] = None,
    gross_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Public limit on the size of the book, whole USD.",
            show_default="for a case a quarter above its book",
        ),
    ] = None,
    agreement: Annotated[
        Path | None, typer.Option(help="Terms of a collateral agreement: call, return or covered under them.")
    ] = None,
    bits: Annotated[int, typer.Option(help="Width of FHE rows: 20 or 24. Proof rows have 12 more.")] = DEFAULT.bits,
    with_ladder: Annotated[bool, typer.Option("--ladder", help="What is left now and in every scenario.")] = False,
    with_contributions: Annotated[
        bool, typer.Option("--contributions", help="What each line, cash and collateral add to the binding row.")
    ] = False,
    ticks: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--explain", metavar="A B", help="Why the excess changed between two files of prices."),
    ] = None,
    to_portfolio: Annotated[Path | None, typer.Option(help="With --explain: the book at B.")] = None,
    to_posted: Annotated[str | None, typer.Option(help="With --explain: what is posted at B.")] = None,
    to_model: Annotated[str | None, typer.Option(help="With --explain: the model document at B.")] = None,
    to_schedule: Annotated[Path | None, typer.Option(help="With --explain: the collateral schedule at B.")] = None,
    trades: Annotated[
        Path | None, typer.Option("--what-if", help="Trades, JSON or CSV: requirement and excess with them.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the ladder as a picture, SVG.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the figures as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines, in full precision.")] = False,
) -> None:
    """Print true and integer margin; `HELP` is what the user reads."""
    with plain_errors(named=True):
        if bits not in WIDTHS:
            raise ConfigurationError(f"--bits is 20 or 24, got {bits}")
        if plot is not None and plot.suffix.lower() != ".svg":
            raise ConfigurationError(f"--plot writes SVG: name a file that ends in .svg, not {plot}")
        added = None if trades is None else read_book_file(trades)
        terms = None if agreement is None else read_document(agreement, CollateralAgreement.parse)
        asked = _Asked(with_ladder, with_contributions, plot, added, terms)
        later = {"to-portfolio": to_portfolio, "to-posted": to_posted, "to-model": to_model, "to-schedule": to_schedule}
        rules = models().get(model)
        used: list[str] = []
        if rules is not None and issubclass(rules, CaseModel):
            given: dict[str, object] = {
                "portfolio": portfolio,
                "market": market,
                "universe": universe,
                "schedule": schedule,
                "agreement": agreement,
            }
            given |= {"posted": posted, "example": example or None, "explain": ticks, **later}
            _refuse_given("a case, which has its own", **given)
            if case is None:
                raise ConfigurationError(f"--model {model} takes a case: give --case FILE")
            with naming_cases(case, parameters, parameter_set):
                cases = _chosen(read_cases(rules, case, parameters, parameter_set), name)
                found = [_of_case(label, item, asked, bits, gross_limit) for label, item in cases.items()]
        else:
            cased = {"case": case, "name": name, "parameters": parameters, "set": parameter_set}
            _refuse_given("a portfolio and a market", **cased)
            if ticks is None:
                for option, value in later.items():
                    if value is not None:
                        raise ConfigurationError(f"--{option} says what is different at B: give --explain A B")
            elif market is not None:
                raise ConfigurationError("--explain names both files of prices: leave out --market")
            files = Files(model, portfolio, ticks[0] if ticks else market, universe, schedule, posted)
            integers = not asked.something and ticks is None
            if example:
                filled = files.with_examples()
                used, files = files.examples(filled), filled
                if gross_limit is None and integers:
                    gross_limit, used = example_gross_limit(), [*used, INSTITUTION.name]
            require_named(files, gross_limit, integers=integers)
            read = read_account(files)
            then = None
            if ticks is not None:
                then = read_change(read, ticks[1], to_portfolio, to_posted, to_model, to_schedule)
            found = [_of_account(read, then, asked, bits, gross_limit if integers else None)]
        _write(found, used, plot, csv, as_json=as_json)


def _of_case(label: str, case: AnyCase, asked: _Asked, bits: int, gross_limit: int | None) -> _Found:
    if not asked.something:
        measured = _sound(measure_case(case, (bits,), gross_limit))
        return _Found(label, measured.reference, measured, (), {}, None)
    true = case.model.reference(case.published, case.book, case.posted)
    tables, analysis, rungs = _analysed(case, asked)
    return _Found(label, true, None, tuple(tables), analysis, rungs)


def _of_account(read: Read, then: Read | None, asked: _Asked, bits: int, gross_limit: int | None) -> _Found:
    """Return the figures of an account, at the later of two ticks where there are two; integers with a gross limit."""
    shown = then or read
    label, account = shown.book.path.stem, shown.account
    marked = {item.prices: _interpolated(item) for item in (read, shown)}
    with shown.named():
        if gross_limit is not None:
            desk = Desk(account.model, account.published, account.posted)
            measured = _sound(desk.measure(account.book, gross_limit, (bits,)))
            call = call_of(measured.reference.excess, account.model.minimum_transfer_amount)
            under = _standing(account, measured.reference, asked)
            return _Found(label, measured.reference, measured, (), {}, None, marked, call, under)
        true = account.reference()
        tables, analysis, rungs = _analysed(account, asked)
    if then is not None:
        with read.named():
            explanation = explain(read.account, then.account)
        tables.append(explain_table(explanation, read.prices, then.prices))
        analysis |= analysis_json(None, (), explanation, None)
    call = call_of(true.excess, account.model.minimum_transfer_amount)
    under = _standing(account, true, asked)
    return _Found(label, true, None, tuple(tables), analysis, rungs, marked, call, under)


def _standing(account: Account, true: Reference, asked: _Asked) -> Standing | None:
    """Return what the agreement makes of an account, where there is one."""
    if asked.agreement is None:
        return None
    published = account.published
    asked.agreement.check_schedule(published.schedule)
    values = account.model.collateral(published.schedule, published.market, account.posted)
    return standing(true.excess, float(values.initial.min()), asked.agreement)


def _interpolated(read: Read) -> tuple[InterpolatedQuote, ...]:
    published = read.account.published
    return interpolated_quotes(published.market, published.universe)


def _analysed(account: Account | AnyCase, asked: _Asked) -> tuple[list[Table], dict[str, Any], Ladder | None]:
    """Return what is asked of one account: tables, JSON, and its ladder."""
    tables = []
    rungs = ladder(account) if asked.ladder or asked.picture is not None else None
    if rungs is not None and asked.ladder:
        tables.append(ladder_table(rungs))
    parts = [contributions(account, kind) for kind in KINDS] if asked.contributions else []
    if parts:
        tables.append(contributions_table(parts))
    changed = None
    if asked.what_if is not None:
        with asked.what_if.named():
            changed = what_if(account, asked.what_if.trades())
        tables.append(what_if_table(changed))
    return tables, analysis_json(rungs if asked.ladder else None, parts, None, changed), rungs


def _write(found: list[_Found], used: list[str], plot: Path | None, csv: Path | None, *, as_json: bool) -> None:
    if plot is not None:
        if len(found) != 1 or found[0].ladder is None:
            raise ConfigurationError("--plot draws one account: choose one with --name")
        plot.write_text(ladder_picture(found[0].label, found[0].ladder), encoding="utf-8")
    if csv is not None:
        tables = [(item.label, table) for item in found for table in (margin_table(item.true), *item.tables)]
        write_csv(csv, tables)
    if as_json:
        reports = {item.label: _report(item, used) for item in found}
        print_json(next(iter(reports.values())) if len(reports) == 1 else reports)
        return
    if used:
        out.print(f"example documents, with --example: {', '.join(used)}", soft_wrap=True)
    for item in found:
        print_true(item.label, item.true, None if item.standing else item.call)
        if item.standing is not None:
            print_standing(item.standing)
        for prices, quotes in item.interpolated.items():
            print_interpolated(prices, quotes)
        if item.integers is not None:
            print_integers(item.integers)
        for table in item.tables:
            table.print()


def _report(item: _Found, used: list[str]) -> dict[str, Any]:
    found = {**true_json(item.label, item.true, item.call), **item.analysis}
    if any(item.interpolated.values()):
        found["interpolated"] = interpolated_json(item.interpolated)
    if item.standing is not None:
        found["agreement"] = standing_json(item.standing)
    if item.integers is not None:
        found |= integer_json(item.integers)
    return {**found, "examples": used} if used else found


def _sound(account: AccountExcess) -> AccountExcess:
    """Return the account, without integers that exceed the true margin: a defect that must not hide the latter."""
    try:
        account.gaps("initial")
        account.gaps("maintenance")
    except NegativeGap as error:
        return replace(account, forms=(), problem=f"NegativeGap: {error}")
    return account


def _refuse_given(instead: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise ConfigurationError(f"--{option} does not go with this model, which takes {instead}")


def _chosen(cases: Mapping[str, AnyCase], name: str | None) -> Mapping[str, AnyCase]:
    if name is not None and name not in cases:
        raise ConfigurationError(f"no case {name!r} in the file, only {', '.join(map(repr, sorted(cases))) or 'none'}")
    return cases if name is None else {name: cases[name]}
