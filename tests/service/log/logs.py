"""A log in memory, for tests."""

from atomic_margin.service.log.hashing import leaf_hash, tree_hash
from atomic_margin.service.log.tiles import TilePath, bundle_path, join_bundle, tile_path, tiles_of
from atomic_margin.service.log.tree import TILE_WIDTH, completed


class MemoryLog:
    """Keeps hashes of tile levels in lists."""

    def __init__(self, entries: list[bytes] | None = None) -> None:
        self.entries: list[bytes] = []
        self.levels: list[list[bytes]] = [[]]
        for entry in entries or []:
            self.append(entry)

    def append(self, entry: bytes) -> None:
        self.entries.append(entry)
        self.levels[0].append(leaf_hash(entry))
        for level, number in completed(len(self.entries)):
            if level == len(self.levels):
                self.levels.append([])
            below = self.levels[level - 1][number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
            self.levels[level].append(tree_hash(below))

    def read(self, level: int, first: int, last: int) -> list[bytes]:
        found = self.levels[level][first:last]
        assert len(found) == last - first
        return found

    def files(self) -> dict[str, bytes]:
        """Every full tile and bundle, and the newest partial ones, by path."""
        size = len(self.entries)
        paths = [
            TilePath(level, number, TILE_WIDTH)
            for level, hashes in enumerate(self.levels)
            for number in range(len(hashes) // TILE_WIDTH)
        ] + [path for path in tiles_of(size) if path.width < TILE_WIDTH]
        found = {}
        for level, number, width in paths:
            assert level is not None
            first = number * TILE_WIDTH
            found[tile_path(level, number, width)] = b"".join(self.read(level, first, first + width))
            if level == 0:
                found[bundle_path(number, width)] = join_bundle(self.entries[first : first + width])
        return found
