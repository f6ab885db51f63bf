"""Accounts are rebuilt from their entries, and whatever else the operator stored is compared with that."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import HistoryDiffers
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries, log
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import (
    Account,
    Base,
    EntryRow,
    LedgerPosting,
    LedgerTransaction,
    LogLeaf,
    LogTile,
    Run,
    SubmissionRow,
    Tick,
)
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.states import AccountState, RunState

from .. import postgres
from .account.documents import INSTITUTION, SEED, TIME, Parties, tick
from .documents import FUND, OTHER, Json
from .world import World

Open = Callable[[str], World]


def checked(world: World) -> replay.Compared:
    with world.operator.store.unit_of_work() as session:
        return replay.check(session, world.key)


@pytest.mark.parametrize(
    "stage",
    ["enrolled", "submitted", "two", "calm-open", "calm-done", "fall-open", "fall-done", "crash-open", "crash-done"],
)
def test_every_stage_of_the_story_agrees(world_at: Open, stage: str) -> None:
    world = world_at(stage)
    compared = checked(world)
    assert compared.accounts == len(world.funds)
    with world.operator.store.unit_of_work() as session:
        assert compared.entries == session.scalar(text("SELECT count(*) FROM entries"))
        assert compared.runs == session.scalar(text("SELECT count(*) FROM runs"))
        assert replay.rewrite(session, world.key) == []


def differs(world: World, match: str) -> None:
    with pytest.raises(HistoryDiffers, match=match):
        checked(world)


Change = Callable[[Session], object]


def spoil(world: World, change: Change) -> None:
    store = world.operator.store
    with store.unit_of_work() as session:
        # Rows are spoilt that other rows name.
        late = "PRAGMA defer_foreign_keys=ON" if store.sqlite else "SET LOCAL session_replication_role = replica"
        session.execute(text(late))
        change(session)


def row(kind: type[Base], key: object, /, **values: Any) -> Change:
    """Give columns of a row other values; a function makes one of the old."""

    def change(session: Session) -> None:
        found = session.get_one(kind, key)
        for name, value in values.items():
            setattr(found, name, value(getattr(found, name)) if callable(value) else value)

    return change


def entry(number: int, name: str = FUND, **values: Any) -> Change:
    return row(EntryRow, (name, number), **values)


def gone(number: int) -> Change:
    return lambda session: session.delete(session.get_one(EntryRow, (FUND, number)))


def account(name: str = FUND, **values: Any) -> Change:
    return row(Account, name, **values)


def signed_by_nobody(document: Json) -> Json:
    return {**document, "signature": "00" * 64}


def with_other_public(document: Json) -> Json:
    return {**document, "body": {**document["body"], "public": "00"}}


def without_market(document: Json) -> Json:
    return {**document, "body": {name: value for name, value in document["body"].items() if name != "market"}}


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("state", AccountState.ACTIVE, "the column state is active, its entries give in_default"),
        ("head", "00" * 32, "the column head is 0000"),
        ("entries", 3, "the column entries is 3, its entries give"),
    ],
)
def test_a_column_of_an_account_that_differs_is_named_and_written_anew(
    world_at: Open, column: str, value: object, shown: str
) -> None:
    world = world_at("crash-done")
    spoil(world, account(**{column: value}))
    differs(world, shown)
    with world.operator.store.unit_of_work() as session:
        assert replay.rewrite(session, world.key) == [FUND]
    checked(world)


@pytest.mark.parametrize("part", ["public_state", "private_state"])
def test_a_state_that_differs_is_named_by_its_fields_and_written_anew(world_at: Open, part: str) -> None:
    world = world_at("calm-done")
    with world.operator.store.unit_of_work() as session:
        row = session.get_one(Account, FUND)
        name = "posted" if part == "public_state" else "free"
        setattr(row, part, getattr(row, part) | {name: {"USDC": "1"}})
    differs(world, rf"the column {part} is \{{'{name}': \{{'USDC': '1'\}}\}}, its entries give \{{'{name}'")
    with world.operator.store.unit_of_work() as session:
        assert replay.rewrite(session, world.key) == [FUND]
    checked(world)


def test_a_balance_that_differs_is_named(world_at: Open) -> None:
    world = world_at("calm-done")
    with world.operator.store.unit_of_work() as session:
        booked = LedgerTransaction(reference="by hand", kind="deposit", booked_at="2026-11-27T12:00:00Z")
        session.add(booked)
        session.flush()
        for account, amount in ((f"{FUND}/free", 5), ("external", -5)):
            session.add(LedgerPosting(transaction_id=booked.id, account=account, asset="ETH", amount=amount))
    differs(world, f"the ledger has .* ETH on {FUND}/free, its entries give")


@pytest.mark.parametrize(
    ("stage", "state", "given"),
    [
        ("calm-done", RunState.AWAITING_ANSWER, "its entries give covered"),
        ("calm-open", RunState.UNPROVEN, "its entries give awaiting_answer"),
        ("crash-done", RunState.BREACH_VERIFIED, "its entries give settled"),
    ],
)
def test_a_run_that_differs_is_named(world_at: Open, stage: str, state: RunState, given: str) -> None:
    world = world_at(stage)
    with world.operator.store.unit_of_work() as session:
        newest = session.query(Run).order_by(Run.price_sequence.desc()).first()
        assert newest is not None
        newest.state = state
        run_id = newest.run_id
    differs(world, f"run {run_id} is {state}, {given}")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (entry(3, kind="posted"), "entry 3 of 'FUND': the column kind"),
        (entry(2, subject="00"), "entry 2 of 'FUND': (its document|the column subject)"),
        (entry(2, sha256="00"), "entry 2 of 'FUND': the column sha256"),
        (gone(4), "entry 5 of 'FUND': the entry has another"),
        (entry(4, leaf=10000), "entry 4 of 'FUND': the column leaf"),
        (entry(2, document=None), "entry 2 of 'FUND': its document is not stored"),
        (entry(2, entry=with_other_public), "another public than"),
        (entry(2, entry=signed_by_nobody), "the column leaf"),
        (entry(2, entry=without_market), "of another kind"),
        (row(LogLeaf, 0, entry=b"{}"), "entry 1 of 'FUND': the column leaf"),
        (row(LogTile, (0, 0), hashes=lambda hashes: bytes(len(hashes))), "leaf 0 has another hash"),
        (row(SubmissionRow, 1, document=signed_by_nobody), "another document than"),
        (account(seed="00" * 32), "entry 1 of 'FUND': the entry has another account"),
    ],
)  # fmt: skip
def test_an_entry_that_differs_is_named(world_at: Open, change: Change, match: str) -> None:
    world = world_at("calm-done")
    spoil(world, change)
    differs(world, match.replace("FUND", FUND))


@pytest.mark.parametrize(
    ("kind", "value", "match"),
    [
        ("price", "2", "names tick 1 as the newest and 1 as receipted last, and by .* these are 0 and 2"),
        ("tick", "2", "names tick 1 as the newest and 1 as receipted last, and by .* these are 2 and 2"),
    ],
)
def test_an_entry_that_denies_a_leaf_before_it_is_named(world_at: Open, kind: str, value: str, match: str) -> None:
    world = world_at("calm-open")
    with world.operator.store.unit_of_work() as session:
        leaves = session.query(LogLeaf).order_by(LogLeaf.number.desc()).limit(4).all()
        place = session.query(EntryRow).order_by(EntryRow.leaf.desc()).limit(1).one().leaf - 2
    # Before the run are the leaves of the price and of its tick.
    assert [json.loads(leaf.entry)["kind"] for leaf in leaves] == ["entry", "entry", "tick", "price"]
    spoil(world, row(LogLeaf, place, entry=canonical_bytes({"kind": kind, "sequence": value})))
    differs(world, match)


def test_what_does_not_hold_is_not_written_from(world_at: Open) -> None:
    world = world_at("calm-done")
    spoil(world, account(state=AccountState.FROZEN))
    spoil(world, entry(2, entry=with_other_public))
    with pytest.raises(HistoryDiffers, match="another public"), world.operator.store.unit_of_work() as session:
        replay.rewrite(session, world.key)
    with world.operator.store.unit_of_work() as session:
        assert session.get_one(Account, FUND).state == "frozen"


def test_a_leaf_that_is_no_account_s_is_named(world_at: Open) -> None:
    world = world_at("enrolled")
    with world.operator.store.unit_of_work() as session:
        log.append(session, b'{"kind":"entry"}')
    differs(world, "is an entry that no account has")


def test_entries_of_another_operator_do_not_hold(world_at: Open) -> None:
    world = world_at("two")
    with pytest.raises(HistoryDiffers, match="another operator"), world.operator.store.unit_of_work() as session:
        replay.check(session, world.funds[OTHER].identity.public_key)


@pytest.mark.long
@pytest.mark.sqlite_only("processes share a file that the caller's unit of work keeps other writers out of")
def test_other_processes_find_the_same(world_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("two")
    alone = checked(world)
    monkeypatch.setattr(replay, "MANY", 1)
    monkeypatch.setattr(replay, "_replayed", lambda *_: pytest.fail("replayed here"))
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key, 2) == alone
    spoil(world, account(OTHER, state=AccountState.FROZEN))
    with world.operator.store.unit_of_work() as session:
        assert replay.rewrite(session, world.key, 2) == [OTHER]
    spoil(world, entry(1, OTHER, subject="00"))
    with (
        world.operator.store.unit_of_work() as session,
        pytest.raises(HistoryDiffers, match=f"entry 1 of '{OTHER}': the column subject"),
    ):
        replay.check(session, world.key, 2)


# On the command line


def call(*arguments: str, directory: Path) -> Result:
    with postgres.operator_s_database(directory):
        result = CliRunner().invoke(app, ["operator", "replay", *arguments, "--dir", str(directory)])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def test_the_command_prints_what_was_compared(world_at: Open) -> None:
    world = world_at("two")
    result = call("--check", directory=world.directory)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"accounts": 2, "balances": 6, "entries": 14, "runs": 0}


def test_the_command_names_the_first_difference_and_writes_anew_when_told(world_at: Open) -> None:
    world = world_at("submitted")
    directory = world.directory
    spoil(world, account(state=AccountState.FROZEN))
    result = call("--check", directory=directory)
    assert result.exit_code == 1
    assert f"account '{FUND}': the column state is frozen, its entries give active" in result.output
    asked = call(directory=directory)
    assert asked.exit_code == 2
    assert "--yes" in asked.output
    assert call("--check", directory=directory).exit_code == 1
    written = call("--yes", directory=directory)
    assert (written.exit_code, json.loads(written.stdout)) == (0, {"written": [FUND]})
    assert call("--check", directory=directory).exit_code == 0


def test_the_command_wants_an_operator_s_directory(tmp_path: Path) -> None:
    result = call("--check", directory=tmp_path)
    assert result.exit_code == 2
    assert "operator.key" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_is_fast(tmp_path: Path) -> None:
    """What 100,000 entries would take, from 2,000 of an account that is run at every tick, in one process."""
    parties = long_story(2000)
    store = Store.in_directory(tmp_path)
    stored(store, parties)
    # The quickest of some: what else computes on the machine costs processor time too.
    spent = float("inf")
    for _ in range(5):
        started = time.process_time()
        with store.unit_of_work() as session:
            compared = replay.check(session, parties.operator.public_key)
        spent = min(spent, (time.process_time() - started) / compared.entries)
    store.close()
    print(f"{spent * 1e6:.0f} us of CPU an entry, 100,000 take {spent * 1e5:.1f} s")
    assert compared.entries >= 2000
    # What two cores have in half a minute.
    assert spent < 0.0006


def long_story(length: int) -> Parties:
    parties = Parties()
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    parties.enter(parties.submission(1, "a"))
    while len(parties.entries) < length:
        parties.tick()
        parties.enter(parties.run_opened())
        parties.enter(parties.record())
        parties.enter(parties.answer("covered"))
    return parties


def stored(store: Store, parties: Parties) -> None:
    """Store an account as the operator does, but for keys and ledger."""
    public, private = parties.state.public, parties.state.private
    with store.unit_of_work() as session:
        session.add(
            Account(
                institution=INSTITUTION,
                name="Fund",
                identity=parties.institution.public_key,
                seed=SEED,
                state=public.status,
                entries=parties.chain.number,
                head=parties.chain.head,
                public_state=entries.as_object(public),
                private_state=entries.as_object(private),
            )
        )
        session.flush()
        for number in range(1, parties.newest + 1):
            session.add(
                Tick(
                    sequence=number,
                    sha256=tick(number),
                    document={},
                    received_at=TIME,
                )
            )
        session.add(
            SubmissionRow(
                id=1,
                institution=INSTITUTION,
                sequence=1,
                sha256="",
                document={},
                public_before={},
                public_after={},
                received_at=TIME,
            )
        )
        session.flush()
        before = "0"
        for entry, document in parties.entries:
            if entry.body["tick_sequence"] != before:
                before = entry.body["tick_sequence"]
                log.append(session, canonical_bytes({"kind": "tick", "sequence": before}))
            session.add(
                EntryRow(
                    institution=INSTITUTION,
                    number=int(entry.body["number"]),
                    sha256=entry.body_hash(),
                    kind=entry.body["kind"],
                    subject=document.body_hash(),
                    entry=entry.to_json(),
                    document=document.to_json(),
                    leaf=log.append(session, entry_leaf(entry).to_bytes()),
                )
            )
            if document.type == "run":
                run_id, number = document.body["run_id"], int(document.body["price_sequence"])
                session.add(
                    Run(
                        run_id=run_id,
                        institution=INSTITUTION,
                        submission_id=1,
                        price_sequence=number,
                        state=RunState.COVERED,
                    )
                )
        moves = [
            ledger.Move("USDC", quantity, ledger.EXTERNAL, f"{INSTITUTION}/{place}")
            for place, held in (("free", private.free), ("posted", public.posted))
            for quantity in held.values()
        ]
        ledger.book(session, "all", "deposit", moves)
