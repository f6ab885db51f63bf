"""Paths and contents of tiles and bundles."""

import pytest

from atomic_margin.service.log.errors import TileInvalid
from atomic_margin.service.log.hashing import leaf_hash, tree_hash
from atomic_margin.service.log.tiles import (
    MAX_ENTRY_BYTES,
    TilePath,
    bundle_path,
    join_bundle,
    parse_bundle,
    parse_path,
    parse_tile,
    tile_path,
    tiles_of,
)

from .logs import MemoryLog


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("tile/0/000", TilePath(0, 0, 256)),
        ("tile/0/999.p/255", TilePath(0, 999, 255)),
        ("tile/1/x001/000", TilePath(1, 1000, 256)),
        ("tile/7/x001/x234/067.p/1", TilePath(7, 1234067, 1)),
        ("tile/entries/x001/x234/067", TilePath(None, 1234067, 256)),
    ],
)
def test_a_path_names_one_tile(path: str, found: TilePath) -> None:
    assert parse_path(path) == found
    level, number, width = found
    assert path == (bundle_path(number, width) if level is None else tile_path(level, number, width))


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/000", "tile/0/0", "tile/00/000", "tile/8/000", "tile/0/x000/000", "tile/0/000.p/0", "tile/0/000.p/256",
        "tile/0/000.p/01", "tile/0/001/000", "tile/0/x001/x000", "tile/data/000", "tile/0/000/", "tile/0/../000", "",
        "tile/0/\u0660\u0660\u0660", "tile/0/000\n",
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(path: str) -> None:
    with pytest.raises(TileInvalid):
        parse_path(path)


def test_the_newest_tiles_of_the_specification_s_example() -> None:
    """70,000 entries: 273 full tiles and one of 112; one full tile and one of 17; one of width 1."""
    assert tiles_of(70000) == [TilePath(0, 273, 112), TilePath(1, 1, 17), TilePath(2, 0, 1)]
    assert tiles_of(256) == [TilePath(0, 0, 256), TilePath(1, 0, 1)]
    assert tiles_of(0) == []


def test_the_files_are_the_tree() -> None:
    log = MemoryLog([b"%d" % number for number in range(600)])
    files = log.files()
    assert sorted(files) == [
        "tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88",
    ]  # fmt: skip
    leaves = parse_tile(files["tile/0/001"], 256)
    assert leaves == [leaf_hash(entry) for entry in parse_bundle(files["tile/entries/001"], 256)]
    assert tree_hash(leaves) == parse_tile(files["tile/1/000.p/2"], 2)[1]


@pytest.mark.parametrize("entries", [[], [b""], [b"a", b"", b"x" * MAX_ENTRY_BYTES]])
def test_bundles_come_back(entries: list[bytes]) -> None:
    data = join_bundle(entries)
    assert parse_bundle(data, len(entries)) == entries
    for wrong in (data + b"\0", data[:-1], data + b"\0\0"):
        if entries:
            with pytest.raises(TileInvalid):
                parse_bundle(wrong, len(entries))
    with pytest.raises(TileInvalid):
        parse_bundle(data, len(entries) + 1)


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(TileInvalid):
        join_bundle([b"x" * (MAX_ENTRY_BYTES + 1)])
    with pytest.raises(TileInvalid):
        parse_tile(bytes(31), 1)
