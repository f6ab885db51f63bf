"""Ticks and runs on the real store: order, deadlines, failures, the chain of records."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import (
    Conflict,
    IllegalTransition,
    MalformedRequest,
    NotFound,
    PricesRefused,
    RequestError,
    SignatureInvalid,
)
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.operator.runs import claims, records, ticks
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.account.errors import WrongRun
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord, second_run_of
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, OTHER
from .stages import Stages
from .world import Fund, World

WorldAt = Callable[[str], World]
MONDAY = {"sequence": "5", "as_of": "2026-11-21T08:00:00Z"}


# Ticks


def test_ticks_advance_by_one(world_at: WorldAt) -> None:
    world = world_at("calm-open")
    for sequence in ("1", "0", "3", str(2**63 - 1)):
        with pytest.raises(Conflict) as caught:
            ticks.take_tick(world.operator, world.prices(1, sequence=sequence, as_of="2026-11-20T09:00:00Z"))
        assert caught.value.field == "sequence"
    for as_of in ("2026-11-20T08:00:00Z", "2026-11-20T07:59:59Z"):
        with pytest.raises(PricesRefused) as late:
            ticks.take_tick(world.operator, world.prices(1, sequence="2", as_of=as_of))
        assert late.value.field == "as_of"
    assert world.tick(2) == [f"{FUND}.2"]


def test_ticks_of_strangers_and_wrong_ticks_are_refused(world_at: WorldAt) -> None:
    world = world_at("submitted")
    good = world.prices(1)
    body = good["prices"][0]["body"]

    def send(signed: SignedDocument) -> None:
        ticks.take_tick(world.operator, {**good, "prices": [signed.to_json()]})

    with pytest.raises(SignatureInvalid):
        send(Identity.generate().sign("price", body))
    with pytest.raises(MalformedRequest):
        send(world.source.sign("run", body))
    for wrong in ({"rate": None}, {"collateral": {}}, {"underlyings": {}}, {"x": "1"}):
        with pytest.raises((DocumentsError, MarginError, RequestError)):
            send(world.source.sign("price", {**body, "market": {**body["market"], **wrong}}))
    assert world.states() == {}
    assert world.tick(1) == [f"{FUND}.1"]


def test_the_longest_name_still_gets_runs(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("enrolled")
    name = "n" * 32
    world.funds[name] = Fund(name)
    admission = {"institution": name, "name": "long", "identity": world.funds[name].identity.public_key}
    assert world.client.post("/v1/admissions", json=admission, headers=world.admin).status_code == 201
    world.start_enrolment(name, world.funds[name].keys())
    enrolment.confirm(world.operator, name, world.confirmation(name, world.funds[name].keys()).to_json())
    world.submit(name, stages.book)
    world.play(1)
    assert set(world.states().values()) == {RunState.AWAITING_ANSWER}
    # However many ticks there are, a record can name the run.
    record = world.run(f"{name}.1").record
    assert record is not None
    RunRecord.parse({**record["body"], "run_id": second_run_of(f"{name}.{2**63 - 1}")})


# Runs


def test_runs_go_by_name_one_at_a_time_for_an_account(world_at: WorldAt) -> None:
    world = world_at("two")
    assert world.tick(1) == [f"{OTHER}.1", f"{FUND}.1"]
    assert [world.evaluate() for _ in range(3)] == [f"{OTHER}.1", f"{FUND}.1", None]
    assert world.tick(2) == [f"{OTHER}.2", f"{FUND}.2"]
    assert world.evaluate() is None
    world.answer(f"{FUND}.1")
    assert [world.evaluate() for _ in range(2)] == [f"{FUND}.2", None]
    world.answer(f"{OTHER}.1")
    assert [world.evaluate() for _ in range(2)] == [f"{OTHER}.2", None]


def test_a_run_is_at_the_newest_tick_when_its_turn_comes(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    assert world.evaluate() == f"{OTHER}.1"
    world.tick(2)
    # One has begun, and later ticks do not end it; the other's turn had not come.
    assert world.states() == {
        f"{OTHER}.1": RunState.AWAITING_ANSWER,
        f"{OTHER}.2": RunState.SCHEDULED,
        f"{FUND}.1": RunState.SUPERSEDED,
        f"{FUND}.2": RunState.SCHEDULED,
    }
    assert [world.evaluate() for _ in range(2)] == [f"{FUND}.2", None]
    with pytest.raises(NotFound):
        world.answer(f"{FUND}.1", world.prove_answer(f"{FUND}.2"))


def test_a_tick_that_comes_while_a_run_is_being_prepared_takes_its_place(
    world_at: WorldAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    world.tick(1)
    plan = records._planned

    def slowly(*arguments: Any) -> records.Plan:
        monkeypatch.setattr(records, "_planned", plan)
        planned = plan(*arguments)
        world.tick(2)
        return planned

    monkeypatch.setattr(records, "_planned", slowly)
    assert world.evaluate() == f"{FUND}.1"
    assert world.states() == {f"{FUND}.1": RunState.SUPERSEDED, f"{FUND}.2": RunState.SCHEDULED}
    assert world.account().public.run is None
    assert world.evaluate() == f"{FUND}.2"


def test_collateral_that_is_posted_while_a_run_is_being_prepared_counts(
    world_at: WorldAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    world.tick(1)
    plan = records._planned

    def slowly(*arguments: Any) -> records.Plan:
        monkeypatch.setattr(records, "_planned", plan)
        planned = plan(*arguments)
        world.instruct(FUND, "post", "USDC", 7)
        return planned

    monkeypatch.setattr(records, "_planned", slowly)
    assert world.evaluate() == f"{FUND}.1"
    _, record = parse_signed(world.run(f"{FUND}.1").record, RunRecord)
    assert record.posted == world.held(f"{FUND}/posted")


def test_nobody_evaluates_while_another_run_of_the_account_is_evaluated(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    found: list[str | None] = []

    def meanwhile() -> None:
        world.evaluator.meanwhile = lambda: None
        found.append(world.evaluate())
        found.append(world.evaluate())

    world.evaluator.meanwhile = meanwhile
    assert world.evaluate() == f"{OTHER}.1"
    assert found == [f"{FUND}.1", None]


def test_records_form_one_chain(world_at: WorldAt) -> None:
    world = world_at("two")
    for number in (1, 2):
        world.play(number)
        for run_id, state in world.states().items():
            if state == RunState.AWAITING_ANSWER:
                world.answer(run_id)
    with world.operator.store.unit_of_work() as session:
        rows = session.query(Run).order_by(Run.number).all()
    assert [row.number for row in rows] == [1, 2, 3, 4]
    previous = GENESIS
    for row in rows:
        signed, record = parse_signed(row.record, RunRecord)
        signed.verify(frozenset({world.key}))
        assert (record.previous, record.number) == (previous, row.number)
        assert hashlib.sha256(row.breach_output or b"").hexdigest() == record.outputs.breach
        assert hashlib.sha256(row.surplus_output or b"").hexdigest() == record.outputs.surplus
        assert row.record_hash == signed.body_hash()
        previous = signed.body_hash()
    assert not any(world.totals().values())


def test_collateral_moved_by_a_settlement_counts_in_the_next_run(world_at: WorldAt) -> None:
    world = world_at("submitted")
    for number in (1, 2, 3):
        world.tick(number)
        assert world.evaluate() == f"{FUND}.{number}"
        _, record = parse_signed(world.run(f"{FUND}.{number}").record, RunRecord)
        assert record.posted == world.held(f"{FUND}/posted")
        assert world.evaluate() is None
        world.answer(f"{FUND}.{number}")
    assert world.states() == {
        f"{FUND}.1": RunState.COVERED,
        f"{FUND}.2": RunState.SETTLED,
        f"{FUND}.3": RunState.COVERED,
    }


def test_silence_freezes_and_a_late_answer_unfreezes(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("calm-open")
    # By the run's own deadline: the stage may have been made minutes ago.
    deadline = datetime.fromisoformat((world.run(f"{FUND}.1").deadline or "").replace("Z", "+00:00"))
    monkeypatch.setattr(runs, "now", lambda: deadline)
    assert runs.sweep_deadlines(world.operator) == []
    monkeypatch.setattr(runs, "now", lambda: deadline + timedelta(seconds=1))
    assert runs.sweep_deadlines(world.operator) == [f"{FUND}.1"]
    assert runs.sweep_deadlines(world.operator) == []
    assert (world.state(), world.run(f"{FUND}.1").state) == (AccountState.FROZEN, RunState.UNPROVEN)
    with pytest.raises(IllegalTransition, match="frozen"):
        world.instruct(FUND, "withdraw", "USDC", 1)
    world.instruct(FUND, "post", "USDC", 1)
    world.answer(f"{FUND}.1")
    assert (world.state(), world.run(f"{FUND}.1").state) == (AccountState.ACTIVE, RunState.COVERED)
    world.instruct(FUND, "withdraw", "USDC", 1)


def test_a_frozen_account_is_watched_and_a_late_breach_is_settled(
    world_at: WorldAt, later: Callable[[int], None]
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    run_id = world.play(2)
    assert world.run(run_id).state == RunState.AWAITING_ANSWER
    assert world.state() == AccountState.FROZEN
    later(3000)
    assert runs.sweep_deadlines(world.operator) == [run_id]
    world.answer(run_id)
    assert (world.state(), world.run(run_id).state) == (AccountState.ACTIVE, RunState.SETTLED)


def test_an_older_run_is_refused_once_a_later_one_is_evaluated(
    world_at: WorldAt, later: Callable[[int], None], stages: Stages
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    world.play(2)
    with pytest.raises(WrongRun, match="takes no answer"):
        world.answer(f"{FUND}.1", stages.answers["calm"])
    assert world.state() == AccountState.FROZEN


def test_an_older_run_is_refused_while_a_later_one_is_evaluated(
    world_at: WorldAt, later: Callable[[int], None], stages: Stages
) -> None:
    """The later run has read the collateral already: a call now would be made twice."""
    world = world_at("fall-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(WrongRun, match="takes no answer") as caught:
            world.answer(f"{FUND}.2", stages.answers["fall"])
        refused.append(str(caught.value))

    world.evaluator.meanwhile = meanwhile
    world.play(3)
    assert len(refused) == 1
    assert world.settlements() == {}


def test_a_failed_evaluation_is_tried_again(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    world.evaluator.failures = 2
    assert [world.evaluate() for _ in range(3)] == [f"{FUND}.1"] * 3
    assert (world.run(f"{FUND}.1").state, world.run(f"{FUND}.1").attempts) == (RunState.AWAITING_ANSWER, 3)
    assert world.state() == AccountState.ACTIVE


def test_an_evaluation_that_fails_three_times_is_void_and_nothing_is_owed(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    keys = world.directory / "blobs" / str(world.account().public.keys)
    kept = keys.read_bytes()
    keys.unlink()
    seen = [world.evaluate() for _ in range(6)]
    assert sorted(filter(None, seen)) == [f"{OTHER}.1", *[f"{FUND}.1"] * 3]
    assert world.states() == {f"{OTHER}.1": RunState.AWAITING_ANSWER, f"{FUND}.1": RunState.FAILED}
    assert (world.state(FUND), world.state(OTHER)) == (AccountState.ACTIVE, AccountState.ACTIVE)
    public = world.account().public
    assert (public.run, public.owed, public.last_run) == (None, None, 1)
    assert "NotFound" in str(world.run(f"{FUND}.1").problem)
    # The tick is used up; the next one is run again.
    keys.write_bytes(kept)
    world.play(2)
    assert world.run(f"{FUND}.2").state == RunState.AWAITING_ANSWER


def test_a_crash_while_evaluating_costs_no_attempt(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)

    class PowerCut(BaseException):
        pass

    def cut() -> None:
        raise PowerCut

    for _ in range(4):
        world.evaluator.meanwhile = cut
        with pytest.raises(PowerCut):
            world.evaluate()
        assert world.run(f"{FUND}.1").state == RunState.EVALUATING
        assert world.evaluate() is None
        world = world.restarted()
        assert claims.recover(world.operator) == [f"{FUND}.1"]
        assert (world.run(f"{FUND}.1").state, world.run(f"{FUND}.1").attempts) == (RunState.SCHEDULED, 0)
    assert world.evaluate() == f"{FUND}.1"
    assert world.run(f"{FUND}.1").number == 1
    world.close()


def test_an_account_in_default_gets_no_runs_and_no_instructions(world_at: WorldAt) -> None:
    world = world_at("crash-done")
    assert world.state() == AccountState.IN_DEFAULT
    assert world.tick(4, **MONDAY) == []
    assert world.evaluate() is None
    world.deposit(FUND, "USDC", 5, "late money")
    for action in ("post", "withdraw"):
        with pytest.raises(Conflict, match="in_default"):
            world.instruct(FUND, action, "USDC", 1)
    with pytest.raises(Conflict):
        enrolment.issue_nonce(world.operator, FUND)


def test_runs_scheduled_before_a_default_are_not_evaluated(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("crash-open")
    assert world.tick(4, **MONDAY) == [f"{FUND}.5"]
    world.answer(f"{FUND}.4", stages.answers["crash"])
    assert world.evaluate() is None
    assert (world.run(f"{FUND}.5").state, world.run(f"{FUND}.5").problem) == (
        RunState.FAILED,
        "the account is in default",
    )


def test_a_flat_account_owes_nothing(world_at: WorldAt) -> None:
    """No positions, no collateral: nothing can be lost, so nothing may be called."""
    world = world_at("enrolled")
    world.submit(FUND, (0,) * len(world.columns))
    world.play(1)
    assert world.prove_answer(f"{FUND}.1").body["outcome"] == "covered"


def test_the_run_that_waits_is_shown_however_many_are_behind_it(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.play(1)
    for number in range(2, 42):
        world.tick(1, sequence=str(number), as_of=f"2026-11-22T00:{number:02}:00Z")
    view = world.client.get(f"/v1/institutions/{FUND}", auth=world.auth()).json()
    assert view["runs"][0] == {"run_id": f"{FUND}.1", "state": "awaiting_answer", "price_sequence": "1"}
    assert [run["price_sequence"] for run in view["runs"][1:]] == [str(number) for number in range(10, 42)]


def test_a_late_run_that_cannot_be_ended_holds_up_no_other(
    world_at: WorldAt, later: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, overdue = world_at("two"), runs._overdue
    world.play(1)
    later(905)

    def fails_for_one(operator: Any, session: Any, run: Run) -> bool:
        if run.institution == OTHER:
            raise OSError("the disk is full")
        return overdue(operator, session, run)

    monkeypatch.setattr(runs, "_overdue", fails_for_one)
    assert runs.sweep_deadlines(world.operator) == [f"{FUND}.1"]
    assert world.states() == {f"{OTHER}.1": RunState.AWAITING_ANSWER, f"{FUND}.1": RunState.UNPROVEN}
    monkeypatch.setattr(runs, "_overdue", overdue)
    assert runs.sweep_deadlines(world.operator) == [f"{OTHER}.1"]
