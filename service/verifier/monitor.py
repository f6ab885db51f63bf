"""Follow an operator's log from its beginning: every leaf, each checked against what came before.

Inclusion in a log shows that something was said to everybody; that nothing else was said takes somebody who reads all
of it. A monitor needs public files only: the trust file, and whatever the operator serves. It keeps the newest
checkpoint, the right edge of the tree, the newest tick, and of every account one line. Pure but for ``fetch``; the
caller has the clock.

What it finds is either a `Contradiction`, with signed documents that show it to anybody, or `LogUnreadable`, when what
is handed out does not belong together: that may be the operator, a cache or the net, and proves nothing.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ChainBroken, MalformedRequest, RequestError
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.files import read_json
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Believed, Checkpoint, WitnessPolicy, believe
from atomic_margin.service.log.errors import LogError, ProofInvalid
from atomic_margin.service.log.frontier import Frontier
from atomic_margin.service.log.hashing import leaf_hash
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.log.proofs import check_consistency
from atomic_margin.service.log.tree import consistency_proof, root
from atomic_margin.service.protocol.leaves import CycleLeaf, EntryLeaf, PriceLeaf, TickLeaf
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK
from atomic_margin.service.verifier.chains import AccountSeen, CycleSeen, Misplaced, TickSeen, netted, placed
from atomic_margin.service.verifier.errors import Contradiction, LeafUnknown, LogUnreadable
from atomic_margin.service.verifier.receipts import PriceSeen, receipted, uncombined
from atomic_margin.service.verifier.served import Fetch, Served

MAX_NEW = 1 << 20
"""Entries that are read at once."""

Leaf = TickLeaf | EntryLeaf | PriceLeaf | CycleLeaf

LEAVES: dict[str, type[Leaf]] = {
    "atomic-margin/leaf/1": TickLeaf,
    "atomic-margin/leaf/2": EntryLeaf,
    "atomic-margin/leaf/3": PriceLeaf,
    "atomic-margin/leaf/4": CycleLeaf,
}
"""The formats of leaves that this version knows."""


class Counts(NamedTuple):
    """What the leaves so far were.

    Attributes:
        ticks: leaves of ticks.
        entries: leaves of entries of accounts.
        runs: those of them that begin or record a run.
    """

    ticks: int = 0
    entries: int = 0
    runs: int = 0


Where = TypeVar("Where")

Differs = Callable[[EntryLeaf, bytes], str | None]
"""Says what is wrong with the leaf of an entry, which comes parsed and as it stands in the log; None if nothing is."""

NO_TICK_SEEN, NOTHING_COUNTED = TickSeen(), Counts()


@dataclass(frozen=True)
class Seen:
    """What a monitor knows.

    Attributes:
        checkpoint: the newest; None before the first.
        edge: right edge of the tree of that checkpoint.
        ticks: the newest tick, and the last one with a market; None while there is none.
        tick: where the leaf of the newest tick stands.
        accounts: the last entry of every account, by pseudonym.
        counts: of all leaves.
        prices: leaves of sources' documents for the tick that comes next.
        void: numbers of ticks without a market.
        cycles: of netting, all of them, one a day at most.
    """

    checkpoint: Checkpoint | None = None
    edge: Frontier = field(default_factory=Frontier)
    ticks: Known | None = None
    tick: TickSeen = NO_TICK_SEEN
    accounts: Mapping[str, AccountSeen] = field(default_factory=dict)
    counts: Counts = NOTHING_COUNTED
    prices: tuple[PriceSeen, ...] = ()
    void: tuple[int, ...] = ()
    cycles: tuple[CycleSeen, ...] = ()

    @property
    def without_run(self) -> int:
        """How many accounts had no entry about a run since the newest tick.

        That alone contradicts nothing: who reads the log does not know which accounts are watched.
        """
        return sum(account.run_at < self.tick.sequence for account in self.accounts.values())


@dataclass(frozen=True)
class Looked:
    """One look at a log.

    Attributes:
        seen: what is known now.
        believed: the checkpoint, and who cosigned it.
        entries: how many leaves are new.
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

    def look(self, seen: Seen, now: int, differs: Differs = lambda leaf, entry: None) -> Looked:
        """Read what is new and check it.

        Args:
            seen: what is known.
            now: seconds of the epoch.
            differs: what somebody who has entries of an account knows besides; what it raises ends the look.

        Raises:
            Contradiction: the log has two histories; a tick or an entry is left out, comes twice, or follows another
                one than was seen; an entry is dated before a tick that it stands behind, or after one that comes
                later, or says otherwise than the log whether prices for the next tick were receipted before it; a tick
                is not what its leaf says or not what its sources signed; it leaves out a document that was receipted
                for it, or has one that was not; or the leaf of an entry differs from what the caller has.
            LeafUnknown: a leaf is of a later format than this version knows.
            LogUnreadable: something is missing, or does not belong to the checkpoint.
            LogError: the checkpoint is not signed, or not cosigned as is wanted.
        """
        served = Served(self.fetch)
        checkpoint = served.checkpoint()
        believed = believe(checkpoint, self.log, self.policy, now)
        head, known = believed.head, seen.edge.size
        if head.size < known:
            raise LogUnreadable(f"a checkpoint of {head.size} entries is shown, one of {known} was seen")
        if head.size - known > MAX_NEW:
            raise LogUnreadable(f"{head.size - known} entries are new, {MAX_NEW} are read at once: look oftener")
        entries = list(served.entries(known, head.size))
        edge = seen.edge
        for entry in entries:
            edge = edge.with_leaf(leaf_hash(entry))
        if edge.root() != head.root:
            _explain(served, seen, checkpoint)
        reading = _Reading(self, served, checkpoint, seen, differs)
        for index, entry in enumerate(entries, known):
            reading.take(entry, index)
        return Looked(reading.seen(edge), believed, len(entries))


