"""The table of the machine: every kind in every status, and what an event needs whoever's it is."""

from collections.abc import Callable

import pytest

from atomic_margin.service.errors import IllegalTransition, MalformedRequest
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import WrongRun, WrongSigner, WrongTick
from atomic_margin.service.protocol.account.events import Event, EventKind, read_event
from atomic_margin.service.protocol.account.machine import OF_INSTITUTION
from atomic_margin.service.protocol.account.table import TABLE, next_status
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState

from ..agreements import agreement
from . import in_custody, in_default, in_netting
from .documents import Parties, named, priced_at, tick
from .releasing import release
from .story import (
    asked,
    booked,
    breached,
    covered,
    disputed,
    evaluating,
    everything,
    halted,
    in_status,
    owed,
    recorded,
    refuses,
)  # fmt: skip
from .test_machine_maturity import maturity

K = EventKind
LIVE: dict[EventKind, Callable[[], tuple[Parties, SignedDocument]]] = {}
"""For every kind, an account in which it is legal, and the document."""


def live(kind: EventKind) -> Callable[[Callable[[], tuple[Parties, SignedDocument]]], None]:
    def keep(make: Callable[[], tuple[Parties, SignedDocument]]) -> None:
        LIVE[kind] = make

    return keep


def _with(parties: Parties, make: Callable[[Parties], SignedDocument]) -> tuple[Parties, SignedDocument]:
    return parties, make(parties)


live(K.DEPOSITED)(lambda: _with(covered(), lambda p: p.deposit(5)))
live(K.UNIVERSE_REVISED)(lambda: _with(covered(), Parties.revision))
live(K.KEYS_ENROLLED)(lambda: _with(covered(), lambda p: p.enrolment(2)))
live(K.SUBMITTED)(lambda: _with(covered(), lambda p: p.submission(2, "b")))
live(K.LOSSES_SETTLED)(lambda: _with(covered(), lambda p: p.settling(2, "b", 5)))
live(K.POSTED)(lambda: _with(covered(), lambda p: p.instruction(2, "post", 5)))
live(K.WITHDRAWN)(lambda: _with(covered(), lambda p: p.instruction(2, "withdraw", 5)))
live(K.RUN_OPENED)(lambda: _with(booked(), Parties.run_opened))
live(K.RUN_RECORDED)(lambda: _with(evaluating(), Parties.record))
live(K.RUN_VOID)(lambda: _with(evaluating(), Parties.void))
live(K.PROOF_OVERDUE)(lambda: _with(asked(), Parties.overdue))
live(K.ANSWER_OVERDUE)(lambda: _with(recorded(), Parties.overdue))
live(K.COVERED)(lambda: _with(recorded(), lambda p: p.answer("covered")))
live(K.BREACH_PROVEN)(lambda: _with(recorded(), lambda p: p.answer("breach")))
live(K.MARGIN_CALLED)(lambda: _with(breached(), lambda p: p.settlement([("USDC", 7, "free", "posted")])))
live(K.LIQUIDATED)(lambda: _with(breached(), lambda p: p.settlement(everything(p))))
live(K.READERS_NAMED)(lambda: _with(covered(), lambda p: p.readers(1)))
live(K.COVERED_UNASKED)(lambda: _with(owed(), Parties.coverage))
live(K.BOOK_GIVEN_UP)(lambda: _with(owed(), Parties.giving_up))
live(K.DISPUTED)(lambda: _with(covered(), Parties.dispute))
live(K.DISPUTE_RESOLVED)(lambda: _with(disputed(), Parties.resolution))
live(K.DISPUTE_WITHDRAWN)(lambda: _with(disputed(), Parties.dispute_withdrawal))
live(K.DISPUTE_LAPSED)(lambda: _with(disputed(), lambda p: p.dispute_lapse(priced_at(0), priced_at(14))))
live(K.COLLATERAL_SOLD)(lambda: _with(in_default.liquidated(), in_default.sale))
live(K.LOSS_AGREED)(lambda: _with(in_default.liquidated(), in_default.loss_agreement))
live(K.DEFAULT_CLOSED)(lambda: _with(in_default.agreed(), in_default.close_out))
live(K.COLLATERAL_SEGREGATED)(lambda: _with(in_default.arrived(), in_default.segregation))
live(K.FUND_CONTRIBUTED)(lambda: _with(covered(), in_default.contributed))
live(K.FUND_DRAWN)(lambda: _with(in_default.member(), in_default.draw))
live(K.PARTY_NAMED)(lambda: _with(covered(), in_netting.naming))
live(K.DELIVERY_PROMISED)(lambda: _with(in_netting.of_a_party(), lambda p: in_netting.obligation(p, "delivery")))
live(K.RETURN_PROMISED)(lambda: _with(in_netting.of_a_party(), lambda p: in_netting.obligation(p, "return")))
live(K.NETTED)(lambda: _with(in_netting.promised(), in_netting.cycle))
live(K.MATURED)(lambda: _with(covered(), maturity))
live(K.FREE_MATURED)(lambda: _with(covered(), lambda p: maturity(p, "free")))
live(K.HALTED)(lambda: _with(covered(), Parties.halt))
live(K.RESUMED)(lambda: _with(halted(covered()), Parties.resume))
live(K.RELEASED)(lambda: _with(covered(), lambda p: release(p, {"USDC": 5})))
live(K.IDENTITY_ROTATED)(lambda: _with(covered(), lambda p: p.rotation(Identity.generate())))
live(K.OPENING_REQUESTED)(lambda: _with(in_custody.owed(), in_custody.request))
live(K.OPENING_LAPSED)(lambda: _with(in_custody.asked(), in_custody.lapse))
live(K.OPENED_COVERED)(lambda: _with(in_custody.asked(), in_custody.opened))
live(K.OPENED_IN_BREACH)(lambda: _with(in_custody.asked(), lambda p: in_custody.opened(p, "breach")))
live(K.CUSTODY_AMENDED)(lambda: _with(covered(), lambda p: in_custody.amendment(p, in_custody.policy())))
live(K.RESHARED)(lambda: _with(in_custody.amended(), in_custody.resharing))
live(K.AGREEMENT_AMENDED)(lambda: _with(covered(), lambda p: p.amendment(agreement())))


