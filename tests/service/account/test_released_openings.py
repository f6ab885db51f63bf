"""What an institution shows of its history, or keeps back, accuses no operator that did nothing wrong; and what is kept
back lets no operator do what the rules forbid."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from atomic_margin.service.protocol.account import halts, machine
from atomic_margin.service.protocol.account.errors import OutOfSequence
from atomic_margin.service.protocol.account.events import Event, EventKind, read_event
from atomic_margin.service.protocol.account.netting_documents import MAX_PENDING, Obligation, PartyNaming
from atomic_margin.service.protocol.account.state import Account, PrivateState
from atomic_margin.service.protocol.account.values import At, made, updated, with_public
from atomic_margin.service.protocol.released import KEPT_BACK
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import Contradiction, ReleaseInvalid
from atomic_margin.service.verifier.stand_ins import impossible

from ..agreements import agreement
from . import in_netting
from .cheating_institution import CheatingInstitution
from .documents import Parties
from .opened import Whole, checked, with_forged
from .story import covered, evaluating
from .test_machine_maturity import maturity
from .test_machine_table import LIVE
from .test_orderings import play

K = EventKind


def after(kind: EventKind) -> Parties:
    """An account whose last entry is of a kind."""
    if kind is K.ADMITTED:
        parties = Parties()
        parties.enter(parties.admission())
        return parties
    parties, document = LIVE[kind]()
    parties.enter(document)
    return parties


def twice_named() -> Parties:
    """An account that is named anew after its cycle, and promises again."""
    parties = after(K.NETTED)
    parties.enter(in_netting.naming(parties))
    parties.enter(in_netting.obligation(parties, "delivery"))
    parties.enter(maturity(parties, "free"))
    parties.enter(in_netting.cycle(parties))
    return parties


def new_in_a_halt() -> Parties:
    """An account that was opened while the seventh halt was in force, which came at an old tick."""
    parties = Parties()
    parties.tick()
    parties.enter(parties.admission())
    document = parties.halt(7, until=5)
    parties.tick()
    parties.enter(document)
    parties.enter(parties.deposit(5))
    parties.enter(parties.resume(8))
    return parties


ACCOUNTS: dict[str, Callable[[], Parties]] = {
    **{str(kind): (lambda kind=kind: after(kind)) for kind in K},
    "twice named": twice_named,
    "new in a halt": new_in_a_halt,
}


PARTS: tuple[Callable[[int], bool], ...] = (
    lambda number: False,
    lambda number: True,
    lambda number: number % 2 == 0,
    lambda number: number % 2 == 1,
)
"""Which entries something is opened of. A step has the private part before it, its document and the one after it; of
these and those all choices are among the pairs."""


@pytest.mark.parametrize("name", ACCOUNTS)
def test_no_choice_of_what_is_opened_accuses_an_honest_operator(name: str) -> None:
    parties = ACCOUNTS[name]()
    whole = Whole(parties)
    numbers = range(1, len(parties.entries) + 1)
    for private, documents in product(PARTS, PARTS):
        value = whole.opened([*filter(private, numbers)], [*filter(documents, numbers)])
        assert checked(parties, value).entries == len(numbers)


def test_every_kind_is_among_them() -> None:
    last = {K(make().entries[-1][0].body["kind"]) for make in ACCOUNTS.values()}
    assert last == set(K)


@pytest.mark.long
def test_nothing_that_an_honest_operator_plays_accuses_it() -> None:
    """Orders of events that nobody thought of, an institution that cheats among them."""

    class Released(CheatingInstitution):
        def teardown(self) -> None:
            super().teardown()
            whole, numbers = Whole(self.parties), range(1, len(self.parties.entries) + 1)
            for private, documents in (((), ()), (numbers, ()), ((), numbers), (numbers[::2], numbers[1::3])):
                checked(self.parties, whole.opened(private, documents))

    play(Released, 12, 14, True)


def test_what_must_be_shown_and_is_not_speaks_against_nobody() -> None:
    parties = covered()
    whole = Whole(parties)
    for number, (entry, _) in enumerate(parties.entries, 1):
        if K(entry.body["kind"]) in KEPT_BACK:
            continue
        value = whole.opened()
        del value["entries"][number - 1]["document"]
        with pytest.raises(ReleaseInvalid, match="comes without its document"):
            checked(parties, value)


# What an operator could do behind what is kept back.


def contradicts(
    parties: Parties, document: SignedDocument, kind: EventKind, state: Account, match: str, **how: Any
) -> Contradiction:
    """Make sure that an entry which the rules forbid is the operator's fault; by how much of it is opened."""
    private = how.pop("opened", ())
    newest = made(type(state.public.newest), **parties.state.public.newest.model_dump())
    entry = {name: getattr(parties.at, name) for name in ("tick", "tick_hash", "market", "market_hash", "receipted")}
    state = with_public(state, newest=updated(newest, **entry))
    value, entries = with_forged(parties, Whole(parties).opened(private), document, str(kind), state, **how)
    with pytest.raises(Contradiction, match=match) as caught:
        checked(parties, value, entries)
    return caught.value


