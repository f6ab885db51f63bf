"""The kill switch at the operator: a breach waits and settles once, crash or not; all accounts have it, or none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.errors import Conflict, HistoryDiffers, IllegalTransition
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.halt_documents import Halt
from atomic_margin.service.protocol.released import ReleasedHistory, release
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.reports.facts import read_released

from .documents import FUND, Json
from .stages import Stages
from .test_archive import archived, verified
from .world import World

WorldAt = Callable[[str], World]
FALL = f"{FUND}.2"


def checked(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


def test_a_breach_that_waits_settles_once_after_the_resume(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    before = world.ledger()
    halts.halt(world.operator, "an incident", ticks=3)
    entry = world.answer(FALL, stages.answers["fall"])
    # The answer has its receipt; nothing moved.
    assert entry.body["kind"] == "breach proven"
    assert (world.run(FALL).state, world.settlements(), world.ledger()) == (RunState.BREACH_VERIFIED, {}, before)
    assert world.answer(FALL, stages.answers["fall"]).body_hash() == entry.body_hash()
    world = world.restarted()
    assert answers.settle_unfinished(world.operator) == []
    with pytest.raises(IllegalTransition, match="halted leaving"):
        world.instruct(FUND, "withdraw", "USDC", 1)
    halts.resume(world.operator, "found and mended")
    world = world.restarted()
    assert answers.settle_unfinished(world.operator) == [FALL]
    assert answers.settle_unfinished(world.operator) == []
    assert list(world.settlements()) == [FALL]
    assert (world.state(), world.run(FALL).state) == (AccountState.ACTIVE, RunState.SETTLED)
    checked(world)
    world.close()


def test_it_is_over_by_itself_with_the_ticks(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    halts.halt(world.operator, "an incident", ticks=0)
    world.answer(FALL, stages.answers["fall"])
    assert answers.settle_unfinished(world.operator) == []
    world.tick(3)
    with pytest.raises(Conflict, match="no halt is in force"):
        halts.resume(world.operator, "late")
    assert answers.settle_unfinished(world.operator) == [FALL]
    checked(world)


def test_no_run_begins_and_no_time_is_over(world_at: WorldAt) -> None:
    world = world_at("fall-open")
    halts.halt(world.operator, "an incident", ("settlements",))
    with world.operator.store.unit_of_work() as session:
        session.get_one(runs.Run, FALL).deadline = "2020-01-01T00:00:00Z"
    assert runs.sweep_deadlines(world.operator) == []
    halts.resume(world.operator, "over")
    halts.halt(world.operator, "another", ("runs",))
    assert runs.sweep_deadlines(world.operator) == []
    halts.resume(world.operator, "over")
    assert runs.sweep_deadlines(world.operator) == [FALL]
    halts.halt(world.operator, "a third", ("runs",), 5)
    world.tick(3)
    assert runs.evaluate_next(world.operator) is None
    assert world.run(f"{FUND}.3").state is RunState.SCHEDULED
    halts.resume(world.operator, "over")
    assert runs.evaluate_next(world.operator) == f"{FUND}.3"
    checked(world)


def test_a_run_that_a_halt_comes_before_is_given_back_and_was_no_attempt(world_at: WorldAt) -> None:
    world = world_at("fall-open")
    with world.operator.store.unit_of_work() as session:
        session.get_one(runs.Run, FALL).deadline = "2020-01-01T00:00:00Z"
    runs.sweep_deadlines(world.operator)
    world.tick(3)
    run = runs.claim(world.operator, world.operator.line, lambda run: True)
    assert run is not None
    halts.halt(world.operator, "an incident", ("runs",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "claim", lambda *_: run)
        assert runs.evaluate_next(world.operator) == run.run_id
    again = world.run(run.run_id)
    assert (again.state, again.attempts) == (RunState.SCHEDULED, 0)
    assert "halted runs" in (again.problem or "")


def test_all_accounts_have_it_and_those_that_come_later(world_at: WorldAt) -> None:
    world = world_at("fall-open")
    world.admit("early")
    document = halts.halt(world.operator, "an incident")
    world.admit("later")
    names = (FUND, "early", "later")
    for name in names:
        held = world.account(name).public.halts
        assert held is not None
        assert (held.number, held.halt) == (1, document.body_hash())
    halts.resume(world.operator, "over")
    world.admit("latest")
    for name in (*names, "latest"):
        held = world.account(name).public.halts
        assert held is not None
        assert (held.number, held.halt) == (2, None)
    checked(world)


def test_an_operator_that_halts_one_account_alone_is_refused_by_its_own_code_and_found(world_at: WorldAt) -> None:
    world = world_at("fall-open")
    world.admit("early")
    with world.operator.store.unit_of_work() as session:
        at = entries.newest(session)
    body = {
        "operator": world.key,
        "number": "1",
        "scope": ["leaving"],
        "reason": "this one alone",
        "tick": at.tick_hash,
        "tick_sequence": str(at.tick),
        "until": str(at.tick),
        "announced_at": "2026-11-27T12:00:00Z",
    }
    alone = Halt.parse(body).signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        with pytest.raises(Conflict, match="of every account, or of none"):
            entries.enter(session, world.operator.book, account, alone)
        with pytest.raises(Conflict, match="is not new"):
            entries.enter_in_new(session, world.operator.book, account, alone)
    checked(world)
    # One that goes around its own code: its replay says so, and the next halt fits none of the two.
    with world.operator.store.unit_of_work() as session:
        entries._append(
            session, world.operator.book, session.get_one(Account, FUND),
            entries.chain_of(session.get_one(Account, FUND)), alone,
        )  # fmt: skip
    with pytest.raises(HistoryDiffers, match="is under another halt than account 'early'"):
        checked(world)
    with pytest.raises(IllegalTransition, match="the next halt or resume has number 2"):
        halts.halt(world.operator, "of all")
    assert world.account("early").public.halts is None


def test_the_calls_of_the_operators_people(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    calm = world.client.get("/v1/breakers", headers=world.admin).json()
    assert calm == {"staged": None, "halt": None, "rules": None, "waiting": []}
    for path in ("/v1/breakers/halts", "/v1/breakers/resumes"):
        assert world.client.post(path, json={"reason": "mine"}, auth=world.auth()).status_code == 401
        assert world.client.post(path, json={"reason": ""}, headers=world.admin).status_code == 422
    assert world.client.get("/v1/breakers", auth=world.auth()).status_code == 401
    refused = world.client.post("/v1/breakers/resumes", json={"reason": "over"}, headers=world.admin)
    assert (refused.status_code, refused.json()["field"]) == (409, "halt")
    for wrong in ({"scope": []}, {"scope": ["answers"]}, {"ticks": "2881"}, {"ticks": "-1"}):
        body = {"reason": "an incident", **wrong}
        assert world.client.post("/v1/breakers/halts", json=body, headers=world.admin).status_code in (400, 422)
    signed = world.client.post("/v1/breakers/halts", json={"reason": "an incident"}, headers=world.admin)
    assert signed.status_code == 201
    world.answer(FALL, stages.answers["fall"])
    view = world.client.get("/v1/breakers", headers=world.admin).json()
    assert view["halt"] == signed.json()
    assert [(one["run_id"], one["due"]) for one in view["waiting"]] == [(FALL, False)]
    assert world.client.post("/v1/breakers/resumes", json={"reason": "over"}, headers=world.admin).status_code == 201
    view = world.client.get("/v1/breakers", headers=world.admin).json()
    assert (view["halt"], [one["due"] for one in view["waiting"]]) == (None, [True])


def shown_halts(world: World, name: str) -> list[tuple[str, str, Json]]:
    """What whoever is shown a released history sees of halts: kind, tick and document."""
    account = world.operator.account(name)
    history = ReleasedHistory.parse(release(world.entries(name), Salts(account.seed), world.key))
    read_released(history, world.key)
    return [
        (item.entry["body"]["kind"], item.entry["body"]["tick_sequence"], item.document or {})
        for item in history.entries
        if item.entry["body"]["kind"] in ("halted", "resumed")
    ]


def test_released_histories_show_the_same_halt_at_the_same_tick_and_one_alone_shows(
    world_at: WorldAt, stages: Stages, tmp_path: Path
) -> None:
    world = world_at("fall-open")
    world.admit("early")
    halts.halt(world.operator, "an incident")
    world.answer(FALL, stages.answers["fall"])
    halts.resume(world.operator, "over")
    assert answers.settle_unfinished(world.operator) == [FALL]
    first, second = shown_halts(world, FUND), shown_halts(world, "early")
    assert [kind for kind, _, _ in first] == ["halted", "resumed"]
    assert first == second
    # The archive of the account replays, with the halt in it.
    found = verified(archived(world, tmp_path / "a.zip"), world.trust())
    assert found.account == world.account()
    # An operator that goes around its own code halts one alone: the other history does not have it.
    one = Halt.parse({**first[0][2]["body"], "number": "3"})
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        signed = one.signed_by(world.operator.identity)
        entries._append(session, world.operator.book, account, entries.chain_of(account), signed)
    assert shown_halts(world, FUND) != shown_halts(world, "early") == second
