"""The log in the operator's database: leaves, the hashes of tile levels, and the newest checkpoint of every size.

A leaf is appended in the transaction of what it is about, so neither is ever there without the other. Units of work
take the write lock at their beginning (`database`), so that two appends never get one number.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound
from atomic_margin.service.log.hashing import HASH_BYTES, leaf_hash, tree_hash
from atomic_margin.service.log.tiles import MAX_ENTRY_BYTES, TilePath, join_bundle, parse_tile
from atomic_margin.service.log.tree import TILE_WIDTH, ReadHashes, completed
from atomic_margin.service.operator.store.tables import CheckpointRow, LogLeaf, LogTile

GREW = "atomic-margin log grew"
"""What the session of a unit of work that appended a leaf has in `info`, for who wants to know once it is committed."""

# Made once: an append is four of them, and putting them together would take longer than carrying them out.
_LAST = select(func.max(LogLeaf.number))
_ADD_LEAF = insert(LogLeaf)
_ADD_TILE = insert(LogTile)
_OF_TILE = (LogTile.level == bindparam("at_level"), LogTile.number == bindparam("at"))
_READ_TILE = select(LogTile.hashes).where(*_OF_TILE)
_GROW_TILE = update(LogTile).where(*_OF_TILE).values(hashes=bindparam("grown"))


def append(session: Session, entry: bytes) -> int:
    """Append a leaf and every hash that it completes; return its number.

    Raises:
        ValueError: the entry is longer than a bundle can hold.
    """
    if len(entry) > MAX_ENTRY_BYTES:
        raise ValueError(f"a leaf has at most {MAX_ENTRY_BYTES} bytes, got {len(entry)}")
    index = size(session)
    session.info[GREW] = True
    session.connection().execute(_ADD_LEAF, {"number": index, "entry": entry})
    tile = _add(session, 0, index, leaf_hash(entry))
    for level, number in completed(index + 1):
        tile = _add(session, level, number, tree_hash(parse_tile(tile, TILE_WIDTH)))
    return index


def size(session: Session) -> int:
    """Return the number of leaves."""
    last = session.connection().execute(_LAST).scalar()
    return 0 if last is None else int(last) + 1


def reader(session: Session) -> ReadHashes:
    """Return the function that proofs are made with; it keeps the tiles it has read."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, first: int, last: int) -> Sequence[bytes]:
        found: list[bytes] = []
        for number in range(first // TILE_WIDTH, (last + TILE_WIDTH - 1) // TILE_WIDTH):
            hashes = kept.get((level, number))
            if hashes is None:
                hashes = kept[level, number] = _hashes(session, level, number)
            start, end = max(first - number * TILE_WIDTH, 0), min(last - number * TILE_WIDTH, TILE_WIDTH)
            found += parse_tile(hashes[start * HASH_BYTES : end * HASH_BYTES], end - start)
        return found

    return read


def _add(session: Session, level: int, number: int, hash_: bytes) -> bytes:
    """Append a hash to its tile; return the tile."""
    at, width = divmod(number, TILE_WIDTH)
    if width == 0:
        session.connection().execute(_ADD_TILE, {"level": level, "number": at, "hashes": hash_})
        return hash_
    hashes = _hashes(session, level, at) + hash_
    session.connection().execute(_GROW_TILE, {"at_level": level, "at": at, "grown": hashes})
    return hashes


def _hashes(session: Session, level: int, number: int) -> bytes:
    return bytes(session.connection().execute(_READ_TILE, {"at_level": level, "at": number}).scalar_one())


def tile(session: Session, path: TilePath) -> bytes:
    """Return a tile or a bundle of entries.

    Raises:
        NotFound: the log is not that long.
    """
    first = path.number * TILE_WIDTH
    level = 0 if path.level is None else path.level
    if first + path.width > size(session) // TILE_WIDTH**level:
        raise NotFound("the log is not that long yet; its newest checkpoint says how long it is", "path")
    if path.level is not None:
        return b"".join(reader(session)(path.level, first, first + path.width))
    query = select(LogLeaf.entry).where(LogLeaf.number >= first, LogLeaf.number < first + path.width)
    return join_bundle(list(session.scalars(query.order_by(LogLeaf.number))))


def newest_checkpoint(session: Session) -> CheckpointRow | None:
    """Return the newest published checkpoint."""
    return session.scalar(select(CheckpointRow).order_by(CheckpointRow.size.desc()).limit(1))


def prune_checkpoints(session: Session, kept: int) -> None:
    """Remove all but the newest checkpoints: what they say follows from the leaves."""
    sizes = session.scalars(select(CheckpointRow.size).order_by(CheckpointRow.size.desc()).offset(kept)).all()
    for old in sizes:
        session.delete(session.get_one(CheckpointRow, old))
