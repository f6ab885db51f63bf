"""Roots and proofs: against RFC 6962 as it is written, against the vectors of others, and altered in every way."""

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.service.log.errors import ProofInvalid
from atomic_margin.service.log.hashing import leaf_hash, split
from atomic_margin.service.log.proofs import MAX_PROOF, check_consistency, check_inclusion, check_leaf
from atomic_margin.service.log.tree import consistency_proof, inclusion_proof, root

from ...outside import outside
from .logs import MemoryLog

SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 1000, 65536, 65537, 70000]


def written(entries: list[bytes]) -> bytes:
    """The tree head as RFC 6962, section 2.1, defines it."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\x01" + written(entries[:k]) + written(entries[k:])).digest()


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog([b"entry %d" % number for number in range(70000)])


def test_the_vectors_of_others() -> None:
    given: Any = json.loads((outside("rfc6962") / "merkle_vectors.json").read_text())
    leaves = [bytes.fromhex(leaf) for leaf in given["leaves"]]
    log = MemoryLog(leaves)
    assert [leaf_hash(leaf).hex() for leaf in leaves] == given["leaf_hashes"]
    for item in given["roots"]:
        assert root(log.read, item["tree_size"]).hex() == item["root"]
    for item in given["inclusion"]:
        path = [bytes.fromhex(hash_) for hash_ in item["path"]]
        where = (item["leaf_index"], item["tree_size"])
        try:
            check_leaf(bytes.fromhex(item["leaf_hash"]), *where, path, bytes.fromhex(item["root"]))
        except ProofInvalid:
            assert not item["valid"], item["why"]
        else:
            assert item["valid"], item["why"]
            assert inclusion_proof(log.read, *where) == path
    for item in given["consistency"]:
        proof = [bytes.fromhex(hash_) for hash_ in item["proof"]]
        sizes, roots = (item["size1"], item["size2"]), (bytes.fromhex(item["root1"]), bytes.fromhex(item["root2"]))
        try:
            check_consistency(*sizes, *roots, proof)
        except ProofInvalid:
            assert not item["valid"], item["why"]
        else:
            assert item["valid"], item["why"]
            assert consistency_proof(log.read, *sizes) == proof


@pytest.mark.parametrize("size", [size for size in SIZES if size <= 1000])
def test_roots_are_those_of_the_text(log: MemoryLog, size: int) -> None:
    assert root(log.read, size) == written(log.entries[:size])


@pytest.mark.parametrize("size", SIZES)
def test_proofs_verify_and_nothing_like_them_does(log: MemoryLog, size: int) -> None:
    rng, head = random.Random(size), root(log.read, size)
    for index in {0, size - 1, size // 2, *(rng.randrange(size) for _ in range(20))}:
        proof = inclusion_proof(log.read, index, size)
        check_inclusion(log.entries[index], index, size, proof, head)
        for wrong in altered(proof, rng):
            with pytest.raises(ProofInvalid):
                check_inclusion(log.entries[index], index, size, wrong, head)
        with pytest.raises(ProofInvalid):
            check_inclusion(log.entries[index] + b"x", index, size, proof, head)
        if size > 1:
            with pytest.raises(ProofInvalid):
                check_inclusion(log.entries[index], (index + 1) % size, size, proof, head)
    for old in {1, size, (size + 1) // 2, *(rng.randrange(1, size + 1) for _ in range(20))}:
        proof, before = consistency_proof(log.read, old, size), root(log.read, old)
        check_consistency(old, size, before, head, proof)
        for wrong in altered(proof, rng):
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, before, head, wrong)
        with pytest.raises(ProofInvalid):
            check_consistency(old, size, head[::-1], head, proof)
        with pytest.raises(ProofInvalid):
            check_consistency(old, size, before, head[::-1], proof)


def altered(proof: list[bytes], rng: random.Random) -> list[list[bytes]]:
    found = [[*proof, bytes(32)], [b"", *proof], [bytes(32)] * (MAX_PROOF + 1)]
    if proof:
        at = rng.randrange(len(proof))
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        found += [proof[:-1], proof[1:], [*proof[:at], flipped, *proof[at + 1 :]]]
    if len(set(proof)) > 1:
        found.append(proof[::-1])
    return found


def test_a_node_is_no_entry(log: MemoryLog) -> None:
    """What the root of two leaves is the hash of, shown as the one entry of a tree of one."""
    left, right = (leaf_hash(entry) for entry in log.entries[:2])
    for shown in (left + right, b"\x01" + left + right):
        with pytest.raises(ProofInvalid):
            check_inclusion(shown, 0, 1, [], root(log.read, 2))


@pytest.mark.parametrize(("old", "size"), [(0, 5), (6, 5), (-1, 5)])
def test_sizes_that_cannot_be(old: int, size: int) -> None:
    with pytest.raises(ProofInvalid):
        check_consistency(old, size, bytes(32), bytes(32), [])
    with pytest.raises(ProofInvalid):
        check_inclusion(b"", size, size, [], bytes(32))


@given(st.integers(1, 300), st.data())
def test_a_log_that_changed_an_entry_has_no_proof(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, old - 1))
    entries = [b"%d" % number for number in range(size)]
    honest = MemoryLog(entries)
    forked = MemoryLog([*entries[:changed], b"other", *entries[changed + 1 :]])
    for proof in (consistency_proof(honest.read, old, size), consistency_proof(forked.read, old, size)):
        with pytest.raises(ProofInvalid):
            check_consistency(old, size, root(honest.read, old), root(forked.read, size), proof)
