"""The running protocol that cheats attack: played once, then shared by tests that only send what is refused.

Its processes, evaluations under encryption, proofs, HTTP and database are the real ones. Tests that take `plain_world`
have an operator that evaluates in the clear: their cheats are not about evaluation.
"""

from collections.abc import Iterator

import pytest

from atomic_margin.service.institution.answering import prepare
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import RunState

from ..e2e.harness import World, copy_world
from .attacks import Stage


@pytest.fixture(scope="session")
def played(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world, stopped, after one covered run and one breached run whose answer is made but not sent."""
    world = copy_world(enrolled, tmp_path_factory.mktemp("played"))
    with world.serving(), world.own_agent() as agent:
        first = world.tick(1, 1)
        world.wait_run(first, (RunState.AWAITING_ANSWER,))
        assert agent.answer_due() == [first]
        second = world.tick(2, 2)
        world.wait_run(second, (RunState.AWAITING_ANSWER,))
        agent.history.sync()
        prepare(agent._party, Policy.ALWAYS)
    return world


@pytest.fixture(scope="session")
def stage(played: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The played world, running. Only for tests that leave it as it is."""
    world = copy_world(played, tmp_path_factory.mktemp("stage"))
    with world.serving() as operator, world.own_agent() as agent:
        first, second = "larkfield.1", "larkfield.2"
        with agent._store.unit_of_work() as session:
            answer = session.get_one(OwnAnswer, second).document
        assert answer is not None
        bundle = operator.get(f"/v1/attestations/{first}")
        yield Stage(world, agent, first, second, bundle, answer)


@pytest.fixture
def unmoved(stage: Stage) -> Iterator[None]:
    """Whatever the test sends is refused: account, ledger and run are the same afterwards."""
    before = stage.state()
    yield
    assert stage.state() == before
