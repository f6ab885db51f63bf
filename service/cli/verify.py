"""`atomic-margin verify`: a bundle or an archive against a trust file, offline, without FHE library or network."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.archives import is_archive
from atomic_margin.service.cli import verify_archive
from atomic_margin.service.cli.output import EXIT_REFUSED, out, plain_errors, print_json
from atomic_margin.service.errors import AttestationInvalid, MalformedRequest
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.verifier.attestation import Report, verify_attestation
from atomic_margin.zk.groups import load_group

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

ALL_STEPS = (
    "format",
    "trust anchors",
    "price tick",
    "run record",
    "enrolment",
    "submission",
    "matrices",
    "account",
    "gain",
    "answer",
    "settlement",
    "log",
    "attestation",
)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Attestation bundle, as the operator published it, or an archive.")],
    trust: Annotated[Path, typer.Option(help="Your trust file: keys and hashes from the parties themselves.")],
    backend: Annotated[str, typer.Option(help="auto, arkworks (native) or reference (pure Python, slow).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Check one attestation bundle, or all of an examiner's archive, step by step.

        atomic-margin verify bundle.json --trust trust.json
        atomic-margin verify fund.archive.zip --trust trust.json

    Exit status 0: every step holds. 1: one does not; it is named. 2: a file cannot be read.
    """
    steps: list[str] = []

    def held(name: str) -> None:
        steps.append(name)
        if not as_json:
            out.print(f"[green]✓[/] ({len(steps)}) {name}")

    with plain_errors():
        anchors, group = read_document(trust, TrustFile.parse), load_group(backend)
        if is_archive(bundle):
            verify_archive.check(bundle, anchors, group, as_json)
            return
        try:
            try:
                value = read_json(bundle)
            except MalformedRequest as error:
                raise AttestationInvalid("format", str(error)) from error
            report = verify_attestation(value, anchors, group, held)
        except AttestationInvalid as invalid:
            if as_json:
                unchecked = list(ALL_STEPS[len(steps) + 1 :])
                print_json(
                    {
                        "valid": False,
                        "held": steps,
                        "failed": invalid.step,
                        "reason": invalid.detail,
                        "not_checked": unchecked,
                    }
                )
            else:
                out.print(f"[bold red]✗[/] ({len(steps) + 1}) {invalid.step}: {escape(invalid.detail)}", soft_wrap=True)
            raise typer.Exit(EXIT_REFUSED) from None
    if as_json:
        print_json({"valid": True, "held": steps, **_summary(report)})
    else:
        summary = _summary(report)
        out.print(f"[bold green]valid[/]: {escape(str(summary['statement']))}", soft_wrap=True)
        if report.agreement is not None:
            out.print(escape(_counted(report)), soft_wrap=True)
        out.print(escape(_believed(report)), soft_wrap=True)


def _log(report: Report) -> dict[str, object] | None:
    """Return which checkpoint was believed, and by whose cosignatures; None where the trust file asks for no log."""
    believed = report.checkpoint
    if believed is None:
        return None
    return {
        "origin": believed.head.origin,
        "size": str(believed.head.size),
        "root": believed.head.root.hex(),
        "cosigned": {name: _time(seconds) for name, seconds in believed.witnesses},
    }


def _agreement(report: Report) -> dict[str, object]:
    """Return the pinned agreement that the account was under, and its figures that the run counted."""
    if report.agreement is None or report.record is None or report.record.agreed is None:
        raise AttestationInvalid("account", "nothing was checked of an agreement")
    return {"hash": report.agreement.agreement, **report.record.agreed.model_dump(mode="json")}


def _counted(report: Report) -> str:
    found = _agreement(report)
    return (
        f"under the pinned agreement {str(found['hash'])[:16]}…: independent amount {found['independent_amount']} USD, "
        f"threshold {found['threshold']} USD, minimum transfer {found['minimum_transfer_amount']} USD"
    )


def _believed(report: Report) -> str:
    believed = report.checkpoint
    if believed is None:
        return "the trust file names no log: whether somebody was shown another history was not checked"
    cosigned = ", ".join(f"{name} at {_time(seconds)}" for name, seconds in believed.witnesses)
    return (
        f"its entries are in the log {believed.head.origin} (checkpoint of {believed.head.size} leaves, root "
        f"{believed.head.root.hex()[:16]}…), cosigned by {cosigned}"
    )


def _time(seconds: int) -> str:
    return instant_text(datetime.fromtimestamp(seconds, timezone.utc))


def _summary(report: Report) -> dict[str, object]:
    if report.record is None or report.result is None:
        raise AttestationInvalid("attestation", "nothing was checked")
    record = report.record
    summary: dict[str, object] = {
        "run": record.run_id,
        "institution": record.institution,
        "price_sequence": str(record.price_sequence),
        "outcome": "breach" if isinstance(report.result, VerifiedBreach) else "covered",
        "evaluation": report.evaluation,
        "log": _log(report),
        **({} if report.agreement is None else {"agreement": _agreement(report)}),
    }
    if isinstance(report.result, VerifiedBreach) and report.settlement is not None:
        summary |= {
            "settlement": report.settlement.kind,
            "top_up_usd": format(report.result.top_up_usd, "f"),
            "flag": report.result.flag,
            "statement": (
                f"{record.institution} was in breach at price {record.price_sequence} (flag proven); "
                f"with {report.result.top_up_usd:,.2f} USD added, initial margin holds for the committed portfolio; "
                f"settled as {report.settlement.kind.replace('_', ' ')}"
            ),
        }
    else:
        summary["statement"] = (
            f"the portfolio {record.institution} committed to is covered by its posted collateral at price "
            f"{record.price_sequence}"
            + ("" if record.outputs is not None else "; the encrypted evaluation was skipped by policy")
        )
    return summary
