"""`atomic-margin demo-custodians`: an institution goes silent at a breach, and its custodians open its book."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import atomic_margin
from atomic_margin.service.cli.demo import Screen, prepare
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, err, out, plain_errors
from atomic_margin.service.demo.story import Staging
from atomic_margin.service.files import examples_folder, write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(name="demo-custodians")
def demo_custodians(
    out_directory: Annotated[Path, typer.Option("--out", help="Where demo.json, trust.json and attestations/ go.")],
    examples: Annotated[
        Path | None, typer.Option(help="Folder with a story.json of your own.", show_default="that of the examples")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="FHE profile.", show_default="that of the story")] = None,
) -> None:
    """Watch custodians open the book of an institution that goes silent at a breach, without seeing it.

    Runs operator, institution, witness and four custodians as processes on loopback, any two of whom have the book
    together. The institution deals its book to them before it submits it; a calm tick is answered as covered, and a
    fall by a call; then it is killed and prices crash. Nobody decrypts a flag any more: three of the custodians compute
    together whether a row is negative, one of them proves it and what is lacking, and the operator liquidates what the
    proofs say.
    docs/custodian.md says what custodians see, and what they could do together.
    """
    needs_extras("demo-custodians", "fhe", "service", "custodian")
    from atomic_margin.service.demo.custodians import custodians, make_custody
    from atomic_margin.service.demo.custodians_play import ANSWER_SECONDS, play_silence
    from atomic_margin.service.demo.parties import parties
    from atomic_margin.service.demo.play import Outputs

    outputs, started = Outputs(out_directory), time.perf_counter()
    with plain_errors():
        staging = Staging.read(examples or examples_folder() / "custodians")
        profile = profile or staging.story.profile
        prepare(outputs)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with (
            tempfile.TemporaryDirectory(prefix="atomic-margin-") as folder,
            Progress(*columns, console=out, transient=True) as progress,
        ):
            screen, data, logs = Screen(progress), Path(folder), outputs.directory / "logs"
            screen.stage("four custodians make their keys, and agree to a policy")
            custody = make_custody(data / "custodians")
            with (
                parties(
                    staging, data, logs, outputs.trust, screen.stage, profile, custody=custody.policy,
                    serve_options=["--answer-seconds", str(ANSWER_SECONDS), "--checkpoint-seconds", "5"],
                ) as running,
                custodians(custody, running.operator.url, outputs.trust, logs),
            ):  # fmt: skip
                running.post_collateral()
                screen.stage("encrypting, committing to and proving the portfolio, and dealing it to the custodians")
                running.submit(staging.story.portfolio)
                screen.said("submitted: every custodian has checked its shares and signed a receipt")
                entries, silence = play_silence(running, outputs, screen)
    entries = [*entries, silence.entry]
    write_json(
        outputs.summary,
        {
            "version": atomic_margin.__version__,
            "profile": profile,
            "ticks": entries,
            "policy": custody.lines,
            "seconds": {"total": round(time.perf_counter() - started, 3)},
        },
    )
    out.print(f"{time.perf_counter() - started:.0f} s in all; written: {outputs.summary}, {outputs.trust}, "
              f"{outputs.attestations}/*.json", soft_wrap=True)  # fmt: skip
    out.print(str(silence.verdict.get("statement", silence.verdict.get("reason"))), soft_wrap=True)
    wrong = [entry["tick"] for entry in entries if not entry["answer_verified"]]
    problems = [f"tick {tick}: the bundle does not verify" for tick in wrong]
    problems += [f"tick {entry['tick']}: the ledger does not sum to zero" for entry in entries if entry["ledger_sum"]]
    if silence.entry["flag"] != "opened":
        problems.append("the last breach was not opened by custodians")
    for problem in problems:
        err.print(f"[bold red]{problem}[/]")
    if problems:
        raise typer.Exit(EXIT_REFUSED)
