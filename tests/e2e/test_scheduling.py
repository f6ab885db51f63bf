"""Warm keys and several workers with real FHE; the policy `unless_proven`, whose operator evaluates in the clear.

Processes, HTTP and proofs are the real ones in all.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from atomic_margin.service.cli.terms import read_terms
from atomic_margin.service.demo.parties import NAME, signed_prices, verify_apart
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.operator.runs.background import BackgroundWork
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.operator.store.entries import state_of
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.agent_messages import AgentStatus, DecidedRuns
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.messages import (
    OperatorView,
    RunView,
    TickAccepted,
)
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.ticks import place_after

from .harness import World, problem
from .second import SECOND, eventually, held, join_second, one_beside_the_other, workers_of
from .small import market

pytestmark = pytest.mark.fhe


@pytest.fixture
def opened(world: World) -> Iterator[tuple[Operator, BackgroundWork]]:
    """The operator in this process, its evaluation in a worker process of its own as always."""
    files = [world.examples / name for name in ("model-scan.json", "universe.json", "collateral-schedule.json")]
    rules = PriceRules.parse(read_json(world.root / "price-rules.json"))
    operator = Operator(Settings(world.root / "operator", rules), read_terms(*files, "tiny"))
    work = BackgroundWork(operator)
    work.start()
    yield operator, work
    work.stop()
    operator.close()


@pytest.mark.long
def test_the_first_run_after_a_start_finds_its_keys_expanded(
    world: World, opened: tuple[Operator, BackgroundWork]
) -> None:
    operator, work = opened
    keys = str(state_of(operator.account(NAME)).public.keys)
    eventually(lambda: operator.evaluator.is_warm(keys))
    first = place_after(None, operator.settings.prices)
    (run_id,) = ticks.take_tick(operator, signed_prices(world.sources, market(1, 1), first))
    work.wake()

    def stored() -> Run:
        with operator.store.unit_of_work() as session:
            return session.get_one(Run, run_id)

    eventually(lambda: stored().state is RunState.AWAITING_ANSWER)
    # Loading and expanding them takes most of a second at least.
    assert float((stored().seconds or {})["load_keys"]) < 0.1


@pytest.mark.long
def test_two_accounts_share_the_cores_and_lose_nothing_when_a_worker_dies(world: World, ready_made_keys: None) -> None:
    with world.serving(options=("--workers", "2")):
        second = join_second(world)
        assert len(workers_of(world)) == 2

        def tick(number: int) -> list[str]:
            return list(TickAccepted.parse(world.operator.post("/v1/ticks", world.prices(1, number))).runs)

        def answer() -> None:
            with world.own_agent() as first:
                assert first.answer_due()
            assert second.answer_due()

        before = workers_of(world)
        # One is held in the middle of its run: the other run is evaluated beside it, and not after it.
        with held(before[:1]):
            runs = tick(1)
            assert runs == [f"{SECOND}.1", f"{NAME}.1"]
            eventually(lambda: one_beside_the_other(world, runs))
        for run_id in runs:
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        answer()

        with held(before[:1]):
            runs += tick(2)
            eventually(lambda: one_beside_the_other(world, runs[2:]))
            os.kill(before[0], signal.SIGKILL)
        for run_id in runs[2:]:
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        # It died in the middle of a run, both were evaluated, and the other worker is the same one.
        assert before[1] in workers_of(world)
        answer()
        second.close()

        records = sorted(
            (world.wait_run(run_id, (RunState.COVERED,)).record for run_id in runs),
            key=lambda one: int(one["body"]["number"]),
        )
        previous = GENESIS
        for number, record in enumerate(records, 1):
            signed = SignedDocument.parse(record)
            signed.verify(frozenset({str(world.operator.read("/v1/operator", OperatorView).operator)}))
            assert (signed.body["number"], signed.body["previous"]) == (str(number), previous)
            previous = signed.body_hash()
        assert world.account().state is AccountState.ACTIVE


def bundle_verdict(world: World, run_id: str) -> dict[str, Any]:
    path = world.root / f"{run_id}.json"
    write_json(path, world.operator.get(f"/v1/attestations/{run_id}"))
    return verify_apart(path, world.trust)


@pytest.mark.long
def test_a_covered_run_is_proven_without_evaluation_and_a_breach_is_evaluated(plain_world: World) -> None:
    world = plain_world
    with world.both(options=("--policy", "unless_proven", "--proof-seconds", "8")):
        assert world.operator.read("/v1/operator", OperatorView).policy is Policy.UNLESS_PROVEN
        covered = world.wait_run(world.tick(1, 1), (RunState.COVERED, RunState.NOT_PROVEN))
        assert covered.state is RunState.COVERED
        assert covered.seconds is None
        assert {"outputs", "fft_plan"}.isdisjoint(covered.record["body"])
        verdict = bundle_verdict(world, f"{NAME}.1")
        assert (verdict["valid"], verdict["evaluation"]) == (True, "skipped by policy"), verdict
        assert "the encrypted evaluation was skipped by policy" in verdict["statement"]

        first, second = world.tick(2, 2), f"{NAME}.2.exact"
        asked = world.wait_run(first, (RunState.AWAITING_ANSWER,))
        refused = breach_without_outputs(world, asked)
        assert refused["status"] == 409
        assert refused["field"] == "outcome"
        assert (
            world.wait_run(first, (RunState.NOT_PROVEN, RunState.COVERED, RunState.SETTLED)).state
            is RunState.NOT_PROVEN
        )
        settled = world.wait_run(second, (RunState.SETTLED, RunState.COVERED, RunState.FAILED))
        assert (settled.state, settled.settlement["body"]["kind"]) == (RunState.SETTLED, "margin_call")
        assert float(settled.seconds["breach"]) > 0
        verdict = bundle_verdict(world, second)
        assert (verdict["valid"], verdict["evaluation"], verdict["outcome"]) == (True, "recorded", "breach"), verdict

        figures = {run.price_sequence: run for run in world.agent.read("/v1/runs", DecidedRuns).runs}
        assert [(figures[number].run_id, figures[number].outcome) for number in (1, 2)] == [
            (f"{NAME}.1", "covered"),
            (second, "breach"),
        ]
        assert figures[1].decrypted_breach is None
        account = world.account()
        assert account.state is AccountState.ACTIVE
        assert [run.state for run in account.runs] == [RunState.COVERED, RunState.NOT_PROVEN, RunState.SETTLED]
        assert world.agent.read("/v1/status", AgentStatus).alarm is None


def breach_without_outputs(world: World, asked: RunView) -> dict[str, Any]:
    """Send what a cheating institution might: a signed breach answer to a run that was not evaluated."""
    signed_run = SignedDocument.parse(asked.record)
    record = signed_run.body
    shown = world.operator.get(f"/v1/institutions/{NAME}/entries")["entries"]
    (entry,) = (
        SignedDocument.parse(item["entry"]).body_hash() for item in shown if item["document"] == signed_run.to_json()
    )
    body = {
        **{name: record[name] for name in ("run_id", "operator", "institution", "submission", "price_sequence")},
        "run": signed_run.body_hash(),
        "entry": entry,
        "outcome": "breach",
        "flag": "1",
        "flag_output": "0" * 64,
        "top_up": "1",
        "top_up_usd": "1",
        **dict.fromkeys(("sufficiency_proof", "decryption_proof", "breach_proof"), "00"),
    }
    identity = Identity.load_or_create(world.root / "institution" / "identity.key")
    with pytest.raises(RemoteError) as caught:
        world.post(f"/v1/runs/{record['run_id']}/answer", Answer.parse(body).signed_by(identity).to_json())
    return {**problem(str(caught.value)), "status": caught.value.status}
