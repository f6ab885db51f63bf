"""What `atomic-margin init` writes: keys, documents, options and a public file, in the folder of one party."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.cli.configuration import FILE_NAME, text_of
from atomic_margin.service.cli.terms import read_terms
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, read_document, read_json, replace_json, write_json
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.public_files import (
    FORMAT,
    InstitutionPublic,
    OperatorPublic,
    PublicFile,
    SourcePublic,
    WitnessPublic,
    parse_public,
)
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.waterfall import WaterfallRules

PUBLIC_FILE = "public.json"
SMALL_PROFILE = "tiny"
MAX_AGE_SECONDS = 600
"""Of a checkpoint that a verifier acts on."""
LOG_ORIGIN = "atomic-margin.log"
_DOCUMENTS = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}


@dataclass(frozen=True)
class Scaffold:
    """A folder that was made.

    Attributes:
        directory: where.
        public: what others are given; None where there is nothing.
        then: the commands that come next.
    """

    directory: Path
    public: PublicFile | None
    then: tuple[str, ...]


@dataclass(frozen=True)
class Documents:
    """Where the documents of an operator's terms come from; None for the examples.

    Attributes:
        model, universe, schedule: files.
        price_rules: file; made of the sources if there is none.
        waterfall, breakers: files, if there are such rules.
        small: take the small examples.
    """

    model: Path | None = None
    universe: Path | None = None
    schedule: Path | None = None
    price_rules: Path | None = None
    waterfall: Path | None = None
    breakers: Path | None = None
    small: bool = False


def read_public(kind: Any, path: Path) -> Any:
    """Return the public file at a path, or in a folder that `init` made; errors name it."""
    file = path / PUBLIC_FILE if path.is_dir() else path
    return read_document(file, lambda value: parse_public(kind, value))


def prepare(directory: Path, force: bool) -> None:
    """Make the folder of a party.

    Raises:
        ConfigurationError: one stands there.
    """
    if (directory / FILE_NAME).exists() and not force:
        raise ConfigurationError(
            f"{directory / FILE_NAME} is there already; with --force it is written anew, and keys stay as they are"
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def source(directory: Path, name: str) -> Scaffold:
    """Write the folder of a price source."""
    key = Identity.load_or_create(directory / "source.key").public_key
    public = SourcePublic.parse({"format": FORMAT, "role": "source", "name": name, "key": key})
    for market in ("market-1.json", "market-2.json"):
        _copied(examples_folder() / market, directory / market)
    _configure(directory, "source", {"key": "source.key"}, public)
    return Scaffold(directory, public, (f"give {directory / PUBLIC_FILE} to the operator",))


def witness(directory: Path, name: str, host: str, port: int, address: str | None) -> Scaffold:
    """Write the folder of a witness."""
    key = witness_key(name, Identity.load_or_create(directory / "witness.key").public_key)
    said = {
        "format": FORMAT,
        "role": "witness",
        "name": name,
        "address": address or f"http://{host}:{port}",
        "key": str(key),
    }
    public = WitnessPublic.parse(said)
    _configure(directory, "witness", {"name": name, "host": host, "port": port}, public)
    return Scaffold(
        directory,
        public,
        (
            f"give {directory / PUBLIC_FILE} to the operator, and to whoever trusts you",
            f"atomic-margin witness --dir {directory} --log OPERATOR/{PUBLIC_FILE}",
        ),
    )


def operator(
    directory: Path,
    documents: Documents,
    sources: Sequence[SourcePublic],
    required: int | None,
    max_age: str,
    witnesses: Sequence[WitnessPublic],
    options: Mapping[str, Any],
) -> Scaffold:
    """Write the folder of an operator: terms, price rules, keys.

    Args:
        directory: where.
        documents: the terms, where they are not the examples.
        sources: whose prices count.
        required: how many of them must agree; by default more than half.
        max_age: seconds that prices may be old, or ``unbounded``.
        witnesses: that cosign the log.
        options: name, host, port, address and profile.

    Raises:
        ConfigurationError, DocumentError: a file is wrong; it is named.
    """
    found = _terms(directory, documents)
    if documents.price_rules is None:
        write_json(directory / "price-rules.json", _price_rules(sources, required, max_age))
    else:
        _copied(documents.price_rules, directory / "price-rules.json", documents.price_rules)
    rules = read_document(directory / "price-rules.json", PriceRules.parse)
    terms = read_terms(found["model"], found["universe"], found["schedule"], options["profile"])
    identity = Identity.load_or_create(directory / "operator.key").public_key
    origin = f"{LOG_ORIGIN}/{identity[:16]}"
    said: dict[str, Any] = {
        "format": FORMAT,
        "role": "operator",
        "name": options["name"],
        "address": options["address"] or f"http://{options['host']}:{options['port']}",
        "operator": identity,
        "log": str(log_key(origin, identity)),
        "witnesses": [{"address": one.address, "key": one.key} for one in witnesses],
        "prices": rules.canonical(),
        **terms.hashes,
        "universe": terms.universe.hash(),
    }
    values: dict[str, Any] = {
        **{name: path.name for name, path in found.items()},
        "price-rules": "price-rules.json",
        "profile": options["profile"],
        "host": options["host"],
        "port": options["port"],
        "log-origin": origin,
    }
    if witnesses:
        values["witness"] = [f"{one.address}={one.key}" for one in witnesses]
    if "waterfall" in found:
        said["waterfall"] = read_document(found["waterfall"], WaterfallRules.parse).hash()
    if "breakers" in found:
        said["breakers"] = read_document(found["breakers"], BreakerRules.parse).canonical()
    public = OperatorPublic.parse(said)
    _configure(directory, "operator", values, public)
    return Scaffold(
        directory,
        public,
        (
            f"give {directory / PUBLIC_FILE} to institutions, verifiers, sources and witnesses",
            f"atomic-margin serve --dir {directory}",
        ),
    )


def institution(
    directory: Path,
    of: OperatorPublic,
    witnesses: Sequence[WitnessPublic],
    names: tuple[str, str],
    gross_limit: int | None,
    port: int,
) -> Scaffold:
    """Write the folder of an institution: identity, pins of its operator, and a book for an example's universe.

    Args:
        directory: where.
        of: the operator.
        witnesses: whose cosignatures count.
        names: of the account, and the legal one.
        gross_limit: of its submissions, whole USD; by default that of the example.
        port: of the agent.

    Raises:
        ConfigurationError: there is no example for this universe, and no gross limit was given.
    """
    identity = Identity.load_or_create(directory / "identity.key").public_key
    name, legal_name = names
    said = {"format": FORMAT, "role": "institution", "name": name, "legal_name": legal_name, "identity": identity}
    public = InstitutionPublic.parse({**said, "keys": []})
    example = _example_of(of.universe)
    if example is not None:
        for file in ("portfolio.json", "collateral.json"):
            _copied(example / file, directory / file)
        if gross_limit is None:
            gross_limit = read_document(example / "institution.json", Institution.parse).gross_limit
    if gross_limit is None:
        raise ConfigurationError("say --gross-limit: the universe is no example's, and there is no usual limit")
    write_json(directory / "trust.json", trust_of(of, [public], witnesses).canonical())
    oldest = of.prices.canonical()
    age = oldest["max_age_seconds"] if isinstance(oldest, dict) else "unbounded"
    values: dict[str, Any] = {
        "name": name,
        "operator": of.address,
        "trust": "trust.json",
        "gross-limit": gross_limit,
        "max-tick-age": str(age),
        "port": port,
    }
    _configure(directory, "institution", values, public)
    return Scaffold(
        directory,
        public,
        (
            f"give {directory / PUBLIC_FILE} to the operator, and once more to verifiers when you have submitted",
            f"atomic-margin institution serve --dir {directory}",
        ),
    )


def verifier(
    directory: Path, of: OperatorPublic, institutions: Sequence[InstitutionPublic], witnesses: Sequence[WitnessPublic]
) -> Scaffold:
    """Write the folder of a verifier: a trust file.

    Raises:
        ConfigurationError: an institution's file is older than its enrolment.
    """
    for one in institutions:
        if not one.keys:
            raise ConfigurationError(
                f"the public file of {one.name} has no hash of its keys: it was handed over before the institution "
                "enrolled; ask for the one that is in its folder now"
            )
    write_json(directory / "trust.json", trust_of(of, institutions, witnesses).canonical())
    _configure(directory, "verifier", {"trust": "trust.json"}, None)
    return Scaffold(directory, None, (f"atomic-margin verify BUNDLES --trust {directory / 'trust.json'}",))


def trust_of(
    of: OperatorPublic, institutions: Sequence[InstitutionPublic], witnesses: Sequence[WitnessPublic]
) -> TrustFile:
    """Return a trust file of public files."""
    said: dict[str, Any] = {
        "format": "atomic-margin/trust/2",
        "operator": of.operator,
        "prices": of.prices.canonical(),
        "institutions": {one.name: one.identity for one in institutions},
        "keys": {one.name: list(one.keys) for one in institutions if one.keys},
        **{name: getattr(of, name) for name in ("model", "universe", "schedule", "profile", "generators")},
    }
    if witnesses:
        said["log"] = {
            "key": of.log,
            "witnesses": [one.key for one in witnesses],
            "threshold": str(len(witnesses) // 2 + 1),
            "max_age_seconds": str(MAX_AGE_SECONDS),
        }
    if of.waterfall is not None:
        said["waterfall"] = of.waterfall
    if of.breakers is not None:
        said["breakers"] = of.breakers.canonical()
    return TrustFile.parse(said)


def add_keys(directory: Path, key_commitments: str | None) -> None:
    """Put the hash of an institution's key commitments into its public file, if `init` made one and it is new."""
    path = directory / PUBLIC_FILE
    if key_commitments is None or not path.is_file():
        return
    public = read_public(InstitutionPublic, path)
    if key_commitments not in public.keys:
        replace_json(path, {**public.canonical(), "keys": [*public.keys, key_commitments]})


