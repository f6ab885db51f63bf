"""Whether a bundle is of the log that a name is of, in the history that the name has published. For `verify`.

That the bundle holds is found out by `service.verifier`; here it is held against the name. Trust still comes from the
trust file alone: a name can only say less than it allows.
"""

import hashlib
from collections.abc import Callable

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.log.checkpoints import Checkpoint, WitnessPolicy, believe, check_successor
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.evidence import check_leaves
from atomic_margin.service.log.tree import consistency_proof
from atomic_margin.service.pointer.errors import (
    BundleDiffers,
    CheckpointForked,
    CheckpointOlder,
    LogDiffers,
    RecordMissing,
)
from atomic_margin.service.pointer.records import TILES, Pointer
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import Attestation, PublishedBundle
from atomic_margin.service.verifier.served import Served

Get = Callable[[str, int], bytes]
"""Returns what is at an address, of at most so many bytes; raises a `PointerError`."""


def check_trusted(pointer: Pointer, trust: TrustFile) -> None:
    """Make sure that a name is of the log of the operator in the trust file.

    Raises:
        LogDiffers: it is of another.
    """
    if pointer.log.public.hex() != trust.operator:
        raise LogDiffers(
            f"{pointer.name} is of the log {pointer.log.name}, which is not one of the operator in your trust file"
        )
    if trust.log is not None and trust.log.key != str(pointer.log):
        raise LogDiffers(
            f"{pointer.name} is of the log {pointer.log.name}, and your trust file believes {trust.log.origin}"
        )


def check_hash(pointer: Pointer, bundle: bytes) -> None:
    """Make sure that a bundle is the one whose hash the name has, if it has one.

    Raises:
        BundleDiffers: it is another.
    """
    found = hashlib.sha256(bundle).digest()
    if pointer.sha256 is not None and found != pointer.sha256:
        raise BundleDiffers(
            f"what is at the address of {pointer.name} has SHA-256 {found.hex()[:16]}…, and the name says "
            f"{pointer.sha256.hex()[:16]}…: it was changed, or the name is not up to date"
        )


def check_history(pointer: Pointer, value: object, get: Get) -> Checkpoint:
    """Make sure that a bundle's entries are in the log of a name, and in the history that it has published.

    Args:
        pointer: what the name says.
        value: the bundle, which was verified.
        get: reads tiles of the log, where the two checkpoints differ in size.

    Returns:
        The bundle's checkpoint.

    Raises:
        LogDiffers: the bundle shows no log, or another, or its entries are not in it.
        CheckpointOlder: an entry came after the name's checkpoint.
        CheckpointForked: neither checkpoint was shown to go on from the other.
        RecordMissing: the name does not say where the tiles are, and they are needed.
        PointerError: they cannot be read.
    """
    shown, newest = _checkpoint_of(pointer, value)
    published = pointer.checkpoint
    if newest >= published.head.size:
        raise CheckpointOlder(
            f"the bundle rests on entry {newest} of the log, and {pointer.name} has published a checkpoint of "
            f"{published.head.size}: ask the operator to publish a newer one"
        )
    old, new = sorted((shown, published), key=lambda one: one.head.size)
    try:
        proof: list[bytes] = []
        if 0 < old.head.size < new.head.size:
            proof = consistency_proof(_served(pointer, get).reader(new.head.size), old.head.size, new.head.size)
        check_successor(old, new, proof)
    except LogError as error:
        raise CheckpointForked(
            f"the checkpoints of {pointer.name} ({published.head.size} leaves) and of the bundle ({shown.head.size}) "
            f"are not shown to be of one history: {error}. Keep both: the log signed them",
            str(published),
            str(shown),
        ) from error
    return shown


def _checkpoint_of(pointer: Pointer, value: object) -> tuple[Checkpoint, int]:
    """Return the checkpoint of a bundle that shows its entries, and the number of its newest one."""
    try:
        published = PublishedBundle.parse(value)
        evidence = published.log
        if evidence is None:
            raise LogDiffers("the bundle does not show that its entries are in a log: fetch it again, and publish that")
        leaves = parse_signed(published.signed(), Attestation)[1].history.leaves()
        checkpoint = Checkpoint.parse(evidence.checkpoint)
        head = believe(checkpoint, pointer.log, WitnessPolicy(), 0).head
        check_leaves(evidence, leaves, head)
    except (LogError, DocumentsError) as error:
        raise LogDiffers(f"the bundle is not of the log of {pointer.name}: {error}") from error
    return checkpoint, max(leaf.index for leaf in evidence.leaves)


def _served(pointer: Pointer, get: Get) -> Served:
    if not pointer.tiles:
        raise RecordMissing(
            f"{pointer.name} has no record {TILES}, so that a bundle of another checkpoint cannot be held against it"
        )
    base = pointer.tiles.rstrip("/")
    return Served(lambda path, limit: get(f"{base}/{path}", limit))
