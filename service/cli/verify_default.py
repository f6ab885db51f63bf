"""`atomic-margin verify-default`: check a default against a trust file, offline."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from atomic_margin.service.cli.output import EXIT_REFUSED, out, plain_errors, print_json
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.default import STEPS, DefaultReport, verify_default

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(name="verify-default")
def verify(
    file: Annotated[Path, typer.Argument(help="The default, as `operator waterfall --save` writes it.")],
    trust: Annotated[Path, typer.Option(help="Your trust file; it pins the waterfall rules.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Replay a default: sales against the prices of their ticks, the loss both sides signed, the fund, every line.

    Whether the breach was one is in the bundle of its run: `atomic-margin verify`.

    Exit status 0: every step holds. 1: one does not; it is named. 2: a file cannot be read.
    """
    steps: list[str] = []

    def held(name: str) -> None:
        steps.append(name)
        if not as_json:
            out.print(f"[green]✓[/] ({len(steps)}) {name}")

    with plain_errors():
        anchors, value = read_document(trust, TrustFile.parse), read_json(file)
    try:
        report = verify_default(value, anchors, held)
    except AttestationInvalid as invalid:
        if as_json:
            unchecked = list(STEPS[len(steps) + 1 :])
            print_json(
                {"valid": False, "held": steps, "failed": invalid.step, "reason": invalid.detail,
                 "not_checked": unchecked}
            )  # fmt: skip
        else:
            out.print(f"[bold red]✗[/] ({len(steps) + 1}) {invalid.step}: {escape(invalid.detail)}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from None
    if as_json:
        print_json({"valid": True, "held": steps, **_summary(report)})
    else:
        out.print(f"[bold green]valid[/]: {escape(_statement(report))}", soft_wrap=True)


def _summary(report: DefaultReport) -> dict[str, object]:
    closed = report.closed
    return {
        "institution": report.institution,
        "rules": report.rules,
        "sales": str(len(report.sales)),
        "closed_out": closed is not None,
        "loss": None if closed is None else str(closed.loss),
        "lines": [] if closed is None else [line.canonical() for line in closed.lines],
        "uncovered": None if closed is None else str(closed.uncovered),
        "fund": report.fund,
        "statement": _statement(report),
    }


def _statement(report: DefaultReport) -> str:
    sold = f"{len(report.sales)} sales of what was segregated from {report.institution} keep their limits"
    closed = report.closed
    if closed is None:
        return f"{sold}; the default is not closed out"
    cash = closed.rules.cash
    others = sum(line.drawn for line in closed.lines if line.layer == "mutual")
    return (
        f"{sold}; a loss of {closed.loss} {cash} that both sides signed is borne in the order of the rules, {others} "
        f"of it by other members of the fund and {closed.uncovered} by nobody"
    )