def _terms(directory: Path, documents: Documents) -> dict[str, Path]:
    """Copy the documents of the terms into a folder; return where they are."""
    examples = examples_folder()
    found = {}
    for name, file in _DOCUMENTS.items():
        given: Path | None = getattr(documents, name)
        small = examples / "small" / file
        chosen = given or (small if documents.small and small.is_file() else examples / file)
        found[name] = _copied(chosen, directory / file, given)
    for name in ("waterfall", "breakers"):
        given = getattr(documents, name)
        if given is not None:
            found[name] = _copied(given, directory / f"{name}-rules.json", given)
    return found


def _copied(source: Path, destination: Path, given: Path | None = None) -> Path:
    """Copy a file, over one that is there only if somebody named it; return where it is."""
    same = destination.exists() and destination.resolve() == source.resolve()
    if not same and (given is not None or not destination.exists()):
        if not source.is_file():
            raise ConfigurationError(f"cannot read {source}: it is not there")
        shutil.copyfile(source, destination)
    return destination


def _price_rules(sources: Sequence[SourcePublic], required: int | None, max_age: str) -> Any:
    if not sources:
        raise ConfigurationError("name the public file of at least one price source, or --price-rules")
    names = ("price", "volatility", "rate")
    document = {
        "format": "atomic-margin/price-rules/1",
        "sources": sorted(one.key for one in sources),
        "required": str(len(sources) // 2 + 1 if required is None else required),
        "max_skew_seconds": "60",
        "max_age_seconds": max_age,
        "outlier": dict(zip(names, ("0.02", "0.05", "0.01"), strict=True)),
        "move": dict(zip(names, ("0.5", "1", "0.05"), strict=True)),
    }
    return PriceRules.parse(document).canonical()


def _example_of(universe: str) -> Path | None:
    """Return the folder of the example with a universe, if there is one."""
    for folder in (examples_folder(), examples_folder() / "small"):
        if Universe.parse(read_json(folder / "universe.json")).hash() == universe:
            return folder
    return None


def _configure(directory: Path, role: str, values: Mapping[str, Any], public: PublicFile | None) -> None:
    if public is not None:
        path = directory / PUBLIC_FILE
        if isinstance(public, InstitutionPublic) and path.is_file():
            # What it enrolled stays known.
            public = InstitutionPublic.parse(
                {**_canonical(public), "keys": list(read_public(InstitutionPublic, path).keys)}
            )
        replace_json(path, public.canonical())
    (directory / FILE_NAME).write_text(text_of(role, values))


def _canonical(document: PublicFile) -> dict[str, Any]:
    value = document.canonical()
    return dict(value) if isinstance(value, dict) else {}
