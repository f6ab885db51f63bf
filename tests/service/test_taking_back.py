"""An operator that was restored from an older backup, with no witnesses: both sides notice, and the account goes on."""

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import BackupInvalid, Conflict, OperatorBehind
from atomic_margin.service.files import read_json
from atomic_margin.service.institution.export import exported
from atomic_margin.service.operator.replay import check
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.store import behind
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.taking_back import take_back
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account_export import AccountExport
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import AccountState, RunState

from .resident import Resident, Residents
from .rounds import Clock, flat, in_step
from .rounds import later as later
from .rounds import resident as resident
from .rounds import residents as residents
from .world import World

pytestmark = pytest.mark.long


def tick_at(resident: Resident, number: int, prices: int = 1) -> str:
    resident.world.play(prices, sequence=str(number), as_of=f"2026-11-20T09:{number:02}:00Z")
    return f"{resident.name}.{number}"


def restore(resident: Resident, backup: Path) -> None:
    """Bring the operator's folder back from a backup, and start it."""
    world = resident.world
    world.close()
    shutil.rmtree(world.directory)
    shutil.copytree(backup, world.directory)
    resident.world = resident.line.world = World(world.directory, world.source, world.funds, world.rules, world.terms)


def live(resident: Resident) -> None:
    """Have happen to the account what is taken back."""
    assert resident.agent.answer_due() == []
    run_id = tick_at(resident, 1)
    assert resident.agent.answer_due() == [run_id]
    resident.world.deposit(resident.name, "USDC", 11, "after the backup")
    resident.agent.instruct("post", "USDC", 7)
    run_id = tick_at(resident, 2, prices=2)
    assert resident.agent.answer_due() == [run_id]
    assert resident.world.states()[run_id] == RunState.SETTLED
    resident.world.void()
    resident.agent.submit(flat())
    run_id = tick_at(resident, 4)
    assert resident.agent.answer_due() == [run_id]
    resident.agent.instruct("withdraw", "USDC", 3)


def goes_on(resident: Resident, number: int) -> None:
    run_id = tick_at(resident, number)
    assert resident.agent.answer_due() == [run_id]
    assert resident.world.states()[run_id] == RunState.COVERED
    public = resident.state.public
    assert (public.status, public.run, public.owed, public.waiting) == (AccountState.ACTIVE, None, None, None)
    assert in_step(resident)
    assert resident.agent.contradiction is None


def entries_here(resident: Resident) -> int:
    with resident.world.operator.store.reading() as session:
        return session.get_one(Account, resident.name).entries


