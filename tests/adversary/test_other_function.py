"""Row: "server evaluates another function, or sends chosen ciphertexts". The agent compares, and withholds the flag."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, ConfigurationError
from atomic_margin.service.files import read_json
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.answering import prepare
from atomic_margin.service.institution.runs import check_run, present
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile

from ..e2e.harness import World
from .attacks import Stage, signed_again

pytestmark = pytest.mark.fhe


@pytest.mark.long
def test_a_flag_of_another_function_is_withheld_and_the_breach_answered_under_new_keys(
    world: World, ready_made_keys: None, caplog: pytest.LogCaptureFixture
) -> None:
    world.program = "tests.adversary.cheating_server"
    (world.root / "cheat").write_text("0")
    with world.serving(answer_seconds=5), world.own_agent() as agent:
        pinned = agent.key_commitments
        first = world.tick(2, 1)
        world.wait_run(first, (RunState.AWAITING_ANSWER,))
        # The flag says 0, the agent's own integers say 1: no answer, and an alarm that tells neither.
        assert agent.answer_due() == []
        assert agent.alarm == "the decrypted outputs are not those of the run's matrix; the flag is withheld"
        assert agent.figures()[-1].outcome == "withheld"
        assert agent.figures()[-1].decrypted_breach is None
        alarms = [record.getMessage() for record in caplog.records if "alarm" in record.getMessage()]
        assert alarms == [f"alarm: {agent.alarm}"]
        world.wait_run(first, (RunState.UNPROVEN,))
        assert world.account().state is AccountState.FROZEN
        # The next round replaces the keys and brings the same book under them, which even a frozen account may.
        before = agent._client.account().next_submission
        assert agent.answer_due() == []
        assert agent.alarm is None
        assert agent.key_commitments not in (None, pinned)
        assert agent._client.account().next_submission == before + 1
        with agent._store.unit_of_work() as session:
            old, new = (session.get_one(OwnSubmission, number).document["body"] for number in (1, 2))
        assert old["commitments"] == new["commitments"]
        assert old["key_commitments"] != new["key_commitments"] == agent.key_commitments
        # Once the server evaluates the run's own matrix again, the breach is answered under the new keys and settled.
        (world.root / "cheat").unlink()
        second = world.tick(2, 2)
        world.wait_run(second, (RunState.AWAITING_ANSWER,))
        assert agent.answer_due() == [second]
        view = world.wait_run(second)
        assert (view.state, view.settlement["body"]["flag"]) == (RunState.SETTLED, "proven")
        assert world.account().state is AccountState.ACTIVE


def test_a_run_that_is_asked_twice_is_answered_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open run was decided, and no other one is asked for by any entry: nothing is even fetched."""
    monkeypatch.setattr(stage.agent._client, "run", lambda run_id: pytest.fail(f"{run_id} was fetched"))
    figures = stage.agent.figures()
    stage.agent.history.sync()
    prepare(stage.agent._party, Policy.ALWAYS)
    assert stage.agent.figures() == figures


def test_runs_of_another_matrix_or_an_unpinned_model_are_refused(stage: Stage) -> None:
    view = stage.view(stage.open)
    check(stage, view)
    for name in ("model", "universe", "schedule", "profile", "generators", "entry_map"):
        record = signed_again(view["record"], stage.server, **{name: "5a" * 32})
        with pytest.raises(AgentRefused, match=f"another {name} than this agent pinned"):
            check(stage, {**view, "record": record})
    # Two units off the collateral: the agent's own computation disagrees.
    record = RunRecord.parse(view["record"]["body"])
    matrix = stage.agent.terms.matrices_of(record, Market.parse(view["tick"]["body"]["market"])).maintenance_fhe
    bent = dataclasses.replace(matrix, collateral=matrix.collateral - 2).hash()
    named = {**view["record"]["body"]["matrices"], "maintenance_fhe": bent}
    with pytest.raises(AgentRefused, match="names another matrix"):
        check(stage, {**view, "record": signed_again(view["record"], stage.server, matrices=named)})


def test_an_agent_does_not_start_on_terms_that_are_not_pinned(stage: Stage, tmp_path: Path) -> None:
    # One agent runs on a directory: this one has a copy.
    directory = shutil.copytree(stage.agent.settings.directory, tmp_path / "institution")
    for name in ("model", "universe", "schedule"):
        anchors = TrustFile.parse({**read_json(stage.world.trust), name: "5a" * 32})
        with pytest.raises(ConfigurationError, match=f"{name} is not the pinned one"):
            Agent(dataclasses.replace(stage.agent.settings, directory=directory, trust=anchors)).close()


def check(stage: Stage, view: dict[str, Any]) -> None:
    with stage.agent._store.unit_of_work() as session:
        own = session.get_one(OwnSubmission, 1)
    book, agent = Portfolio.parse(own.portfolio), stage.agent
    check_run(
        present(RunView.parse(view)), agent.settings.trust, agent.terms, stage.secrets.submission, own.sha256, book
    )
