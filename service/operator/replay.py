"""Rebuild every account from its entries and documents, and compare what the database caches: `operator replay`.

What an account is follows from its entries. The rows keep the state beside them so that nothing has to be replayed
when something is asked; this is how to see that they agree, after a restored backup or an accident, and how to write
them anew. Compared are, of every account and entry,

- number, hash and place of each entry in its chain, its hashes of the document and of the state that the machine gives,
- the leaf of the log that it is, and the hash of that leaf in the log's tiles,
- the newest tick that it names, and the tick that it says was receipted last, with the leaves before it,
- the columns of the account: identity key, head, number, status, both parts of the state,
- free, posted and segregated collateral of the ledger, and shares in the fund, which is one chain of documents,
- the state of every run.

Signatures are not verified again: they are part of what the hashes are of, and the log has them. How long it
takes is told by

    pytest -m slow -s tests/service/test_replay.py -k fast

A running operator may be compared; its writes wait meanwhile. Where there is much to replay, other processes share the
accounts: an account is replayed by one of them, and what it gives is compared here.
"""

import gc
import json
import multiprocessing
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from sqlalchemy import create_engine, make_url, select
from sqlalchemy.orm import Session

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import HistoryDiffers, RequestError
from atomic_margin.service.log.hashing import leaf_hash
from atomic_margin.service.log.tree import ReadHashes
from atomic_margin.service.operator.replay_fund import compare_fund
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.entries import as_object
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    EntryRow,
    LogLeaf,
    NettingCycleRow,
    ReplacedKey,
    Run,
    SettlementRow,
    SubmissionRow,
)
from atomic_margin.service.protocol.account.default_state import FundShare
from atomic_margin.service.protocol.account.entries import Chain, Salts, StateWriters, recomputed
from atomic_margin.service.protocol.account.errors import EntryForged
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting import pending_returns
from atomic_margin.service.protocol.account.state import Halts, PublicState
from atomic_margin.service.protocol.leaves import cycle_leaf, leaf_fields
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunState

JsonObject = dict[str, Any]
Row = tuple[Any, bytes]
_K, _S = EventKind, RunState

NOT_BEGUN = frozenset({_S.SCHEDULED, _S.EVALUATING, _S.FAILED, _S.SUPERSEDED})
"""What a run may be of which no entry says more than that it began: one that a crash or a proof interrupted is among
them."""
_AFTER: Mapping[EventKind, frozenset[RunState]] = {
    _K.RUN_OPENED: NOT_BEGUN,
    _K.RUN_RECORDED: frozenset({_S.AWAITING_ANSWER}),
    _K.RUN_VOID: frozenset({_S.FAILED}),
    _K.PROOF_OVERDUE: frozenset({_S.NOT_PROVEN}),
    _K.ANSWER_OVERDUE: frozenset({_S.UNPROVEN}),
    _K.COVERED: frozenset({_S.COVERED}),
    _K.BREACH_PROVEN: frozenset({_S.BREACH_VERIFIED}),
    _K.OPENED_COVERED: frozenset({_S.COVERED}),
    _K.OPENED_IN_BREACH: frozenset({_S.BREACH_VERIFIED}),
    _K.MARGIN_CALLED: frozenset({_S.SETTLED}),
    _K.LIQUIDATED: frozenset({_S.SETTLED}),
}
"""What a run is after the last entry about it."""


class Compared(NamedTuple):
    """How much was compared, and held."""

    accounts: int
    entries: int
    runs: int
    balances: int


class _Replayed(NamedTuple):
    """What the entries of an account give."""

    chain: Chain
    runs: Mapping[str, frozenset[RunState]]


MANY = 10_000
"""So many entries are worth starting other processes for, which takes a second or two."""


class _Places:
    """What was newest before each leaf of the log: a tick, and a tick that documents of sources were receipted for."""

    def __init__(self, session: Session) -> None:
        self._leaves, self._newest = [-1], [("0", "0")]
        for number, entry in _others(session):
            leaf = json.loads(entry)
            if leaf["kind"] not in ("tick", "price"):
                continue
            tick = leaf["sequence"] if leaf["kind"] == "tick" else self._newest[-1][0]
            self._leaves.append(number)
            self._newest.append((tick, leaf["sequence"]))

    def before(self, leaf: int) -> tuple[str, str]:
        """Return the numbers of both ticks."""
        return self._newest[bisect_left(self._leaves, leaf) - 1]