class _Reading:
    """The leaves of one look, one after the other, against what was seen."""

    def __init__(self, monitor: Monitor, served: Served, checkpoint: Checkpoint, seen: Seen, differs: Differs) -> None:
        self._monitor, self._served, self._checkpoint, self._differs = monitor, served, checkpoint, differs
        self._ticks, self._tick, self._counts = seen.ticks, seen.tick, seen.counts
        self._accounts, self._prices, self._void = dict(seen.accounts), seen.prices, seen.void
        self._cycles = list(seen.cycles)

    def seen(self, edge: Frontier) -> Seen:
        counted, cycles = (self._accounts, self._counts, self._prices, self._void), tuple(self._cycles)
        return Seen(self._checkpoint, edge, self._ticks, self._tick, *counted, cycles)

    def take(self, entry: bytes, index: int) -> None:
        leaf = self._parsed(entry, index)
        ticks, entries, runs = self._counts
        if isinstance(leaf, TickLeaf):
            self._ticks, self._prices = self._combined(leaf, index, self._follow(leaf, index)), ()
            self._tick = TickSeen(index, leaf.sequence, leaf.tick)
            if "market" not in self._ticks.last.body:
                self._void += (leaf.sequence,)
            self._counts = Counts(ticks + 1, entries, runs)
            return
        if isinstance(leaf, PriceLeaf):
            self._prices += (self._in_place(receipted(leaf, index, self._tick), index),)
            return
        if isinstance(leaf, CycleLeaf):
            last = self._cycles[-1] if self._cycles else None
            self._cycles.append(self._in_place(netted(last, leaf, index), index))
            return
        receipt = self._prices[0].leaf if self._prices else None
        found = self._in_place(placed(self._accounts.get(leaf.account), leaf, index, self._tick, receipt), index)
        reason = self._differs(leaf, entry)
        if reason is not None:
            self._in_place(Misplaced(reason, None), index)
        self._accounts[leaf.account] = found
        self._counts = Counts(ticks, entries + 1, runs + leaf.run)

    def _in_place(self, found: Where | Misplaced, index: int, *shown: dict[str, Any]) -> Where:
        if isinstance(found, Misplaced):
            others = [] if found.other is None else [self._shown(found.other)]
            raise Contradiction(found.reason, [_shown(self._checkpoint), *others, self._shown(index), *shown])
        return found

    def _shown(self, index: int) -> dict[str, Any]:
        return self._served.shown(self._checkpoint, index)

    def _parsed(self, entry: bytes, index: int) -> Leaf:
        try:
            value = parse_json(entry)
            named = value.get("format") if isinstance(value, dict) else None
            if isinstance(named, str) and named.startswith("atomic-margin/leaf/") and named not in LEAVES:
                raise LeafUnknown(
                    f"leaf {index} is of format {named[:60]!r}, and this version knows {', '.join(LEAVES)}: look with "
                    "a version of atomic-margin that knows it; nothing after it was checked",
                    named,
                )
            leaf = LEAVES.get(str(named), TickLeaf).parse(value)
            if leaf.to_bytes() != entry:
                raise MalformedRequest("not in canonical form")
        except (DocumentsError, RequestError) as error:
            shown = [_shown(self._checkpoint), self._shown(index)]
            raise Contradiction(f"entry {index} is no leaf of this version: {error}", shown) from error
        return leaf

    def _follow(self, leaf: TickLeaf, index: int) -> Known:
        monitor, ticks = self._monitor, self._ticks
        signed = self._served.document(f"v1/ticks/{leaf.sequence}")
        signed.verify(frozenset({monitor.operator}))
        tick = {"kind": "tick", "document": signed.to_json()}
        if (signed.body_hash(), signed.hash()) != (leaf.tick, leaf.document):
            raise Contradiction(
                f"tick {leaf.sequence} is another one than entry {index} of the log names",
                [_shown(self._checkpoint), self._shown(index), tick],
            )
        try:
            if ticks is None:
                last = self._last_market(signed, leaf.sequence)
                return begin(signed, last, monitor.rules, monitor.operator)
            after = follow(ticks, signed, monitor.rules, monitor.operator)
        except (ChainBroken, RequestError, DocumentsError, MarginError) as error:
            before = [] if ticks is None else [{"kind": "tick", "document": ticks.last.to_json()}]
            shown = [_shown(self._checkpoint), *self._tick_before(), self._shown(index), *before, tick]
            raise Contradiction(f"entry {index}: {error}", shown) from error
        if after is ticks:
            shown = [_shown(self._checkpoint), *self._tick_before(), self._shown(index), tick]
            raise Contradiction(f"entry {index} is tick {leaf.sequence} once more", shown)
        return after

    def _combined(self, leaf: TickLeaf, index: int, followed: Known) -> Known:
        """Return what was followed, if it is made of exactly what was receipted for it."""
        tick = {"kind": "tick", "document": followed.last.to_json()}
        self._in_place(uncombined(self._prices, followed.last, leaf.sequence), index, tick)
        return followed

    def _tick_before(self) -> list[dict[str, Any]]:
        return [] if self._tick.leaf is None else [self._shown(self._tick.leaf)]

    def _last_market(self, signed: SignedDocument, sequence: int) -> SignedDocument | None:
        """Return the tick before that the first one of the log names, if the log began later than the ticks."""
        wanted = signed.body["last_market"]
        while wanted != NO_TICK and sequence > 1:
            sequence -= 1
            before = self._served.document(f"v1/ticks/{sequence}")
            if before.body_hash() == wanted:
                return before
        return None


