"""Roots and proofs from stored hashes: complete ones of every eighth level, which are the contents of tiles.

A reader returns hashes ``first`` … ``last - 1`` of one tile level: level 0 are leaves, one hash of level l + 1 stands
for 256 of level l. A tree of n leaves has floor(n / 256^l) of them.

>>> leaves = [leaf_hash(bytes([number])) for number in range(5)]
>>> read = lambda level, first, last: leaves[first:last]
>>> root(read, 5) == node_hash(tree_hash(leaves[:4]), leaves[4])
True
>>> [proof.hex()[:4] for proof in inclusion_proof(read, 4, 5)] == [tree_hash(leaves[:4]).hex()[:4]]
True
"""

from collections.abc import Callable, Sequence

from atomic_margin.service.log.hashing import EMPTY_ROOT, leaf_hash, node_hash, split, tree_hash

TILE_WIDTH = 256
MAX_SIZE = 2**62

ReadHashes = Callable[[int, int, int], Sequence[bytes]]
"""Returns hashes ``first`` … ``last - 1`` of a tile level, from (level, first, last)."""

__all__ = [
    "MAX_SIZE",
    "TILE_WIDTH",
    "ReadHashes",
    "completed",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root",
]


def root(read: ReadHashes, size: int) -> bytes:
    """Return the root of the first ``size`` leaves."""
    _require(0 <= size <= MAX_SIZE, f"a size from 0 to 2^62 is wanted, got {size}")
    return _subtree(read, 0, size) if size else EMPTY_ROOT


def inclusion_proof(read: ReadHashes, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree of ``size`` leaves, from the leaf upwards."""
    _require(0 <= index < size <= MAX_SIZE, f"leaf {index} is not in a tree of {size}")
    found: list[bytes] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + split(last - first)
        if index < middle:
            found.append(_subtree(read, middle, last))
            last = middle
        else:
            found.append(_subtree(read, first, middle))
            first = middle
    return found[::-1]


def consistency_proof(read: ReadHashes, old: int, size: int) -> list[bytes]:
    """Return the proof that the tree of ``size`` leaves begins with that of ``old``; nothing if old is 0 or size."""
    _require(0 <= old <= size <= MAX_SIZE, f"a tree of {size} leaves does not begin with one of {old}")
    if old in (0, size):
        return []
    found: list[bytes] = []
    first, last, whole = 0, size, True
    while old < last:
        middle = first + split(last - first)
        if old <= middle:
            found.append(_subtree(read, middle, last))
            last = middle
        else:
            found.append(_subtree(read, first, middle))
            first, whole = middle, False
    if not whole:
        found.append(_subtree(read, first, last))
    return found[::-1]


def completed(size: int) -> list[tuple[int, int]]:
    """Return the hashes of higher levels, as (level, index), that are complete once leaf ``size - 1`` is there.

    >>> completed(255), completed(256), completed(65536)
    ([], [(1, 0)], [(1, 255), (2, 0)])
    """
    found, level, count = [], 0, size
    while count and count % TILE_WIDTH == 0:
        level, count = level + 1, count // TILE_WIDTH
        found.append((level, count - 1))
    return found


def _subtree(read: ReadHashes, first: int, last: int) -> bytes:
    """Return the root of leaves first … last - 1, a range as RFC 6962 divides trees."""
    count, level, start = last - first, 0, first
    while count >= TILE_WIDTH and count % TILE_WIDTH == 0 and start % TILE_WIDTH == 0:
        count, start, level = count // TILE_WIDTH, start // TILE_WIDTH, level + 1
    if count <= TILE_WIDTH:
        return tree_hash(read(level, start, start + count))
    middle = first + split(last - first)
    return node_hash(_subtree(read, first, middle), _subtree(read, middle, last))


def _require(good: bool, what: str) -> None:
    if not good:
        raise ValueError(what)
