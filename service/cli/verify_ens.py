"""The half of `atomic-margin verify` that follows an ENS name, `ens:NAME`, to the bundle that is verified."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.pointer_options import resolver_of, route_of
from atomic_margin.service.cli.tls import trusted
from atomic_margin.service.errors import AttestationInvalid, ConfigurationError, MalformedRequest
from atomic_margin.service.files import MAX_FILE_BYTES
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.pointer.check import check_hash, check_history, check_trusted
from atomic_margin.service.pointer.downloads import Downloads
from atomic_margin.service.pointer.errors import PointerRefused
from atomic_margin.service.pointer.records import Pointer, read_pointer
from atomic_margin.service.protocol.trust import TrustFile

PREFIX = "ens:"
BEFORE = ("name", "log of the name", "bundle of the name")
AFTER = "checkpoint of the name"
"""Steps before and after those of a bundle."""


@dataclass(frozen=True)
class EnsOptions:
    """How names are followed.

    Attributes:
        rpc: address of the node.
        registry: address of the registry of names.
        gateway: in place of those that the resolver names.
        allowed: hosts that may be private, or reached by a redirect.
    """

    rpc: str | None
    registry: str
    gateway: str | None
    allowed: list[str] | None


@dataclass(frozen=True)
class Followed:
    """A bundle that a name led to.

    Attributes:
        pointer: what the name says.
        value: the bundle, parsed and not verified.
        downloads: with which tiles are read.
    """

    pointer: Pointer
    value: object
    downloads: Downloads

    def check(self) -> Checkpoint:
        """Hold the bundle, which was verified, against the name; return the bundle's checkpoint.

        Raises:
            AttestationInvalid: it does not hold.
            PointerError: nothing was decided.
        """
        try:
            return check_history(self.pointer, self.value, self.downloads.get)
        except PointerRefused as refused:
            raise AttestationInvalid(AFTER, _said(refused)) from refused


def name_of(bundles: list[Path]) -> str | None:
    """Return the name that is to be followed, if the command is given one.

    Raises:
        ConfigurationError: there is a name among several files.
    """
    named = [str(path) for path in bundles if str(path).startswith(PREFIX)]
    if named and len(bundles) > 1:
        raise ConfigurationError(f"{named[0]} is a name: verify it alone")
    return named[0].removeprefix(PREFIX) if named else None


def follow(name: str, options: EnsOptions, trust: TrustFile, held: Callable[[str], None]) -> Followed:
    """Read what a name says and fetch its bundle.

    Args:
        name: as somebody wrote it.
        options: how it is followed.
        trust: the verifier's anchors.
        held: told each step that holds.

    Raises:
        AttestationInvalid: the name says what does not hold; the step is named.
        PointerError: nothing was decided.
    """
    needs_extras("verify ens:NAME", "chain")
    downloads = Downloads(route_of(options.allowed), trusted)
    step, log, bundle = BEFORE
    try:
        pointer = read_pointer(resolver_of(name, options.rpc, options.registry, options.gateway, downloads))
        held(step)
        step = log
        check_trusted(pointer, trust)
        held(step)
        step = bundle
        data = downloads.get(pointer.bundle, MAX_FILE_BYTES)
        check_hash(pointer, data)
        held(step)
    except PointerRefused as refused:
        raise AttestationInvalid(step, _said(refused)) from refused
    try:
        value = parse_json(data, pointer.bundle)
    except MalformedRequest as error:
        raise AttestationInvalid("format", str(error)) from error
    return Followed(pointer, value, downloads)


def summary(pointer: Pointer, shown: Checkpoint) -> dict[str, Any]:
    """Return what a name says beside the checkpoint of its bundle, for machines, and as a sentence for people."""
    head, moment = pointer.checkpoint.head, instant_text(pointer.time)
    ahead = head.size - shown.head.size
    how = (
        "the bundle's" if not ahead else f"{abs(ahead)} leaves {'later' if ahead > 0 else 'earlier'} than the bundle's"
    )
    return {
        "name": pointer.name,
        "resolver": pointer.resolver,
        "chain": str(pointer.chain),
        "block": str(pointer.block),
        "time": moment,
        "log": str(pointer.log),
        "size": str(head.size),
        "root": head.root.hex(),
        "bundle": pointer.bundle,
        "sha256": None if pointer.sha256 is None else pointer.sha256.hex(),
        "statement": (
            f"{pointer.name} (chain {pointer.chain}, block {pointer.block} of {moment}) is of the log "
            f"{pointer.log.name}, and its checkpoint of {head.size} leaves is {how}"
        ),
    }


def _said(refused: PointerRefused) -> str:
    return f"{type(refused).__name__}: {refused}"
