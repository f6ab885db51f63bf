"""The half of `atomic-margin verify` that is about archives."""

from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from atomic_margin.service.archives import ArchiveReader
from atomic_margin.service.cli.output import EXIT_REFUSED, err, out, print_json
from atomic_margin.service.errors import ArchiveInvalid
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.reports.archived import archived_reports
from atomic_margin.service.verifier.archive import ARCHIVE_STEPS, ArchiveReport, verify_archive
from atomic_margin.zk.groups import Group


def check(path: Path, anchors: TrustFile, group: Group, as_json: bool) -> None:
    """Check one archive and say what it shows; ends the program with status 1 where it does not hold."""
    held: list[str] = []

    def step(name: str) -> None:
        held.append(name)
        if not as_json:
            out.print(f"[green]✓[/] ({len(held)}) {name}")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err, transient=True, disable=as_json) as progress:
            task = progress.add_task("entries", total=None)
            with ArchiveReader(path) as reader:
                report = verify_archive(
                    reader,
                    anchors,
                    group,
                    archived_reports,
                    step,
                    lambda done, all_: progress.update(task, completed=done, total=all_),
                )
    except ArchiveInvalid as invalid:
        if as_json:
            print_json(_failed(held, invalid))
        else:
            out.print(f"[bold red]✗[/] {escape(f'{invalid.step}: {invalid.detail}')}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from None
    if as_json:
        print_json({"valid": True, "held": held, **_summary(report)})
        return
    said, public = report.manifest, report.account.public
    out.print(
        f"[bold green]valid[/]: {escape(said.institution)} from entry {said.first} to {said.last}, {report.ticks} "
        f"ticks, {report.proofs} proofs, {report.reports} files of reports; it is {public.status} in the end",
        soft_wrap=True,
    )
    out.print(f"signed by the {report.signed_by}")
    for name, held_ in (("posted", public.posted), ("free", report.account.private.free)):
        shown = ", ".join(f"{quantity} {asset}" for asset, quantity in held_.items()) or "nothing"
        out.print(f"{name}: {escape(shown)}", soft_wrap=True)
    for kind, count in sorted(report.kinds.items()):
        out.print(f"{count:6} {escape(kind)}")
    if report.without_agreement:
        names = ", ".join(report.without_agreement)
        out.print(
            f"[yellow]?[/] {escape(names)}: counted no collateral agreement; the account came under its first one "
            "after that",
            soft_wrap=True,
        )
    out.print(escape(_believed(report)), soft_wrap=True)


def found(path: Path, anchors: TrustFile, group: Group) -> dict[str, Any]:
    """Check one archive of many; return what `check` prints as JSON."""
    held: list[str] = []
    try:
        with ArchiveReader(path) as reader:
            report = verify_archive(reader, anchors, group, archived_reports, held.append)
    except ArchiveInvalid as invalid:
        return _failed(held, invalid)
    return {"valid": True, "held": held, **_summary(report)}


def _failed(held: list[str], invalid: ArchiveInvalid) -> dict[str, Any]:
    at = ARCHIVE_STEPS.index(invalid.step) if invalid.step in ARCHIVE_STEPS else -1
    return {
        "valid": False,
        "held": held,
        "failed": invalid.step,
        "reason": invalid.detail,
        "not_checked": list(ARCHIVE_STEPS[at + 1 :]),
    }


def _believed(report: ArchiveReport) -> str:
    head = report.checkpoint.head
    if not report.believed:
        return "the trust file names no log: whether somebody was shown another history was not checked"
    cosigned = ", ".join(name for name, _ in report.checkpoint.witnesses)
    return f"every entry is in the log {head.origin} (checkpoint of {head.size} leaves), cosigned by {cosigned}"


def _summary(report: ArchiveReport) -> dict[str, Any]:
    said, account = report.manifest, report.account
    return {
        "institution": said.institution,
        "first": str(said.first),
        "last": str(said.last),
        "signed_by": report.signed_by,
        "status": str(account.public.status),
        "posted": {asset: str(quantity) for asset, quantity in account.public.posted.items()},
        "free": {asset: str(quantity) for asset, quantity in account.private.free.items()},
        "happened": {kind: str(count) for kind, count in sorted(report.kinds.items())},
        "ticks": str(report.ticks),
        "proofs": str(report.proofs),
        "reports": str(report.reports),
        "without_agreement": list(report.without_agreement),
        "log": said.log if report.believed else None,
    }
