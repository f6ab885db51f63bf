"""Histories that institutions release, held against the log and the account machine.

What the log shows alone is no more than that entries follow each other. With the states and documents that an
institution releases, anybody runs the machine on every step: `check_released`. A step that the machine does not allow
is the operator's: it signed both states. What does not belong together otherwise, or is not in the log yet, proves
nothing against it and is refused as a release (`ReleaseInvalid`).

What is kept back is stood for by the least that there can have been (`stand_ins`): a posting, a margin call or what is
given in a substitution is tried with the free collateral that it moves, an event whose document is kept back with one
that moves nothing. Whether the account had that much free the institution has checked itself; where it shows the
private part before a document, that is checked here too. That matrices are those of the tick, that a settlement moved
what it had to, and that the proofs of answers hold, is in bundles; those of releases are checked with the documents of
a history (`released_documents`).

Runs that were left out are reported: an operator under load passes over ticks, and that contradicts nothing. So are
those that a halt kept from beginning, by themselves: the halt is in the history.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import IllegalTransition, RequestError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.frontier import Frontier
from atomic_margin.service.log.hashing import leaf_hash
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import Event, EventKind, read_event
from atomic_margin.service.protocol.account.halts import scope_at
from atomic_margin.service.protocol.account.state import NOTHING, Account, PrivateState, PublicState
from atomic_margin.service.protocol.account.values import At, is_due
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.disputes import Dispute, about_a_dispute
from atomic_margin.service.protocol.leaves import EntryLeaf, TickLeaf, entry_leaf
from atomic_margin.service.protocol.released import BESIDE_FREE, KEPT_BACK, ReleasedEntry, ReleasedHistory
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import WATCHED
from atomic_margin.service.verifier.chains import TickSeen
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable, ReleaseInvalid
from atomic_margin.service.verifier.served import Served
from atomic_margin.service.verifier.stand_ins import COUNTED, impossible, kept_back, least_private

NO_TICK_SEEN = TickSeen()
SECOND = 2
"""Number of the entry after the one that opens an account."""


class Placed(NamedTuple):
    """An entry in the log: number of its leaf, and the leaf itself."""

    leaf: int
    entry: bytes


@dataclass(frozen=True)
class LogRead:
    """What a log has of some accounts.

    Attributes:
        served: where it was read, for contradictions.
        checkpoint: that it was read up to.
        entries: leaves of entries, by account and number.
        ticks: leaves of ticks, by number.
        markets: numbers of ticks with a market, ascending.
    """

    served: Served
    checkpoint: Checkpoint
    entries: Mapping[str, Mapping[int, Placed]]
    ticks: Mapping[int, TickSeen]
    markets: Sequence[int]

    def shown(self, *leaves: int | None) -> list[dict[str, Any]]:
        """Return the checkpoint and leaves of the log with their paths, for a contradiction."""
        checkpoint = {"kind": "checkpoint", "text": str(self.checkpoint)}
        return [checkpoint, *(self.served.shown(self.checkpoint, leaf) for leaf in leaves if leaf is not None)]


class Checked(NamedTuple):
    """A history that holds.

    Attributes:
        institution: whose.
        account: pseudonym.
        entries: how many were released.
        logged: how many the log has.
        skipped: ticks at which a run was due, none was open, and none came before the next tick with a market.
        halted: those of them whose run a halt of the operator's kept from beginning; they are not among `skipped`.
        without_agreement: runs, and entries of other proofs, that counted no agreement though a trust file pins some
            for the institution; `released_documents.check_documents` says which.
    """

    institution: str
    account: str
    entries: int
    logged: int
    skipped: tuple[int, ...]
    halted: tuple[int, ...] = ()
    without_agreement: tuple[str, ...] = ()


def account_of(history: ReleasedHistory, operator: str) -> str:
    """Return the pseudonym of the account that a history is of.

    Raises:
        ReleaseInvalid: it has no entry, or one of another operator.
    """
    if not history.entries:
        raise ReleaseInvalid("the history has no entry")
    return _entry_of(history.entries[0], operator)[1].account


def read_log(served: Served, checkpoint: Checkpoint, accounts: frozenset[str], void: frozenset[int]) -> LogRead:
    """Read a log once more, for all that it has of some accounts.

    Args:
        served: reads it.
        checkpoint: a believed one, whose leaves a monitor has checked.
        accounts: pseudonyms.
        void: numbers of ticks without a market, as the monitor saw them.

    Raises:
        LogUnreadable: what is handed out is not that log.
    """
    entries: dict[str, dict[int, Placed]] = {account: {} for account in accounts}
    ticks: dict[int, TickSeen] = {}
    edge = Frontier()
    for index, entry in enumerate(served.entries(0, checkpoint.head.size)):
        edge = edge.with_leaf(leaf_hash(entry))
        value = parse_json(entry)
        if not isinstance(value, dict):
            raise LogUnreadable(f"leaf {index} is no header")
        if value.get("kind") == "tick":
            tick = TickLeaf.parse(value)
            ticks[tick.sequence] = TickSeen(index, tick.sequence, tick.tick)
        elif value.get("account") in entries:
            leaf = EntryLeaf.parse(value)
            entries[leaf.account][leaf.number] = Placed(index, entry)
    if edge.root() != checkpoint.head.root:
        raise LogUnreadable("the entries that are handed out are not those of the checkpoint; look again later")
    return LogRead(served, checkpoint, entries, ticks, sorted(set(ticks) - void))


def check_released(history: ReleasedHistory, operator: str, log: LogRead) -> Checked:
    """Make sure that a history is in the log, and that every step of it is legal.

    Args:
        history: as it was released.
        operator: public key of the operator.
        log: read for its account.

    Raises:
        Contradiction: the operator signed a step that the machine does not allow, or another entry than the log has.
        ReleaseInvalid: the file is no history of this operator, or leaves out what has to be shown.
    """
    account, head = account_of(history, operator), NOTHING
    entries: list[Entry] = []
    kinds: list[EventKind] = []
    for number, item in enumerate(history.entries, 1):
        signed, entry = _entry_of(item, operator)
        if (entry.operator, entry.account, entry.number, entry.previous) != (operator, account, number, head):
            raise ReleaseInvalid(f"entry {number} of the history is not the one that follows, or of another operator")
        _check_opened(item, entry)
        _check_logged(signed, entry, log)
        _check_step(history.entries, entry, kinds, log)
        _check_subject(item, entry, entries, log)
        head = signed.body_hash()
        entries.append(entry)
        kinds.append(entry.kind)
    logged = len(log.entries[account])
    states = [item.public for item in history.entries]
    skipped, halted = _left_out(entries, states, log, number == logged)
    return Checked(states[0].institution, account, number, logged, skipped, halted)


def _entry_of(item: ReleasedEntry, operator: str) -> tuple[SignedDocument, Entry]:
    try:
        signed, entry = parse_signed(item.entry, Entry)
        signed.verify(frozenset({operator}))
    except (RequestError, DocumentsError) as error:
        raise ReleaseInvalid(f"the history has an entry that is none of this operator: {error}") from error
    return signed, entry


def _check_opened(item: ReleasedEntry, entry: Entry) -> None:
    """Make sure that what is shown is what the hashes of an entry hide."""
    private = None if item.private is None else item.private.canonical()
    for name, salt, value, hash_ in (
        ("public part", item.salt, item.public.canonical(), entry.public),
        ("document", item.document_salt, item.document, entry.document),
        ("private part", item.private_salt, private, entry.private),
    ):
        if value is None:
            continue
        try:
            opened = salt is not None and salted_hash(salt, value) == hash_
        except DocumentsError as error:
            raise ReleaseInvalid(f"the {name} of entry {entry.number} is of no form that is hashed: {error}") from error
        if not opened:
            raise ReleaseInvalid(f"the {name} of entry {entry.number} is not the one that the entry names")


def _check_logged(signed: SignedDocument, entry: Entry, log: LogRead) -> None:
    """Make sure that the log has an entry, and that it names the ticks that the log has."""
    leaves = log.entries[entry.account]
    leaf = leaves.get(entry.number)
    if leaf is None:
        raise ReleaseInvalid(
            f"the history has entry {entry.number} and the log {len(leaves)} entries of the account: look again later"
        )
    named = f"entry {entry.number} of account {entry.account[:16]}"
    other = {"kind": "entry", "document": signed.to_json()}
    if leaf.entry != entry_leaf(signed).to_bytes():
        raise Contradiction(f"{named} is another one in the log", [*log.shown(leaf.leaf), other])
    # A leaf does not name the newest tick with a market; which one that is, ticks say.
    position = bisect_right(log.markets, entry.tick_sequence)
    market = log.ticks[log.markets[position - 1]] if position else NO_TICK_SEEN
    if (entry.market_sequence, entry.market) != (market.sequence, market.tick):
        reason = f"{named} names tick {entry.market_sequence} as the newest with a market, and it is {market.sequence}"
        raise Contradiction(reason, [*log.shown(leaf.leaf, market.leaf), other])


def _check_step(items: Sequence[ReleasedEntry], entry: Entry, kinds: Sequence[EventKind], log: LogRead) -> None:
    """Run the machine on a step.

    What contradicts each other is the entry before and this one, each with the state that it names; and all entries
    before where their kinds have a say in it.

    Args:
        items: the whole history.
        entry: what is checked.
        kinds: of the entries before it.
        log: what is shown of it.
    """
    item, before = items[entry.number - 1], items[entry.number - 2] if kinds else None
    named = f"entry {entry.number}, '{entry.kind}',"
    if item.document is None and entry.kind not in KEPT_BACK:
        raise ReleaseInvalid(f"{named} comes without its document")
    private = None if before is None else _private_before(before, entry)
    if entry.kind in BESIDE_FREE and private is None:
        raise ReleaseInvalid(f"{named} comes without the free collateral before it")
    whole = item.document is not None and (before is None or private is not None)
    counted = item.document is not None and not whole and entry.kind in COUNTED
    try:
        event, state = _step(before, private, item, entry, kinds)
        after = machine.apply(state, event, entry.at)
    except (IllegalTransition, RequestError, DocumentsError) as error:
        reason: str | None = f"is no legal step: {error}"
    else:
        reason = None if event.kind is entry.kind else f"has a document that says '{event.kind}'"
        differ = [name for name, value in after.public if getattr(item.public, name) != value]
        if whole and item.private not in (None, after.private):
            differ.append("private part")
        if reason is None and differ:
            reason = f"makes another {', '.join(differ)} than follows"
    obstacle = None if whole or reason is not None else impossible(entry.kind, kinds)
    if obstacle is not None:
        reason = f"is no legal step: {obstacle}"
    if reason is not None:
        by_kinds = counted or obstacle is not None
        shown = [{"kind": "entry", "document": one.entry} for one in items[: len(kinds) - 1]] if by_kinds else []
        pair = [as_released(one) for one in (before, item) if one is not None]
        raise Contradiction(f"{named} {reason}", [*log.shown(), *shown, *pair])


def _private_before(before: ReleasedEntry, entry: Entry) -> PrivateState | None:
    """Return the private part before an entry, where that is known: an account begins with nothing in it."""
    return PrivateState() if entry.number == SECOND else before.private


def _step(
    before: ReleasedEntry | None,
    private: PrivateState | None,
    item: ReleasedEntry,
    entry: Entry,
    kinds: Sequence[EventKind],
) -> tuple[Event, Account | None]:
    """Return what happened to which account, with what stands in for what is kept back."""
    public = item.public if before is None else before.public
    if item.document is None:
        event, fitting = kept_back(entry.kind, public, item.public, entry.at)
        return event, None if before is None else Account(public=public, private=fitting)
    run = None if before is None else public.run
    event = read_event(SignedDocument.parse(item.document), owes=run is None or run.owes)
    if before is None:
        return event, None
    return event, Account(public=public, private=least_private(event.body, kinds) if private is None else private)


def _check_subject(item: ReleasedEntry, entry: Entry, earlier: Sequence[Entry], log: LogRead) -> None:
    """Make sure that a dispute is about an earlier entry of its account, which the machine cannot see."""
    if entry.kind is not EventKind.DISPUTED or item.document is None:
        return
    body = Dispute.parse(item.document["body"])
    # Each entry but the last names the one before.
    named = [*(one.previous for one in earlier), entry.previous][1:]
    found = 0 < body.number <= len(earlier) and named[body.number - 1] == body.subject
    if not found or about_a_dispute(str(earlier[body.number - 1].kind)):
        reason = f"entry {entry.number} of account {entry.account[:16]} is about a dispute of what is no entry of it"
        raise Contradiction(reason, [*log.shown(), as_released(item)])


def as_released(item: ReleasedEntry) -> dict[str, Any]:
    """Return an entry as it was released, for a contradiction."""
    parts = {"public": item.public.canonical()}
    if item.private is not None:
        parts["private"] = item.private.canonical()
    given = item.model_dump(mode="json", exclude={"public", "private"}, exclude_none=True)
    return {"kind": "released", **given, **parts}


def _left_out(
    entries: Sequence[Entry], states: Sequence[PublicState], log: LogRead, whole: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ticks at which the account was passed over, and those whose run a halt kept from beginning.

    Of a history that is not whole, as far as it goes. A halt that began and ended between two ticks keeps from nothing.
    """
    known = max(log.markets, default=0) if whole else entries[-1].tick_sequence
    skipped: list[int] = []
    halted: list[int] = []
    last, stopped, position = None, False, 0
    for number in log.markets:
        if number > known:
            break
        while position < len(entries) and entries[position].tick_sequence < number:
            position += 1
        state = states[position - 1] if position else None
        if last is not None and state is not None and state.last_run < last:
            (halted if stopped or _stopped(state, number - 1) else skipped).append(last)
        last = number if state is not None and _awaits(state, number) else None
        stopped = state is not None and _stopped(state, number)
    return tuple(skipped), tuple(halted)


def _stopped(public: PublicState, tick: int) -> bool:
    """Return whether no run may begin while a tick is the newest."""
    return "runs" in scope_at(public.halts, tick)


def _awaits(public: PublicState, number: int) -> bool:
    """Return whether the operator has a run to begin at a tick, by the state of the account when that came."""
    state = Account(public=public, private=PrivateState())
    begun = public.run is not None and public.run.stage != "unproven"
    return public.status in WATCHED and not begun and is_due(state, At(tick=number, market=number))
