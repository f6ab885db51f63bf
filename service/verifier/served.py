"""What an operator serves of its log, as a monitor reads it: entries, tiles, signed documents.

Whatever comes back is checked by its caller against a checkpoint. Something that is missing, or of another form, is
`LogUnreadable`: a cache or the net can do that too, so it proves nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import RequestError, ServiceError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.hashing import HASH_BYTES
from atomic_margin.service.log.notes import MAX_NOTE_BYTES
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.log.tiles import MAX_ENTRY_BYTES, bundle_path, parse_bundle, parse_tile, tile_path
from atomic_margin.service.log.tree import TILE_WIDTH, ReadHashes, inclusion_proof
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import LogUnreadable

MAX_DOCUMENT_BYTES = 16 << 20
_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)

Fetch = Callable[[str, int], bytes]
"""Returns what is served at a path, of at most so many bytes; raises a ServiceError where there is nothing."""


@dataclass(frozen=True)
class Served:
    """Reads from one operator.

    Attributes:
        fetch: does it.
    """

    fetch: Fetch

    def checkpoint(self) -> Checkpoint:
        """Return the newest checkpoint, unverified."""
        path = "v1/log/checkpoint"
        try:
            return Checkpoint.parse(self.fetch(path, MAX_NOTE_BYTES).decode())
        except UnicodeDecodeError as error:
            raise LogUnreadable(f"{path} is no text") from error

    def document(self, path: str) -> SignedDocument:
        """Return a signed document, unverified."""
        try:
            return SignedDocument.parse(parse_json(self.fetch(path, MAX_DOCUMENT_BYTES)))
        except (DocumentsError, RequestError) as error:
            raise LogUnreadable(f"{path} is no signed document: {error}") from error

    def entries(self, first: int, last: int) -> Iterator[bytes]:
        """Yield entries ``first`` … ``last - 1`` of a log of ``last`` entries."""
        for number in range(first // TILE_WIDTH, (last + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, last - number * TILE_WIDTH)
            yield from self._bundle(number, width)[max(first - number * TILE_WIDTH, 0) :]

    def reader(self, size: int) -> ReadHashes:
        """Return what reads hashes of the tiles of a log of ``size`` entries, each tile once."""
        kept: dict[tuple[int, int], list[bytes]] = {}

        def read(level: int, first: int, last: int) -> Sequence[bytes]:
            count = size // TILE_WIDTH**level
            found: list[bytes] = []
            for number in range(first // TILE_WIDTH, (last + TILE_WIDTH - 1) // TILE_WIDTH):
                if (level, number) not in kept:
                    width = min(TILE_WIDTH, count - number * TILE_WIDTH)
                    path = f"v1/log/{tile_path(level, number, width)}"
                    kept[level, number] = parse_tile(self.fetch(path, TILE_WIDTH * HASH_BYTES), width)
                start = number * TILE_WIDTH
                found += kept[level, number][max(first - start, 0) : last - start]
            return found

        return read

    def shown(self, checkpoint: Checkpoint, index: int) -> dict[str, Any]:
        """Return an entry of the log with the path that shows it to anybody, for a contradiction.

        Of what is not handed out any more, or is not in the checkpoint, the index stays alone: that an operator keeps
        back what it has shown must not end the contradiction.
        """
        head, item = checkpoint.head, {"kind": "leaf", "index": str(index)}
        try:
            number, at = divmod(index, TILE_WIDTH)
            entry = self._bundle(number, min(TILE_WIDTH, head.size - number * TILE_WIDTH))[at]
            path = inclusion_proof(self.reader(head.size), index, head.size)
            check_inclusion(entry, index, head.size, path, head.root)
        except ServiceError as error:
            return {**item, "missing": str(error)}
        return {**item, "entry": entry.decode(errors="replace"), "path": [hash_.hex() for hash_ in path]}

    def _bundle(self, number: int, width: int) -> list[bytes]:
        return parse_bundle(self.fetch(f"v1/log/{bundle_path(number, width)}", _BUNDLE_BYTES), width)