def check(session: Session, operator: str, processes: int = 1) -> Compared:
    """Compare everything that is cached with what the entries give; nothing is changed.

    Args:
        session: a unit of work.
        operator: public key of the operator.
        processes: how many may replay at once.

    Raises:
        HistoryDiffers: the first difference, by name.
    """
    accounts = list(session.scalars(select(Account).order_by(Account.institution)))
    read = log.reader(session)
    held = ledger.accounts(session)
    entries = runs = balances = 0
    halted: dict[str, Halts | None] = {}
    shares: dict[str, FundShare | None] = {}
    replaced: dict[str, str] = {}
    for account, replayed in _each(session, accounts, operator, read, processes):
        _compare_columns(account, replayed.chain)
        balances += _compare_balances(account.institution, replayed.chain, held)
        runs += _compare_runs(session, account.institution, replayed.runs)
        entries += replayed.chain.number
        public = None if replayed.chain.state is None else replayed.chain.state.public
        halted[account.institution] = None if public is None else public.halts
        shares[account.institution] = None if public is None else public.fund
        replaced |= dict.fromkeys(() if public is None else public.former or (), account.institution)
    _compare_halts(halted)
    if {row.key: row.institution for row in session.scalars(select(ReplacedKey))} != replaced:
        raise HistoryDiffers("the identity keys stored as replaced are not those that entries say; restore a backup")
    compare_fund(session, operator, shares)
    _compare_leaves(session)
    return Compared(len(accounts), entries, runs, balances)


def rewrite(session: Session, operator: str, processes: int = 1) -> list[str]:
    """Write the columns of every account anew from its entries; return the names of accounts that were changed.

    Arguments are those of `check`.

    Raises:
        HistoryDiffers: the entries themselves do not hold. Nothing is to be written from them.
    """
    changed = []
    accounts = list(session.scalars(select(Account).order_by(Account.institution)))
    for account, replayed in _each(session, accounts, operator, log.reader(session), processes):
        for name, value in _columns(replayed.chain).items():
            if getattr(account, name) != value:
                setattr(account, name, value)
                changed.append(account.institution)
    return sorted(set(changed))


def _each(
    session: Session, accounts: Sequence[Account], operator: str, read: ReadHashes, processes: int
) -> Iterator[tuple[Account, _Replayed]]:
    """Yield every account with what its entries give, in the order of accounts."""
    url = session.get_bind().engine.url
    # The caller's unit of work keeps every other writer out of an SQLite file, so that all read the same.
    shared = url.get_backend_name() == "sqlite" and url.database is not None
    places = _Places(session)
    if not shared or min(processes, len(accounts)) < 2 or sum(account.entries for account in accounts) < MANY:
        for account in accounts:
            yield account, _replayed(session, account, operator, read, places)
        return
    with ProcessPoolExecutor(min(processes, len(accounts)), multiprocessing.get_context("spawn")) as pool:
        text = url.render_as_string(hide_password=False)
        waiting = [pool.submit(_replayed_apart, text, account.institution, operator, places) for account in accounts]
        try:
            for account, future in zip(accounts, waiting, strict=True):
                yield account, future.result()
        finally:
            for future in waiting:
                future.cancel()


def _replayed_apart(url: str, institution: str, operator: str, places: _Places) -> _Replayed:
    """Return what the entries of an account give, in a process that only reads."""
    engine = create_engine(make_url(url))
    try:
        with Session(engine) as session:
            account = session.get_one(Account, institution)
            return _replayed(session, account, operator, log.reader(session), places)
    finally:
        engine.dispose()


