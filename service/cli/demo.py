"""`atomic-margin demo`: the whole cycle on one machine, in a minute or two."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import atomic_margin
from atomic_margin.margin.models.registry import published_model
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, err, fail, out, plain_errors
from atomic_margin.service.demo.story import STORY, Staging
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, write_json

if TYPE_CHECKING:
    from atomic_margin.service.demo.play import Outputs
    from atomic_margin.service.protocol.agent_messages import RunFigures

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

USUAL_SECONDS = {"generating keys": 8.0, "uploading evaluation keys": 20.0, "evaluating on ciphertexts": 7.5}
"""How long the long stages take on two cores; only the bars' pace depends on it."""

BOUNDARY = (
    "What is proven: that the ciphertext holds the committed portfolio, that coverage holds, and on a breach the flag, "
    "the breach and the top-up. What is not: that the portfolio is the whole book (it is the institution's "
    "declaration), and that a flag is 0, which is why a 0 is never sent. SECURITY.md has the whole table."
)


class Screen:
    """A progress bar for what is going on, and a line for each finished tick.

    The library that makes keys and evaluates does not report progress: the bar runs against the time it usually takes,
    and waits just before its end when it takes longer.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)
        self._since = time.monotonic()

    def stage(self, text: str) -> None:
        """Say what is being done now."""
        if self._progress.tasks[self._task].description != text:
            usual = next((seconds for part, seconds in USUAL_SECONDS.items() if part in text), None)
            self._progress.reset(self._task, description=text, total=usual)
            self._since = time.monotonic()
        total = self._progress.tasks[self._task].total
        if total is not None:
            self._progress.update(self._task, completed=min(time.monotonic() - self._since, 0.98 * total))

    def tick(self, entry: dict[str, Any], private: "RunFigures", verdict: dict[str, Any]) -> None:
        """Show a finished tick."""
        outcome = {
            "none": "[green]covered[/]",
            "margin_call": f"[yellow]margin call[/] of {entry['top_up']:,.0f} USD, transferred",
            "liquidation": f"[red]liquidation[/] ({entry['top_up']:,.0f} USD called, not there)",
        }[entry["settlement"]]
        seconds, believed = entry["seconds"], entry["checkpoint"]
        valid = "[green]valid[/]"
        if believed is not None:
            valid += f", by the checkpoint of {believed['size']} leaves that {', '.join(believed['cosigned'])} cosigned"
        self._progress.console.print(
            f"tick {entry['tick']}: {outcome}; decrypted flag {entry['decrypted_breach']}, worst row "
            f"{float(private.surplus_true):+,.0f} USD ({private.worst_scenario}); encrypted evaluation "
            f"{seconds['evaluate_breach']:.1f} s, proof {seconds['institution_prove']:.2f} s; verifier says "
            f"{valid if entry['answer_verified'] else '[red]NOT VALID[/]: ' + str(verdict.get('reason'))}",
            soft_wrap=True,
        )

    def said(self, text: str) -> None:
        """Show that something else happened."""
        self._progress.console.print(text, soft_wrap=True)


def _example_of(model: str) -> Path:
    """Return the folder of a model's example.

    Raises:
        UnknownModel: there is no model of this name.
        ConfigurationError: it has no story.
    """
    folder = examples_folder()
    if not model:
        return folder
    example = getattr(published_model(model), "EXAMPLE", None)
    if example is None or not (folder / example).with_name(STORY).exists():
        raise ConfigurationError(f"the model {model} has no example with a story; give a folder of yours by --examples")
    return Path(folder / example).parent


@app.command()
def demo(
    out_directory: Annotated[Path, typer.Option("--out", help="Where demo.json, trust.json and attestations/ go.")],
    model: Annotated[
        str, typer.Option(help="Margin model whose example is played.", show_default="scan", metavar="NAME")
    ] = "",
    examples: Annotated[
        Path | None, typer.Option(help="Folder with a story.json of your own.", show_default="that of the model")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="FHE profile.", show_default="that of the story")] = None,
) -> None:
    """Watch one institution's encrypted portfolio through price ticks, everything real.

    Starts the operator's server, the institution's agent and a witness as processes on loopback, and plays
    examples/story.json: prices fall and collateral is called, excess comes back with a proof, the institution trades,
    options expire, the universe is revised, prices crash. Every result is verified in a separate process that sees only
    DIR/attestations and DIR/trust.json, and another one reads all of the operator's log. What people file of it is in
    DIR/reports and in the account's archive, which is replayed in a third one.
    """
    needs_extras("demo", "fhe", "service")
    from atomic_margin.service.demo import papers
    from atomic_margin.service.demo.parties import parties
    from atomic_margin.service.demo.play import Outputs, play, problems_of, read_history

    outputs, started = Outputs(out_directory), time.perf_counter()
    with plain_errors():
        staging = Staging.read(examples or _example_of(model))
        profile = profile or staging.story.profile
        prepare(outputs)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with (
            tempfile.TemporaryDirectory(prefix="atomic-margin-") as data,
            Progress(*columns, console=out, transient=True) as progress,
        ):
            screen = Screen(progress)
            logs = outputs.directory / "logs"
            with parties(staging, Path(data), logs, outputs.trust, screen.stage, profile) as running:
                enrolled = time.perf_counter()
                screen.stage("posting collateral")
                running.post_collateral()
                screen.stage("encrypting, committing to and proving the portfolio")
                running.submit(staging.story.portfolio)
                submitted = time.perf_counter()
                out.print(
                    f"enrolled in {enrolled - started:.1f} s (keys, upload, known-answer test), portfolio submitted in "
                    f"{submitted - enrolled:.1f} s",
                    soft_wrap=True,
                )
                entries = play(running, outputs, screen)
                history = read_history(running, outputs, screen)
                filing = time.perf_counter()
                notices = papers.notices(entries, running, outputs, screen)
                archive = papers.archive(running, outputs, screen)
                filed = time.perf_counter()
    write_json(
        outputs.summary,
        {
            "version": atomic_margin.__version__,
            "profile": profile,
            "story": staging.story.canonical(),
            "ticks": entries,
            "history": history,
            "notices": notices,
            "archive": archive,
            "seconds": {
                "enrolment": round(enrolled - started, 3),
                "submission": round(submitted - enrolled, 3),
                "filing": round(filed - filing, 3),
                "total": round(time.perf_counter() - started, 3),
            },
        },
    )
    _print_table(entries)
    _print_history(history)
    _print_papers(notices, archive, outputs)
    out.print(f"{time.perf_counter() - started:.0f} s in all; written: {outputs.summary}, {outputs.trust}, "
              f"{outputs.attestations}/*.json", soft_wrap=True)  # fmt: skip
    bundle = outputs.attestations / "tick-2.json"
    out.print(f"Check one yourself: atomic-margin verify {bundle} --trust {outputs.trust}", soft_wrap=True)
    out.print(f"Or all of it: atomic-margin verify {outputs.archive} --trust {outputs.trust}", soft_wrap=True)
    out.print(f"[dim]{BOUNDARY}[/]", soft_wrap=True)
    found = problems_of(entries, history, archive)
    for problem in found:
        err.print(f"[bold red]{problem}[/]")
    if found:
        raise typer.Exit(EXIT_REFUSED)


def prepare(outputs: "Outputs") -> None:
    """Make the output folder, or clear an earlier demo's; leave anything else alone."""
    directory = outputs.directory
    if directory.exists() and any(directory.iterdir()) and not outputs.trust.exists():
        fail(f"{directory} is not empty and holds no earlier demo; choose another folder with --out")
    for folder in (outputs.attestations, outputs.reports, directory / "logs"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for file in (outputs.summary, outputs.archive):
        file.unlink(missing_ok=True)


def _print_history(history: dict[str, Any]) -> None:
    """Say what the monitor read, and which checkpoint of which witness that rests on."""
    if not history["holds"]:
        return
    names = ", ".join(history["witnesses"])
    out.print(
        f"history: a monitor read all {history['size']} leaves of {history['log']} ({history['ticks']} ticks, "
        f"{history['entries']} entries of {history['accounts']} account, {history['runs']} of them about runs) and "
        f"believed the checkpoint {history['root'][:16]}, which {names} cosigned",
        soft_wrap=True,
    )


def _print_papers(notices: list[str], archive: dict[str, Any], outputs: "Outputs") -> None:
    """Say what people file, and what replaying the archive came to."""
    for name in notices:
        out.print(f"notice: {outputs.reports / name}, to be opened in a browser", soft_wrap=True)
    if archive["valid"]:
        held = ", ".join(
            f"{place} {' '.join(f'{quantity} {asset}' for asset, quantity in archive[place].items()) or 'nothing'}"
            for place in ("posted", "free")
        )
        out.print(
            f"archive: {outputs.archive} has entries {archive['first']} to {archive['last']} of the account in "
            f"{int(archive['bytes']) / 1e6:.1f} MB; a separate process checked {archive['proofs']} proofs in it and "
            f"replayed it offline to {archive['status']}, {held}",
            soft_wrap=True,
        )


def _print_table(entries: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("tick", "flag", "shortfall, USD", "top-up, USD", "settlement", "verified", "ledger sum"):
        table.add_column(name, justify="left" if name == "settlement" else "right")
    for entry in entries:
        table.add_row(
            str(entry["tick"]),
            str(entry["decrypted_breach"]),
            f"{entry['shortfall_true']:,.2f}",
            f"{entry['top_up']:,.2f}",
            entry["settlement"].replace("_", " "),
            "yes" if entry["answer_verified"] else "NO",
            str(entry["ledger_sum"]),
        )
    out.print(table)
