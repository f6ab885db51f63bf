"""What arrives while an account is in default is under the lien too, and every default has an end."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account.default_documents import CloseOut
from atomic_margin.service.protocol.account.errors import OutOfSequence, WrongCollateral, WrongDefault
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.waterfall import ORDER

from . import in_netting
from .documents import TIME, Parties, named
from .in_default import (
    arrived,
    close_out,
    contributed,
    default_of,
    liquidated,
    loss_agreement,
    sale,
    segregation,
)
from .story import everything, refuses
from .test_machine_maturity import maturity

BEYOND = "is not segregated; nobody else bears anything before that"


def drawn(document: SignedDocument) -> dict[str, int]:
    """What each layer bears by a close-out."""
    lines = CloseOut.parse(document.body).lines
    return {layer: sum(line.drawn for line in lines if line.layer == layer) for layer in ORDER}


def by_deposit() -> Parties:
    return arrived()


def by_delivery() -> Parties:
    """A delivery that was promised before arrives after the liquidation."""
    parties = in_netting.of_a_party()
    parties.enter(in_netting.obligation(parties, "delivery", 5_000))
    in_default(parties)
    parties.enter(loss_agreement(parties, 1_300))
    parties.enter(in_netting.cycle(parties))
    return parties


def by_maturity() -> Parties:
    """A bill arrives that matures before it is segregated."""
    parties = arrived(asset="BILL", quantity=5)
    bill = maturity(parties, "free", 5, asset="BILL", paid="5000", cash="USDC")
    parties.enter(bill)
    return parties


def in_default(parties: Parties) -> None:
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("breach", top_up_usd="40"))
    parties.enter(parties.settlement(everything(parties), top_up_usd="40"))


@pytest.mark.parametrize("make", [by_deposit, by_delivery, by_maturity])
def test_whatever_arrives_bears_the_loss_before_others_do(make: Callable[[], Parties]) -> None:
    parties = make()
    assert parties.state.private.free == {"USDC": 5_000}
    refuses(parties, sale(parties, 50, 50), WrongCollateral, "arrived since; segregate it before anything is sold")
    refuses(parties, close_out(parties), WrongCollateral, BEYOND)
    sequence = parties.state.public.instructions + 1
    refuses(parties, parties.instruction(sequence, "withdraw", 5_000), IllegalTransition, "in_default")
    before = default_of(parties).held["USDC"]
    parties.enter(segregation(parties))
    assert (default_of(parties).held["USDC"], parties.state.private.free) == (before + 5_000, {})
    document = parties.enter(close_out(parties))
    assert drawn(document) == {"margin": 1_300, "contribution": 0, "capital": 0, "mutual": 0}
    assert parties.state.private.free["USDC"] == before + 3_700


def test_what_arrives_is_sold_before_others_bear_anything() -> None:
    parties = arrived(1_250, 60, "BTC")
    parties.enter(segregation(parties))
    default = default_of(parties)
    assert (default.segregated["BTC"], default.held["BTC"], default.arrivals) == (160, 160, 1)
    # Half of all that was segregated of it.
    parties.enter(sale(parties, 80, 80))
    refuses(parties, close_out(parties), WrongCollateral, "BTC of the institution is not sold")
    parties.enter(sale(parties, 80, 80))
    assert drawn(parties.enter(close_out(parties)))["margin"] == 1_160


def test_a_loss_within_the_cash_waits_for_nothing_that_arrived() -> None:
    parties = arrived(300)
    parties.enter(close_out(parties))
    assert parties.state.private.free == {"BTC": 100, "USDC": 5_700}


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"settlement": named("other")}, WrongDefault, "another liquidation"),
        ({"number": "2"}, OutOfSequence, "the next segregation sequence number is 1"),
        ({"taken": {"USDC": "4999"}}, WrongCollateral, "something else free"),
        ({"taken": {"USDC": "5001"}}, WrongCollateral, "something else free"),
        ({"taken": {"USDC": "5000", "BTC": "1"}}, WrongCollateral, "something else free"),
        ({"taken": {}}, WrongCollateral, "something else free"),
    ],
    ids=str,
)
def test_all_that_is_free_is_segregated(changes: Any, error: type[Exception], match: str) -> None:
    parties = arrived()
    refuses(parties, segregation(parties, **changes), error, match)


def test_nothing_is_segregated_twice_or_where_nothing_is_free() -> None:
    parties = arrived()
    document = parties.enter(segregation(parties))
    refuses(parties, segregation(parties), WrongCollateral, "something else free")
    parties.enter(parties.deposit(5_000))
    refuses(parties, document, OutOfSequence, "the next segregation sequence number is 2")
    parties.enter(segregation(parties))
    assert default_of(parties).held == {"BTC": 100, "USDC": 11_000}


# Every default has an end

ASSETS = st.sampled_from(["USDC", "BTC", "ETH"])
PLAIN = ("segregate", "dispute", "halt", "tick", "void", "receipt", "net", "close")
ACTS = st.one_of(
    st.tuples(st.just("sell"), st.integers(1, 60), st.integers(1, 4)),
    st.tuples(st.just("agree"), st.integers(0, 2_000), st.just(0)),
    st.tuples(st.just("arrive"), st.integers(1, 500), ASSETS),
    st.sampled_from([(name, 0, 0) for name in PLAIN]),
)


def begun(contribution: int, unlisted: bool) -> Parties:
    """An account in default that may hold what nobody may sell, and then has a delivery to come as well."""
    if not unlisted:
        return liquidated(contribution)
    parties = in_netting.promised()
    parties.enter(parties.deposit(100, "BTC"))
    parties.enter(parties.deposit(70, "ETH"))
    if contribution:
        parties.enter(contributed(parties, contribution))
    in_default(parties)
    return parties


def act(parties: Parties, name: str, quantity: int, other: Any) -> None:
    """Try something; what is illegal changes nothing."""
    if name in ("tick", "void"):
        parties.tick(void=name == "void")
        return
    if name == "receipt":
        parties.receipted = True
        return
    halts, disputes = parties.state.public.halts, parties.state.public.disputes
    documents: dict[str, Callable[[], SignedDocument]] = {
        "sell": lambda: sale(parties, quantity, quantity * other),
        "agree": lambda: loss_agreement(parties, quantity),
        "arrive": lambda: parties.deposit(quantity, other),
        "segregate": lambda: segregation(parties),
        "dispute": lambda: parties.dispute(1 if disputes is None else disputes.sequence + 1),
        "halt": lambda: parties.halt(1 if halts is None else halts.number + 1),
        "net": lambda: in_netting.cycle(parties),
        "close": lambda: close_out(parties),
    }
    if name == "net" and (parties.state.private.netting is None or not parties.state.private.netting.pending):
        return
    before = parties.state
    try:
        parties.enter(documents[name]())
    except IllegalTransition:
        assert parties.state == before


def ended(parties: Parties, loss: int | None) -> SignedDocument:
    """Drive a default to its end by legal events, at that loss or, if it is None, at what can be borne."""
    parties.tick()
    public = parties.state.public
    if public.halts is not None and public.halts.halt is not None and public.halts.until is not None:
        while parties.newest <= public.halts.until:
            parties.tick()
    if public.disputes is not None and public.disputes.open is not None:
        parties.enter(parties.dispute_withdrawal())
    netting = parties.state.private.netting
    if netting is not None and netting.pending:
        parties.enter(in_netting.cycle(parties))
    if parties.state.private.free:
        parties.enter(segregation(parties))
    default = default_of(parties)
    wanted = default.held.get("USDC", 0) if loss is None else loss
    if default.loss != wanted:
        parties.enter(loss_agreement(parties, wanted))
    while default_of(parties).held.get("BTC", 0) and default_of(parties).held.get("USDC", 0) < wanted:
        default = default_of(parties)
        stage = min(default.held["BTC"], (default.segregated["BTC"] + 1) // 2)
        # At 1 a unit none goes beyond the unit that reaches the loss.
        quantity = min(stage, wanted - default.held.get("USDC", 0))
        parties.enter(sale(parties, quantity, quantity))
    return parties.enter(close_out(parties))


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTS, max_size=10), st.sampled_from([0, 40]), st.booleans(), st.integers(1, 3))
def test_from_every_state_of_a_default_there_is_a_way_to_its_end(
    acts: list[tuple[str, int, Any]], contribution: int, unlisted: bool, stages: int
) -> None:
    """Also when an asset can never be sold, or all stages are used up: then nobody else bears anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomic_margin.service.protocol.account.defaults.MAX_STAGES", stages)
        parties = begun(contribution, unlisted)
        for name, quantity, other in acts:
            if parties.state.public.default is None:
                return
            act(parties, name, quantity, other)
        if parties.state.public.default is None:
            return
        document = ended(parties, None)
    assert parties.state.public.status is AccountState.CLOSED
    assert sum(drawn(document).values()) == drawn(document)["margin"]


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTS.filter(lambda one: one[2] != "ETH"), max_size=10), st.integers(0, 3_000))
def test_a_default_whose_assets_are_all_listed_ends_at_any_loss(acts: list[tuple[str, int, Any]], loss: int) -> None:
    """And others bear of it what the institution does not have, to the last unit."""
    parties = begun(40, unlisted=False)
    for name, quantity, other in acts:
        if parties.state.public.default is None:
            return
        act(parties, name, quantity, other)
    if parties.state.public.default is None:
        return
    document = ended(parties, loss)
    assert parties.state.public.status is AccountState.CLOSED
    by, closing = drawn(document), CloseOut.parse(document.body)
    assert sum(by.values()) + closing.uncovered == loss
    if by["contribution"] or by["capital"] or by["mutual"]:
        assert (parties.state.private.free, closing.margin) == ({}, {"USDC": by["margin"]} if by["margin"] else {})


