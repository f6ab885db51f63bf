"""Collateral that comes back, with the operator's store, the agent's code and real proofs; and attacks on it."""


from atomic_margin.service.operator import replay
from atomic_margin.service.operator.settlement import ledger

from .documents import FUND
from .resident import Resident
from .rounds import in_step
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents

USDC = 10**6
MORE = 100_000 * USDC


def covered(resident: Resident, number: int = 1) -> None:
    """Post more than is needed; the run of a tick is answered."""
    resident.agent.instruct("post", "USDC", MORE)
    run_id = resident.world.play(number)
    assert resident.agent.answer_due() == [run_id]


def quantities(shown: dict[str, str]) -> dict[str, int]:
    return {asset: int(quantity) for asset, quantity in shown.items()}


def test_what_is_beyond_initial_margin_comes_back_with_a_proof(proving: Resident) -> None:
    covered(proving)
    agent, world = proving.agent, proving.world
    before = dict(proving.state.public.posted)
    found = agent.excess()
    back = quantities(found.back)
    assert back
    assert int(found.usd) > 0
    assert found.deliver == {}
    said = agent.release(back)
    assert said.proven
    public = proving.state.public
    assert public.posted == {a: q - back.get(a, 0) for a, q in before.items() if q > back.get(a, 0)}
    assert world.held(ledger.posted(FUND)) == dict(public.posted)
    assert set(world.totals().values()) == {0}
    assert in_step(proving)
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key).balances > 0
    # Of what is left nothing can be had back but what was rounded off.
    assert int(agent.excess().usd) == 0
