"""The whole cycle over HTTP with real proofs: call, no second call, liquidation, freeze, thaw, replaced keys.

These tests are about what happens around evaluations, and their operator evaluates in the clear (`plain_server`). The
same cycle under encryption is `test_demo`; a run under replaced keys, `tests/adversary/test_other_function.py`.
"""

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.agent_messages import AgentStatus, DecidedRuns, Instruction, KeysReplaced
from atomic_margin.service.protocol.messages import Booked, Held, RunView
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import load_group

from ..lines import FLAT
from .harness import World, problem

pytestmark = pytest.mark.fhe


def settlement_kind(view: RunView) -> str:
    return "none" if view.settlement is None else view.settlement["body"]["kind"]


def test_call_then_covered_by_the_moved_collateral_then_liquidation(plain_world: World) -> None:
    world = plain_world
    with world.both():
        before = world.account().collateral
        first = world.wait_run(world.tick(1, 1))
        called = world.wait_run(world.tick(2, 2))
        after = world.account()
        # The same prices again: the moved collateral counts, so the same shortfall is not called twice.
        again = world.wait_run(world.tick(2, 3))
        last = world.wait_run(world.tick(4, 4))
        assert [settlement_kind(view) for view in (first, called, again, last)] == [
            "none",
            "margin_call",
            "none",
            "liquidation",
        ]
        covered, settled = RunState.COVERED, RunState.SETTLED
        assert [view.state for view in (first, called, again, last)] == [covered, settled, covered, settled]
        transfers = called.settlement["body"]["transfers"]
        for move in transfers:
            moved = int(move["quantity"])
            asset = move["asset"]
            assert after.collateral.posted.get(asset, 0) == before.posted.get(asset, 0) + moved
            assert after.collateral.free.get(asset, 0) == before.free[asset] - moved
        ended = world.account()
        assert ended.state is AccountState.IN_DEFAULT
        assert ended.collateral == Held(free={}, posted={})
        held = world.ledger().accounts[f"{after.institution}/liquidation"]
        assert held == {"USDC": 300_000_000_000, "TBILL-2027-02": 15_000_000}
        figures = {run.run_id: run for run in world.agent.read("/v1/runs", DecidedRuns).runs}
        for view in (first, called, again, last):
            private = figures[view.run_id]
            assert private.decrypted_breach == private.plaintext_breach
            assert private.decrypted_breach == (0 if settlement_kind(view) == "none" else 1)
        trust = TrustFile.parse(read_json(world.trust))
        # An account in default has nothing left to watch.
        with pytest.raises(IndexError):
            world.tick(1, 5)
        for view in (first, called, again, last):
            bundle = world.operator.get(f"/v1/attestations/{view.run_id}")
            settlement = verify_attestation(bundle, trust, load_group()).settlement
            assert ("none" if settlement is None else settlement.kind) == settlement_kind(view)


@pytest.mark.long
def test_an_unanswered_run_freezes_the_account_and_a_late_proof_thaws_it(plain_world: World) -> None:
    world = plain_world
    with world.serving(answer_seconds=1):
        run_id = world.tick(1, 1)
        world.wait_run(run_id, (RunState.UNPROVEN,))
        assert world.account().state is AccountState.FROZEN
        with world.own_agent() as agent:
            agent.submit(Portfolio.parse(FLAT))
            state = agent.history.state
            assert state is not None
            assert state.public.waiting is not None
        with world.answering() as agent:
            assert world.wait_run(run_id, (RunState.COVERED,)).settlement is None
            assert world.account().state is AccountState.ACTIVE
            # The other book came in force with it, and nothing leaves before that one, too, was proven.
            withdrawal = Instruction(action="withdraw", asset="TBILL-2027-02", quantity="1")
            with pytest.raises(RemoteError, match="was not proven covered since it came"):
                agent.send("/v1/collateral", withdrawal, Booked)
            assert agent.read("/v1/status", AgentStatus).alarm is None


def test_a_frozen_account_cannot_withdraw(plain_world: World) -> None:
    world = plain_world
    with world.serving(answer_seconds=1):
        world.wait_run(world.tick(2, 1), (RunState.UNPROVEN,))
        before = world.ledger()
        with world.own_agent() as agent, pytest.raises(RemoteError, match="frozen") as refused:
            agent.instruct("withdraw", "TBILL-2027-02", 1)
        assert refused.value.status == 409
        assert world.ledger() == before


def test_a_tick_out_of_sequence_or_from_a_stranger_changes_nothing(plain_world: World) -> None:
    world = plain_world
    with world.both():
        world.wait_run(world.tick(1, 1))
        for number, sequence in ((1, 1), (1, 0), (1, 3)):
            with pytest.raises(RemoteError) as refused:
                world.tick(number, sequence)
            assert problem(str(refused.value))["field"] == "sequence"
        assert len(world.account().runs) == 1


@pytest.mark.long
def test_keys_are_replaced_and_the_same_book_is_watched_under_the_new_ones(plain_world: World) -> None:
    world = plain_world
    with world.both():
        before = world.agent.read("/v1/status", AgentStatus).key_commitments
        first = world.wait_run(world.tick(1, 1))
        after = KeysReplaced.parse(world.agent.post("/v1/keys", {})).key_commitments
        second = world.wait_run(world.tick(2, 2))
    records = [view.record["body"] for view in (first, second)]
    assert [record["key_commitments"] for record in records] == [before, after]
    assert records[0]["evaluation_keys"] != records[1]["evaluation_keys"]
    assert [record["submission_sequence"] for record in records] == ["1", "2"]
    assert [settlement_kind(view) for view in (first, second)] == ["none", "margin_call"]


@pytest.mark.long
def test_a_rotation_that_is_interrupted_keeps_no_run_from_its_answer_and_is_finished(
    plain_world: World, ready_made_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = plain_world

    def unreachable(*_: object) -> None:
        raise RemoteError("the operator does not answer")

    with world.serving(), world.own_agent() as agent:
        before = agent.key_commitments
        with monkeypatch.context() as broken:
            broken.setattr(agent._client, "enrol", unreachable)
            with pytest.raises(RemoteError):
                agent.rotate_keys()
            run_id = world.tick(1, 1)
            world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
            with pytest.raises(RemoteError):
                agent.answer_due()
        assert world.wait_run(run_id).state is RunState.COVERED
        assert agent.key_commitments == before
        agent.answer_due()
        assert agent.key_commitments != before
        assert world.account().next_submission == 3
