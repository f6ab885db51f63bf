"""Whether evidence holds: leaves that somebody has are in a checkpoint that enough trusted witnesses cosigned.

For agents before they answer, for verifiers of bundles, and for whoever judges a deadline. The trust file says which
log and which witnesses; leaves are made by the caller, from documents that it has (`service.protocol.leaves`).

A witness puts its time into its cosignature, so a checkpoint with k cosignatures has two times. `Believed.seen_at` is
the k-th oldest: from then on k witnesses had seen it, so something *exists since* then at the latest. `newest_at` is
the k-th newest: k witnesses saw it then or later, so something is *not older* than that. Where more than f of k
cannot lie, an honest witness saw it by the first, and an honest clock has reached the second.
"""

from collections.abc import Sequence

from atomic_margin.service.log.checkpoints import Believed, Checkpoint, TreeHead, WitnessPolicy, believe, parse_keys
from atomic_margin.service.log.errors import ProofInvalid
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.log.tree import ReadHashes, inclusion_proof
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.trust import LogTrust


def policy_of(trust: LogTrust, *, fresh: bool = True) -> WitnessPolicy:
    """Return whose cosignatures a trust file wants; without ``fresh`` at any age, as for what is archived."""
    return WitnessPolicy(parse_keys(trust.witnesses), trust.threshold, trust.max_age_seconds if fresh else None)


def check_cosigned(note: str, trust: LogTrust, now: int | None = None) -> Believed:
    """Make sure the trusted log signed a checkpoint and enough trusted witnesses cosigned it.

    Args:
        note: the signed note.
        trust: which log, whose cosignatures.
        now: the caller's time, seconds of the epoch, if the checkpoint may not be older than the trust file allows;
            None for what is archived.

    Raises:
        MalformedNote: it is no checkpoint.
        NoteNotSigned: of another log, or a signature under a trusted key is wrong.
        TooFewWitnesses: fewer than wanted, or not recently enough.
    """
    policy = policy_of(trust, fresh=now is not None)
    return believe(Checkpoint.parse(note), NoteKey.parse(trust.key), policy, now or 0)


def check_evidence(evidence: Evidence, leaves: Sequence[bytes], trust: LogTrust, now: int | None = None) -> Believed:
    """Make sure leaves are in a log, as `check_cosigned` believes it.

    Args:
        evidence: as it was sent.
        leaves: what is to be in the log, made by the caller, in the order of the evidence.
        trust: which log, whose cosignatures.
        now: see `check_cosigned`.

    Raises:
        ProofInvalid: a leaf is not in the tree of the checkpoint, or there are more leaves than paths, or fewer.
        MalformedNote, NoteNotSigned, TooFewWitnesses: see `check_cosigned`.
    """
    believed = check_cosigned(evidence.checkpoint, trust, now)
    check_leaves(evidence, leaves, believed.head)
    return believed


def check_leaves(evidence: Evidence, leaves: Sequence[bytes], head: TreeHead) -> None:
    """Make sure leaves are in the tree of a checkpoint that the caller believes.

    Raises:
        ProofInvalid: one is not, or there are more leaves than paths, or fewer.
    """
    if len(leaves) != len(evidence.leaves):
        raise ProofInvalid(f"{len(leaves)} leaves are looked for, the evidence is about {len(evidence.leaves)}")
    for leaf, shown in zip(leaves, evidence.leaves, strict=True):
        path = [bytes.fromhex(hash_) for hash_ in shown.path]
        check_inclusion(leaf, shown.index, head.size, path, head.root)


def make_evidence(checkpoint: str, size: int, indexes: Sequence[int], read: ReadHashes) -> Evidence:
    """Return the evidence that leaves are in a checkpoint of ``size`` leaves; who keeps the log reads its hashes."""
    paths = [inclusion_proof(read, index, size) for index in indexes]
    return Evidence.parse(
        {
            "format": "atomic-margin/evidence/1",
            "checkpoint": checkpoint,
            "leaves": [
                {"index": str(index), "path": [hash_.hex() for hash_ in path]}
                for index, path in zip(indexes, paths, strict=True)
            ],
        }
    )
