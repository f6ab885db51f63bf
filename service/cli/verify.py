"""`atomic-margin verify`: a bundle or an archive against a trust file, without FHE library.

Files are verified offline; `ens:NAME` alone is followed over a network (`verify_ens`).
"""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.archives import is_archive
from atomic_margin.service.cli import verify_archive, verify_ens, verify_many
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.output import EXIT_REFUSED, out, plain_errors, print_json
from atomic_margin.service.cli.pointer_options import AllowedHosts, GatewayAddress, Registry, Rpc
from atomic_margin.service.cli.tls import Authorities
from atomic_margin.service.cli.tls import trust as trust_authorities
from atomic_margin.service.errors import AttestationInvalid, ConfigurationError, MalformedRequest
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.pointer.lookups import ENS_REGISTRY
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.verifier.attestation import Report, verify_attestation
from atomic_margin.zk.groups import Group, load_group

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
_WHY_NONE = {"skipped by policy": "was skipped by policy", "failed": "failed"}


@app.command(cls=configured("verifier"))
def verify(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Attestation bundles, archives, or folders of them; or one ens:NAME."),
    ],
    trust: Annotated[Path, typer.Option(help="Your trust file: keys and hashes from the parties themselves.")],
    backend: Annotated[str, typer.Option(help="auto, arkworks (native) or reference (pure Python, slow).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
    page: Annotated[Path | None, typer.Option("--html", help="Write the verdicts as a page that stands alone.")] = None,
    rpc: Rpc = None,
    registry: Registry = ENS_REGISTRY,
    gateway: GatewayAddress = None,
    allow_host: AllowedHosts = None,
    ca: Authorities = None,
    config: ConfigFile = None,
) -> None:
    """Check one attestation bundle, or all of an examiner's archive, step by step; or many of them.

        atomic-margin verify bundle.json --trust trust.json
        atomic-margin verify fund.archive.zip --trust trust.json
        atomic-margin verify bundles/ --trust trust.json --html verdicts.html
        atomic-margin verify ens:fund.example.eth --trust trust.json --rpc https://node.example

    Files are checked offline. A name is asked for on a chain; its bundle is fetched and checked like a file, and then
    against the log and the checkpoint that the name has published.

    Exit status 0: every step holds. 1: one does not; it is named. 2: a file cannot be read.
    """
    with plain_errors():
        anchors, group = read_document(trust, TrustFile.parse), load_group(backend)
        name = verify_ens.name_of(bundles)
        if name is not None:
            if page is not None:
                raise ConfigurationError("--html goes with files and folders; with a name there is --json")
            if ca is not None:
                trust_authorities(ca)
            options = verify_ens.EnsOptions(rpc, registry, gateway, allow_host)
            _show(*_checked_name(name, options, anchors, group, as_json), as_json)
            return
        files = verify_many.files_of(bundles)
        if len(bundles) > 1 or bundles[0].is_dir() or page is not None:
            verify_many.verify_all(files, lambda file: _verdict(file, anchors, group), as_json, page)
            return
        (bundle,) = files
        if is_archive(bundle):
            verify_archive.check(bundle, anchors, group, as_json)
            return
        _show(*_checked(bundle, anchors, group, _say(as_json)), as_json)


def _say(as_json: bool) -> Callable[[str], None]:
    return lambda line: None if as_json else out.print(line, soft_wrap=True)


def _show(found: dict[str, Any], report: Report | None, as_json: bool) -> None:
    """Print what was found of one bundle; end with status 1 where a step does not hold."""
    if as_json:
        print_json(found)
    elif report is None:
        where = f"({len(found['held']) + 1}) {found['failed']}: {found['reason']}"
        out.print(f"[bold red]✗[/] {escape(where)}", soft_wrap=True)
    else:
        out.print(f"[bold green]valid[/]: {escape(str(found['statement']))}", soft_wrap=True)
        if report.agreement is not None:
            out.print(escape(_counted(report)), soft_wrap=True)
        out.print(escape(_believed(report)), soft_wrap=True)
        if "pointer" in found:
            out.print(escape(str(found["pointer"]["statement"])), soft_wrap=True)
    if report is None:
        raise typer.Exit(EXIT_REFUSED)


def _checked(
    bundle: Path, anchors: TrustFile, group: Group, say: Callable[[str], None]
) -> tuple[dict[str, Any], Report | None]:
    """Verify one bundle; return what was found, and the report if every step holds."""
    steps = _Steps(ALL_STEPS, say)
    try:
        try:
            value = read_json(bundle)
        except MalformedRequest as error:
            raise AttestationInvalid("format", str(error)) from error
        report = verify_attestation(value, anchors, group, steps.held)
    except AttestationInvalid as invalid:
        return steps.failed(invalid), None
    return {"valid": True, "held": steps.names, **_summary(report)}, report


def _checked_name(
    name: str, options: verify_ens.EnsOptions, anchors: TrustFile, group: Group, as_json: bool
) -> tuple[dict[str, Any], Report | None]:
    """Verify the bundle that a name leads to, and that it is of the name's log; return the same."""
    steps = _Steps((*verify_ens.BEFORE, *ALL_STEPS, verify_ens.AFTER), _say(as_json))
    try:
        followed = verify_ens.follow(name, options, anchors, steps.held)
        report = verify_attestation(followed.value, anchors, group, steps.held)
        shown = followed.check()
        steps.held(verify_ens.AFTER)
    except AttestationInvalid as invalid:
        return steps.failed(invalid), None
    pointer = verify_ens.summary(followed.pointer, shown)
    return {"valid": True, "held": steps.names, **_summary(report), "pointer": pointer}, report


class _Steps:
    """Which steps held so far, and which come."""

    def __init__(self, every: tuple[str, ...], say: Callable[[str], None]) -> None:
        self.names: list[str] = []
        self._every, self._say = every, say

    def held(self, name: str) -> None:
        self.names.append(name)
        self._say(f"[green]✓[/] ({len(self.names)}) {name}")

    def failed(self, invalid: AttestationInvalid) -> dict[str, Any]:
        return {
            "valid": False,
            "held": self.names,
            "failed": invalid.step,
            "reason": invalid.detail,
            "not_checked": list(self._every[len(self.names) + 1 :]),
        }


def _verdict(file: Path, anchors: TrustFile, group: Group) -> verify_many.Verdict:
    """Verify one file of many; one that cannot be read does not keep the others from their verdicts."""
    try:
        return _verdict_of(file, anchors, group)
    except (ConfigurationError, OSError) as error:
        return verify_many.Verdict(file, False, str(error), {"failed": "file", "reason": str(error), "held": []})


def _verdict_of(file: Path, anchors: TrustFile, group: Group) -> verify_many.Verdict:
    if is_archive(file):
        found = verify_archive.found(file, anchors, group)
        if found["valid"]:
            said = f"{found['institution']} from entry {found['first']} to {found['last']}, {found['proofs']} proofs"
    else:
        found, _ = _checked(file, anchors, group, lambda _: None)
        said = str(found.get("statement"))
    if not found["valid"]:
        said = f"{found['failed']}: {found['reason']}"
    return verify_many.Verdict(file, bool(found["valid"]), said, found)


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


def _breach(result: VerifiedBreach) -> str:
    usd = f"{result.top_up_usd:,.2f} USD"
    if result.flag == "opened":
        return f"(opened by custodians, since it was silent); {usd} is what one row lacks, and others may lack more"
    return f"(flag proven); with {usd} added, initial margin holds for the committed portfolio"


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
                f"{record.institution} was in breach at price {record.price_sequence} {_breach(report.result)}; "
                f"settled as {report.settlement.kind.replace('_', ' ')}"
            ),
        }
    else:
        opened = isinstance(report.answer, Opened)
        summary["statement"] = (
            ("custodians found that " if opened else "")
            + f"the portfolio {record.institution} committed to is covered by its posted collateral at price "
            f"{record.price_sequence}"
            + ("" if report.evaluation == "recorded" else f"; the encrypted evaluation {_WHY_NONE[report.evaluation]}")
        )
    return summary