def _replayed(session: Session, account: Account, operator: str, read: ReadHashes, places: _Places) -> _Replayed:
    """Return what the entries of an account give; each follows the one before, and is the leaf that the log has."""
    institution, salts = account.institution, Salts(account.seed)
    documents = _documents(session, institution)
    chain, writers, last_leaf = Chain(), StateWriters.fresh(), -1
    runs: dict[str, frozenset[RunState]] = {}
    for row, leaf in _collected_seldom(_rows(session, institution)):
        where = f"entry {row.number} of {institution!r}"
        open_run = None if chain.state is None else chain.state.public.run
        document = row.document or documents.get(row.subject)
        if document is None:
            raise HistoryDiffers(f"{where}: its document is not stored")
        try:
            signed, about = SignedDocument.parse(row.entry), SignedDocument.parse(document)
            chain, event, whole = recomputed(chain, signed, about, salts, operator, writers)
        except (EntryForged, RequestError, DocumentsError) as error:
            raise HistoryDiffers(f"{where}: {error}") from error
        kind = event.kind
        # The body is what follows, so that the leaf is made of it without parsing it once more.
        wanted_leaf = canonical_bytes(leaf_fields(signed.body, kind, chain.head, whole))
        for name, found, wanted in (
            ("number", row.number, chain.number),
            ("sha256", row.sha256, chain.head),
            ("kind", row.kind, str(kind)),
            ("subject", row.subject, event.document),
            ("leaf", leaf, wanted_leaf),
        ):
            if found != wanted:
                raise HistoryDiffers(f"{where}: the column {name} is not what its documents give")
        if row.leaf <= last_leaf:
            raise HistoryDiffers(f"{where}: it is leaf {row.leaf} of the log, the one before is {last_leaf}")
        if [leaf_hash(leaf)] != list(read(0, row.leaf, row.leaf + 1)):
            raise HistoryDiffers(f"{where}: leaf {row.leaf} has another hash in the log's tiles")
        named = (signed.body["tick_sequence"], signed.body["receipted"])
        if named != places.before(row.leaf):
            tick, receipted = places.before(row.leaf)
            raise HistoryDiffers(
                f"{where}: it names tick {named[0]} as the newest and {named[1]} as receipted last, and by what stands "
                f"before leaf {row.leaf} these are {tick} and {receipted}"
            )
        last_leaf = row.leaf
        if kind is _K.BOOK_GIVEN_UP:
            # Its document names no run: it ends the open one, if one is.
            runs |= {} if open_run is None else {open_run.run_id: frozenset({_S.GIVEN_UP})}
        elif kind in _AFTER:
            runs[about.body["run_id"]] = _AFTER[kind]
    return _Replayed(chain, runs)