def test_a_cycle_in_a_halt_of_what_leaves() -> None:
    parties = in_netting.promised()
    parties.enter(parties.halt(scope=["leaving"]))
    document, state = in_netting.cycle(parties), parties.state
    for how in ({}, {"shown": True}, {"opened": (len(parties.entries),)}):
        contradicts(parties, document, K.NETTED, state, "the operator has halted leaving", **how)


@pytest.mark.parametrize("kind", [K.WITHDRAWN, K.RETURN_PROMISED])
def test_what_leaves_in_a_halt(kind: EventKind) -> None:
    parties, document = LIVE[kind]()
    parties.enter(parties.halt(scope=["leaving"]))
    contradicts(parties, document, kind, parties.state, "the operator has halted leaving")


def test_free_collateral_that_matures_while_a_run_is_evaluated() -> None:
    parties = evaluating()
    for how in ({}, {"shown": True}, {"opened": (len(parties.entries),)}):
        contradicts(
            parties, maturity(parties, "free"), K.FREE_MATURED, parties.state, "is open; book what matured", **how
        )


def test_a_halt_of_an_old_tick_for_an_account_that_had_a_deposit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had no halts so far, and is not new: the next one has number 1, and is of the newest tick."""
    parties = Parties()
    parties.tick()
    parties.enter(parties.admission())
    parties.enter(parties.deposit(1000))
    parties.enter(parties.deposit(5))
    parties.tick()
    document = parties.halt(7, tick=parties.tick_hash(1), tick_sequence="1")
    with monkeypatch.context() as cheat:
        cheat.setattr(halts, "_is_new", lambda state: True)
        state = machine.apply(parties.state, *event_at(parties, document))
    contradicts(parties, document, K.HALTED, state, "the next halt or resume has number 1, got 7", shown=True)
    found = contradicts(parties, document, K.HALTED, state, "has number 1", shown=True, opened=(len(parties.entries),))
    # The private part shows that it is not new. Where that is not opened, the entry of its first deposit does.
    assert [one["kind"] for one in found.documents] == ["released", "released"]
    found = contradicts(parties, document, K.HALTED, state, "has number 1", shown=True)
    assert [one["document"]["body"]["kind"] for one in found.documents[:2]] == ["admitted", "deposited"]


def event_at(parties: Parties, document: SignedDocument) -> tuple[Event, At]:
    """What the machine takes of a document."""
    run = parties.state.public.run
    return read_event(document, run is None or run.owes), parties.at._replace(head=parties.chain.head)


def test_an_account_that_agreed_to_other_terms_is_not_new() -> None:
    parties = Parties()
    parties.tick()
    parties.enter(parties.admission())
    parties.enter(parties.amendment(agreement()))
    parties.tick()
    document = parties.halt(7, tick=parties.tick_hash(1), tick_sequence="1")
    with pytest.raises(OutOfSequence, match="the next halt or resume has number 1, got 7"):
        machine.apply(parties.state, *event_at(parties, document))


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (K.RETURN_PROMISED, "no legal party was named"),
        (K.DELIVERY_PROMISED, "no legal party was named"),
        (K.NETTED, "no legal party was named"),
    ],
)
def test_netting_before_a_party_was_named(kind: EventKind, match: str) -> None:
    promised = in_netting.promised()
    documents = {K.RETURN_PROMISED: "return", K.DELIVERY_PROMISED: "delivery"}
    document = in_netting.obligation(promised, documents[kind]) if kind in documents else in_netting.cycle(promised)
    parties = covered()
    found = contradicts(parties, document, kind, parties.state, match)
    # That none was named all entries show.
    assert len(found.documents) == len(parties.entries) + 1


def test_a_cycle_with_nothing_pending_and_a_naming_with_something() -> None:
    parties = in_netting.of_a_party()
    parties.enter(in_netting.obligation(parties, "delivery"))
    document = in_netting.cycle(parties)
    parties.enter(document)
    contradicts(parties, document, K.NETTED, parties.state, "is pending")
    parties = in_netting.promised()
    contradicts(parties, in_netting.naming(parties), K.PARTY_NAMED, parties.state, "is pending")


def test_what_kinds_alone_rule_out() -> None:
    party, delivery, back = K.PARTY_NAMED, K.DELIVERY_PROMISED, K.RETURN_PROMISED
    assert impossible(delivery, [K.ADMITTED, party, *[delivery] * (MAX_PENDING - 1)]) is None
    assert "may be" in str(impossible(delivery, [K.ADMITTED, party, *[delivery] * MAX_PENDING]))
    assert impossible(delivery, [party, *[delivery] * MAX_PENDING, K.NETTED]) is None
    for kind in (K.POSTED, K.WITHDRAWN, K.FREE_MATURED, back):
        assert impossible(kind, [K.ADMITTED, party]) == "nothing of the account can be free"
        assert impossible(kind, [K.ADMITTED, party, K.DEPOSITED]) is None
        assert impossible(kind, [K.ADMITTED, party, K.DEPOSITED, K.LIQUIDATED]) is not None
        assert impossible(kind, [K.ADMITTED, party, K.DEPOSITED, K.LIQUIDATED, K.DEFAULT_CLOSED]) is None
    assert impossible(K.NETTED, [party, delivery, K.NETTED, back]) is None
    assert impossible(K.NETTED, [party, delivery, K.NETTED]) is not None
    assert impossible(party, [party, delivery, K.NETTED]) is None


def test_a_document_that_is_shown_is_held_against_the_numbers_before_it() -> None:
    """Whether the private part before it is shown or not: how many there were, kinds say."""
    parties = covered()
    second = {**in_netting.naming(parties).body, "number": "2"}
    document = PartyNaming.parse(second).signed_by(parties.operator)
    found = contradicts(parties, document, K.PARTY_NAMED, parties.state, "sequence number is 1, got 2", shown=True)
    # How many there were, all entries show.
    assert len(found.documents) == len(parties.entries) + 1
    parties = in_netting.of_a_party()
    second = {**in_netting.obligation(parties, "delivery").body, "sequence": "2"}
    document = Obligation.parse(second).signed_by(parties.institution)
    contradicts(parties, document, K.DELIVERY_PROMISED, parties.state, "number is 1, got 2", shown=True)


def test_free_collateral_that_grows_beside_what_is_shown() -> None:
    """Where both private parts are opened and the document is, the operator's own word is held against the rules."""
    parties = covered()
    document = parties.instruction(2, "post", 5)
    right = machine.apply(parties.state, *event_at(parties, document))
    free = {**right.private.free, "USDC": right.private.free["USDC"] + 1}
    wrong = updated(right, private=updated(right.private, free=free))
    last = len(parties.entries)
    contradicts(parties, document, K.POSTED, wrong, "another private part", shown=True, private=True, opened=(last,))
    # More than there was: where the private part before it is opened.
    much = parties.instruction(2, "post", 10**6)
    richer = updated(parties.state, private=made(PrivateState, free={"USDC": 10**6}))
    state = machine.apply(richer, *event_at(parties, much))
    contradicts(parties, much, K.POSTED, state, "less than that", shown=True, opened=(last,))
    value, entries = with_forged(parties, Whole(parties).opened(), much, "posted", state, shown=True)
    checked(parties, value, entries)


