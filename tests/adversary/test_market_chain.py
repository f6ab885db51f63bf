"""Row: "operator picks, repeats or forks prices". The agent follows every tick, and answers no run beside its chain.

Operator, agent, sources and their documents are real; the operator's database is changed behind its back, as an
operator that lies would.
"""

from datetime import timedelta
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.messages import LastTick, RunView
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick

from ..e2e.harness import World

pytestmark = [pytest.mark.fhe, pytest.mark.long]

FIRST, SECOND, THIRD = (f"{NAME}.{number}" for number in (1, 2, 3))


def replace_tick(world: World, tick: SignedDocument) -> None:
    """Put another tick in the place of the one of its number, as if it had always been that."""
    with world.stored() as session:
        row = session.get_one(Tick, int(tick.body["sequence"]))
        row.document, row.sha256 = tick.to_json(), tick.body_hash()


def due(world: World, number: int, sequence: int) -> str:
    """Send a tick and wait until its run wants an answer."""
    run_id = world.tick(number, sequence)
    world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
    return run_id


def answered(agent: Agent) -> list[int]:
    with agent._store.unit_of_work() as session:
        return [row.price_sequence for row in session.query(OwnAnswer).order_by(OwnAnswer.price_sequence)]


def signed_by_operator(world: World, tick: PriceTick) -> SignedDocument:
    return tick.signed_by(Identity.load_or_create(world.root / "operator" / "operator.key"))


def test_a_forked_chain_gets_no_answer_and_costs_no_keys(plain_world: World) -> None:
    """The operator answers one account by one first tick, and goes on for all from another one of the same prices."""
    world = plain_world
    with world.serving() as operator, world.own_agent() as agent:
        due(world, 1, 1)
        assert agent.answer_due() == [FIRST]
        before, told = (agent.key_commitments, agent.alarm), operator.get("/v1/ticks/1")
        # Two of the three that signed are enough, and the prices are the same.
        fewer = PriceTick.parse(told["body"] | {"prices": told["body"]["prices"][1:]})
        assert fewer.market == PriceTick.parse(told["body"]).market
        other = signed_by_operator(world, fewer).to_json()
        replace_tick(world, SignedDocument.parse(other))
        assert due(world, 2, 2) == SECOND
        second = operator.get("/v1/ticks/2")
        assert second["body"]["previous"] == SignedDocument.parse(other).body_hash()
        with pytest.raises(OperatorContradicts, match="follows another tick 1"):
            agent.answer_due()
        assert answered(agent) == [1]
        assert (agent.key_commitments, agent.alarm) == before == (agent.key_commitments, None)
        (path,) = (world.root / "institution" / "contradictions").iterdir()
        assert path.name in (agent.contradiction or "")
        evidence = read_json(path)
        assert (evidence["seen"], evidence["shown"]) == (told, second)
        # Not in a later round, and not by an agent that was restarted.
        with pytest.raises(OperatorContradicts):
            agent.answer_due()
        shown = agent.contradiction
    with world.serving() as operator, world.own_agent() as again:
        with pytest.raises(OperatorContradicts):
            again.answer_due()
        assert again.contradiction == shown
        assert operator.read(f"/v1/runs/{SECOND}", RunView).state is RunState.AWAITING_ANSWER


def test_after_two_ticks_of_one_number_nothing_is_answered(plain_world: World) -> None:
    """The agent saw another first tick than its account's entries name, of prices of the same sources: genuine."""
    world = plain_world
    with world.serving() as operator, world.own_agent() as agent:
        due(world, 1, 1)
        told = operator.get("/v1/ticks/1")
        fewer = PriceTick.parse(told["body"] | {"prices": told["body"]["prices"][1:]})
        other = signed_by_operator(world, fewer)
        replace_tick(world, other)
        agent._chain.newest_market(operator.read("/v1/ticks", LastTick).document or {})
        replace_tick(world, SignedDocument.parse(told))
        for _ in range(2):
            with pytest.raises(OperatorContradicts, match="two ticks of number 1"):
                agent.answer_due()
        assert (answered(agent), agent.alarm) == ([], None)
        (path,) = (world.root / "institution" / "contradictions").iterdir()
        evidence = read_json(path)
        assert (evidence["seen"], evidence["shown"]) == (other.to_json(), told)


def test_a_skipped_tick_gets_no_answer_and_after_a_void_one_the_account_goes_on(plain_world: World) -> None:
    world = plain_world
    with world.serving() as operator, world.own_agent() as agent:
        due(world, 1, 1)
        assert agent.answer_due() == [FIRST]
        with pytest.raises(RemoteError, match="too-few-sources"):
            operator.post("/v1/ticks", {**world.prices(2, 2), "prices": world.prices(2, 2)["prices"][:1]})
        void = operator.post("/v1/ticks/void", {"format": "atomic-margin/prices/2", "sequence": "2", "prices": []})
        assert due(world, 2, 3) == THIRD
        with world.stored() as session:
            row = session.get_one(Tick, 2)
            kept = {column.key: getattr(row, column.key) for column in Tick.__table__.columns}
            session.delete(row)
        with pytest.raises(AgentRefused, match="shows no tick 2"):
            agent.answer_due()
        assert answered(agent) == [1]
        with world.stored() as session:
            session.add(Tick(**kept))
        assert agent.answer_due() == [THIRD]
        assert agent.contradiction is None
        assert world.wait_run(THIRD).state is RunState.SETTLED
        bundle = operator.get(f"/v1/attestations/{THIRD}")["body"]
        # Its move is measured from the tick before the void one.
        assert bundle["tick"]["body"]["previous"] == SignedDocument.parse(void).body_hash()
        assert bundle["last_market"] == operator.get("/v1/ticks/1")


@pytest.mark.long
def test_old_prices_get_no_answer_whatever_time_the_operator_has(plain_world: World) -> None:
    world = plain_world
    with world.serving() as operator:
        due(world, 1, 1)
        at = Market.parse(operator.get("/v1/ticks/1")["body"]["market"]).as_of
        for seconds, expected in ((601, []), (-61, []), (600, [FIRST])):
            clock = at + timedelta(seconds=seconds)
            with world.own_agent(max_tick_age=600, clock=lambda clock=clock: clock) as agent:
                assert agent.answer_due() == expected
                assert agent.alarm is None


@pytest.mark.long
def test_rules_are_swapped_for_nobody(plain_world: World) -> None:
    """Under other rules prices may jump: the operator says so, but its sources signed under the pinned ones."""
    world = plain_world
    with world.serving() as operator, world.own_agent() as agent:
        due(world, 1, 1)
        assert agent.answer_due() == [FIRST]
        due(world, 2, 2)
        told = operator.get("/v1/ticks/2")
        wide: Any = dict(read_json(world.root / "price-rules.json"))
        wide["move"] = {"price": "9", "volatility": "9", "rate": "1"}
        for changes in ({"rules": PriceRules.parse(wide).hash()}, {"last_market": NO_TICK}):
            bent = signed_by_operator(world, PriceTick.parse(told["body"] | changes)).to_json()
            with world.stored() as session:
                session.get_one(Tick, 2).document = bent
            with pytest.raises(AgentRefused, match="does not follow"):
                agent.answer_due()
            assert answered(agent) == [1]
