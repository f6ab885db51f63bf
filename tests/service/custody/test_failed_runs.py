"""An institution makes its evaluations fail: custodians need none, and open its book all the same."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from ..documents import FUND
from ..world import World
from .conftest import Custody, Later
from .opening import Owed

pytestmark = pytest.mark.long

At = Callable[..., Custody]


class Malformed(Exception):
    """What a library says of keys that are none."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], None]:
    def fail(*_: Any) -> None:
        raise Malformed("evaluation keys")

    return lambda world: monkeypatch.setattr(world.operator.evaluator, "evaluate", fail)


def recorded(world: World, run_id: str) -> RunRecord:
    run = world.run(run_id)
    assert run.record is not None
    return RunRecord.parse(run.record["body"])


def test_a_breach_is_opened_though_nothing_could_be_evaluated(
    custody_at: At, later: Later, group: Group, failing: Callable[[World], None]
) -> None:
    at = custody_at("dealt", proofs=True)
    failing(at.world)
    owed = Owed(at, later, 2)
    run = at.world.run(owed.run_id)
    assert (run.state, recorded(at.world, owed.run_id).outputs) == (RunState.UNPROVEN, None)
    assert "not evaluated in 3 attempts" in str(run.problem)
    assert at.world.account().public.status is AccountState.FROZEN
    owed.asked()
    owed.in_session(1, 2, 5)
    finding = owed.breach()
    for point in (1, 2):
        response = at.holders[point].bring(finding)
        assert response.status_code == 201, response.text
    assert at.world.run(owed.run_id).state is RunState.SETTLED
    pins = {
        "custody": {FUND: [at.holders.policy.canonical()]},
        "keys": {FUND: [recorded(at.world, owed.run_id).key_commitments]},
    }
    trust = TrustFile.parse({**at.world.trust_file().canonical(), **pins})
    report = verify_attestation(at.world.bundle(owed.run_id), trust, group)
    assert (report.evaluation, report.result is None) == ("failed", False)


def test_an_institution_that_is_covered_proves_it_without_an_evaluation(
    custody_at: At, failing: Callable[[World], None]
) -> None:
    at = custody_at("dealt")
    failing(at.world)
    run_id = at.world.play(1)
    assert at.world.run(run_id).state is RunState.AWAITING_ANSWER
    at.resident.agent.answer_due()
    assert at.world.run(run_id).state is RunState.COVERED


def test_an_agent_in_breach_says_that_it_has_no_flag(
    custody_at: At, later: Later, failing: Callable[[World], None], caplog: pytest.LogCaptureFixture
) -> None:
    at = custody_at("dealt")
    failing(at.world)
    run_id = at.world.play(2)
    at.resident.agent.answer_due()
    assert at.world.run(run_id).state is RunState.AWAITING_ANSWER
    assert f"run {run_id} could not be evaluated, and its book is in breach: custodians open it" in caplog.text
    later(1000)
    assert evaluation.sweep_deadlines(at.world.operator) == [run_id]
    assert at.world.run(run_id).state is RunState.UNPROVEN
