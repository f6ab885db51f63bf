"""What a name says of an operator's log: the records of `PointerResolver.sol`, read and taken apart.

For `check`, and for the commands that read and publish them.
"""

from dataclasses import dataclass
from datetime import datetime

from atomic_margin.service.log.checkpoints import Checkpoint, WitnessPolicy, believe
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.notes import ED25519, NoteKey
from atomic_margin.service.pointer.errors import RecordMalformed, RecordMissing
from atomic_margin.service.pointer.lookups import Resolver

LOG = "atomic-margin.log"
CHECKPOINT = "atomic-margin.checkpoint"
BUNDLE = "atomic-margin.bundle"
TILES = "atomic-margin.tiles"
"""Keys of the text records."""
CONTENTHASH = "contenthash"
"""What a gateway is asked for where the content hash is wanted."""
MAX_BYTES = {LOG: 256, CHECKPOINT: 8192, BUNDLE: 1024, TILES: 1024, CONTENTHASH: 64}

RAW_SHA256 = bytes.fromhex("e30101551220")
"""EIP-1577: ipfs, version 1, raw bytes, SHA-256 of 32 bytes. What follows is the hash of the file itself."""


@dataclass(frozen=True)
class Pointer:
    """What a name says.

    Attributes:
        name: in its normal form.
        resolver: address of the contract that said so.
        chain: id of the chain.
        block: at which it was asked.
        time: of that block.
        log: key of the log, its origin in it.
        checkpoint: newest one that is published, signed by the log.
        bundle: address of the bundle.
        tiles: address under which `v1/log/tile/` is; empty if none is given.
        sha256: of the bundle; None if none is given.
    """

    name: str
    resolver: str
    chain: int
    block: int
    time: datetime
    log: NoteKey
    checkpoint: Checkpoint
    bundle: str
    tiles: str
    sha256: bytes | None


def read_pointer(resolver: Resolver) -> Pointer:
    """Read all that a name says.

    Raises:
        RecordMissing: log, checkpoint or bundle are not set.
        RecordMalformed: one has another form, or the log did not sign the checkpoint.
        PointerError: it cannot be read; see `Resolver.read`.
    """
    chain = resolver.chain
    log = read_log(resolver)
    return Pointer(
        name=resolver.name.text,
        resolver=resolver.address,
        chain=chain.number,
        block=chain.block,
        time=chain.time,
        log=log,
        checkpoint=parse_checkpoint(_set(resolver, CHECKPOINT), log),
        bundle=_set(resolver, BUNDLE),
        tiles=_limited(TILES, resolver.text(TILES)),
        sha256=parse_contenthash(resolver.contenthash()),
    )


def read_log(resolver: Resolver) -> NoteKey:
    """Return the key of the log that a name is of.

    Raises:
        RecordMissing: it is not set.
        RecordMalformed: it is no key of a log.
    """
    text = _set(resolver, LOG)
    try:
        key = NoteKey.parse(text)
    except LogError as error:
        raise RecordMalformed(f"{LOG}: {error}") from None
    if key.type != ED25519:
        raise RecordMalformed(f"{LOG}: this is the key of a witness, one of a log is wanted")
    return key


def parse_checkpoint(note: str, log: NoteKey) -> Checkpoint:
    """Return a checkpoint that a log signed; whether witnesses cosigned it is not asked: it is published as it is.

    Raises:
        RecordMalformed: it is none, or another log's.
    """
    try:
        checkpoint = Checkpoint.parse(note)
        believe(checkpoint, log, WitnessPolicy(), 0)
    except LogError as error:
        raise RecordMalformed(f"{CHECKPOINT}: {error}") from None
    return checkpoint


def parse_contenthash(data: bytes) -> bytes | None:
    """Return the SHA-256 in a content hash, None for an empty one.

    Raises:
        RecordMalformed: it is of another kind, which could not be checked against a file.
    """
    if not data:
        return None
    if len(data) != len(RAW_SHA256) + 32 or not data.startswith(RAW_SHA256):
        raise RecordMalformed("contenthash: it is not the SHA-256 of raw bytes (e30101551220 and 32 bytes)")
    return data[len(RAW_SHA256) :]


def _set(resolver: Resolver, key: str) -> str:
    value = _limited(key, resolver.text(key))
    if not value:
        raise RecordMissing(f"{resolver.name.text} has no record {key}: whoever owns the name has to publish it")
    return value


def _limited(key: str, value: str) -> str:
    if len(value.encode()) > MAX_BYTES[key]:
        raise RecordMalformed(f"{key}: at most {MAX_BYTES[key]} bytes, got {len(value.encode())}")
    return value