def test_both_sides_say_so_and_the_account_goes_on(
    residents: Residents, resident: Resident, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live(resident)
    before, ledger, known = resident.state, resident.world.ledger(), entries_here(resident)
    restore(resident, residents.root / "operator")
    stored = entries_here(resident)
    assert stored < known
    behind._said.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(OperatorBehind, match=r"was restored from an older backup.*institution export"):
                resident.agent.answer_due()
    said = [record.getMessage() for record in caplog.records if "older backup" in record.getMessage()]
    assert said == [
        f"institution {resident.name} knows {known} entries of its account, and the database has {stored}: it is "
        'an older backup; stop, and see "Restored from an older backup" in docs/operator.md'
    ]
    file = tmp_path / "fund.account"
    arguments = ["institution", "export", "--dir", str(resident.folder), "--to", str(file), "--after", str(stored)]
    written = CliRunner().invoke(app, arguments)
    assert written.exit_code == 0, written.output
    assert f"{known - stored} entries of {resident.name} and 4 ticks" in written.stdout
    assert file.stat().st_mode & 0o077 == 0
    account = AccountExport.parse(read_json(file))
    assert take_back(resident.world.operator, [account]) == {resident.name: known - stored}
    assert resident.agent.answer_due() == []
    assert resident.state == before
    assert resident.world.ledger() == ledger
    with resident.world.operator.store.reading() as session:
        check(session, resident.world.key, 1)
    # Twice is once.
    assert take_back(resident.world.operator, [account]) == {resident.name: 0}
    goes_on(resident, 5)
    resident.agent.instruct("post", "USDC", 1)


def test_a_run_whose_words_were_lost_ends_and_the_account_comes_free(
    residents: Residents, resident: Resident, later: Callable[[int], None]
) -> None:
    clock = Clock()
    agent = resident.restarted(clock=clock)
    run_id = tick_at(resident, 1)
    agent.history.sync()
    restore(resident, residents.root / "operator")
    take_back(resident.world.operator, [exported(resident.folder)])
    assert resident.world.states()[run_id] == RunState.AWAITING_ANSWER
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    assert resident.state.public.status is AccountState.FROZEN
    resident.world.tick(1, sequence="2", as_of="2026-11-20T09:02:00Z")
    agent.answer_due()
    clock.wait(agent.settings.unasked_after)
    agent.answer_due()
    assert resident.state.public.status is AccountState.ACTIVE
    goes_on(resident, 3)


def changed(account: AccountExport, change: Callable[[dict[str, Any]], None]) -> AccountExport:
    document = account.model_dump(mode="json")
    change(document)
    return AccountExport.parse(document)


def forged(document: dict[str, Any]) -> None:
    other = Identity.generate()
    entry = document["entries"][-1]["entry"]
    document["entries"][-1]["entry"] = other.sign("entry", entry["body"]).to_json()


def left_out(document: dict[str, Any]) -> None:
    del document["entries"][-2]


def without_ticks(document: dict[str, Any]) -> None:
    document["ticks"] = document["ticks"][:1]


def other_tick(document: dict[str, Any]) -> None:
    document["ticks"][0] = Identity.generate().sign("tick", document["ticks"][0]["body"]).to_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (forged, "cannot be taken back: entry: signed by a key that is not trusted"),
        (left_out, "cannot be taken back: .*(left out|does not follow|follows another entry)"),
        (without_ticks, "tick 2 is in none of the files: agents keep the newest 64"),
        (other_tick, "tick: signed by a key that is not trusted for it"),
        (lambda document: document.update(seed="0" * 64), "not admitted here, or under another seed"),
    ],
)
def test_what_the_operator_did_not_sign_in_this_order_is_not_taken(
    change: Callable[[dict[str, Any]], None], said: str, residents: Residents, resident: Resident
) -> None:
    live(resident)
    account = exported(resident.folder)
    restore(resident, residents.root / "operator")
    before = resident.world.ledger(), entries_here(resident)
    with pytest.raises(BackupInvalid, match=said):
        take_back(resident.world.operator, [changed(account, change)])
    assert (resident.world.ledger(), entries_here(resident)) == before


def test_an_account_that_went_on_is_not_taken_back(residents: Residents, resident: Resident) -> None:
    live(resident)
    account = exported(resident.folder)
    restore(resident, residents.root / "operator")
    resident.world.deposit(resident.name, "USDC", 1, "another history")
    with pytest.raises(BackupInvalid, match=r"has gone on here: entry .* is another one than the institution has"):
        take_back(resident.world.operator, [account])


def test_a_log_that_witnesses_cosigned_is_not_made_again(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = resident.world.operator
    witnesses = (("http://127.0.0.1:1", operator.log_key),)
    monkeypatch.setattr(operator, "settings", dataclasses.replace(operator.settings, witnesses=witnesses))
    with pytest.raises(Conflict, match="witnesses have seen the log that was lost"):
        take_back(operator, [exported(resident.folder)])


def test_what_belongs_to_an_entry_of_other_kinds_was_the_operators_alone(
    residents: Residents, resident: Resident
) -> None:
    resident.agent.rotate_keys()
    account = exported(resident.folder)
    assert EventKind.KEYS_ENROLLED in {entry.entry.body["kind"] for entry in account.entries}
    restore(resident, residents.root / "operator")
    with pytest.raises(BackupInvalid, match="what belongs to 'keys enrolled' was the operator's alone"):
        take_back(resident.world.operator, [account])
