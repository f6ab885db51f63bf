"""`atomic-margin trust`: write a trust file from keys and documents one trusts."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.cli.terms import (
    ModelFile,
    PriceRulesFile,
    ProfileName,
    ScheduleFile,
    UniverseFile,
    read_terms,
)
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.trust import LogTrust, TrustFile
from atomic_margin.service.protocol.waterfall import WaterfallRules

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def trust(
    operator: Annotated[str, typer.Option(help="The operator's public key, in hex.")],
    price_rules: PriceRulesFile,
    model: ModelFile,
    universe: UniverseFile,
    schedule: ScheduleFile,
    institution: Annotated[list[str] | None, typer.Option(help="NAME=KEY of an institution; repeatable.")] = None,
    keys: Annotated[
        list[str] | None, typer.Option(help="NAME=HASH of an institution's FHE key commitments; repeatable.")
    ] = None,
    agreement: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE of an institution's collateral agreement; repeatable.")
    ] = None,
    custody: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE of an institution's custody policy; repeatable.")
    ] = None,
    profile: ProfileName = DEFAULT.name,
    log: Annotated[str | None, typer.Option(help="Key of the operator's log; without it no log is asked for.")] = None,
    witness: Annotated[list[str] | None, typer.Option(help="Key of a witness whose cosignature counts.")] = None,
    threshold: Annotated[int | None, typer.Option(help="How many of the witnesses must have cosigned.", min=1)] = None,
    max_age: Annotated[
        int | None, typer.Option(help="How many seconds ago at most, where somebody acts on it.", min=1)
    ] = None,
    waterfall: Annotated[Path | None, typer.Option(help="Waterfall rules that you agree to; they are pinned.")] = None,
    breakers: Annotated[Path | None, typer.Option(help="Rules by which breaches wait; they are pinned whole.")] = None,
) -> None:
    """Print a trust file. Get the keys from their owners, not from a bundle or from the operator's server.

    An institution tells the hash of its FHE key commitments once it has enrolled: `atomic-margin institution status`.
    """
    with plain_errors():
        terms = read_terms(model, universe, schedule, profile)
        hashes = {**terms.hashes, "universe": terms.universe.hash()}
        pinned: dict[str, list[str]] = {}
        for name, key_hash in _pairs(keys, "--keys takes NAME=HASH"):
            pinned.setdefault(name, []).append(key_hash)
        agreements: dict[str, list[Any]] = {}
        for name, path in _pairs(agreement, "--agreement takes NAME=FILE"):
            agreements.setdefault(name, []).append(read_document(Path(path), CollateralAgreement.parse).canonical())
        policies: dict[str, list[Any]] = {}
        for name, path in _pairs(custody, "--custody takes NAME=FILE"):
            policies.setdefault(name, []).append(read_document(Path(path), CustodyPolicy.parse).canonical())
        history = _log_trust(log, witness or [], threshold, max_age)
        anchors = TrustFile.parse(
            {
                **({} if history is None else {"log": history}),
                **({} if breakers is None else {"breakers": read_document(breakers, BreakerRules.parse).canonical()}),
                **({} if waterfall is None else {"waterfall": read_document(waterfall, WaterfallRules.parse).hash()}),
                **({"agreements": agreements} if agreements else {}),
                **({"custody": policies} if policies else {}),
                "format": "atomic-margin/trust/2",
                "operator": operator,
                "prices": read_document(price_rules, PriceRules.parse).canonical(),
                "institutions": dict(_pairs(institution, "--institution takes NAME=KEY")),
                "keys": pinned,
                **{name: hashes[name] for name in ("model", "universe", "schedule", "profile", "generators")},
            }
        )
        _require_known(set(anchors.institutions), anchors.keys, "--keys")
        _require_known(set(anchors.institutions), anchors.agreements or {}, "--agreement")
        _require_known(set(anchors.institutions), anchors.custody or {}, "--custody")
        print_json(anchors.canonical())


def _log_trust(log: str | None, witnesses: list[str], threshold: int | None, max_age: int | None) -> Any:
    if (log, witnesses, threshold, max_age) == (None, [], None, None):
        return None
    if log is None or not witnesses or threshold is None or max_age is None:
        raise ConfigurationError("--log, --witness, --threshold and --max-age go together: a log is believed with all")
    said = {"key": log, "witnesses": witnesses, "threshold": str(threshold), "max_age_seconds": str(max_age)}
    return LogTrust.parse(said).canonical()


def _require_known(names: set[str], named: Iterable[str], option: str) -> None:
    """Refuse a name that no --institution has: one that is misspelt would pin nothing."""
    for name in named:
        if name not in names:
            others = f"; there are {', '.join(sorted(names))}" if names else ""
            raise ConfigurationError(f"{option} names {name[:64]!r}, and no --institution does{others}")


def _pairs(entries: list[str] | None, usage: str) -> list[tuple[str, str]]:
    parted = [entry.partition("=") for entry in entries or []]
    if any(not separator for _, separator, _ in parted):
        raise ConfigurationError(usage)
    return [(name, value) for name, _, value in parted]
