"""Collateral that comes back, with the operator's store, the agent's code and real proofs; and attacks on it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gained
from atomic_margin.service.errors import (
    AgentRefused,
    IllegalTransition,
    Refused,
    RemoteError,
)
from atomic_margin.service.institution import releases as own_releases
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import releases
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.protocol.account.errors import OutOfSequence, RunNotOver, WrongTick
from atomic_margin.service.protocol.release_rows import ReleaseRows, release_rows
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.reports.reconciled import check_step
from atomic_margin.zk.errors import WitnessError

from .documents import FUND, example
from .resident import Resident
from .rounds import flat, in_step, lose, mend
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents
from .test_reports import whole

pytestmark = pytest.mark.long

USDC = 10**6
MORE = 100_000 * USDC


def covered(resident: Resident, number: int = 1) -> None:
    """Post more than is needed; the run of a tick is answered. A bitcoin is free."""
    resident.world.deposit(FUND, "BTC", 10**8, f"bitcoin-{number}")
    resident.agent.instruct("post", "USDC", MORE)
    run_id = resident.world.play(number)
    assert resident.agent.answer_due() == [run_id]


def inventive() -> Portfolio:
    """The example's book with cash that nobody paid."""
    return Portfolio.parse({**example("portfolio"), "cash": "2000000"})


def quantities(shown: dict[str, str]) -> dict[str, int]:
    return {asset: int(quantity) for asset, quantity in shown.items()}


def made(resident: Resident, taken: dict[str, int], given: dict[str, int] | None = None) -> SignedDocument:
    """A document as the agent makes it, signed and not sent."""
    agent = resident.agent
    agent.history.sync()
    assert agent.history.state is not None
    return own_releases.make(agent._party, agent.history.state, taken, given)


def take(resident: Resident, signed: SignedDocument) -> SignedDocument:
    return releases.take_release(resident.world.operator, FUND, signed.to_json())


def anew(resident: Resident, signed: SignedDocument, **changes: Any) -> SignedDocument:
    """The same document, which says something else, signed anew; None leaves a field out."""
    body = {name: value for name, value in {**signed.body, **changes}.items() if value is not None}
    return resident.agent.identity.sign("release", body)


def agrees(resident: Resident) -> None:
    """Ledger, entries and the agent's replica are the same, and nothing was lost."""
    world = resident.world
    assert set(world.totals().values()) == {0}
    assert world.held(ledger.posted(FUND)) == dict(resident.state.public.posted)
    assert world.held(ledger.free(FUND)) == dict(resident.state.private.free)
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key).balances > 0


def test_what_is_beyond_initial_margin_comes_back_with_a_proof(proving: Resident) -> None:
    covered(proving)
    agent = proving.agent
    before = dict(proving.state.public.posted)
    found = agent.excess()
    back = quantities(found.back)
    assert back
    assert int(found.usd) > 0
    assert found.deliver == {}
    assert agent.release(back).proven
    public = proving.state.public
    assert public.posted == {a: q - back.get(a, 0) for a, q in before.items() if q > back.get(a, 0)}
    agrees(proving)
    assert in_step(proving)
    facts = whole(proving.world)
    for number in range(1, len(facts.steps) + 1):
        check_step(facts, number)
    # Of what is left nothing can be had back but what was rounded off, and the next run is covered without it.
    assert int(agent.excess().usd) == 0
    with pytest.raises(AgentRefused, match="no initial margin with what remains"):
        agent.release({"USDC": 2000 * USDC})
    run_id = proving.world.play(1, sequence="2", as_of="2026-11-21T08:00:00Z")
    assert agent.answer_due() == [run_id]
    agent.instruct("withdraw", "USDC", 1)


