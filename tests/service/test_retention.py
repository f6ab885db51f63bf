"""What is kept, what goes and when; and how much a run takes on the disk."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text, update
from typer.testing import CliRunner

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.service.cli.main import app
from atomic_margin.service.operator import retention
from atomic_margin.service.operator.retention import Pruned, Retention
from atomic_margin.service.operator.retention_rules import RetentionRules, RunKept, words_to_remove
from atomic_margin.service.operator.store.tables import EnrolledKeys, Run, ShortfallRow
from atomic_margin.service.protocol.states import RunState, ShortfallState
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .. import postgres
from .documents import FUND
from .world import World

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)


def rules_of(**numbers: int) -> RetentionRules:
    return RetentionRules.parse({name: str(number) for name, number in numbers.items()})


AT_ONCE = rules_of(words_newest=0)
MAX_BYTES_A_RUN = 60_000
MAX_BYTES_A_RUN_ON_POSTGRESQL = 62_000
"""Its rows and pages have headers of their own."""


def kept(number: int, state: RunState, days: float = 0, shortfall: ShortfallState | None = None) -> RunKept:
    return RunKept(f"fund.{number}", number, state, NOW - timedelta(days=days), shortfall)


def test_the_newest_runs_keep_their_words_and_none_for_ever() -> None:
    runs = [kept(number, RunState.COVERED, days=10 - number) for number in range(1, 10)]
    rules = rules_of(words_newest=3, words_days=2)
    assert words_to_remove(rules, runs, NOW) == tuple(f"fund.{number}" for number in range(1, 8))
    assert words_to_remove(rules, runs[-2:], NOW) == ()


@pytest.mark.parametrize(
    "state",
    [
        RunState.AWAITING_ANSWER,
        RunState.BREACH_VERIFIED,
        RunState.EVALUATING,
        RunState.UNPROVEN,
        RunState.SCHEDULED,
    ],
)
def test_what_is_owed_keeps_its_words_however_old(state: RunState) -> None:
    assert words_to_remove(AT_ONCE, [kept(2, state, days=10_000), kept(1, RunState.COVERED)], NOW) == ("fund.1",)


def test_a_run_that_was_not_answered_is_owed_until_a_newer_one_is() -> None:
    unproven = kept(1, RunState.UNPROVEN)
    assert words_to_remove(AT_ONCE, [unproven, kept(2, RunState.UNPROVEN)], NOW) == ()
    assert words_to_remove(AT_ONCE, [unproven, kept(2, RunState.COVERED)], NOW) == ("fund.1", "fund.2")


@pytest.mark.parametrize(
    ("shortfall", "goes"),
    [
        (None, True), (ShortfallState.RECORDED, True), (ShortfallState.FAILED, True),
        (ShortfallState.WAITING, False), (ShortfallState.EVALUATING, False),
    ],
)  # fmt: skip
def test_a_shortfall_that_is_to_come_keeps_its_run(shortfall: ShortfallState | None, goes: bool) -> None:
    run = kept(1, RunState.SETTLED, shortfall=shortfall)
    assert words_to_remove(AT_ONCE, [run], NOW) == (("fund.1",) if goes else ())


def test_nothing_goes_while_something_is_disputed() -> None:
    assert words_to_remove(AT_ONCE, [kept(1, RunState.COVERED, days=99)], NOW, disputed=True) == ()


def pruned(world: World, rules: RetentionRules = AT_ONCE, *, dry_run: bool = False) -> Pruned:
    return Retention(world.operator.store, world.operator.blobs, rules).prune(dry_run=dry_run)


def words(world: World, run_id: str) -> tuple[bool, bool]:
    run = world.run(run_id)
    return run.surplus_output is not None, run.breach_output is not None


def test_an_open_run_loses_nothing(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-open")
    assert pruned(world).runs == 1
    assert words(world, f"{FUND}.2") == (True, True)
    # And can be answered.
    world.answer(f"{FUND}.2")
    assert world.run(f"{FUND}.2").state is RunState.SETTLED


def test_words_of_answered_runs_go_and_their_bundles_verify(
    world_at: Callable[[str], World], group: Group, tmp_path: Path
) -> None:
    world = world_at("fall-done")
    with world.operator.store.unit_of_work() as session:
        session.execute(update(ShortfallRow).values(state=ShortfallState.FAILED))
    before = {run_id: world.bundle(run_id) for run_id in world.bundles()}
    counted = pruned(world, dry_run=True)
    assert words(world, f"{FUND}.1") == words(world, f"{FUND}.2") == (True, True)
    assert pruned(world) == counted
    assert (counted.runs, counted.bytes) == (2, 2 * 65_568 + 16_392)
    assert pruned(world) == Pruned()
    assert words(world, f"{FUND}.1") == (False, False)
    # The proof of a breach is about the words of its flag: they are evidence.
    assert words(world, f"{FUND}.2") == (False, True)
    for run_id, bundle in before.items():
        assert world.bundle(run_id) == bundle
        verify_attestation(world.bundle(run_id), world.trust_file(), group, lambda _: None)
    gone = world.client.get(f"/v1/runs/{FUND}.1/outputs/surplus", headers=world.admin)
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:atomic-margin:problem:gone")
    assert "`atomic-margin audit`" in gone.json()["detail"]
    assert world.client.get(f"/v1/runs/{FUND}.2/outputs/breach", headers=world.admin).status_code == 200
    absent = world.client.get(f"/v1/runs/{FUND}.1/outputs/nothing", headers=world.admin)
    assert absent.status_code == 404


def test_keys_and_ciphertexts_that_no_book_is_under_go_after_their_time(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("calm-done")
    blobs, old = world.operator.blobs, world.account().public.keys
    assert old is not None
    first = world.funds[FUND].sent[1].submission.ciphertext
    world.submit(FUND, (0,) * 16)
    second = world.funds[FUND].sent[2].submission.ciphertext
    assert blobs.size(first)
    assert blobs.size(second)
    rules = rules_of(ciphertext_days=3, keys_days=5)
    assert pruned(world, rules) == Pruned()
    present = retention.now()
    monkeypatch.setattr(retention, "now", lambda: present + timedelta(days=4))
    assert pruned(world, rules).ciphertexts == 1
    assert (blobs.size(first), blobs.size(second) > 0) == (0, True)
    monkeypatch.setattr(retention, "now", lambda: present + timedelta(days=4000))
    # Keys and book in force stay, however old.
    assert pruned(world, rules).superseded_keys == 0
    assert blobs.size(old)
    assert blobs.size(second)


def test_keys_that_nobody_confirmed_go_after_their_time(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("bare")
    world.admit("second")
    keys = world.funds["second"].keys()
    world.start_enrolment("second", keys)
    assert pruned(world) == Pruned()
    present = retention.now()
    monkeypatch.setattr(retention, "now", lambda: present + timedelta(days=3))
    assert pruned(world).unconfirmed_keys == 1
    with world.operator.store.reading() as session:
        assert [row.institution for row in session.query(EnrolledKeys)] == [FUND]
    # It begins anew.
    world.start_enrolment("second", keys, sequence=2)


@pytest.mark.long
def test_a_run_takes_less_than_it_may_on_the_disk(world_at: Callable[[str], World]) -> None:
    """Runs of one account, at words of the default profile, which are six times those of this one."""
    world = world_at("submitted")
    store, path = world.operator.store, world.directory / "operator.db"
    runs = 200 if store.sqlite else 80
    layout = layout_of(DEFAULT).messages
    usual = {"surplus_output": layout["surplus"].size, "breach_output": layout["breach"].size}

    def size() -> int:
        with store.engine.connect() as connection:
            if not store.sqlite:
                # What is dead is used again, as after the server's own vacuuming; the file does not shrink.
                alone = connection.execution_options(isolation_level="AUTOCOMMIT")
                alone.execute(text("VACUUM"))
                return int(alone.scalar(text("SELECT pg_database_size(current_database())")) or 0)
            connection.rollback()
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
        return path.stat().st_size

    def run(number: int) -> None:
        world.tick(1, sequence=str(number), as_of=f"2026-11-20T{8 + number // 60:02}:{number % 60:02}:00Z")
        run_id = f"{FUND}.{number}"
        assert world.evaluate() == run_id
        world.answer(run_id)
        with store.unit_of_work() as session:
            session.execute(
                update(Run).where(Run.run_id == run_id).values({name: bytes(n) for name, n in usual.items()})
            )
        Retention(store, world.operator.blobs, RetentionRules()).prune_words()

    for number in range(1, 11):
        run(number)
    before = size()
    for number in range(11, 11 + runs):
        run(number)
    each = (size() - before) / runs
    print(f"{each:.0f} bytes a run")
    assert each < (MAX_BYTES_A_RUN if store.sqlite else MAX_BYTES_A_RUN_ON_POSTGRESQL)
    with store.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM runs WHERE surplus_output IS NOT NULL")) == 4


def test_pruning_is_a_command_too(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    directory = str(world.directory)
    shown = CliRunner().invoke(app, ["operator", "prune", "--dir", directory, "--rules"])
    rules = world.directory / "rules.json"
    rules.write_text(json.dumps({**json.loads(shown.stdout), "words_newest": "0"}))
    arguments = ["operator", "prune", "--dir", directory, "--retention", str(rules)]
    with postgres.operator_s_database(world.directory):
        counted = CliRunner().invoke(app, [*arguments, "--dry-run", "--json"])
    assert json.loads(counted.stdout) == {
        "removed": False, "runs": 1, "shortfalls": 0, "unconfirmed_keys": 0, "superseded_keys": 0, "ciphertexts": 0,
        "deals": 0, "bytes": 65_568 + 16_392,
    }  # fmt: skip
    with postgres.operator_s_database(world.directory):
        done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "words of 1 runs" in done.stdout) == (0, True)
    assert words(world, f"{FUND}.1") == (False, False)
    nowhere = CliRunner().invoke(app, ["operator", "prune", "--dir", str(world.directory / "none")])
    assert (nowhere.exit_code, "operator.key is not there" in nowhere.stderr) == (2, True)
