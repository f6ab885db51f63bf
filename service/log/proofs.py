"""Verification of inclusion and consistency: RFC 9162, sections 2.1.3.2 and 2.1.4.2.

>>> left, right = leaf_hash(b"a"), leaf_hash(b"b")
>>> check_inclusion(b"b", 1, 2, [left], node_hash(left, right))
>>> check_inclusion(b"a", 1, 2, [left], node_hash(left, right))
Traceback (most recent call last):
    ...
atomic_margin.service.log.errors.ProofInvalid: entry 1 is not in the tree of 2: the proof leads to another root
"""

from collections.abc import Sequence

from atomic_margin.service.log.errors import ProofInvalid
from atomic_margin.service.log.hashing import HASH_BYTES, leaf_hash, node_hash

MAX_PROOF = 63


def check_inclusion(entry: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Make sure an entry is leaf ``index`` of the tree of ``size`` leaves with that root.

    The hash of the leaf is computed here: whoever takes one on trust can be shown a node of the tree in its place.

    Raises:
        ProofInvalid: it is not, or the proof is too long or too short.
    """
    check_leaf(leaf_hash(entry), index, size, proof, root)


def check_leaf(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Make sure a hash is that of leaf ``index``; only for a hash that the caller computed from an entry.

    Raises:
        ProofInvalid: as `check_inclusion`.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no entry {index} in a tree of {size}")
    _require_hashes([leaf, *proof])
    at, last, found = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            raise ProofInvalid(f"entry {index}: the proof is too long for a tree of {size}")
        if at & 1 or at == last:
            found = node_hash(hash_, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid(f"entry {index}: the proof is too short for a tree of {size}")
    if found != root:
        raise ProofInvalid(f"entry {index} is not in the tree of {size}: the proof leads to another root")


def check_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """Make sure the tree of ``size`` leaves begins with the tree of ``old`` leaves.

    Raises:
        ProofInvalid: it does not, or the proof is too long or too short.
    """
    if not 0 < old <= size:
        raise ProofInvalid(f"a tree of {size} leaves cannot be shown to begin with one of {old}")
    _require_hashes(proof)
    if old == size:
        if proof:
            raise ProofInvalid("nothing is to be proven, and the proof is not empty")
        if old_root != root:
            raise ProofInvalid(f"two trees of {old} leaves have different roots")
        return
    # Where the old tree is a power of two it is a node of the new one, and is not repeated in the proof.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofInvalid("the proof is empty")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for hash_ in path[1:]:
        if last == 0:
            raise ProofInvalid(f"the proof is too long for trees of {old} and {size}")
        if at & 1 or at == last:
            before, after = node_hash(hash_, before), node_hash(hash_, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, hash_)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid(f"the proof is too short for trees of {old} and {size}")
    if before != old_root or after != root:
        raise ProofInvalid(f"the tree of {size} leaves does not begin with the tree of {old}")


def _require_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > MAX_PROOF + 1 or any(len(hash_) != HASH_BYTES for hash_ in proof):
        raise ProofInvalid(f"a proof is at most {MAX_PROOF} hashes of {HASH_BYTES} bytes")
