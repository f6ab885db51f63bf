"""The right edge of a tree has every later root."""

import pytest

from atomic_margin.service.log.frontier import Frontier
from atomic_margin.service.log.hashing import leaf_hash
from atomic_margin.service.log.tree import root

from .logs import MemoryLog


def test_every_root_is_that_of_the_tree() -> None:
    log, edge = MemoryLog([b"%d" % number for number in range(600)]), Frontier()
    assert edge.root() == root(log.read, 0)
    for number, entry in enumerate(log.entries):
        edge = edge.with_leaf(leaf_hash(entry))
        assert edge.size == number + 1
        assert len(edge.hashes) <= 10
        assert edge.root() == root(log.read, number + 1)


@pytest.mark.parametrize(("size", "hashes"), [(1, 0), (3, 1), (0, 1), (-1, 0)])
def test_an_edge_has_the_hashes_of_its_size(size: int, hashes: int) -> None:
    with pytest.raises(ValueError, match="the edge of a tree"):
        Frontier(size, (bytes(32),) * hashes)
