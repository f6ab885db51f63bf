"""Paths and contents of tiles and bundles of entries, byte for byte as C2SP tlog-tiles has them.

A static file server that has these files under their paths serves the log.

>>> tile_path(0, 1234067), tile_path(1, 5, 17), bundle_path(0, 3)
('tile/0/x001/x234/067', 'tile/1/005.p/17', 'tile/entries/000.p/3')
>>> parse_path("tile/1/005.p/17")
TilePath(level=1, number=5, width=17)
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from atomic_margin.service.log.errors import TileInvalid
from atomic_margin.service.log.hashing import HASH_BYTES
from atomic_margin.service.log.tree import TILE_WIDTH

MAX_ENTRY_BYTES = 65535
MAX_LEVEL = 7

_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class TilePath(NamedTuple):
    """What a path names.

    Attributes:
        level: of the tile; None for a bundle of entries.
        number: of the tile in its level.
        width: hashes or entries in it, 1 to 256.
    """

    level: int | None
    number: int
    width: int


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, without a leading slash."""
    return _path(str(level), index, width)


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a bundle of entries."""
    return _path("entries", index, width)


def parse_path(path: str) -> TilePath:
    """Return what a path names.

    Raises:
        TileInvalid: it is none, or not the one spelling of it.
    """
    found = _PATH.fullmatch(path)
    if found is not None:
        index = int(found[2].replace("x", "").replace("/", ""))
        width = int(found[3]) if found[3] else TILE_WIDTH
        level = None if found[1] == "entries" else int(found[1])
        if _path(found[1], index, width) == path:
            return TilePath(level, index, width)
    raise TileInvalid(f"{path[:80]!r} is no path of a tile")


def tiles_of(size: int) -> list[TilePath]:
    """Return the newest tiles of a tree: in every level the last one, partial where it is."""
    found: list[TilePath] = []
    level, count = 0, size
    while count:
        index, width = divmod(count, TILE_WIDTH)
        if width:
            found.append(TilePath(level, index, width))
        elif index:
            found.append(TilePath(level, index - 1, TILE_WIDTH))
        level, count = level + 1, count // TILE_WIDTH
    return found


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """Return the hashes of a tile.

    Raises:
        TileInvalid: another number of bytes.
    """
    if len(data) != width * HASH_BYTES:
        raise TileInvalid(f"a tile of {width} hashes has {width * HASH_BYTES} bytes, got {len(data)}")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def join_bundle(entries: Sequence[bytes]) -> bytes:
    """Return a bundle: each entry after its length, two bytes, big-endian.

    Raises:
        TileInvalid: an entry is too long.
    """
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TileInvalid(f"an entry has at most {MAX_ENTRY_BYTES} bytes, got {len(entry)}")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        TileInvalid: it ends early, has bytes left over, or another number of entries.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < width:
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if len(entry) != length or at + 2 > len(data):
            raise TileInvalid("the bundle ends in the middle of an entry")
        found.append(entry)
        at += 2 + length
    if at != len(data) or len(found) != width:
        raise TileInvalid(f"a bundle of {width} entries is wanted here")
    return found


def _path(kind: str, index: int, width: int) -> str:
    if index < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"tile {index} of width {width} cannot be")
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03d}")
    return f"tile/{kind}/{'/'.join(reversed(parts))}" + ("" if width == TILE_WIDTH else f".p/{width}")
