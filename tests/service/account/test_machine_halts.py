"""Halts: what stops, what does not, when they are over, and who has them."""

from collections.abc import Callable

import pytest

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import Halted, OutOfSequence, RunNotOver, WrongHalt
from atomic_margin.service.protocol.account.events import EventKind, read_event
from atomic_margin.service.protocol.account.halt_documents import LONGEST_TICKS, SCOPES
from atomic_margin.service.protocol.account.halts import OVERDUE, STOPPED
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState

from .documents import Parties, named
from .releasing import release
from .story import asked, booked, breached, covered, evaluating, halted, not_proven, recorded, refuses
from .test_machine_table import LIVE

K = EventKind


@pytest.mark.parametrize("kind", [*STOPPED, *sorted(OVERDUE)], ids=str)
def test_what_is_in_the_scope_stops_and_goes_on_after_it(kind: EventKind) -> None:
    """Every kind, in an account where nothing else is against it; once it is resumed, it happens."""
    parties, document = LIVE[kind]()
    if kind is K.RUN_RECORDED:
        # That of a run which is to be proven first begins it.
        parties = booked()
        document = parties.record(evaluated=False)
    # It names the entry that it was made at.
    scope, at = STOPPED.get(kind), parties.at._replace(head=parties.chain.head)
    for others in ([one for one in SCOPES if one != scope], [scope] if scope else ["runs"]):
        number = 1 if parties.state.public.halts is None else parties.state.public.halts.number + 1
        parties.enter(parties.halt(number, scope=others))
        run = parties.state.public.run
        event = read_event(document, owes=run is None or run.owes)
        if scope in others or kind in OVERDUE:
            with pytest.raises(Halted, match="the operator has halted"):
                machine.apply(parties.state, event, at)
        else:
            machine.apply(parties.state, event, at)
    parties.enter(parties.resume(3))
    machine.apply(parties.state, event, at)


@pytest.mark.parametrize(
    ("make", "document"),
    [
        (recorded, lambda p: p.answer("covered")),
        (recorded, lambda p: p.answer("breach")),
        (evaluating, Parties.record),
        (evaluating, Parties.void),
        (covered, lambda p: p.submission(2, "b")),
        (covered, lambda p: p.instruction(2, "post", 5)),
        (covered, lambda p: p.deposit(5)),
        (covered, Parties.dispute),
        (not_proven, Parties.coverage),
    ],
)
def test_answers_proofs_and_whatever_comes_in_is_taken_all_the_time(
    make: Callable[[], Parties], document: Callable[[Parties], SignedDocument]
) -> None:
    parties = halted(make())
    parties.enter(document(parties))


def test_a_breach_waits_settles_once_and_nothing_happens_to_the_account_meanwhile() -> None:
    parties = halted(breached())
    call = parties.settlement([("USDC", 7, "free", "posted")])
    refuses(parties, call, Halted, "halted settlements; it is over after tick 3")
    refuses(parties, parties.instruction(2, "post", 5), RunNotOver, "is open")
    parties.enter(parties.resume())
    refuses(parties, parties.instruction(2, "withdraw", 5), RunNotOver, "is open")
    parties.enter(call)
    assert parties.state.public.posted == {"USDC": 107}
    assert parties.state.public.status is AccountState.ACTIVE


def test_it_is_over_by_itself_after_the_tick_that_it_names() -> None:
    parties = halted(breached())
    call = parties.settlement([("USDC", 7, "free", "posted")])
    for void in (True, False):
        parties.tick(void)
        refuses(parties, call, Halted, "over after tick 3")
    parties.tick()
    parties.enter(call)
    # What is over cannot be ended, but numbers go on.
    parties.enter(parties.halt(2))
    refuses(parties, parties.instruction(2, "withdraw", 5), Halted, "halted leaving")


def test_the_longest_time_is_bounded() -> None:
    parties = covered()
    parties.halt(until=parties.newest + LONGEST_TICKS)
    for until in (parties.newest + LONGEST_TICKS + 1, parties.newest - 1):
        with pytest.raises(DocumentsError, match=f"within {LONGEST_TICKS} ticks"):
            parties.halt(until=until)
    for scope in ([], ["runs", "runs"], ["answers"]):
        with pytest.raises(DocumentsError, match="scope"):
            parties.halt(scope=scope)


def test_numbers_have_no_gap_and_none_comes_twice() -> None:
    """An account that was left out of one finds it at the next."""
    parties = covered()
    for number in (0, 2):
        refuses(parties, parties.halt(number), OutOfSequence, f"has number 1, got {number}")
    first = parties.enter(parties.halt())
    for document in (first, parties.halt(3), parties.resume(1), parties.resume(3)):
        refuses(parties, document, OutOfSequence, "has number 2")
    parties.enter(parties.resume())
    refuses(parties, first, OutOfSequence, "has number 3")


def test_a_resume_ends_the_halt_that_it_names() -> None:
    parties = halted(covered())
    refuses(parties, parties.resume(halt=named("other")), WrongHalt, "another halt")
    parties.enter(parties.resume())
    refuses(parties, parties.resume(3), WrongHalt, "another halt")


def test_every_account_has_it_at_the_tick_at_which_it_was_announced() -> None:
    """An operator that signs one now and enters it into an account when it likes is refused."""
    parties = covered()
    document = parties.halt()
    parties.tick()
    refuses(parties, document, WrongHalt, "announced at another tick")
    refuses(parties, parties.halt(tick=named("other")), WrongHalt, "announced at another tick")
    parties.enter(parties.halt())
    document = parties.resume()
    parties.tick()
    refuses(parties, document, WrongHalt, "announced at another tick")


def _new(halt: SignedDocument, parties: Parties, newest: int) -> Parties:
    other = Parties(operator=parties.operator, newest=newest, market=newest)
    other.enter(other.admission())
    return other


@pytest.mark.parametrize("ended", [False, True])
def test_an_account_that_is_admitted_later_has_the_last_one_first(ended: bool) -> None:
    parties = covered()
    parties.enter(parties.halt(1))
    document = parties.enter(parties.resume(2) if ended else parties.halt(2))
    other = _new(document, parties, 2)
    other.enter(document)
    assert other.state.public.halts == parties.state.public.halts
    other.enter(other.resume(3) if not ended else other.halt(3))
    # Not one of the future, nor after anything else.
    refuses(_new(document, parties, 0), document, WrongHalt, "at a later tick")
    other = _new(document, parties, 2)
    other.enter(other.deposit(5))
    refuses(other, document, OutOfSequence, "has number 1, got 2")


def test_what_had_no_halt_is_what_it_was() -> None:
    parties = covered()
    assert "halts" not in str(parties.state.public.canonical())
    parties.enter(parties.halt())
    assert "halts" in str(parties.state.public.canonical())


def test_a_run_that_began_is_finished_and_no_other_begins() -> None:
    parties = halted(evaluating())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.tick()
    refuses(parties, parties.run_opened(), Halted, "halted runs")
    refuses(parties, release(parties, {"USDC": 5}), Halted, "halted leaving")
    parties = halted(asked())
    refuses(parties, parties.overdue(), Halted, "no time is over meanwhile")
    assert isinstance(parties.at, At)
