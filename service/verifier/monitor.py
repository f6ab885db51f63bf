"""Follow an operator's log from its beginning: every entry, every tick, each checked against what came before.

Inclusion in a log shows that something was said to everybody; that nothing else was said takes somebody who reads all
of it. A monitor needs public files only: the trust file, and whatever the operator serves. It keeps the newest
checkpoint, the right edge of the tree and the newest tick. Pure but for ``fetch``; the caller has the clock.

What it finds is either a `Contradiction`, with signed documents that show it to anybody, or `LogUnreadable`, when what
is handed out does not belong together: that may be the operator, a cache or the net, and proves nothing.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ChainBroken, MalformedRequest, RequestError
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Believed, Checkpoint, WitnessPolicy, believe
from atomic_margin.service.log.errors import LogError, ProofInvalid
from atomic_margin.service.log.frontier import Frontier
from atomic_margin.service.log.hashing import HASH_BYTES, leaf_hash
from atomic_margin.service.log.notes import MAX_NOTE_BYTES, NoteKey
from atomic_margin.service.log.proofs import check_consistency
from atomic_margin.service.log.tiles import MAX_ENTRY_BYTES, bundle_path, parse_bundle, parse_tile, tile_path
from atomic_margin.service.log.tree import TILE_WIDTH, consistency_proof, root
from atomic_margin.service.protocol.leaves import TickLeaf
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable

MAX_NEW = 1 << 20
"""Entries that are read at once."""
MAX_DOCUMENT_BYTES = 16 << 20
_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)

Fetch = Callable[[str, int], bytes]
"""Returns what is served at a path, of at most so many bytes; raises a ServiceError where there is nothing."""


@dataclass(frozen=True)
class Seen:
    """What a monitor knows.

    Attributes:
        checkpoint: the newest; None before the first.
        edge: right edge of the tree of that checkpoint.
        ticks: the newest tick, and the last one with a market; None while there is none.
    """

    checkpoint: Checkpoint | None = None
    edge: Frontier = field(default_factory=Frontier)
    ticks: Known | None = None


@dataclass(frozen=True)
class Looked:
    """One look at a log.

    Attributes:
        seen: what is known now.
        believed: the checkpoint, and who cosigned it.
        entries: how many are new.
    """

    seen: Seen
    believed: Believed
    entries: int


@dataclass(frozen=True)
class Monitor:
    """Follows one operator.

    Attributes:
        log: key of the log.
        operator: the operator's public key.
        rules: pinned price rules.
        policy: whose cosignatures are wanted.
        fetch: reads what the operator serves.
    """

    log: NoteKey
    operator: str
    rules: PriceRules
    policy: WitnessPolicy
    fetch: Fetch

    def look(self, seen: Seen, now: int) -> Looked:
        """Read what is new and check it; ``now`` in seconds of the epoch.

        Raises:
            Contradiction: the log has two histories, a tick is left out or comes twice, a tick is not what its leaf
                says or not what its sources signed.
            LogUnreadable: something is missing, or does not belong to the checkpoint.
            LogError: the checkpoint is not signed, or not cosigned as is wanted.
        """
        checkpoint = Checkpoint.parse(self._text("v1/log/checkpoint", MAX_NOTE_BYTES))
        believed = believe(checkpoint, self.log, self.policy, now)
        head, known = believed.head, seen.edge.size
        if head.size < known:
            raise LogUnreadable(f"a checkpoint of {head.size} entries is shown, one of {known} was seen")
        if head.size - known > MAX_NEW:
            raise LogUnreadable(f"{head.size - known} entries are new, {MAX_NEW} are read at once: look oftener")
        entries = list(self._entries(known, head.size))
        edge = seen.edge
        for entry in entries:
            edge = edge.with_leaf(leaf_hash(entry))
        if edge.root() != head.root:
            self._explain(seen, checkpoint)
        ticks = seen.ticks
        for number, entry in enumerate(entries, known):
            ticks = self._tick(ticks, entry, number, checkpoint)
        return Looked(Seen(checkpoint, edge, ticks), believed, len(entries))

    def _entries(self, first: int, last: int) -> Iterator[bytes]:
        for number in range(first // TILE_WIDTH, (last + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, last - number * TILE_WIDTH)
            bundle = parse_bundle(self.fetch(f"v1/log/{bundle_path(number, width)}", _BUNDLE_BYTES), width)
            yield from bundle[max(first - number * TILE_WIDTH, 0) :]

    def _explain(self, seen: Seen, checkpoint: Checkpoint) -> None:
        """Raise what it means that the entries do not lead to the root of the checkpoint."""
        size, before = checkpoint.head.size, seen.checkpoint
        if before is not None and size == before.head.size:
            raise Contradiction(
                f"two checkpoints of {size} entries have different roots", [_shown(before), _shown(checkpoint)]
            )
        hashes = self._tiles(size)

        def read(level: int, first: int, last: int) -> list[bytes]:
            return hashes[level][first:last]

        # A proof that leads from another old tree to the new one is the operator's own word that there are two.
        if before is not None and 0 < before.head.size < size:
            other, proof = root(read, before.head.size), consistency_proof(read, before.head.size, size)
            try:
                check_consistency(before.head.size, size, other, checkpoint.head.root, proof)
            except ProofInvalid as error:
                raise LogUnreadable("the tiles that are handed out are not those of the checkpoint") from error
            if other != before.head.root:
                path = [base64.b64encode(one).decode() for one in proof]
                raise Contradiction(
                    f"the log of {size} entries does not begin with the one of {before.head.size} that was seen",
                    [_shown(before), _shown(checkpoint), {"kind": "consistency", "root": other.hex(), "proof": path}],
                )
        raise LogUnreadable("the entries that are handed out are not those of the checkpoint; look again later")

    def _tiles(self, size: int) -> list[list[bytes]]:
        found: list[list[bytes]] = []
        count = size
        while count:
            level, hashes = len(found), []
            for number in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
                width = min(TILE_WIDTH, count - number * TILE_WIDTH)
                path = f"v1/log/{tile_path(level, number, width)}"
                hashes += parse_tile(self.fetch(path, TILE_WIDTH * HASH_BYTES), width)
            found.append(hashes)
            count //= TILE_WIDTH
        return found

    def _tick(self, ticks: Known | None, entry: bytes, number: int, checkpoint: Checkpoint) -> Known:
        shown = [_shown(checkpoint), {"kind": "leaf", "number": str(number), "entry": entry.decode(errors="replace")}]
        try:
            leaf = TickLeaf.parse(parse_json(entry))
            if leaf.to_bytes() != entry:
                raise MalformedRequest("not in canonical form")
        except (DocumentsError, RequestError) as error:
            raise Contradiction(f"entry {number} is no leaf of this version: {error}", shown) from error
        signed = self._document(f"v1/ticks/{leaf.sequence}")
        signed.verify(frozenset({self.operator}))
        shown.append({"kind": "tick", "document": signed.to_json()})
        if (signed.body_hash(), signed.hash()) != (leaf.tick, leaf.document):
            raise Contradiction(f"tick {leaf.sequence} is another one than entry {number} of the log names", shown)
        try:
            if ticks is None:
                return begin(signed, self._last_market(signed, leaf.sequence), self.rules, self.operator)
            after = follow(ticks, signed, self.rules, self.operator)
        except (ChainBroken, RequestError, DocumentsError, MarginError) as error:
            if ticks is not None:
                shown.append({"kind": "tick", "document": ticks.last.to_json()})
            raise Contradiction(f"entry {number}: {error}", shown) from error
        if after is ticks:
            raise Contradiction(f"entry {number} is tick {leaf.sequence} once more", shown)
        return after

    def _last_market(self, signed: SignedDocument, sequence: int) -> SignedDocument | None:
        """Return the tick before that the first one of the log names, if the log began later than the ticks."""
        wanted = signed.body["last_market"]
        while wanted != NO_TICK and sequence > 1:
            sequence -= 1
            before = self._document(f"v1/ticks/{sequence}")
            if before.body_hash() == wanted:
                return before
        return None

    def _document(self, path: str) -> SignedDocument:
        try:
            return SignedDocument.parse(parse_json(self.fetch(path, MAX_DOCUMENT_BYTES)))
        except (DocumentsError, RequestError) as error:
            raise LogUnreadable(f"{path} is no signed document: {error}") from error

    def _text(self, path: str, limit: int) -> str:
        try:
            return self.fetch(path, limit).decode()
        except UnicodeDecodeError as error:
            raise LogUnreadable(f"{path} is no text") from error


def seen_to_json(seen: Seen) -> dict[str, Any]:
    """Return what a monitor knows, for its file."""
    return {
        "format": "atomic-margin/monitor/1",
        "checkpoint": None if seen.checkpoint is None else str(seen.checkpoint),
        "size": str(seen.edge.size),
        "edge": [hash_.hex() for hash_ in seen.edge.hashes],
        "last": None if seen.ticks is None else seen.ticks.last.to_json(),
        "last_market": None
        if seen.ticks is None or seen.ticks.last_market is None
        else seen.ticks.last_market.to_json(),
    }


def seen_from_json(value: dict[str, Any]) -> Seen:
    """Return what `seen_to_json` wrote.

    Raises:
        LogUnreadable: it is something else.
    """
    try:
        if value["format"] != "atomic-margin/monitor/1":
            raise ValueError(value["format"])
        last, market = value["last"], value["last_market"]
        return Seen(
            None if value["checkpoint"] is None else Checkpoint.parse(value["checkpoint"]),
            Frontier(int(value["size"]), tuple(bytes.fromhex(hash_) for hash_ in value["edge"])),
            None
            if last is None
            else Known(SignedDocument.parse(last), None if market is None else SignedDocument.parse(market)),
        )
    except (KeyError, TypeError, ValueError, LogError, DocumentsError) as error:
        raise LogUnreadable(f"this is no file of a monitor of this version: {error}") from error


def _shown(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"kind": "checkpoint", "text": str(checkpoint)}
