"""`atomic-margin bench service`: what an account costs at the sizes of the profiles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, out, plain_errors
from atomic_margin.service.files import write_json

if TYPE_CHECKING:
    from atomic_margin.bench.service.measure import Figures


def service(
    profile: Annotated[
        list[str] | None,
        typer.Option(help="FHE profile; may be repeated.", show_default="256x24x24, 1024x64x24, 4096x64x24"),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Evaluations of either kind; the fastest counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write a list of figures to this file.")] = None,
) -> None:
    """Play both parties of one account, with real ciphertexts and proofs: submission, tick, run, answers, verification.

    Run it on an idle machine. The universe fills the profile's columns, and the model its rows.

        atomic-margin bench service --json service.json
    """
    needs_extras("bench service", "fhe", "service")
    with plain_errors():
        from atomic_margin.bench.service.measure import DEFAULT_PROFILES, measure
        from atomic_margin.bench.service.table import markdown
        from atomic_margin.circuits.profile import profile_by_name

        sizes = [profile_by_name(name) for name in dict.fromkeys(profile or DEFAULT_PROFILES)]
        results: list[Figures] = []
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=None)
            for size in sizes:
                results.append(
                    measure(size, lambda what, size=size: bar.update(task, description=f"{size.name}: {what}"), runs)  # type: ignore[misc]
                )
                if json_file is not None:
                    write_json(json_file, results)
        out.print(markdown(results), soft_wrap=True, markup=False)
