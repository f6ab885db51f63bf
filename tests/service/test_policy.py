"""The policy `unless_proven`: a run is asked for its proof before anything is evaluated. Real store and proofs."""

import copy
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import AttestationInvalid, Conflict
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import background, records
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.account.entries import salted_hash
from atomic_margin.service.protocol.account.errors import WrongRun
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .documents import FUND, OTHER
from .double import PlainEvaluator
from .world import TestClient, World

WorldAt = Callable[[str], World]
HASH = "4d" * 32


def reopened(world: World, policy: Policy) -> World:
    """Have another server on the same directory, under a policy."""
    terms = world.terms
    world.close()
    world.evaluator = PlainEvaluator()
    world.operator = Operator(Settings(world.directory, world.rules, policy=policy), terms, world.evaluator)
    world.client = TestClient(create_app(world.operator, background=False), raise_server_exceptions=False)
    return world


@pytest.fixture
def asking(world_at: WorldAt) -> Callable[[str], World]:
    return lambda stage: reopened(world_at(stage), Policy.UNLESS_PROVEN)


def record_of(world: World, run_id: str) -> RunRecord:
    return parse_signed(world.run(run_id).record, RunRecord)[1]


def breach_answer(world: World, run_id: str) -> SignedDocument:
    """A breach answer to a run, with proofs of nothing."""
    record = record_of(world, run_id)
    body = {
        "run_id": run_id,
        "run": world.run(run_id).record_hash,
        "entry": world.entry_of(run_id),
        "operator": record.operator,
        "institution": record.institution,
        "submission": record.submission,
        "price_sequence": str(record.price_sequence),
        "outcome": "breach",
        "flag": "1",
        "flag_output": HASH,
        "top_up": "1",
        "top_up_usd": "1",
        "sufficiency_proof": "00",
        "decryption_proof": "00",
        "breach_proof": "00",
    }
    return Answer.parse(body).signed_by(world.funds[FUND].identity)


def test_a_run_proven_in_time_is_covered_and_never_evaluated(
    asking: Callable[[str], World], group: Group, trust: TrustFile
) -> None:
    world = asking("submitted")
    run_id = f"{FUND}.1"
    world.tick(1)
    assert world.evaluate() is None
    assert runs.ask_next(world.operator) == run_id
    record = record_of(world, run_id)
    assert (record.outputs, record.fft_plan) == (None, None)
    assert {"outputs", "fft_plan"}.isdisjoint(world.run(run_id).record["body"])  # type: ignore[index]
    assert world.run(run_id).seconds is None
    # Nothing else of the account is touched until it is over.
    assert (runs.ask_next(world.operator), world.evaluate()) == (None, None)
    with pytest.raises(Conflict, match="open or due"):
        world.instruct(FUND, "withdraw", "TBILL-2027-02", 1)
    world.answer(run_id)
    assert world.states() == {run_id: RunState.COVERED}
    assert world.evaluator.evaluated == 0
    report = verify_attestation(world.bundle(run_id), trust, group)
    assert report.evaluation == "skipped by policy"


def test_a_bundle_of_an_evaluated_run_says_so(stages: Any, group: Group, trust: TrustFile) -> None:
    assert verify_attestation(stages.bundles["calm"], trust, group).evaluation == "recorded"


def test_a_run_not_proven_in_time_is_evaluated_as_another_and_nobody_is_frozen(
    asking: Callable[[str], World], later: Callable[[int], None]
) -> None:
    world = asking("submitted")
    first, second = f"{FUND}.2", f"{FUND}.2.exact"
    world.tick(2)
    assert runs.ask_next(world.operator) == first
    world.tick(3)
    assert runs.sweep_deadlines(world.operator) == []
    later(12)
    assert runs.sweep_deadlines(world.operator) == [first]
    assert world.states() == {first: RunState.NOT_PROVEN, second: RunState.SCHEDULED, f"{FUND}.3": RunState.SCHEDULED}
    assert world.state() == AccountState.ACTIVE
    with pytest.raises(Conflict, match="open or due"):
        world.instruct(FUND, "withdraw", "TBILL-2027-02", 1)
    # The next tick of the account waits for the evaluation of this one.
    assert runs.ask_next(world.operator) is None
    assert world.evaluate() == second
    assert runs.ask_next(world.operator) is None
    asked, evaluated = record_of(world, first), record_of(world, second)
    assert (evaluated.number, evaluated.previous) == (asked.number + 1, world.run(first).record_hash)
    assert evaluated.outputs is not None
    assert (evaluated.submission, evaluated.tick, evaluated.matrices) == (
        asked.submission,
        asked.tick,
        asked.matrices,
    )
    world.answer(second)
    assert world.states() == {first: RunState.NOT_PROVEN, second: RunState.SETTLED, f"{FUND}.3": RunState.SCHEDULED}
    assert runs.ask_next(world.operator) == f"{FUND}.3"
    later(0)
    world.answer(f"{FUND}.3")
    assert world.run(f"{FUND}.3").state == RunState.COVERED
    assert not any(world.totals().values())


def test_a_proof_that_comes_late_is_refused_and_another_is_due_for_the_second_run(
    asking: Callable[[str], World], later: Callable[[int], None]
) -> None:
    world = asking("submitted")
    first, second = f"{FUND}.1", f"{FUND}.1.exact"
    world.tick(1)
    runs.ask_next(world.operator)
    late = world.prove_answer(first)
    later(12)
    runs.sweep_deadlines(world.operator)
    with pytest.raises(WrongRun, match="takes no answer"):
        world.answer(first, late)
    assert world.evaluate() == second
    for run_id in (first, second):
        with pytest.raises(WrongRun) as caught:
            world.answer(run_id, late)
        assert caught.value.field == "run_id"
    world.answer(second)
    assert world.states() == {first: RunState.NOT_PROVEN, second: RunState.COVERED}
    # From here on it is a run like any other.
    later(1000)
    assert runs.sweep_deadlines(world.operator) == []