@live(K.KEYS_CONFIRMED)
def _() -> tuple[Parties, SignedDocument]:
    parties = covered()
    parties.enter(parties.enrolment(2))
    return parties, parties.confirmation(2)


WATCHED = {"active": "active", "frozen": "frozen"}
FREED = {"active": "active", "frozen": "active"}
EVERYWHERE = {name: name for name in ("admitted", "pending", "active", "frozen", "in_default", "closed")}


@live(K.SUBSTITUTED)
def _() -> tuple[Parties, SignedDocument]:
    parties = covered()
    parties.enter(parties.deposit(5, "BTC"))
    return parties, release(parties, {"USDC": 5}, {"BTC": 5})


ALLOWED: dict[str, dict[str, str]] = {
    "admitted": {},
    "deposited": {name: name for name in ("admitted", "pending", "active", "frozen", "in_default", "closed")},
    "universe revised": {name: name for name in ("admitted", "pending", "active", "frozen", "in_default", "closed")},
    "keys enrolled": {"admitted": "pending", "pending": "pending", **WATCHED},
    "keys confirmed": {"pending": "active", **WATCHED},
    "submitted": WATCHED,
    "losses settled": {"active": "active"},
    "posted": {"admitted": "admitted", "pending": "pending", **WATCHED},
    "withdrawn": {"admitted": "admitted", "active": "active", "closed": "closed"},
    "run opened": WATCHED,
    "run recorded": WATCHED,
    "run void": WATCHED,
    "proof overdue": WATCHED,
    "answer overdue": {"active": "frozen", "frozen": "frozen"},
    "covered": FREED,
    "breach proven": WATCHED,
    "margin called": FREED,
    "liquidated": {"active": "in_default", "frozen": "in_default"},
    "readers named": {name: name for name in ("admitted", "pending", "active", "frozen", "in_default", "closed")},
    "covered unasked": FREED,
    "book given up": FREED,
    "disputed": EVERYWHERE,
    "dispute resolved": EVERYWHERE,
    "dispute withdrawn": EVERYWHERE,
    "dispute lapsed": EVERYWHERE,
    "collateral sold": {"in_default": "in_default"},
    "loss agreed": {"in_default": "in_default"},
    "default closed": {"in_default": "closed"},
    "fund contributed": {"admitted": "admitted", "pending": "pending", **WATCHED},
    "fund drawn": EVERYWHERE,
    "released": {"admitted": "admitted", "active": "active"},
    "substituted": {"admitted": "admitted", "active": "active"},
    "party named": EVERYWHERE,
    "delivery promised": {"admitted": "admitted", "pending": "pending", **WATCHED},
    "return promised": {"admitted": "admitted", "active": "active"},
    "netted": EVERYWHERE,
    "matured": EVERYWHERE,
    "free matured": EVERYWHERE,
    "custody amended": {name: name for name in ("admitted", "pending", "active")},
    "reshared": WATCHED,
    "agreement amended": {name: name for name in ("admitted", "pending", "active")},
    "halted": EVERYWHERE,
    "resumed": EVERYWHERE,
    "collateral segregated": {"in_default": "in_default"},
    "identity rotated": EVERYWHERE,
    "opening requested": {"frozen": "frozen"},
    "opening lapsed": {"frozen": "frozen"},
    "opened covered": {"frozen": "active"},
    "opened in breach": {"frozen": "frozen"},
}
"""What each event makes of each status; written out once more, so that a change of the table is seen twice."""


