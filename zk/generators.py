"""Generators nobody knows a discrete logarithm of: the two Pedersen bases and two long vectors. Anyone may call it.

All are hashed to the curve under one domain tag, so none is a known multiple of another. Deriving them all takes ten
seconds on native code and minutes without, so they are shipped, in ``data/generators.bin``. Where that file is missing,
blocks of `BLOCK` per vector are derived as they are needed and kept in ``$ATOMIC_MARGIN_CACHE`` or the user's cache
directory. The SHA-256 of every block is pinned in the code: a block read from disk is believed only if it agrees, and
needs no curve checks then. `write_all` derives the shipped file anew.

>>> from atomic_margin.zk.groups import load_group
>>> generators = load_generators(load_group("auto"), 8)
>>> len(generators.left), len(generators.right)
(8, 8)
"""

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from atomic_margin.zk.errors import GeneratorError, StatementError
from atomic_margin.zk.groups import POINT_BYTES, Group, Point, load_group
from atomic_margin.zk.pinned import BLINDING_BASE, BLOCK_HASHES, VALUE_BASE

DOMAIN_TAG = b"ATOMIC-MARGIN-V1-GENERATORS-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
BLOCK = 512
"""Generators of each vector in one block."""
MAX_GENERATORS = BLOCK * len(BLOCK_HASHES)
"""Longest vector there are generators for."""

SHIPPED = Path(__file__).parent / "data" / "generators.bin"
"""All blocks one after the other."""

Progress = Callable[[int, int], None]
"""Called with (points derived, points to derive) while a block is derived."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generators:
    """Commitment bases and the first elements of both vectors.

    ``value`` is G and ``blinding`` is H of V = v G + gamma H; ``left`` and ``right`` commit to the argument's vectors.
    """

    value: Point
    blinding: Point
    left: list[Point]
    right: list[Point]


def generators_hash() -> str:
    """Return SHA-256 over the domain tag, the bases and all pinned block hashes, in hex: a trust anchor."""
    digest = hashlib.sha256(DOMAIN_TAG)
    for pinned in (VALUE_BASE, BLINDING_BASE, *BLOCK_HASHES):
        digest.update(bytes.fromhex(pinned))
    return digest.hexdigest()


class GeneratorStore:
    """Generators of one backend, decoded as far as they were asked for. Safe to share between threads."""

    def __init__(self, group: Group, directory: Path, shipped: Path | None = None) -> None:
        """Read blocks from ``shipped`` if there is such a file, otherwise keep derived ones in ``directory``."""
        self._group = group
        self._directory = directory
        self._shipped = shipped
        self._lock = threading.Lock()
        self._left: list[Point] = []
        self._right: list[Point] = []
        self._value = group.decode_trusted_point(bytes.fromhex(VALUE_BASE))
        self._blinding = group.decode_trusted_point(bytes.fromhex(BLINDING_BASE))

    def load(self, count: int, progress: Progress | None = None) -> Generators:
        """Return ``count`` generators of each vector; blocks missing on disk are derived and stored.

        Raises:
            StatementError: ``count`` is beyond `MAX_GENERATORS`.
            GeneratorError: derived generators disagree with the pinned hash.
        """
        if not 0 <= count <= MAX_GENERATORS:
            raise StatementError(f"there are generators for at most {MAX_GENERATORS} bits, {count} were asked for")
        with self._lock:
            while len(self._left) < count:
                index, offset = divmod(len(self._left), BLOCK)
                data = self._block(index, progress)
                stop = min(BLOCK, offset + count - len(self._left))
                for vector, start in ((self._left, 0), (self._right, BLOCK)):
                    vector.extend(
                        self._group.decode_trusted_point(data[POINT_BYTES * i : POINT_BYTES * (i + 1)])
                        for i in range(start + offset, start + stop)
                    )
            return Generators(self._value, self._blinding, self._left[:count], self._right[:count])

    def _block(self, index: int, progress: Progress | None) -> bytes:
        if self._shipped is not None:
            data = _read_shipped(self._shipped, index)
            if hashlib.sha256(data).hexdigest() == BLOCK_HASHES[index]:
                return data
            if data:
                _log.warning("block %d of %s does not have the pinned hash", index, self._shipped)
        path = self._directory / f"block-{index:03}.bin"
        try:
            data = path.read_bytes()
        except OSError:
            _log.info("deriving generators %d to %d, kept in %s", index * BLOCK, (index + 1) * BLOCK - 1, path)
        else:
            if hashlib.sha256(data).hexdigest() == BLOCK_HASHES[index]:
                return data
            _log.warning("%s does not have the pinned hash; deriving it again", path)
        data = derive_block(self._group, index, progress)
        if hashlib.sha256(data).hexdigest() != BLOCK_HASHES[index]:
            raise GeneratorError(
                f"generator block {index} derived with {self._group.name} does not have the pinned hash: "
                "reinstall atomic-margin and its group backend"
            )
        try:
            _write_atomically(path, data)
        except OSError as error:
            _log.warning("could not keep generators in %s (%s): set ATOMIC_MARGIN_CACHE", path, error)
        return data


def derive_block(group: Group, index: int, progress: Progress | None = None) -> bytes:
    """Hash block ``index`` to the curve: its left generators, then its right ones, compressed."""
    points = []
    for side in ("left", "right"):
        for position in range(index * BLOCK, (index + 1) * BLOCK):
            point = group.hash_to_point(f"{side}/{position}".encode(), DOMAIN_TAG)
            points.append(group.encode_point(point))
            if progress is not None:
                progress(len(points), 2 * BLOCK)
    return b"".join(points)


_stores: dict[tuple[str, Path], GeneratorStore] = {}
_stores_lock = threading.Lock()


def load_generators(group: Group, count: int, progress: Progress | None = None) -> Generators:
    """Return ``count`` generators of each vector from the process-wide store of ``group``.

    Raises:
        StatementError: ``count`` is beyond `MAX_GENERATORS`.
        GeneratorError: derived generators disagree with the pinned hash.
    """
    # Everyday use reads the shipped file; the directory matters where the file was left out.
    cache = os.environ.get("ATOMIC_MARGIN_CACHE") or platformdirs.user_cache_dir("atomic-margin")
    directory = Path(cache) / f"generators-{generators_hash()[:16]}"
    with _stores_lock:
        store = _stores.get((group.name, directory))
        if store is None:
            store = _stores[(group.name, directory)] = GeneratorStore(group, directory, SHIPPED)
    return store.load(count, progress)


def _read_shipped(path: Path, index: int) -> bytes:
    size = 2 * BLOCK * POINT_BYTES
    try:
        with path.open("rb") as file:
            file.seek(index * size)
            return file.read(size)
    except OSError:
        return b""


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def write_all(path: Path, progress: Progress | None = None) -> None:
    """Derive every block anew and write the file that is shipped.

    Raises:
        GeneratorError: derived generators disagree with the pinned hash.
    """
    group = load_group()
    blocks = []
    for index, pinned in enumerate(BLOCK_HASHES):
        blocks.append(derive_block(group, index, progress))
        if hashlib.sha256(blocks[-1]).hexdigest() != pinned:
            raise GeneratorError(f"block {index} derived with {group.name} does not have the pinned hash")
    _write_atomically(path, b"".join(blocks))
