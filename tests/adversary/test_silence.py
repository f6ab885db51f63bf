"""Row: "silence of an insolvent institution". The account is frozen at the deadline, and stays watched."""

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.states import AccountState, RunState

from ..e2e.harness import World
from ..lines import FLAT

pytestmark = pytest.mark.fhe


@pytest.mark.long
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
        agent.submit(Portfolio.parse({**FLAT, "cash": "-100000"}))
        state = agent.history.state
        assert state is not None
        assert state.public.waiting is not None
        assert state.public.book is not None
        record = world.operator.read(f"/v1/runs/{run_id}", RunView).record
        assert record is not None
        assert state.public.book.submission == record["body"]["submission"] != state.public.waiting.submission
        assert state.public.owed == state.public.book.commitments
        assert world.account().collateral == frozen.collateral