def _collected_seldom(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield what is given, with few searches for garbage meanwhile: they would take a fifth of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(100 * usual[0], *usual[1:])
    try:
        yield from rows
    finally:
        gc.set_threshold(*usual)


def _rows(session: Session, institution: str) -> Iterator[Row]:
    columns = (EntryRow.number, EntryRow.sha256, EntryRow.kind, EntryRow.subject, EntryRow.entry, EntryRow.document)
    query = (
        select(*columns, EntryRow.leaf, LogLeaf.entry.label("stored"))
        .outerjoin(LogLeaf, LogLeaf.number == EntryRow.leaf)
        .where(EntryRow.institution == institution)
        .order_by(EntryRow.number)
        .execution_options(yield_per=256)
    )
    with session.execute(query) as rows:
        for row in rows:
            yield row, row.stored


def _documents(session: Session, institution: str) -> dict[str, JsonObject]:
    """Return the documents of entries that other tables have, by hash."""
    own = Run.institution == institution
    queries: tuple[Any, ...] = (
        select(SubmissionRow.sha256, SubmissionRow.document).where(SubmissionRow.institution == institution),
        select(Run.record_hash, Run.record).where(own, Run.record_hash.is_not(None)),
        select(AnswerRow.sha256, AnswerRow.document).join(Run, Run.run_id == AnswerRow.run_id).where(own),
        select(SettlementRow.sha256, SettlementRow.document).join(Run, Run.run_id == SettlementRow.run_id).where(own),
    )
    return {sha256: document for query in queries for sha256, document in session.execute(query)}


def _columns(chain: Chain) -> dict[str, Any]:
    """Return what the columns of an account have to be."""
    if chain.state is None:
        raise HistoryDiffers("an account has no entry")
    return {
        "entries": chain.number,
        "head": chain.head,
        "identity": chain.state.public.identity,
        "state": chain.state.public.status,
        "public_state": as_object(chain.state.public),
        "private_state": as_object(chain.state.private),
    }


def _compare_columns(account: Account, chain: Chain) -> None:
    for name, wanted in _columns(chain).items():
        found = getattr(account, name)
        if found != wanted:
            raise HistoryDiffers(
                f"account {account.institution!r}: the column {name} is {_shown(found, wanted)}, its entries give "
                f"{_shown(wanted, found)}; `operator replay` without --check writes it anew"
            )


def _shown(value: Any, other: Any) -> str:
    """Return a value, of objects only the fields in which they differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        return str({name: part for name, part in value.items() if other.get(name) != part})
    return str(value)


def _compare_balances(institution: str, chain: Chain, held: Mapping[str, Mapping[str, int]]) -> int:
    if chain.state is None:
        raise HistoryDiffers(f"account {institution!r} has no entry")
    compared = 0
    for name, wanted in (
        (ledger.free(institution), chain.state.private.free),
        (ledger.posted(institution), chain.state.public.posted),
        (ledger.returning(institution), pending_returns(chain.state)),
        (ledger.liquidation(institution), _held(chain.state.public)),
        (ledger.fund(institution), _share(chain.state.public)),
    ):
        found = held.get(name, {})
        for asset in sorted({*found, *wanted}):
            if found.get(asset, 0) != wanted.get(asset, 0):
                raise HistoryDiffers(
                    f"the ledger has {found.get(asset, 0)} {asset} on {name}, its entries give {wanted.get(asset, 0)}"
                )
            compared += 1
    return compared


def _held(public: PublicState) -> Mapping[str, int]:
    return {} if public.default is None else public.default.held


def _share(public: PublicState) -> Mapping[str, int]:
    return {} if public.fund is None else {public.fund.asset: public.fund.quantity}


def _compare_runs(session: Session, institution: str, wanted: Mapping[str, frozenset[RunState]]) -> int:
    query = select(Run.run_id, Run.state).where(Run.institution == institution).order_by(Run.run_id)
    found = {row.run_id: row.state for row in session.execute(query)}
    for run_id in sorted({*found, *wanted}):
        allowed, state = wanted.get(run_id, NOT_BEGUN), found.get(run_id)
        if state not in allowed:
            given = " or ".join(sorted(map(str, allowed)))
            raise HistoryDiffers(f"run {run_id} is {state or 'not there'}, its entries give {given}")
    return len(found)


def _compare_halts(halted: Mapping[str, Halts | None]) -> None:
    """Make sure that every account is under the same halt, or none."""
    names = sorted(halted)
    for name in names:
        if halted[name] != halted[names[0]]:
            raise HistoryDiffers(f"account {name!r} is under another halt than account {names[0]!r}: all have one")


def _compare_leaves(session: Session) -> None:
    """Make sure that no leaf says it is an entry which no account has, and that all cycles of netting have theirs."""
    cycles: list[bytes] = []
    for number, entry in _others(session):
        if b'"kind":"entry"' in entry:
            raise HistoryDiffers(f"leaf {number} of the log is an entry that no account has")
        if b'"kind":"cycle"' in entry:
            cycles.append(entry)
    rows = session.scalars(select(NettingCycleRow).order_by(NettingCycleRow.number))
    wanted = [cycle_leaf(row.number, row.settles, row.root, row.size, row.netted_at).to_bytes() for row in rows]
    if cycles != wanted:
        raise HistoryDiffers("the log has other leaves of cycles of netting than are stored")


def _others(session: Session) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of every leaf that is no account's entry."""
    query = (
        select(LogLeaf.number, LogLeaf.entry)
        .outerjoin(EntryRow, EntryRow.leaf == LogLeaf.number)
        .where(EntryRow.leaf.is_(None))
        .order_by(LogLeaf.number)
        .execution_options(yield_per=256)
    )
    with session.execute(query) as rows:
        for row in rows:
            yield row.number, row.entry