def test_a_bill_that_matured_in_the_pool_is_no_dead_end() -> None:
    """Its sale is at what is due, see `least_proceeds`; one that the rules do not list goes back as any other asset."""
    parties = arrived(1_300, 5, "BILL")
    parties.enter(segregation(parties))
    for _ in range(2):
        parties.enter(sale(parties, 50, 50))
    refuses(parties, close_out(parties), WrongCollateral, "BILL of the institution is not sold")
    parties.enter(loss_agreement(parties, 1_100))
    parties.enter(close_out(parties))
    assert parties.state.private.free == {"BILL": 5}
    parties.enter(maturity(parties, "free", 5, asset="BILL", paid="5000", cash="USDC"))
    assert parties.state.private.free == {"USDC": 5_000}


@pytest.mark.parametrize("closed_at", [TIME, "2020-01-01T00:00:00Z"])
@pytest.mark.parametrize("arrives", [True, False])
def test_nobody_bears_anything_while_a_delivery_is_promised(closed_at: str, arrives: bool) -> None:
    """Whatever day it is for, and whatever day the operator says that it is: the cycle says first whether it came."""
    parties = in_netting.of_a_party()
    parties.enter(in_netting.obligation(parties, "delivery", 5_000))
    in_default(parties)
    parties.enter(loss_agreement(parties, 1_300))
    document = close_out(parties, closed_at=closed_at)
    refuses(parties, document, WrongCollateral, "deliveries of USDC are promised and not netted")
    parties.enter(in_netting.cycle(parties, arrived=arrives))
    if arrives:
        parties.enter(segregation(parties))
    assert drawn(parties.enter(close_out(parties)))["mutual"] == (0 if arrives else 250)
    assert parties.state.private.free == ({"USDC": 4_700} if arrives else {})


def test_a_delivery_that_nobody_waits_for_is_the_institutions() -> None:
    """Its cash reaches the loss: what comes after the end is free."""
    parties = in_netting.of_a_party()
    parties.enter(in_netting.obligation(parties, "delivery", 5_000))
    in_default(parties)
    parties.enter(loss_agreement(parties, 900))
    parties.enter(close_out(parties))
    parties.enter(in_netting.cycle(parties))
    assert parties.state.private.free["USDC"] == 5_100


def test_nothing_is_sold_before_what_arrived_is_segregated() -> None:
    """Else a partial operator would sell to a friend what the cash makes needless."""
    parties = arrived(1_300)
    refuses(parties, sale(parties, 50, 100), WrongCollateral, "USDC of the institution arrived since")
    parties.enter(segregation(parties))
    refuses(parties, sale(parties, 50, 100), WrongCollateral, "fewer units of BTC reach the agreed loss")
