"""Row: "silence of an insolvent institution". The account is frozen at the deadline, and stays watched."""

import pytest

from atomic_margin.service.errors import RemoteError
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState

from ..e2e.harness import World
from .attacks import Secrets, Stage

pytestmark = pytest.mark.fhe


def test_silence_freezes_the_account(plain_world: World) -> None:
    world = plain_world
    with world.serving(answer_seconds=1), world.own_agent() as agent:
        run_id = world.tick(2, 1)
        assert world.wait_run(run_id, (RunState.UNPROVEN,)).settlement is None
        frozen = world.account()
        assert frozen.state is AccountState.FROZEN
        # Collateral stays where it is, and another book waits until this one was proven.
        with pytest.raises(RemoteError) as refused:
            agent.instruct("withdraw", "TBILL-2027-02", 1)
        assert refused.value.status == 409
        stage = Stage(world, agent, run_id, run_id, {}, {})
        flat = (0,) * len(agent.terms.entry_map)
        secrets = Secrets.of(agent)
        assert stage.submit(secrets.submit(committed=flat)) == (201, None)
        agent.history.sync()
        state = agent.history.state
        assert state is not None
        assert state.public.waiting is not None
        assert state.public.book is not None
        assert (state.public.book.submission, state.public.owed) == (
            SignedDocument.parse(stage.view(run_id)["record"]).body["submission"],
            state.public.book.commitments,
        )
        assert world.account().collateral == frozen.collateral