def test_runs_that_a_halt_keeps_from_beginning_are_named_by_themselves() -> None:
    def named(parties: Parties) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found = checked(parties, Whole(parties).opened())
        return found.skipped, found.halted

    # Halted at ticks 2 and 3; the run of tick 4 is left out.
    parties = covered()
    parties.enter(parties.halt(until=3))
    for _ in range(4):
        parties.tick()
    parties.enter(parties.readers(1))
    assert named(parties) == ((4,), (2, 3))
    # Another scope keeps no run from beginning.
    parties = covered()
    parties.enter(parties.halt(scope=["settlements", "leaving"]))
    parties.tick()
    parties.tick()
    parties.enter(parties.readers(1))
    assert named(parties) == ((2,), ())
    # It came after the tick, and stays: that run is kept from beginning too. Resumed in the same tick it could begin.
    for over in (False, True):
        parties = covered()
        parties.tick()
        parties.enter(parties.halt(until=9))
        if over:
            parties.enter(parties.resume())
        parties.tick()
        parties.enter(parties.readers(1))
        assert named(parties) == (((2,), ()) if over else ((), (2,)))
    # What a history shows, and no more than that: the halt is over when the next tick comes.
    parties = covered()
    parties.enter(parties.halt(until=9))
    parties.tick()
    parties.tick()
    parties.enter(parties.resume())
    parties.tick()
    parties.enter(parties.readers(1))
    assert named(parties) == ((), (2, 3))