def _explain(served: Served, seen: Seen, checkpoint: Checkpoint) -> None:
    """Raise what it means that the entries do not lead to the root of the checkpoint."""
    size, before = checkpoint.head.size, seen.checkpoint
    if before is not None and size == before.head.size:
        raise Contradiction(
            f"two checkpoints of {size} entries have different roots", [_shown(before), _shown(checkpoint)]
        )
    # A proof that leads from another old tree to the new one is the operator's own word that there are two.
    if before is not None and 0 < before.head.size < size:
        read = served.reader(size)
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


def seen_to_json(seen: Seen) -> dict[str, Any]:
    """Return what a monitor knows, for its file."""
    ticks, market = seen.ticks, None if seen.ticks is None else seen.ticks.last_market
    return {
        "format": "atomic-margin/monitor/5",
        "checkpoint": None if seen.checkpoint is None else str(seen.checkpoint),
        "size": str(seen.edge.size),
        "edge": [hash_.hex() for hash_ in seen.edge.hashes],
        "last": None if ticks is None else ticks.last.to_json(),
        "last_market": None if market is None else market.to_json(),
        "tick": None if seen.tick.leaf is None else str(seen.tick.leaf),
        "counts": [str(count) for count in seen.counts],
        "prices": [f"{one.leaf} {one.source} {one.document}" for one in seen.prices],
        "void": [str(number) for number in seen.void],
        "cycles": [f"{one.leaf} {one.number} {one.settles} {one.sha256}" for one in seen.cycles],
        # A line each, since there may be many.
        "accounts": {
            name: f"{account.number} {account.head} {account.leaf} {account.run_at}"
            for name, account in seen.accounts.items()
        },
    }


def read_seen(place: Path) -> Seen:
    """Return what a monitor remembers in a file; nothing where there is none.

    Raises:
        LogUnreadable: it is of another version, or damaged.
        ConfigurationError, MalformedRequest: it cannot be read, or is no JSON.
    """
    if not place.exists():
        return Seen()
    try:
        return seen_from_json(read_json(place))
    except LogUnreadable as error:
        raise LogUnreadable(f"{place}: {error}; remove it, and the log is read again from its beginning") from error


def seen_from_json(value: dict[str, Any]) -> Seen:
    """Return what `seen_to_json` wrote.

    Raises:
        LogUnreadable: it is something else.
    """
    try:
        if value["format"] != "atomic-margin/monitor/5":
            raise ValueError(value["format"])
        last, market = value["last"], value["last_market"]
        ticks = (
            None
            if last is None
            else Known(SignedDocument.parse(last), None if market is None else SignedDocument.parse(market))
        )
        accounts = {name: line.split(" ") for name, line in value["accounts"].items()}
        prices = [line.split(" ") for line in value["prices"]]
        cycles = [line.split(" ") for line in value["cycles"]]
        ticks_seen, entries, runs = map(int, value["counts"])
        return Seen(
            None if value["checkpoint"] is None else Checkpoint.parse(value["checkpoint"]),
            Frontier(int(value["size"]), tuple(bytes.fromhex(hash_) for hash_ in value["edge"])),
            ticks,
            NO_TICK_SEEN if ticks is None else TickSeen(int(value["tick"]), ticks.sequence, ticks.last.body_hash()),
            {
                name: AccountSeen(int(number), head, int(leaf), int(run_at))
                for name, (number, head, leaf, run_at) in accounts.items()
            },
            Counts(ticks_seen, entries, runs),
            tuple(PriceSeen(int(leaf), source, document) for leaf, source, document in prices),
            tuple(int(number) for number in value["void"]),
            tuple(CycleSeen(int(leaf), int(number), settles, sha256) for leaf, number, settles, sha256 in cycles),
        )
    except (KeyError, TypeError, ValueError, AttributeError, LogError, DocumentsError) as error:
        raise LogUnreadable(f"no memory of a monitor of this version: {error}") from error


def _shown(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"kind": "checkpoint", "text": str(checkpoint)}
