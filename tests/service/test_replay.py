"""Accounts are rebuilt from their entries, and whatever else the operator stored is compared with that."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
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
    EntryRow,
    LedgerPosting,
    LedgerTransaction,
    Run,
    SubmissionRow,
    Tick,
)
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.states import RunState

from .account.documents import INSTITUTION, SEED, TIME, Parties, tick
from .documents import FUND, OTHER
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


def spoil(world: World, statement: str, **bound: Any) -> None:
    with world.operator.store.unit_of_work() as session:
        # Rows are spoilt that other rows name.
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        assert session.execute(text(statement), bound).rowcount == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("state", "active", "the column state is active, its entries give in_default"),
        ("head", "00" * 32, "the column head is 0000"),
        ("entries", 3, "the column entries is 3, its entries give"),
    ],
)
def test_a_column_of_an_account_that_differs_is_named_and_written_anew(
    world_at: Open, column: str, value: object, shown: str
) -> None:
    world = world_at("crash-done")
    spoil(world, f"UPDATE accounts SET {column} = :value WHERE institution = '{FUND}'", value=value)  # noqa: S608
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
    ("statement", "match"),
    [
        ("UPDATE entries SET kind = 'posted' WHERE number = 3", "entry 3 of 'FUND': the column kind"),
        ("UPDATE entries SET subject = '00' WHERE number = 2", "entry 2 of 'FUND': (its document|the column subject)"),
        ("UPDATE entries SET sha256 = '00' WHERE number = 2", "entry 2 of 'FUND': the column sha256"),
        ("DELETE FROM entries WHERE number = 4", "entry 5 of 'FUND': the entry has another"),
        ("UPDATE entries SET leaf = 10000 WHERE number = 4", "entry 4 of 'FUND': the column leaf"),
        ("UPDATE entries SET document = NULL WHERE number = 2", "entry 2 of 'FUND': its document is not stored"),
        ("UPDATE entries SET entry = json_set(entry, '$.body.public', '00') WHERE number = 2", "another public than"),
        ("UPDATE entries SET entry = json_set(entry, '$.signature', :zeros) WHERE number = 2", "the column leaf"),
        ("UPDATE entries SET entry = json_remove(entry, '$.body.market') WHERE number = 2", "of another kind"),
        ("UPDATE log_leaves SET entry = X'7b7d' WHERE number = 0", "entry 1 of 'FUND': the column leaf"),
        ("UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0", "leaf 0 has another hash"),
        ("UPDATE submissions SET document = json_set(document, '$.signature', :zeros)", "another document than"),
        ("UPDATE accounts SET seed = :seed", "entry 1 of 'FUND': the entry has another account"),
    ],
)  # fmt: skip
def test_an_entry_that_differs_is_named(world_at: Open, statement: str, match: str) -> None:
    world = world_at("calm-done")
    bound = {"zeros": "00" * 64, "seed": "00" * 32}
    spoil(world, statement, **{name: value for name, value in bound.items() if f":{name}" in statement})
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
    statement = "UPDATE log_leaves SET entry = :leaf WHERE number = (SELECT max(leaf) - 2 FROM entries)"
    with world.operator.store.unit_of_work() as session:
        leaves = list(session.scalars(text("SELECT entry FROM log_leaves ORDER BY number DESC LIMIT 4")))
    # Before the run are the leaves of the price and of its tick.
    assert [json.loads(leaf)["kind"] for leaf in leaves] == ["entry", "entry", "tick", "price"]
    spoil(world, statement, leaf=canonical_bytes({"kind": kind, "sequence": value}))
    differs(world, match)


def test_what_does_not_hold_is_not_written_from(world_at: Open) -> None:
    world = world_at("calm-done")
    spoil(world, "UPDATE accounts SET state = 'frozen'")
    spoil(world, "UPDATE entries SET entry = json_set(entry, '$.body.public', '00') WHERE number = 2")
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
def test_other_processes_find_the_same(world_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("two")
    alone = checked(world)
    monkeypatch.setattr(replay, "MANY", 1)
    monkeypatch.setattr(replay, "_replayed", lambda *_: pytest.fail("replayed here"))
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key, 2) == alone
    spoil(world, f"UPDATE accounts SET state = 'frozen' WHERE institution = '{OTHER}'")  # noqa: S608
    with world.operator.store.unit_of_work() as session:
        assert replay.rewrite(session, world.key, 2) == [OTHER]
    spoil(world, f"UPDATE entries SET subject = '00' WHERE institution = '{OTHER}' AND number = 1")  # noqa: S608
    with (
        world.operator.store.unit_of_work() as session,
        pytest.raises(HistoryDiffers, match=f"entry 1 of '{OTHER}': the column subject"),
    ):
        replay.check(session, world.key, 2)


# On the command line


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["operator", "replay", *arguments])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def test_the_command_prints_what_was_compared(world_at: Open) -> None:
    world = world_at("two")
    result = call("--check", "--dir", str(world.directory))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"accounts": 2, "balances": 6, "entries": 14, "runs": 0}


def test_the_command_names_the_first_difference_and_writes_anew_when_told(world_at: Open) -> None:
    world = world_at("submitted")
    directory = str(world.directory)
    spoil(world, "UPDATE accounts SET state = 'frozen'")
    result = call("--check", "--dir", directory)
    assert result.exit_code == 1
    assert f"account '{FUND}': the column state is frozen, its entries give active" in result.output
    asked = call("--dir", directory)
    assert asked.exit_code == 2
    assert "--yes" in asked.output
    assert call("--check", "--dir", directory).exit_code == 1
    written = call("--yes", "--dir", directory)
    assert (written.exit_code, json.loads(written.stdout)) == (0, {"written": [FUND]})
    assert call("--check", "--dir", directory).exit_code == 0


def test_the_command_wants_an_operator_s_directory(tmp_path: Path) -> None:
    result = call("--check", "--dir", str(tmp_path))
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
