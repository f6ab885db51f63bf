"""The right edge of a tree: all that is needed to append leaves and to know every later root.

Whoever reads a whole log from its beginning keeps this and no tiles: at most 62 hashes.

>>> edge = Frontier()
>>> for entry in (b"a", b"b", b"c"): edge = edge.with_leaf(leaf_hash(entry))
>>> edge.size, edge.root() == node_hash(node_hash(leaf_hash(b"a"), leaf_hash(b"b")), leaf_hash(b"c"))
(3, True)
"""

from dataclasses import dataclass

from atomic_margin.service.log.hashing import EMPTY_ROOT, leaf_hash, node_hash

__all__ = ["Frontier", "leaf_hash"]


@dataclass(frozen=True)
class Frontier:
    """Roots of the complete subtrees that a tree of ``size`` leaves divides into, the largest first.

    Attributes:
        size: leaves.
        hashes: one for every one in the binary form of ``size``.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"the edge of a tree of {self.size} has {self.size.bit_count()} hashes")

    def with_leaf(self, leaf: bytes) -> "Frontier":
        """Return the edge after one more leaf."""
        hashes, count = [*self.hashes, leaf], self.size
        while count & 1:
            right = hashes.pop()
            hashes[-1] = node_hash(hashes[-1], right)
            count >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        found = self.hashes[-1]
        for hash_ in reversed(self.hashes[:-1]):
            found = node_hash(hash_, found)
        return found
