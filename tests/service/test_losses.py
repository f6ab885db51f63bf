"""Losses settled by posted collateral, with the operator's store, the agent's code and real proofs."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.collateral import market_worth
from atomic_margin.service.errors import AgentRefused, InsufficientFunds, Refused
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import collateral, submissions
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.protocol.account.errors import RunNotOver, WrongTick
from atomic_margin.service.protocol.submissions import Settles

from .documents import FUND
from .funds import Sent
from .test_gains import allow, market, signed_anew, traded, vector
from .world import World

WorldAt = Callable[[str], World]
USDC = 10**6
PAID = 100_000 * USDC
"""Worth 99,990 USD at tick 1, where a coin is worth 0.9999."""


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """The run of tick 1 is answered, and books may gain a thousand dollars by themselves."""
    found = world_at("calm-done")
    allow(found, 1000)
    return found


def settling(world: World, usd: int, quantity: int = PAID, asset: str = "USDC", cash: int | None = None) -> Sent:
    """The book in force with so much more cash, and what is paid for it."""
    world.settles = Settles.parse({"asset": asset, "quantity": str(quantity), "usd": str(usd)})
    try:
        return world.prepare_submission(FUND, vector(world, traded(world, cash=str(usd if cash is None else cash))))
    finally:
        world.settles = None


def submit(world: World, sent: Sent) -> Any:
    return submissions.submit(world.operator, FUND, sent.signed.to_json())


def changed(sent: Sent, world: World, **changes: str | None) -> Any:
    """The same submission, which says something else of what it settles, signed anew."""
    gain = {**sent.signed.body["gain"]}
    gain["settles"] = {**gain["settles"], **changes}
    return signed_anew(world, sent.signed, gain=gain).to_json()


def test_posted_collateral_leaves_and_cash_rises_by_as_much(world: World) -> None:
    before, free = world.held(ledger.posted(FUND)), world.held(ledger.free(FUND))
    sent = settling(world, 99_990)
    # Cash is rounded to lots of 256 USD; nothing else was gained.
    assert sent.submission.gain.allowance in (0, 256)
    entry = submit(world, sent)
    assert entry.body["kind"] == "losses settled"
    assert world.held(ledger.posted(FUND)) == {**before, "USDC": before["USDC"] - PAID}
    assert (world.held(ledger.free(FUND)), world.held(ledger.SETTLED)) == (free, {"USDC": PAID})
    assert set(world.totals().values()) == {0}
    public = world.account().public
    assert public.posted["USDC"] == before["USDC"] - PAID
    assert public.book is not None
    assert (public.book.submission, public.gained) == (sent.signed.body_hash(), sent.submission.gain.allowance)
    # Sent again it is the same entry, and nothing more leaves.
    assert submit(world, sent) == entry
    assert world.held(ledger.SETTLED) == {"USDC": PAID}


def test_the_ledger_is_what_the_entries_give(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    submit(world, settling(world, 99_990))
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key).balances > 0


def test_what_was_paid_once_counts_once(world: World) -> None:
    submit(world, first := settling(world, 99_990))
    world.funds[FUND].sent[2] = first
    with pytest.raises(AgentRefused, match="USD more than the one it replaces, and 1,000 USD are allowed"):
        world.prepare_submission(FUND, vector(world, traded(world, cash=str(2 * 99_990))))
    assert world.held(ledger.SETTLED) == {"USDC": PAID}


def test_no_more_losses_are_settled_than_what_leaves_is_worth(world: World) -> None:
    with pytest.raises(Refused, match="are worth 99990 USD at this tick, and 99991 USD of losses") as refused:
        submit(world, settling(world, 99_991))
    assert refused.value.field == "gain.settles.usd"
    with pytest.raises(InsufficientFunds, match="units of posted MOON"):
        submit(world, settling(world, 99_990, asset="MOON"))
    assert world.held(ledger.SETTLED) == {}


def test_no_more_cash_is_gained_than_is_paid_for(world: World) -> None:
    with pytest.raises(AgentRefused, match="gained"):
        settling(world, 99_990, cash=99_990 + 2000)
    sent = settling(world, 99_990)
    for changes in ({"usd": "90000"}, {"usd": "99989"}, {"quantity": str(PAID + 1)}):
        with pytest.raises(Refused) as refused:
            submissions.submit(world.operator, FUND, changed(sent, world, **changes))
        assert refused.value.field == "gain_proof"
    gain = {name: value for name, value in sent.signed.body["gain"].items() if name != "settles"}
    with pytest.raises(Refused) as refused:
        submissions.submit(world.operator, FUND, signed_anew(world, sent.signed, gain=gain).to_json())
    assert refused.value.field == "gain_proof"
    assert world.held(ledger.SETTLED) == {}


def test_prices_of_an_old_tick_pay_for_nothing(world: World) -> None:
    """Bitcoin fell between the two ticks: by the first it would pay for more."""
    quantity = 10**8
    was, now = (market_worth(world.terms.schedule, world.terms.model.spot_moves, prices, "BTC", quantity)
                for prices in (market(1), market(2)))  # fmt: skip
    assert was > now
    sent = settling(world, was, quantity, "BTC")
    world.tick(2)
    with pytest.raises(WrongTick, match="the newest is 2"):
        submit(world, sent)
    # At the newest prices its run is due first, and the losses would be gone while that counts the collateral.
    with pytest.raises(RunNotOver, match="settle losses after it is answered"):
        submit(world, settling(world, now, quantity, "BTC"))
    assert world.held(ledger.SETTLED) == {}


def test_more_than_is_posted_pays_for_nothing_and_nothing_is_stored(world: World) -> None:
    posted = world.held(ledger.posted(FUND))["USDC"]
    sent = settling(world, 600_000, posted + 1 + 2 * PAID)
    with pytest.raises(InsufficientFunds, match="units of posted USDC less than that"):
        submit(world, sent)
    assert world.account().public.submissions == 1
    assert world.held(ledger.posted(FUND))["USDC"] == posted


def test_what_is_free_is_posted_before_it_pays(world: World) -> None:
    before = world.held(ledger.posted(FUND))["USDC"]
    collateral.instruct(world.operator, FUND, world.instruction(FUND, "post", "USDC", PAID).to_json())
    submit(world, settling(world, 99_990))
    assert world.held(ledger.posted(FUND))["USDC"] == before


def test_the_next_run_counts_what_is_left_and_the_losses_that_are_left(world: World) -> None:
    before = world.held(ledger.posted(FUND))["USDC"]
    submit(world, sent := settling(world, 99_990))
    world.funds[FUND].sent[2] = sent
    run_id = world.play(2)
    record = world.run(run_id).record
    assert record is not None
    assert record["body"]["posted"]["USDC"] == str(before - PAID)
    assert record["body"]["submission"] == sent.signed.body_hash()
