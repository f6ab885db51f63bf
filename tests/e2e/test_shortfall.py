"""After a breach is settled its encrypted shortfall is evaluated, and the institution alone checks it against X."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atomic_margin.circuits import reference
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.store import OwnAnswer, OwnShortfall
from atomic_margin.service.operator.faults import EXIT_CODE
from atomic_margin.service.operator.store.tables import ShortfallRow
from atomic_margin.service.protocol.agent_messages import AgentStatus, DecidedRuns, ShortfallFigures
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunState, ShortfallState

from .harness import World
from .small import PORTFOLIO

pytestmark = pytest.mark.fhe

LONGEST = 300.0
"""Seconds that a shortfall may take; its process gives way to every other."""


@pytest.fixture
def disloyal(world: World) -> Path:
    """Let the operator's program be the one that takes orders; return the file that they go into."""
    world.program = "tests.e2e.shortfall_server"
    return world.root / "shortfall"


def breach(world: World, agent: Agent, number: int, sequence: int) -> str:
    """Send a tick that breaches and let it be answered and settled; return the run."""
    run_id = world.tick(number, sequence)
    world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
    assert agent.answer_due() == [run_id]
    assert world.wait_run(run_id).state is RunState.SETTLED
    return run_id


def wait_recorded(world: World, run_id: str) -> RunView:
    return world.operator.wait(
        f"/v1/runs/{run_id}",
        RunView,
        lambda view: view.shortfall.state is ShortfallState.RECORDED,
        LONGEST,
        lambda _: None,
    )


def coarse(view: RunView, agent: Agent) -> MarginMatrix:
    record = RunRecord.parse(SignedDocument.parse(view.record).body)
    return agent.terms.matrices_of(record, Market.parse(view.tick["body"]["market"])).maintenance_fhe


def own_units(view: RunView, agent: Agent) -> int:
    matrix = coarse(view, agent)
    z = agent.terms.encode(Portfolio.parse(PORTFOLIO), agent.settings.account(agent.terms.universe.hash()))
    return reference.shortfall(z, matrix.weights, matrix.collateral)


@pytest.mark.long
def test_a_breach_is_followed_by_a_shortfall_that_only_the_institution_reads_though_the_server_died(
    world: World, disloyal: Path
) -> None:
    # Where it dies does not depend on how the words were made: the first time they are made in the clear.
    plain = disloyal.with_name("plain")
    plain.touch()
    disloyal.write_text("die")
    with world.serving(), world.own_agent() as agent:
        run_id = world.tick(2, 1)
        world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        # It may die while the agent, its answer settled, still asks for more.
        with contextlib.suppress(RemoteError):
            agent.answer_due()
        assert agent.figures()[-1].shortfall is None
        world.operator_process.wait(timeout=LONGEST)
        assert world.operator_process.returncode == EXIT_CODE
    # It was evaluated and not stored.
    assert stored(world) == [(run_id, ShortfallState.EVALUATING, 1, None, None)]
    disloyal.unlink()
    plain.unlink()
    with world.serving() as operator:
        with world.own_agent() as agent:
            view = wait_recorded(world, run_id)
            assert view.settlement["body"]["kind"] == "margin_call"
            signed, record = parse_signed(view.shortfall.record, ShortfallRecord)
            signed.verify(frozenset({agent.settings.trust.operator}))
            run = SignedDocument.parse(view.record)
            assert (record.run, record.ciphertext) == (run.body_hash(), run.body["ciphertext"])
            words = agent._client.output(run_id, "shortfall")
            assert hashlib.sha256(words).hexdigest() == record.output
            assert httpx.get(f"{operator.url}/v1/runs/{run_id}/outputs/shortfall").status_code == 401
            account = world.account()
            assert account.shortfalls == (run_id,)
            agent.answer_due()
            units = own_units(view, agent)
            assert units > 0
            checked = agent.figures()[-1].shortfall
            assert checked == ShortfallFigures(
                agreed=True,
                units=units,
                usd=format(coarse(view, agent).usd(units), "f"),
                within_top_up=True,
                record=signed.body_hash(),
                problem=None,
            )
            # A top-up below it, beyond rounding, is shown; keys are not to blame for that, so there is no alarm.
            with changed_top_up(agent, run_id, "1"):
                forget(agent, run_id)
                agent.answer_due()
                assert agent.figures()[-1].shortfall == checked.model_copy(update={"within_top_up": False})
                assert agent.alarm is None
                forget(agent, run_id)
        with world.answering() as process:
            process.wait("/v1/runs", DecidedRuns, lambda seen: seen.runs[-1].shortfall == checked, 30, lambda _: None)
            assert process.read("/v1/status", AgentStatus).alarm is None
        # Nothing at the operator tells that it was read.
        assert world.account() == account
        assert operator.read(f"/v1/runs/{run_id}", RunView) == view
    assert stored(world) == [(run_id, ShortfallState.RECORDED, 1, signed.to_json(), words)]