def test_a_second_run_has_the_deadline_of_every_run(
    asking: Callable[[str], World], later: Callable[[int], None]
) -> None:
    world = asking("submitted")
    world.tick(1)
    runs.ask_next(world.operator)
    later(12)
    runs.sweep_deadlines(world.operator)
    world.evaluate()
    later(600)
    assert runs.sweep_deadlines(world.operator) == []
    later(905)
    assert runs.sweep_deadlines(world.operator) == [f"{FUND}.1.exact"]
    assert (world.state(), world.run(f"{FUND}.1.exact").state) == (AccountState.FROZEN, RunState.UNPROVEN)


def test_a_breach_answer_to_a_run_that_was_not_evaluated_is_refused(asking: Callable[[str], World]) -> None:
    world = asking("submitted")
    run_id = f"{FUND}.2"
    world.tick(2)
    runs.ask_next(world.operator)
    with pytest.raises(WrongRun, match="was not evaluated") as caught:
        world.answer(run_id, breach_answer(world, run_id))
    assert caught.value.field == "outcome"
    assert world.run(run_id).state == RunState.AWAITING_ANSWER
    assert world.settlements() == {}
    path = f"/v1/runs/{run_id}/outputs/breach"
    assert world.client.get(path, auth=world.auth()).status_code == 404


def test_a_bundle_of_a_breach_without_evaluation_is_refused(
    world_at: WorldAt, stages: Any, trust: TrustFile, group: Group
) -> None:
    """Even one that operator and institution sign together."""
    world = world_at("fall-done")
    body = copy.deepcopy(stages.bundles["fall"]["body"])
    record = {name: value for name, value in body["run"]["body"].items() if name not in ("outputs", "fft_plan")}
    run = world.operator.identity.sign("run", record)
    recorded = body["history"]["recorded"]
    recorded["public"]["run"] |= {"record": run.body_hash(), "evaluated": False}
    entry = {**recorded["entry"]["body"], "public": salted_hash(recorded["salt"], recorded["public"])}
    told = world.operator.identity.sign("entry", entry)
    recorded["entry"] = told.to_json()
    said = {**body["answer"]["body"], "run": run.body_hash(), "entry": told.body_hash()}
    answer = world.funds[FUND].identity.sign("answer", said)
    body |= {"run": run.to_json(), "answer": answer.to_json()}
    bundle = world.operator.identity.sign("attestation", body).to_json()
    with pytest.raises(AttestationInvalid, match="was not evaluated") as caught:
        verify_attestation(bundle, trust, group)
    assert caught.value.step == "answer"


def test_outputs_and_plan_go_together(stages: Any) -> None:
    body = stages.bundles["calm"]["body"]["run"]["body"]
    for name in ("outputs", "fft_plan"):
        with pytest.raises(DocumentError, match="go together") as caught:
            RunRecord.parse({key: value for key, value in body.items() if key != name})
        assert caught.value.field == name


def test_the_policy_of_the_day_decides_about_runs_that_wait(world_at: WorldAt, later: Callable[[int], None]) -> None:
    world = world_at("two")
    world.tick(1)
    reopened(world, Policy.UNLESS_PROVEN)
    asked = [runs.ask_next(world.operator) for _ in range(3)]
    assert asked == [f"{OTHER}.1", f"{FUND}.1", None]
    later(12)
    runs.sweep_deadlines(world.operator)
    reopened(world, Policy.ALWAYS)
    assert [world.evaluate() for _ in range(3)] == [f"{OTHER}.1.exact", f"{FUND}.1.exact", None]
    world.answer(f"{OTHER}.1.exact")
    world.tick(2)
    assert runs.ask_next(world.operator) is None
    assert world.evaluate() == f"{OTHER}.2"


def test_a_run_that_cannot_be_recorded_is_given_back(
    asking: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = asking("submitted")
    world.tick(1)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(records, "_record", full)
        assert runs.ask_next(world.operator) == f"{FUND}.1"
    assert (world.run(f"{FUND}.1").state, world.run(f"{FUND}.1").attempts) == (RunState.SCHEDULED, 1)
    assert runs.ask_next(world.operator) == f"{FUND}.1"
    assert world.run(f"{FUND}.1").state == RunState.AWAITING_ANSWER


def test_the_background_work_asks_and_evaluates(asking: Callable[[str], World]) -> None:
    world = asking("two")
    work = background.BackgroundWork(world.operator, interval=0.01)
    work.start()
    world.tick(1)
    work.wake()
    deadline = datetime.now(timezone.utc) + timedelta(seconds=10)
    while set(world.states().values()) != {RunState.AWAITING_ANSWER}:
        assert datetime.now(timezone.utc) < deadline
    work.stop()
    assert world.evaluator.evaluated == 0


def test_the_policy_is_published(asking: Callable[[str], World], world_at: WorldAt) -> None:
    for world, policy in ((asking("submitted"), Policy.UNLESS_PROVEN), (world_at("submitted"), Policy.ALWAYS)):
        shown = world.client.get("/v1/operator").json()
        assert (shown["policy"], shown["proof_seconds"]) == (policy, "10")
        account = world.client.get(f"/v1/institutions/{FUND}", auth=world.auth()).json()
        assert account["policy"] == policy
