"""Take entries back that a restored database lacks, from what institutions exported. For `serve --take-back`.

The operator signed these entries, so they stand: each is computed anew by the machine, and stored with what belongs to
it as if it had just been made. All files are taken in one transaction, before anything else happens; what cannot be
taken is named, and then nothing is. It is for logs without witnesses: the leaves of the log come in an order of their
own, and whoever has seen a checkpoint of the longer log sees another one.

What only the operator had is lost: words of outputs, bundles of settlements, accounts whose institutions send nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import delete
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import BackupInvalid, Conflict, RequestError
from atomic_margin.service.operator.accounts.submissions import submission_of
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.custody.openings import opening_row
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries, log, prices
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    JsonObject,
    ReaderRow,
    Run,
    SettlementRow,
    SubmissionRow,
    Tick,
)
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.entries import Entry, Salts, StateWriters, recomputed
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.events import DepositRecord, EventKind, Overdue, Readers, RunOpened, RunVoid
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.account_export import AccountExport, ExportedEntry
from atomic_margin.service.protocol.documents import Answer, CollateralInstruction, RunRecord, Settlement, second_run_of
from atomic_margin.service.protocol.leaves import tick_leaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import ciphertext_of
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.ticks import PriceTick


class _Taken(NamedTuple):
    """An entry that was just stored, for what belongs to it."""

    operator: Operator
    session: Session
    account: Account
    document: SignedDocument
    before: tuple[JsonObject, JsonObject]


def take_back(operator: Operator, exports: Sequence[AccountExport]) -> dict[str, int]:
    """Store every entry that the database lacks; return how many of each institution.

    Raises:
        Conflict: witnesses cosign the log, so that it cannot be made again.
        BackupInvalid: an entry does not follow, is not this operator's, or cannot be taken; nothing was stored.
    """
    if operator.settings.witnesses:
        raise Conflict("witnesses have seen the log that was lost: restore a newer backup, or begin with a new folder")
    ticks = {int(tick.body["sequence"]): tick for export in exports for tick in export.ticks}
    with operator.store.unit_of_work() as session:
        taken = dict.fromkeys((export.institution for export in exports), 0)
        for institution, item in _merged(session, exports):
            number = item.entry.body["number"]
            try:
                _take(operator, session, session.get_one(Account, institution), item, ticks)
            except (EntryRefused, RequestError) as error:
                raise BackupInvalid(f"entry {number} of {institution!r} cannot be taken back: {error}") from error
            taken[institution] += 1
        unsettled = session.query(Run).filter_by(state=RunState.BREACH_VERIFIED).filter(Run.breach_output.is_(None))
        for run in unsettled:
            if session.get_one(AnswerRow, run.run_id).document["type"] != Answer.TYPE:
                # Custodians open a book without its flag.
                continue
            raise BackupInvalid(f"the breach of {run.run_id} is not settled, and the words it was proven on are lost")
    return taken


def _merged(session: Session, exports: Sequence[AccountExport]) -> Iterator[tuple[str, ExportedEntry]]:
    """Yield what is missing, of every account in its order, and of all by the ticks that they stand at and by time."""
    waiting = {export.institution: _missing(session, export) for export in exports}
    while any(waiting.values()):
        first = min((name for name, items in waiting.items() if items), key=lambda name: _when(waiting[name][0]))
        yield first, waiting[first].pop(0)


def _when(item: ExportedEntry) -> tuple[int, int, str]:
    at = Entry.parse(item.entry.body)
    return at.tick_sequence, at.receipted, item.entry.body["entered_at"]


def _missing(session: Session, export: AccountExport) -> list[ExportedEntry]:
    account = session.get(Account, export.institution)
    if account is None or account.seed != export.seed:
        raise BackupInvalid(
            f"{export.institution!r} is not admitted here, or under another seed: the backup is too old"
        )
    for item in export.entries:
        if int(item.entry.body["number"]) == account.entries and item.entry.body_hash() != account.head:
            raise BackupInvalid(
                f"account {export.institution!r} has gone on here: entry {account.entries} is another one than the "
                "institution has. Restore the backup once more, and take entries back before anything happens"
            )
    return [item for item in export.entries if int(item.entry.body["number"]) > account.entries]


def _take(
    operator: Operator, session: Session, account: Account, item: ExportedEntry, ticks: dict[int, SignedDocument]
) -> None:
    own = operator.identity.public_key
    item.entry.verify(frozenset({own}))
    item.document.verify(frozenset({own, account.identity}))
    entry = Entry.parse(item.entry.body)
    belongings = _BELONGINGS.get(entry.kind)
    if belongings is None:
        raise Conflict(f"what belongs to {str(entry.kind)!r} was the operator's alone, or of more accounts than one")
    _reach(operator, session, entry.at, ticks)
    if entries.newest(session, account.head) != entry.at:
        raise Conflict("it stands at other ticks, or follows another entry, than there are here")
    before = (account.public_state, account.private_state)
    writers, salts = StateWriters.fresh(), Salts(account.seed)
    chain, _, _ = recomputed(entries.chain_of(account), item.entry, item.document, salts, own, writers)
    entries.store(session, account, chain, item.entry, item.document)
    belongings(_Taken(operator, session, account, item.document, before))
    session.flush()


def _reach(operator: Operator, session: Session, at: At, ticks: dict[int, SignedDocument]) -> None:
    """Take ticks until the one that an entry stands at, and documents for the next one that came before the entry."""
    last = newest_tick(session)
    for number in range(1 if last is None else last.sequence + 1, at.tick + 1):
        signed = _tick(operator, number, ticks)
        tick = PriceTick.parse(signed.body)
        _receipt(session, tick)
        session.add(
            Tick(
                sequence=number,
                void=tick.market is None,
                sha256=signed.body_hash(),
                document=signed.to_json(),
                received_at=signed.body["received_at"],
            )
        )
        log.append(session, tick_leaf(signed).to_bytes())
        prices.prune(session, number)
        session.flush()
    if at.receipted > at.tick and not prices.is_receipted(session, at.receipted):
        _receipt(session, PriceTick.parse(_tick(operator, at.receipted, ticks).body))
        session.flush()


def _tick(operator: Operator, number: int, ticks: dict[int, SignedDocument]) -> SignedDocument:
    signed = ticks.get(number)
    if signed is None:
        raise Conflict(f"tick {number} is in none of the files: agents keep the newest 64")
    signed.verify(frozenset({operator.identity.public_key}))
    return signed


def _receipt(session: Session, tick: PriceTick) -> None:
    received_at = str(tick.canonical()["received_at"])  # type: ignore[index,call-overload]
    for document in tick.prices:
        if prices.find(session, document) is None:
            prices.receipt(session, document, received_at)
            session.flush()


def _deposited(taken: _Taken) -> None:
    said = DepositRecord.parse(taken.document.body)
    move = ledger.Move(said.asset, said.quantity, ledger.EXTERNAL, ledger.free(said.institution))
    ledger.book(taken.session, f"deposit/{said.reference}", "deposit", [move])


def _instructed(taken: _Taken) -> None:
    said = CollateralInstruction.parse(taken.document.body)
    target = ledger.posted(said.institution) if said.action == "post" else ledger.EXTERNAL
    move = ledger.Move(said.asset, said.quantity, ledger.free(said.institution), target)
    ledger.book(taken.session, f"instruction/{said.institution}/{said.sequence}", said.action, [move])


def _nothing_else(taken: _Taken) -> None:
    """What is stored with the entry is all."""


def _readers_named(taken: _Taken) -> None:
    said = Readers.parse(taken.document.body)
    taken.session.execute(delete(ReaderRow).where(ReaderRow.institution == said.institution))
    for reader in said.readers:
        row = ReaderRow(institution=said.institution, name=reader.name, token_sha256=reader.token_sha256)
        taken.session.add(row)


def _submitted(taken: _Taken) -> None:
    said = Submission.parse(taken.document.body)
    # Its proofs were verified before its entry was signed.
    name = taken.operator.blobs.put(ciphertext_of(said, taken.operator.terms).to_bytes())
    if name != said.ciphertext:
        raise Conflict("the words of its masks and bodies do not have the hash that is named", "ciphertext")
    taken.session.add(
        SubmissionRow(
            institution=said.institution,
            sequence=said.sequence,
            sha256=taken.document.body_hash(),
            document=taken.document.to_json(),
            public_before=taken.before[0],
            public_after=taken.account.public_state,
            received_at=now_text(),
        )
    )
    taken.account.nonce = None


def _run(taken: _Taken, run_id: str, submission: str, price_sequence: int) -> Run:
    """Return a run, scheduled if it was not there."""
    found = taken.session.get(Run, run_id)
    if found is not None:
        return found
    run = Run(
        run_id=run_id,
        institution=taken.account.institution,
        submission_id=submission_of(taken.session, submission).id,
        price_sequence=price_sequence,
        second=run_id == second_run_of(f"{taken.account.institution}.{price_sequence}"),
    )
    taken.session.add(run)
    taken.session.flush()
    return run


def _opened(taken: _Taken) -> None:
    said = RunOpened.parse(taken.document.body)
    run = _run(taken, said.run_id, said.submission, said.price_sequence)
    run.submission_id = submission_of(taken.session, said.submission).id


def _recorded(taken: _Taken) -> None:
    said = RunRecord.parse(taken.document.body)
    run = _run(taken, said.run_id, said.submission, said.price_sequence)
    run.submission_id = submission_of(taken.session, said.submission).id
    run.public_state, run.number = taken.account.public_state, said.number
    run.record, run.record_hash = taken.document.to_json(), taken.document.body_hash()
    run.deadline = taken.document.body["deadline"]
    if said.outputs is not None:
        run.problem = "its words were lost: the database was restored from an older backup"
    move_run(run, RunEvent.TAKEN)
    move_run(run, RunEvent.RECORDED)


def _void(taken: _Taken) -> None:
    run = taken.session.get_one(Run, RunVoid.parse(taken.document.body).run_id)
    move_run(run, RunEvent.TAKEN)
    move_run(run, RunEvent.FAILED)


def _overdue(taken: _Taken) -> None:
    move_run(taken.session.get_one(Run, Overdue.parse(taken.document.body).run_id), RunEvent.ANSWER_OVERDUE)


def _not_proven(taken: _Taken) -> None:
    run = taken.session.get_one(Run, Overdue.parse(taken.document.body).run_id)
    move_run(run, RunEvent.PROOF_OVERDUE)
    submission = taken.session.get_one(SubmissionRow, run.submission_id).sha256
    _run(taken, second_run_of(run.run_id), submission, run.price_sequence)


def _answered(taken: _Taken, event: RunEvent) -> Run:
    # What the institution answered, or what custodians found in its place.
    run = taken.session.get_one(Run, str(taken.document.body["run_id"]))
    answer, sha256 = taken.document.to_json(), taken.document.body_hash()
    taken.session.add(AnswerRow(run_id=run.run_id, sha256=sha256, document=answer))
    move_run(run, event)
    taken.session.flush()
    return run


def _covered(taken: _Taken) -> None:
    attest(taken.operator, taken.session, _answered(taken, RunEvent.COVERED))


def _breached(taken: _Taken) -> None:
    _answered(taken, RunEvent.BREACH_VERIFIED)


def _asked_to_open(taken: _Taken) -> None:
    # Who took part is lost: whoever still does says so again, or it lapses.
    taken.session.add(opening_row(taken.operator, taken.document, now()))


def _called(taken: _Taken) -> None:
    said = Settlement.parse(taken.document.body)
    names = {"free": ledger.free(said.institution), "posted": ledger.posted(said.institution)}
    moves = [
        ledger.Move(move.asset, move.quantity, names[move.source], names[move.destination]) for move in said.transfers
    ]
    transaction = ledger.book(taken.session, f"settlement/{said.run_id}", said.kind, moves)
    taken.session.add(
        SettlementRow(
            run_id=said.run_id,
            sha256=taken.document.body_hash(),
            document=taken.document.to_json(),
            public_before=taken.before[0],
            private_before=taken.before[1],
            transaction_id=transaction.id,
        )
    )
    # Its bundle would show words that are lost: it is with whoever fetched it.
    move_run(taken.session.get_one(Run, said.run_id), RunEvent.SETTLED)


_BELONGINGS: dict[EventKind, Callable[[_Taken], None]] = {
    EventKind.DEPOSITED: _deposited,
    EventKind.POSTED: _instructed,
    EventKind.WITHDRAWN: _instructed,
    EventKind.READERS_NAMED: _readers_named,
    EventKind.IDENTITY_ROTATED: _nothing_else,
    EventKind.SUBMITTED: _submitted,
    EventKind.RUN_OPENED: _opened,
    EventKind.RUN_RECORDED: _recorded,
    EventKind.RUN_VOID: _void,
    EventKind.ANSWER_OVERDUE: _overdue,
    EventKind.PROOF_OVERDUE: _not_proven,
    EventKind.COVERED: _covered,
    EventKind.BREACH_PROVEN: _breached,
    EventKind.OPENING_REQUESTED: _asked_to_open,
    EventKind.OPENING_LAPSED: _nothing_else,
    EventKind.OPENED_COVERED: _covered,
    EventKind.OPENED_IN_BREACH: _breached,
    EventKind.MARGIN_CALLED: _called,
}
"""What an entry of each kind changes beside the account, for the kinds that are taken back."""
