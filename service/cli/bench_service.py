"""`atomic-margin bench service`: institutions times ticks against real processes, or what an account costs at sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, err, out, plain_errors
from atomic_margin.service.cli.progress import Progress
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol.policy import Policy

if TYPE_CHECKING:
    from atomic_margin.bench.service.measure import Figures


def service(
    institutions: Annotated[int, typer.Option(min=1, max=10_000, help="How many answer.")] = 10,
    ticks: Annotated[int, typer.Option(min=1, max=100_000, help="How many are sent.")] = 10,
    period: Annotated[float, typer.Option(min=0, help="Seconds from one tick to the next.")] = 5.0,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="FHE profile; with --sizes it may be repeated.",
            show_default="64x16x20; with --sizes 256x24x24, 1024x64x24, 4096x64x24",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Evaluate in the clear: for what everything but FHE costs.")
    ] = False,
    policy: Annotated[Policy, typer.Option(help="Of the operator.")] = Policy.ALWAYS,
    proof_seconds: Annotated[int, typer.Option(min=1, help="With unless_proven: time for that proof.")] = 10,
    breaching: Annotated[float, typer.Option(min=0, max=1, help="Share of institutions that breach.")] = 0.1,
    players: Annotated[int, typer.Option(min=1, max=64, help="Processes that institutions live in.")] = 2,
    drain: Annotated[
        float, typer.Option(min=0, help="After the last tick: seconds in which no run ends until this gives up.")
    ] = 120.0,
    prepared: Annotated[
        Path | None, typer.Option(help="Keep keys and submissions in this folder, and use them again.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL of an empty database, instead of SQLite.")
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Measure one account at several sizes instead, in this process.")
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="With --sizes: evaluations of either kind; the fastest counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Play institutions times ticks against a real operator, and look at every entry at the end.

    Reported are the times from tick to flag and to settled, runs a second, what of a run is FHE, proofs and everything
    else, memory and disk; and whether a run was lost, doubled, unfinished or in a state that its entries do not
    explain, which is exit status 1. Institutions share the machine: their proofs are part of what it does.

        atomic-margin bench service --plain --institutions 100 --ticks 60 --period 1 --prepared load-100
    """
    needs_extras("bench service", "fhe", "service")
    progress = Progress(err)
    with plain_errors():
        if sizes:
            _sizes(profile, runs, json_file, progress.say)
            return
        from atomic_margin.bench.service.load import Plan, play
        from atomic_margin.bench.service.load_table import markdown as load_markdown
        from atomic_margin.service.errors import ConfigurationError

        if profile is not None and len(profile) > 1:
            raise ConfigurationError("a load has one --profile; several are measured by --sizes")
        plan = Plan(
            institutions=institutions,
            ticks=ticks,
            period=period,
            profile=profile[0] if profile else Plan.profile,
            plain=plain,
            policy=policy.value,
            proof_seconds=proof_seconds,
            breaching=breaching,
            players=players,
            drain=drain,
            prepared=prepared,
            database=database,
        )
        with progress:
            figures = play(plan, progress.say)
        if json_file is not None:
            write_json(json_file, figures)
    out.print(load_markdown(figures), soft_wrap=True, markup=False)
    if not figures["holds"]:
        raise typer.Exit(EXIT_REFUSED)


def _sizes(profile: list[str] | None, runs: int, json_file: Path | None, say: Callable[[str], None]) -> None:
    from atomic_margin.bench.service.measure import DEFAULT_PROFILES, measure
    from atomic_margin.bench.service.table import markdown
    from atomic_margin.circuits.profile import profile_by_name

    found = [profile_by_name(name) for name in dict.fromkeys(profile or DEFAULT_PROFILES)]
    results: list[Figures] = []
    with Progress(err) as progress:
        for size in found:
            results.append(measure(size, lambda what, size=size: progress.say(f"{size.name}: {what}"), runs))  # type: ignore[misc]
            if json_file is not None:
                write_json(json_file, results)
    out.print(markdown(results), soft_wrap=True, markup=False)