@pytest.mark.long
def test_tampered_words_and_those_of_another_run_raise_the_alarm_of_a_wrong_flag(
    world: World, disloyal: Path, ready_made_keys: None
) -> None:
    """In the clear: what the institution finds does not depend on how the words were made."""
    disloyal.with_name("plain").touch()
    disloyal.write_text("tamper")
    with world.serving(), world.own_agent() as agent:
        before = agent.key_commitments
        first = breach(world, agent, 2, 1)
        wait_recorded(world, first)
        # A record whose words are others than it names is refused before anything is decrypted: no alarm.
        words = agent._client.output(first, "shortfall")
        with pytest.MonkeyPatch.context() as on_the_way:
            on_the_way.setattr(agent._client, "output", lambda run_id, function: words[::-1])
            agent.answer_due()
        refused = agent.figures()[-1].shortfall
        assert (refused.agreed, refused.units) == (False, None)
        assert "not the one of its record" in refused.problem
        assert agent.alarm is None
        forget(agent, first)
        # The words that the record names decrypt to something else.
        agent.answer_due()
        checked = agent.figures()[-1].shortfall
        assert (checked.agreed, checked.units, checked.usd, checked.within_top_up) == (False, *[None] * 3)
        assert agent.alarm == checked.problem == "the decrypted shortfall is not that of the run's matrix"
        # As after a wrong flag, the next round replaces the keys, and the account is watched under the new ones.
        agent.answer_due()
        assert agent.alarm is None
        assert agent.key_commitments not in (None, before)
        disloyal.write_text("replay")
        second = breach(world, agent, 4, 2)
        wait_recorded(world, second)
        agent.answer_due()
        assert agent.figures()[-1].shortfall.agreed is False
        assert agent.alarm == agent.figures()[-1].shortfall.problem is not None


def stored(world: World) -> list[tuple[Any, ...]]:
    """The operator's rows, read while no server runs."""
    with world.stored() as session:
        rows = session.query(ShortfallRow)
        return [(row.run_id, row.state, row.attempts, row.record, row.output) for row in rows]


@contextlib.contextmanager
def changed_top_up(agent: Agent, run_id: str, units: str) -> Iterator[None]:
    """Let the agent remember another top-up for the length of the block."""
    with agent._store.unit_of_work() as session:
        row = session.query(OwnAnswer).filter_by(run_id=run_id).one()
        kept = row.document
        row.document = {**kept, "body": {**kept["body"], "top_up": units}}
    yield
    with agent._store.unit_of_work() as session:
        session.query(OwnAnswer).filter_by(run_id=run_id).one().document = kept


def forget(agent: Agent, run_id: str) -> None:
    """Let the agent look at a shortfall again."""
    with agent._store.unit_of_work() as session:
        session.delete(session.get_one(OwnShortfall, run_id))
        assert session.query(OwnAnswer).filter_by(run_id=run_id).one().entry is not None
