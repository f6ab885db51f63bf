"""`atomic-margin verify-netting`: check an account's part of a cycle of netting against a trust file, offline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from atomic_margin.documents.canonical import CanonicalValue
from atomic_margin.service.cli.output import EXIT_REFUSED, out, plain_errors, print_json
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.protocol.account.netting_documents import Group
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.netting import STEPS, NettingReport, OwnGroup, check_same, verify_netting

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(name="verify-netting")
def verify(
    files: Annotated[list[Path], typer.Argument(help="An account's part, as `institution netting --save` writes it.")],
    trust: Annotated[Path, typer.Option(help="Your trust file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Check the lines of an account in a cycle of netting, from the obligations that it signed to the cosigned log.

        atomic-margin verify-netting cycle-1.json --trust trust.json

    Files of several accounts are also held against each other: the operator must have shown one cycle to all.

    Exit status 0: every step holds. 1: one does not; it is named. 2: a file cannot be read.
    """
    reports: list[NettingReport] = []
    steps: list[str] = []
    with plain_errors():
        anchors, values = read_document(trust, TrustFile.parse), [read_json(file) for file in files]
    at = str(files[0])

    def held(name: str) -> None:
        steps.append(name)
        if not as_json:
            out.print(f"[green]✓[/] ({len(steps)}) {name}")

    try:
        for file, value in zip(files, values, strict=True):
            at = str(file)
            steps.clear()
            reports.append(verify_netting(value, anchors, held))
        if len(reports) > 1:
            at = ", ".join(map(str, files))
            check_same(reports)
            held("same cycle")
    except AttestationInvalid as invalid:
        if as_json:
            unchecked = [name for name in STEPS if name not in (*steps, invalid.step)]
            failed = {"file": at, "failed": invalid.step, "reason": invalid.detail}
            print_json({"valid": False, "held": steps, **failed, "not_checked": unchecked})
        else:
            told = f"[bold red]✗[/] ({len(steps) + 1}) {invalid.step}: {escape(f'{at}: {invalid.detail}')}"
            out.print(told, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from None
    if as_json:
        print_json({"valid": True, "held": steps, "cycles": [_summary(report) for report in reports]})
        return
    for report in reports:
        out.print(f"[bold green]valid[/]: {escape(_statement(report))}", soft_wrap=True)
        for own in report.groups:
            out.print(escape(_said(own)), soft_wrap=True)


def _summary(report: NettingReport) -> dict[str, Any]:
    netting, believed = report.netting, report.believed
    return {
        "institution": netting.institution,
        "cycle": str(netting.cycle),
        "settles": netting.settles,
        "entry": str(report.number),
        "root": netting.root,
        "lines": [
            {
                "obligation": line.obligation,
                "direction": line.direction,
                "asset": line.asset,
                "quantity": str(line.quantity),
                "settles": line.settles,
                "arrived": line.arrived,
            }
            for line in (shown.line for shown in netting.lines)
        ],
        "groups": [
            {
                **_without_salt(own.group),
                "own": {name: str(getattr(own, name)) for name in ("deliveries", "returns", "undone")},
                "whole": own.whole,
            }
            for own in report.groups
        ],
        "log": None if believed is None else {"origin": believed.head.origin, "size": str(believed.head.size)},
        "statement": _statement(report),
    }


def _without_salt(group: Group) -> dict[str, CanonicalValue]:
    value = group.canonical()
    if not isinstance(value, Mapping):
        raise TypeError("a group of a cycle is an object")
    return {name: part for name, part in value.items() if name != "salt"}


def _statement(report: NettingReport) -> str:
    netting, believed = report.netting, report.believed
    place = (
        "the trust file names no log: whether others were shown another cycle was not checked"
        if believed is None
        else f"cycle and entry {report.number} are in the log {believed.head.origin} of {believed.head.size} leaves; "
        "that it has no second one is what `atomic-margin monitor` checks"
    )
    return (
        f"cycle {netting.cycle} of {netting.settles} has the {len(netting.lines)} obligations that "
        f"{netting.institution} shows, each once and unchanged; {place}"
    )


def _said(own: OwnGroup) -> str:
    group = own.group
    net = f"{group.arrives} arrive" if group.arrives or not group.leaves else f"{group.leaves} leave"
    shown = f"all {group.lines} lines shown" if own.whole else f"{group.lines} lines, others' not shown to anybody"
    return (
        f"{group.party} {group.asset} {group.settles}: gross {group.deliveries} in, {group.returns} out, "
        f"{group.undone} undone; net {net} ({shown}); own {own.deliveries} in, {own.returns} out, {own.undone} undone"
    )