@pytest.mark.parametrize("kind", list(EventKind), ids=str)
@pytest.mark.parametrize("status", list(AccountState), ids=str)
def test_every_event_in_every_status(kind: EventKind, status: AccountState) -> None:
    following = ALLOWED[kind].get(status)
    if kind is K.ADMITTED:
        parties = covered()
        document = parties.admission()
    else:
        parties, document = LIVE[kind]()
    run = parties.state.public.run
    event = read_event(document, owes=run is None or run.owes)
    assert event.kind is kind
    before = in_status(parties, status)
    if following is None:
        with pytest.raises(IllegalTransition, match=f"is {status}; '{kind}' is not possible") as caught:
            machine.apply(before, event, parties.at._replace(head=parties.chain.head))
        assert type(caught.value) is IllegalTransition
    else:
        after = machine.apply(before, event, parties.at._replace(head=parties.chain.head))
        assert after.public.status == following
        assert isinstance(after.public.status, AccountState)


def test_before_it_is_opened_an_account_takes_its_admission_and_nothing_else() -> None:
    assert {kind for kind, moves in TABLE.items() if None in moves} == {K.ADMITTED}
    for kind in set(EventKind) - {K.ADMITTED}:
        with pytest.raises(IllegalTransition, match="not admitted"):
            next_status(None, kind)
    parties = Parties()
    parties.enter(parties.admission())
    public = parties.state.public
    assert (public.status, public.identity, public.terms) == (
        AccountState.ADMITTED, parties.institution.public_key, named("terms")
    )  # fmt: skip


def test_an_admission_is_signed_by_the_operator_that_it_names() -> None:
    parties = Parties()
    body = parties.admission().body
    refuses(parties, parties.institution.sign("admission", body), WrongSigner, "the operator that it names")


@pytest.mark.parametrize("kind", LIVE, ids=str)
def test_everything_else_is_signed_by_the_party_whose_event_it_is(kind: EventKind) -> None:
    parties, document = LIVE[kind]()
    parties.enter(document)  # right as it is
    parties, document = LIVE[kind]()
    own, other = "institution", "operator"
    if kind not in OF_INSTITUTION:
        own, other = other, own
    for signer in (getattr(parties, other), Identity.generate()):
        refuses(parties, signer.sign(document.type, document.body), WrongSigner, f"signed by the {own} of the account")


@pytest.mark.parametrize("kind", LIVE, ids=str)
@pytest.mark.parametrize("name", ["institution", "operator"])
def test_documents_of_another_account_are_none_of_this_one(kind: EventKind, name: str) -> None:
    parties, document = LIVE[kind]()
    if name not in document.body:
        pytest.skip("it is about all accounts and names none")
    other = "other" if name == "institution" else Identity.generate().public_key
    signer = parties.institution if kind in OF_INSTITUTION else parties.operator
    refuses(parties, signer.sign(document.type, document.body | {name: other}), WrongSigner, f"another {name}")


