"""Defaults in the account machine: what is sold, what ends one, and what a member of the fund bears."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.default_documents import CloseOut
from atomic_margin.service.protocol.account.errors import (
    AccountHeld,
    OutOfSequence,
    WrongCollateral,
    WrongDefault,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import read_event
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.waterfall import ORDER, WaterfallRules

from .documents import INSTITUTION, named
from .in_default import (
    RULES,
    RULES_JSON,
    agreed,
    close_out,
    contributed,
    default_of,
    liquidated,
    loss_agreement,
    sale,
)  # fmt: skip
from .story import covered, everything, refuses

OTHER_RULES: dict[str, Any] = RULES_JSON | {"version": "2"}


def test_a_liquidation_segregates_what_it_takes() -> None:
    default = default_of(liquidated())
    assert (default.top_up_usd, default.segregated) == ("40", {"BTC": 100, "USDC": 1_000})
    assert (default.held, default.stages, default.loss) == (default.segregated, 0, None)


def test_an_account_that_never_was_in_default_is_hashed_as_before() -> None:
    public = covered().state.public
    canonical = public.canonical()
    assert isinstance(canonical, dict)
    assert {"default", "fund"}.isdisjoint(canonical)
    assert PublicState.parse(canonical) == public


# Sales


def test_sales_go_on_until_the_proven_amount() -> None:
    parties = liquidated()
    parties.enter(sale(parties, 10, 20))
    assert default_of(parties).held == {"BTC": 90, "USDC": 1_020}
    assert (default_of(parties).realised_usd, default_of(parties).rules) == ("20", RULES.hash())
    # 20 are left, at 2 a unit.
    refuses(parties, sale(parties, 11, 22), WrongCollateral, "reach the proven top-up of 40 USD")
    parties.enter(sale(parties, 10, 21))
    refuses(parties, sale(parties, 1, 2), WrongCollateral, "reach the proven top-up of 40 USD")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"stage": "2"}, OutOfSequence, "the next stage sequence number is 1"),
        ({"settlement": named("other")}, WrongDefault, "another liquidation"),
        ({"asset": "USDC"}, WrongCollateral, "allow no sale of 10 USDC"),
        ({"asset": "ETH"}, WrongCollateral, "allow no sale of 10 ETH"),
        ({"quantity": "0"}, WrongCollateral, "allow no sale of 0 BTC"),
        ({"quantity": "51"}, WrongCollateral, r"one stage sells at most 0\.5 of the 100"),
        ({"quantity": "101"}, WrongCollateral, "100 units of BTC are held"),
        ({"limit": "21"}, WrongCollateral, "brought in 20, and the limit is 21"),
        ({"price_sequence": "1"}, WrongTick, "at the prices of the newest tick, 2"),
        ({"tick": named("other")}, WrongTick, "at the prices of the newest tick, 2"),
    ],
    ids=str,
)
def test_a_sale_is_the_next_stage_of_this_default(changes: Any, error: type[Exception], match: str) -> None:
    parties = liquidated()
    refuses(parties, sale(parties, **changes), error, match)


def test_an_old_sale_is_void_at_the_next_tick_and_after_another_one() -> None:
    parties = liquidated()
    old = sale(parties)
    parties.enter(old)
    refuses(parties, old, OutOfSequence, "the next stage sequence number is 2")
    late = sale(parties, 1, 2)
    parties.receipted = True
    refuses(parties, late, WrongTick, "sell after the next tick")
    parties.tick()
    refuses(parties, late, WrongTick, "sell after the next tick")
    parties.tick(void=True)
    refuses(parties, sale(parties, 1, 2), WrongTick, "sell after the next tick")


def test_all_of_a_default_is_under_the_same_rules() -> None:
    parties = liquidated()
    parties.enter(sale(parties))
    refuses(parties, sale(parties, 1, 2, rules=OTHER_RULES), WrongDefault, "other waterfall rules")
    refuses(parties, loss_agreement(parties, rules=named("other")), WrongDefault, "other waterfall rules")
    parties = agreed()
    refuses(parties, sale(parties, 1, 2, rules=OTHER_RULES), WrongDefault, "other waterfall rules")
    refuses(parties, close_out(parties, rules=OTHER_RULES), WrongDefault, "other waterfall rules")


def test_once_a_loss_is_agreed_collateral_is_sold_up_to_that() -> None:
    parties = agreed(1_030)
    refuses(parties, sale(parties, 16, 32), WrongCollateral, "reach the agreed loss of 1030 USDC")
    parties.enter(sale(parties, 15, 30))
    refuses(parties, sale(parties, 1, 2), WrongCollateral, "reach the agreed loss of 1030 USDC")


def test_what_a_dispute_holds_is_neither_sold_nor_closed_out() -> None:
    for parties, make in ((liquidated(), sale), (agreed(), close_out)):
        document = make(parties)
        held = parties.state.public.changed(
            {"disputes": SimpleNamespace(open=SimpleNamespace(dispute="ab" * 32, number=3))}
        )
        state = parties.state.changed({"public": held})
        with pytest.raises(AccountHeld, match="holds the account"):
            machine.apply(state, read_event(document), parties.at)
        over = held.changed({"disputes": SimpleNamespace(open=None)})
        machine.apply(state.changed({"public": over}), read_event(document), parties.at)


# The loss


def test_a_loss_is_agreed_for_the_default_as_it_is() -> None:
    parties = liquidated()
    old = loss_agreement(parties)
    refuses(parties, loss_agreement(parties, replaces=named("other")), WrongDefault, "no loss is agreed yet")
    refuses(parties, loss_agreement(parties, settlement=named("other")), WrongDefault, "another liquidation")
    parties.enter(sale(parties))
    refuses(parties, old, WrongDefault, "signed after 0 sales, and there are 1")
    parties.enter(loss_agreement(parties, 7))


def test_a_loss_takes_the_place_of_the_one_that_it_names() -> None:
    parties = liquidated()
    first, other = loss_agreement(parties, 7), loss_agreement(parties, 8)
    parties.enter(first)
    # Whatever else was signed before is void, and so is the first after the second.
    refuses(parties, other, WrongDefault, "a loss of 7 is agreed already")
    old = loss_agreement(parties, 9)
    parties.enter(loss_agreement(parties, 1_250))
    default = default_of(parties)
    assert default.loss == 1_250
    for stale in (first, other, old):
        refuses(parties, stale, WrongDefault, "a loss of 1250 is agreed already")
    refuses(parties, close_out(parties, loss="7", agreement=first.body_hash()), WrongDefault, "1250 was agreed")


def test_what_cannot_be_sold_lets_others_bear_nothing_and_is_no_dead_end() -> None:
    """Both sides agree on a loss that the cash reaches; what the rules do not list goes back, and nobody else paid."""
    parties = covered()
    parties.enter(parties.deposit(100, "ETH"))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("breach", top_up_usd="40"))
    parties.enter(parties.settlement(everything(parties), top_up_usd="40"))
    parties.enter(loss_agreement(parties, 1_300))
    refuses(parties, sale(parties, asset="ETH"), WrongCollateral, "allow no sale of 10 ETH")
    refuses(parties, close_out(parties), WrongCollateral, "ETH of the institution is not sold")
    parties.enter(loss_agreement(parties, 1_000))
    closing = CloseOut.parse(parties.enter(close_out(parties)).body)
    assert [line.drawn for line in closing.lines if line.layer != "margin"] == [0, 0, 0, 0]
    assert (parties.state.public.status, parties.state.private.free) == (AccountState.CLOSED, {"ETH": 100})


def test_stages_that_are_used_up_are_no_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic_margin.service.protocol.account.defaults.MAX_STAGES", 2)
    parties = agreed(1_300)
    for _ in range(2):
        parties.enter(sale(parties, 1, 2))
    refuses(parties, sale(parties, 1, 2), OutOfSequence, "at most 2 stages")
    refuses(parties, close_out(parties), WrongCollateral, "BTC of the institution is not sold")
    parties.enter(loss_agreement(parties, 1_004))
    parties.enter(close_out(parties))
    assert parties.state.private.free == {"BTC": 98}


def test_a_default_is_under_the_rules_of_the_institutions_contribution() -> None:
    """Else it could not be closed out: what it contributed bears before others do."""
    parties = liquidated(contribution=40)
    refuses(parties, sale(parties, rules=OTHER_RULES), WrongDefault, "contribution is under other waterfall rules")
    other = WaterfallRules.parse(OTHER_RULES).hash()
    refuses(parties, loss_agreement(parties, rules=other), WrongDefault, "contribution is under other waterfall rules")
    # One that is used up binds nobody.
    share = parties.state.public.fund
    assert share is not None
    spent = parties.state.public.changed({"fund": share.changed({"quantity": 0})})
    state = parties.state.changed({"public": spent})
    at = parties.at._replace(head=parties.chain.head)
    machine.apply(state, read_event(sale(parties, rules=OTHER_RULES)), at)
    document = loss_agreement(parties, rules=other)
    default = machine.apply(state, read_event(document), at).public.default
    assert default is not None
    assert default.rules == other


def test_a_close_out_follows_the_funds_documents_about_the_account() -> None:
    """Else a draw of before could be made again."""
    parties = agreed(300, contribution=40)
    refuses(parties, close_out(parties, number="1"), OutOfSequence, "the fund's document 1 was about the account")


# The end


def test_what_is_left_goes_back_and_the_account_is_closed() -> None:
    parties = agreed(300, contribution=40)
    parties.enter(close_out(parties))
    public, private = parties.state.public, parties.state.private
    assert (public.status, public.default, public.book) == (AccountState.CLOSED, None, None)
    assert private.free == {"BTC": 100, "USDC": 700}
    assert public.fund is not None
    assert (public.fund.quantity, public.fund.number) == (40, 9)
    parties.enter(parties.instruction(2, "withdraw", 700))
    for document in (parties.submission(2, "b"), parties.instruction(3, "post", 1), contributed(parties, 1, 10)):
        refuses(parties, document, IllegalTransition, "closed")


def test_a_closed_account_disputes_its_end_and_holds_nobody_but_itself() -> None:
    parties = agreed()
    parties.enter(parties.dispute())
    refuses(parties, close_out(parties), AccountHeld, "close out after it is resolved")
    parties.enter(parties.dispute_withdrawal())
    parties.enter(close_out(parties))
    parties.enter(parties.dispute(2))
    refuses(parties, parties.instruction(2, "withdraw", 1), AccountHeld, "withdraw after it is resolved")
    # Its own word ends it.
    parties.enter(parties.dispute_withdrawal())
    parties.enter(parties.instruction(2, "withdraw", 1))


def test_the_defaulters_contribution_bears_before_others_do() -> None:
    parties = liquidated(contribution=40)
    parties.enter(loss_agreement(parties, 1_250))
    for quantity in (50, 50):
        parties.enter(sale(parties, quantity, quantity))
    parties.enter(close_out(parties))
    assert parties.state.private.free == {}
    assert parties.state.public.fund is not None
    assert parties.state.public.fund.quantity == 0


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"settlement": named("other")}, WrongDefault, "another liquidation"),
        ({"loss": "299"}, WrongDefault, "a loss of 300 was agreed"),
        ({"agreement": named("other")}, WrongDefault, "in another document"),
        ({"margin": {"USDC": "1000"}}, WrongCollateral, "counts other collateral than is held"),
        ({"contribution": "3"}, WrongCollateral, "another contribution of the institution"),
        ({"contributions": {INSTITUTION: "5"}}, WrongCollateral, "counts the defaulter among the others"),
        ({"lines": []}, WrongCollateral, "other lines bear the loss"),
        ({"uncovered": "1"}, WrongCollateral, "0 of the loss are borne by nobody"),
        ({"returned": {"USDC": "700"}}, WrongCollateral, "something else than what is left goes back"),
    ],
    ids=str,
)
def test_a_close_out_says_what_follows(changes: Any, error: type[Exception], match: str) -> None:
    parties = agreed()
    refuses(parties, close_out(parties, **changes), error, match)


def test_nothing_is_closed_without_a_loss_that_both_sides_signed() -> None:
    parties = liquidated()
    refuses(parties, close_out(parties), WrongDefault, "no loss is agreed that both sides signed")


def test_nobody_else_bears_anything_while_the_defaulter_has_something_left() -> None:
    parties = agreed(1_250)
    refuses(parties, close_out(parties), WrongCollateral, "BTC of the institution is not sold")


# In any order

ACTS = st.one_of(
    st.tuples(st.just("sell"), st.integers(1, 60), st.integers(1, 4)),
    st.tuples(st.just("agree"), st.integers(0, 1_500), st.just(0)),
    st.tuples(st.just("close"), st.just(0), st.just(0)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTS, max_size=8))
def test_nothing_comes_from_nowhere_in_whatever_order(acts: list[tuple[str, int, int]]) -> None:
    """What sales bring in, what is borne and what goes back add up, and nobody pays before the defaulter."""
    parties, sold, brought = liquidated(contribution=40), 0, 0
    for act, quantity, price in acts:
        default = parties.state.public.default
        if default is None:
            return
        if act == "sell":
            document = sale(parties, quantity, quantity * price)
        elif act == "agree":
            document = loss_agreement(parties, quantity)
        else:
            document = close_out(parties)
        before = parties.state
        try:
            parties.enter(document)
        except IllegalTransition:
            assert parties.state == before
            continue
        if act == "sell":
            sold, brought = sold + quantity, brought + quantity * price
        after = parties.state.public.default
        if after is not None:
            assert after.held.get("BTC", 0) == 100 - sold
            assert after.held.get("USDC", 0) == 1_000 + brought
            # One unit of 4 at most goes beyond what was proven, as long as nobody signed more.
            assert after.loss is not None or brought < 40 + 4
            continue
        closing = CloseOut.parse(document.body)
        drawn = {layer: sum(line.drawn for line in closing.lines if line.layer == layer) for layer in ORDER}
        assert sum(drawn.values()) + closing.uncovered == closing.loss == default.loss
        free = parties.state.private.free
        assert free.get("USDC", 0) + drawn["margin"] == 1_000 + brought
        assert free.get("BTC", 0) == 100 - sold
        assert parties.state.public.fund is not None
        assert parties.state.public.fund.quantity == 40 - drawn["contribution"]
        if any(drawn[layer] for layer in ORDER[1:]):
            assert free == {}
