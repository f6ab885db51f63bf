"""`atomic-margin audit`: evaluate a stored run again, byte for byte."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.fhe.errors import FheError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.audit import DEFAULT_STARTS
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, EXIT_USAGE, err, fail, out, plain_errors
from atomic_margin.service.cli.stored import Database, database_of
from atomic_margin.service.cli.terms import read_documents
from atomic_margin.service.errors import ConfigurationError, ServiceError
from atomic_margin.service.files import read_document, write_json
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.errors import ProofError

if TYPE_CHECKING:
    from atomic_margin.service.audit.evidence import Evidence
    from atomic_margin.service.audit.search import Repetition
    from atomic_margin.service.audit.terms import TermsDocuments

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

EXIT_STATUS = {"confirmed": 0, "refuted": EXIT_REFUSED, "undecided": EXIT_USAGE}
COLOURS = {"confirmed": "bold green", "refuted": "bold red", "undecided": "bold yellow"}

HELP = """Evaluate a stored run again and compare the outputs with its record, byte for byte.

    atomic-margin audit fund.7 --dir operator-data

Reads the operator's data directory, running or stopped, and writes nothing to it. First the record is checked: its
signature, its place in the chain, tick, submission and keys; the matrices are compiled again and must have the recorded
hashes. Then fresh workers are started until one has the recorded FFT plan: a process chooses its plan by timing when it
starts, and only under the same plan are the bytes the same. There `surplus` and `breach` are evaluated, and `shortfall`
if the store has one for the run.

Exit status 0, confirmed: the same bytes. 1, refuted: the plan is the recorded one and the bytes are others; the output
is named. 2, nothing decided: no worker had that plan (undecided), or something is missing or does not hold, which is
said.

Undecided? Start more workers (--starts) on the type of processor the server had. Or write the audit's own outputs
(--outputs) and have the institution compare what they decrypt to: atomic-margin institution compare-audit. See
docs/audit.md.
"""


@app.command(help=HELP)
def audit(
    run: Annotated[str, typer.Argument(help="Identifier of the run, as in fund.7.")],
    directory: Annotated[Path, typer.Option("--dir", "--data", help="The operator's folder, as `serve --dir` had it.")],
    starts: Annotated[int, typer.Option(min=1, help="Fresh workers to start at most.")] = DEFAULT_STARTS,
    outputs: Annotated[
        Path | None, typer.Option(help="Write recorded and repeated output words to this folder.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Trust file with the anchors.", show_default="DIR/operator.key")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Margin model.", show_default="from a stored bundle")] = None,
    universe: Annotated[Path | None, typer.Option(help="Instruments.", show_default="from a stored bundle")] = None,
    schedule: Annotated[Path | None, typer.Option(help="Collateral.", show_default="from a stored bundle")] = None,
    database: Database = None,
    memory_gib: Annotated[int, typer.Option(help="Address-space limit of a worker.", min=4)] = 16,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
) -> None:
    """Audit one run; `HELP` is what the user reads."""
    needs_extras("audit", "fhe", "service")
    from atomic_margin.service.audit.report import as_json, sentences, write_outputs
    from atomic_margin.service.audit.search import overall

    try:
        evidence = _evidence(run, directory, trust, (model, universe, schedule), database)
        found = _repeat(evidence, starts, memory_gib)
    except (ServiceError, DocumentsError, MarginError, CircuitError, FheError, ProofError, OSError) as error:
        name = type(error).__name__
        if json_file is not None:
            write_json(json_file, {"run": run, "verdict": "error", "error": name, "reason": str(error)})
        fail(f"{name}: {error}")
    with plain_errors():
        if json_file is not None:
            write_json(json_file, as_json(evidence, found, starts))
        for sentence in sentences(evidence, found):
            label, _, rest = sentence.partition(":")
            out.print(f"[{COLOURS.get(label, 'bold')}]{escape(label)}[/]:{escape(rest)}", soft_wrap=True)
        if outputs is not None:
            for path in write_outputs(outputs, evidence, found):
                err.print(f"wrote {path}", soft_wrap=True, markup=False)
    raise typer.Exit(EXIT_STATUS[overall(found).value])


def _evidence(
    run: str, directory: Path, trust: Path | None, terms: tuple[Path | None, ...], database: str | None
) -> "Evidence":
    from atomic_margin.service.audit.evidence import anchors, gather
    from atomic_margin.service.audit.stored import ReadOnlyStore

    pinned = None if trust is None else read_document(trust, TrustFile.parse)
    documents = _documents(*terms)
    store = ReadOnlyStore(directory, database_of(directory, database))
    held: list[str] = []

    def step(name: str) -> None:
        held.append(name)
        out.print(f"[green]✓[/] ({len(held)}) {name}")

    try:
        return gather(store, run, anchors(directory, pinned), documents, step)
    finally:
        store.close()


def _documents(model: Path | None, universe: Path | None, schedule: Path | None) -> "TermsDocuments | None":
    if model is None and universe is None and schedule is None:
        return None
    if model is None or universe is None or schedule is None:
        raise ConfigurationError("give all three of --model, --universe and --schedule, or none")
    return read_documents(model, universe, schedule)


def _repeat(evidence: "Evidence", starts: int, memory_gib: int) -> "list[Repetition]":
    from atomic_margin.fhe.evaluator import Evaluator
    from atomic_margin.service.audit.search import repeat

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("fresh workers", total=starts)
        return repeat(
            evidence,
            starts,
            lambda: Evaluator(evidence.profile, memory_bytes=memory_gib << 30),
            lambda number: progress.update(task, completed=number),
        )