def test_what_is_missing_is_shown_with_what_is_cheapest_to_deliver(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    found = resident.agent.excess()
    assert (found.usd, found.back) == ("0", {})
    assert int(found.short_usd) > 0
    [(asset, quantity)] = quantities(found.deliver).items()
    resident.agent.instruct("post", asset, quantity)
    assert resident.agent.excess(1).short_usd == "0"


def test_without_a_book_what_is_posted_comes_back_without_a_proof(resident: Resident) -> None:
    other = resident.world.enrol("other")
    resident.world.deposit("other", "USDC", 10, "for-other")
    resident.world.instruct("other", "post", "USDC", 10)
    public = resident.world.account("other").public
    body = {
        "institution": "other",
        "operator": resident.world.key,
        "sequence": "2",
        "entry": resident.world.head("other"),
        "price_sequence": "0",
        "tick": "0" * 64,
        "posted": {"USDC": "10"},
        "taken": {"USDC": "4"},
        "remaining": {"USDC": "6"},
    }
    assert public.book is None
    signed = other.identity.sign("release", body)
    releases.take_release(resident.world.operator, "other", signed.to_json())
    assert resident.world.held(ledger.posted("other")) == {"USDC": 6}


# Substitutions


def test_what_is_worth_no_less_takes_its_place_without_a_proof(resident: Resident) -> None:
    covered(resident)
    before = dict(resident.state.public.posted)
    said = resident.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    assert not said.proven
    assert resident.state.public.posted == {**before, "USDC": before["USDC"] - 1000 * USDC, "BTC": 2 * 10**6}
    agrees(resident)


def test_what_is_worth_less_takes_its_place_with_a_proof(proving: Resident) -> None:
    covered(proving)
    assert proving.agent.release({"USDC": 1000 * USDC}, {"BTC": 1}).proven
    agrees(proving)


def test_a_worthless_asset_takes_the_place_of_nothing(proving: Resident) -> None:
    covered(proving)
    free = proving.state.private.free
    assert free["BTC"] > 1
    with pytest.raises(AgentRefused, match="no initial margin with what remains"):
        proving.agent.release({"USDC": 200_000 * USDC}, {"BTC": 1})
    # One who sends it all the same, without the proof or with another one's.
    small = made(proving, {"USDC": USDC}, {"BTC": 1})
    remaining = {**small.body["remaining"], "USDC": str(int(small.body["posted"]["USDC"]) - 200_000 * USDC)}
    large = {"taken": {"USDC": str(200_000 * USDC)}, "remaining": remaining}
    for changes, field in (
        ({"sufficiency_proof": None, "matrix": None}, "given"),
        ({}, "matrix"),
        ({"matrix": rows_of(proving, quantities(remaining)).hash()}, "sufficiency_proof"),
    ):
        with pytest.raises(Refused) as refused:
            take(proving, anew(proving, small, **large, **changes))
        assert refused.value.field == field
    agrees(proving)
    take(proving, small)


def rows_of(resident: Resident, remaining: dict[str, int], form: Any = "conservative") -> ReleaseRows:
    """The rows of a release at tick 1."""
    own = resident.submissions[-1]
    submission = Submission.parse(own.document["body"])
    return release_rows(resident.agent.terms, form, Market.parse(example("market-1")), remaining, submission)


# Attacks


def test_invented_cash_comes_back_to_nobody(proving: Resident) -> None:
    """A book says that it gained two millions, which the operator allows here. Runs count them, a release does not.

    It may say no more by them than that it lost nothing.
    """
    covered(proving)
    agent = proving.agent
    honest, lost = int(agent.excess(1).usd), lost_so_far(proving)
    agent.submit(inventive())
    run_id = proving.world.play(1, sequence="2", as_of="2026-11-21T08:00:00Z")
    assert agent.answer_due() == [run_id]
    assert int(agent.excess(1).usd) <= honest + lost + 1
    with pytest.raises(AgentRefused, match="gains counted as zero"):
        agent.release({"USDC": 200_000 * USDC})
    agrees(proving)


def lost_so_far(resident: Resident) -> int:
    """What the book in force has lost so far, USD."""
    terms, own = resident.agent.terms, resident.submissions[-1]
    submission = Submission.parse(own.document["body"])
    z = terms.encode(Portfolio.parse(own.portfolio), submission)
    weights = gains(submission, terms, Market.parse(example("market-1")))
    return max(0, -gained(weights, z.tolist()) >> -UNIT_EXPONENT)


@pytest.mark.long
def test_who_leaves_gains_out_of_the_rows_or_u_out_of_the_proof_has_none(
    proving: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = proving.agent
    agent.submit(inventive())
    covered(proving)
    # (1) The value that stands for gains is too small: its own row is negative.
    with monkeypatch.context() as cheat:
        cheat.setattr(ReleaseRows, "gained", lambda self, z: 0)
        with pytest.raises(WitnessError, match="negative surplus"):
            made(proving, {"USDC": 200_000 * USDC})
    # (2) Rows without gains are other rows.
    of = ReleaseRows.of
    with monkeypatch.context() as cheat:
        cheat.setattr(ReleaseRows, "of", lambda rows, weights: of(rows, [0] * len(weights)))
        signed = made(proving, {"USDC": 200_000 * USDC})
    with pytest.raises(Refused, match="other rows") as refused:
        take(proving, signed)
    assert refused.value.field == "matrix"
    # (3) And a proof about them is none about the right ones.
    right = rows_of(proving, quantities(signed.body["remaining"])).hash()
    with pytest.raises(Refused) as refused:
        take(proving, anew(proving, signed, matrix=right))
    assert refused.value.field == "sufficiency_proof"
    agrees(proving)


@pytest.mark.long
def test_a_proof_is_about_what_remains_and_about_nothing_else(proving: Resident) -> None:
    covered(proving)
    signed = made(proving, {"USDC": 1000 * USDC})
    posted = int(signed.body["posted"]["USDC"])
    more = {
        "taken": {"USDC": str(50_000 * USDC)},
        "remaining": {**signed.body["remaining"], "USDC": str(posted - 50_000 * USDC)},
    }
    right = rows_of(proving, quantities(more["remaining"])).hash()
    for changes, field in (
        (more, "matrix"),
        ({**more, "matrix": right}, "sufficiency_proof"),
        ({"form": "exact"}, "form"),
    ):
        with pytest.raises(Refused) as refused:
            take(proving, anew(proving, signed, **changes))
        assert refused.value.field == field
    take(proving, signed)
    agrees(proving)


def test_a_release_counts_once(resident: Resident) -> None:
    covered(resident)
    signed = made(resident, {"USDC": 1000 * USDC})
    with ThreadPoolExecutor(8) as pool:
        entries = [future.result() for future in [pool.submit(take, resident, signed) for _ in range(24)]]
    assert all(entry == entries[0] for entry in entries)
    agrees(resident)
    again = anew(resident, signed, taken={"USDC": "1"}, remaining={**signed.body["posted"]})
    with pytest.raises(OutOfSequence, match="the next instruction sequence number is"):
        take(resident, again)
    with pytest.raises(OutOfSequence, match="the account went on"):
        take(resident, anew(resident, again, sequence=str(resident.state.public.instructions + 1)))


@pytest.mark.long
@pytest.mark.parametrize(
    ("passes", "error"),
    [
        (lambda world: world.tick(1, sequence="2", as_of="2026-11-21T08:00:00Z"), RunNotOver),
        (lambda world: world.void(), WrongTick),
        (lambda world: world.deposit(FUND, "USDC", 1, "late"), OutOfSequence),
    ],
    ids=["tick", "void tick", "deposit"],
)
def test_after_a_tick_or_an_event_a_release_is_about_nothing(
    resident: Resident, passes: Callable[[Any], Any], error: type[Exception]
) -> None:
    covered(resident)
    signed = made(resident, {"USDC": 1000 * USDC})
    passes(resident.world)
    with pytest.raises(IllegalTransition) as refused:
        take(resident, signed)
    # A deposit is another entry; a void tick makes none.
    assert type(refused.value) is error
    agrees(resident)


def test_a_flat_book_frees_nothing_before_it_is_proven_at_a_later_tick(resident: Resident) -> None:
    covered(resident)
    resident.agent.submit(flat())
    with pytest.raises(IllegalTransition, match="not proven covered since it came"):
        resident.agent.release({"USDC": 1})
    resident.agent.submit(Portfolio.parse(example("portfolio")))
    with pytest.raises(IllegalTransition, match="not proven covered since it came"):
        resident.agent.release({"USDC": 1})


# On the way


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_release_that_was_lost_is_sent_again_while_it_is_about_something(resident: Resident, lost: str) -> None:
    covered(resident)
    lose(resident, "/releases", lost)
    with pytest.raises(RemoteError):
        resident.agent.release({"USDC": 1000 * USDC})
    mend(resident)
    resident.restarted().answer_due()
    [row] = [row for row in resident.documents if row.type == "release"]
    assert row.entry is not None
    agrees(resident)
    assert in_step(resident)


def test_a_release_that_is_about_nothing_any_more_is_not_sent_again(resident: Resident) -> None:
    covered(resident)
    lose(resident, "/releases", "request")
    with pytest.raises(RemoteError):
        resident.agent.release({"USDC": 1000 * USDC})
    mend(resident)
    resident.world.deposit(FUND, "USDC", 1, "late")
    resident.restarted().answer_due()
    [row] = [row for row in resident.documents if row.type == "release"]
    assert row.superseded == "the account went on since it was made"
    assert resident.agent.release({"USDC": 1000 * USDC}).taken == {"USDC": str(1000 * USDC)}