@pytest.mark.parametrize("type_", ["tick", "price", "attestation", "shortfall", "entry"])
def test_other_documents_are_no_events(type_: str) -> None:
    signed = Identity.generate().sign(type_, {})  # type: ignore[arg-type]
    with pytest.raises(MalformedRequest, match="no event of an account"):
        read_event(signed)


def test_an_evaluated_run_is_never_overdue_as_one_that_was_to_be_proven_first() -> None:
    """Nor the other way round: the kind follows from the run, and whoever says otherwise is refused."""
    for parties, kind, match in (
        (recorded(), K.PROOF_OVERDUE, "it is owed"),
        (asked(), K.ANSWER_OVERDUE, "nothing is owed"),
    ):
        document = parties.overdue()
        event = read_event(document)._replace(kind=kind)
        with pytest.raises(WrongRun, match=match):
            machine.apply(parties.state, event, parties.at)


def test_an_event_has_the_body_of_its_kind() -> None:
    parties = covered()
    event = read_event(parties.deposit(1))._replace(kind=K.RUN_VOID)
    with pytest.raises(TypeError, match="the event run void is a RunVoid, got DepositRecord"):
        machine.apply(parties.state, event, parties.at)
    assert isinstance(event, Event)


# Under which ticks an event is


@pytest.mark.parametrize(
    ("at", "match"),
    [
        (At(1, tick(1), 1, tick(1)), "at tick 1, the one before at 2"),
        (At(2, named("other"), 2, named("other")), "at tick 2, the one before at 2"),
        (At(2, tick(2), 1, tick(1)), "at tick 2, the one before at 2"),
        (At(3, tick(3), 3, tick(2)), "cannot be the newest one with a market"),
        (At(3, tick(3), 2, named("other")), "cannot be the newest one with a market"),
        (At(3, tick(3), 1, tick(1)), "cannot be the newest one with a market"),
        (At(3, tick(3), 4, tick(4)), "cannot be the newest one with a market"),
    ],
)
def test_ticks_only_go_on(at: At, match: str) -> None:
    parties = covered()
    parties.tick()
    parties.enter(parties.deposit(1))
    with pytest.raises(WrongTick, match=match):
        machine.apply(parties.state, read_event(parties.deposit(2)), at)


def test_a_void_tick_is_no_market_and_several_ticks_may_pass() -> None:
    parties = covered()
    parties.tick(void=True)
    parties.enter(parties.deposit(1))
    assert (parties.state.public.newest.tick, parties.state.public.newest.market) == (2, 1)
    # The void tick has no market later on either.
    with pytest.raises(WrongTick, match="cannot be the newest"):
        machine.apply(parties.state, read_event(parties.deposit(2)), At(3, tick(3), 2, tick(2)))
    for market in (1, 4, 5):
        at = At(5, tick(5), market, tick(market), receipted=5)
        after = machine.apply(parties.state, read_event(parties.deposit(2)), at)
        assert (after.public.newest.tick, after.public.newest.market) == (5, at.market)


def test_what_is_receipted_is_for_the_next_tick_and_stays_so_until_it_comes() -> None:
    parties = covered()
    for receipted in (0, 3, 7):
        with pytest.raises(WrongTick, match=f"at tick 1 no document is receipted for tick {receipted}"):
            machine.apply(parties.state, read_event(parties.deposit(1)), parties.at._replace(receipted=receipted))
    parties.receipted = True
    parties.enter(parties.deposit(1))
    assert parties.state.public.newest.receipted == 2
    parties.receipted = False
    refuses(parties, parties.deposit(2), WrongTick, "a document for tick 2 was receipted before")
    for void in (True, False):
        parties.tick(void)
        parties.enter(parties.deposit(2))
    assert parties.state.public.newest.receipted == 3


def test_everything_in_the_table_is_tried() -> None:
    assert set(LIVE) == set(EventKind) - {K.ADMITTED}
    assert set(ALLOWED) == {str(kind) for kind in EventKind}
