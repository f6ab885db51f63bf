"""Collateral agreements in the machine: which figures a run counts, what may be posted, and how they are amended."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.collateral.agreement import Agreed, CollateralAgreement
from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.protocol.account.agreements import agreed_in_force
from atomic_margin.service.protocol.account.amendments import AgreementAmendment
from atomic_margin.service.protocol.account.errors import (
    CoolingDown,
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongAgreement,
    WrongCollateral,
    WrongRun,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import RunOpened
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.states import AccountState

from ..agreements import agreement
from .documents import Parties
from .releasing import release
from .story import evaluating, in_status, owed, recorded, refuses
from .test_machine_maturity import maturity

FIRST = agreement(threshold="50", minimum_transfer_amount="20", independent_amount="5", rounding="10")
OTHER = agreement(threshold="900000000000", minimum_transfer_amount="20", independent_amount="5", rounding="10")


def said(agreed: Agreed) -> dict[str, Any]:
    return {"agreed": agreed.canonical()}


def under(terms: CollateralAgreement | None = FIRST) -> Parties:
    """An account with a book and a tick that it was not run at."""
    parties = Parties(agreement=terms)
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    parties.enter(parties.submission(1, "a"))
    parties.tick()
    return parties


def open_run(parties: Parties) -> Parties:
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    return parties


def covered_once(terms: CollateralAgreement | None = FIRST) -> Parties:
    parties = open_run(under(terms))
    parties.enter(parties.answer("covered"))
    return parties


def frozen() -> Parties:
    parties = open_run(under())
    parties.enter(parties.overdue())
    assert parties.state.public.status is AccountState.FROZEN
    return parties


def test_an_account_without_an_agreement_says_nothing_of_one() -> None:
    parties = covered_once(None)
    assert "agreement" not in parties.state.public.canonical()
    for _, document in parties.entries:
        assert not {"agreed", "agreement"} & set(document.body)


def test_the_state_names_the_agreement_and_its_figures() -> None:
    public = under().state.public
    assert public.agreement is not None
    assert (public.agreement.agreement, public.agreement.sequence) == (FIRST.hash(), 0)
    assert agreed_in_force(public) == public.agreement.agreed == FIRST.agreed


@pytest.mark.parametrize(
    "figures", [OTHER.agreed, FIRST.agreed.without_credit, FIRST.agreed.changed({"rounding": OTHER.threshold})]
)
def test_no_run_begins_with_other_figures(figures: Agreed) -> None:
    parties = under()
    refuses(parties, parties.run_opened(**said(figures)), WrongAgreement, "another agreed")
    refuses(parties, parties.record(evaluated=False, **said(figures)), WrongAgreement, "another agreed")
    parties.enter(parties.run_opened())
    refuses(parties, parties.record(**said(figures)), WrongRun, "another agreed than the run began with")
    parties.enter(parties.record())
    assert parties.run.agreed == FIRST.agreed


def test_no_run_leaves_the_figures_out_or_invents_them() -> None:
    parties = under()
    fields = {name: value for name, value in parties.run_opened().body.items() if name != "agreed"}
    refuses(parties, RunOpened.parse(fields).signed_by(parties.operator), WrongAgreement, "another agreed")
    plain = under(None)
    refuses(plain, plain.run_opened(**said(FIRST.agreed)), WrongAgreement, "another agreed")


def test_who_owes_a_proof_has_neither_threshold_nor_minimum_transfer() -> None:
    parties = frozen()
    bare = FIRST.agreed.without_credit
    assert (bare.threshold, bare.minimum_transfer_amount) == (0, 0)
    assert (bare.independent_amount, bare.rounding) == (FIRST.independent_amount, FIRST.rounding)
    assert agreed_in_force(parties.state.public) == bare
    # What was asked for before stays what it was; a run or proof from now on counts no credit.
    refuses(parties, parties.coverage(**said(FIRST.agreed)), WrongAgreement, "other figures")
    parties.tick()
    refuses(parties, parties.run_opened(**said(FIRST.agreed)), WrongAgreement, "another agreed")
    parties.enter(parties.run_opened())
    assert parties.run.agreed == bare
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    assert agreed_in_force(parties.state.public) == FIRST.agreed


@pytest.mark.parametrize("status", [AccountState.FROZEN, AccountState.IN_DEFAULT], ids=str)
def test_a_status_without_credit(status: AccountState) -> None:
    public: PublicState = in_status(under(), status).public
    assert agreed_in_force(public) == FIRST.agreed.without_credit


def test_a_proof_unasked_counts_the_figures_in_force() -> None:
    parties = under()
    for figures in (OTHER.agreed, FIRST.agreed.without_credit):
        refuses(parties, parties.coverage(**said(figures)), WrongAgreement, "other figures")
    parties.enter(parties.coverage())


def test_what_is_not_eligible_is_not_posted() -> None:
    parties = Parties(agreement=agreement(eligible=["USDC"]))
    parties.opened()
    parties.enter(parties.deposit(100, "ETH"))
    refuses(parties, parties.instruction(1, "post", 5, "ETH"), WrongCollateral, "ETH is not eligible")
    parties.enter(parties.instruction(1, "post", 5))
    parties.enter(parties.submission(1, "a"))
    parties.tick()
    open_run(parties)
    parties.enter(parties.answer("breach"))
    refuses(parties, parties.settlement([("ETH", 7, "free", "posted")]), WrongCollateral, "ETH is not eligible")
    parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))


# Amendments


@pytest.mark.parametrize("first", [None, FIRST], ids=["none", "one"])
def test_both_sides_amend_the_agreement(first: CollateralAgreement | None) -> None:
    parties = covered_once(first)
    parties.enter(parties.amendment(OTHER))
    found = parties.state.public.agreement
    assert found is not None
    assert (found.agreement, found.sequence, found.agreed) == (OTHER.hash(), 1, OTHER.agreed)
    assert parties.chain.state is not None
    parties.tick()
    refuses(parties, parties.run_opened(**said(FIRST.agreed)), WrongAgreement, "another agreed")
    open_run(parties)


def test_what_was_proven_under_other_terms_lets_nothing_leave() -> None:
    parties = covered_once()
    parties.enter(parties.instruction(parties.state.public.instructions + 1, "withdraw", 1))
    parties.enter(parties.amendment(OTHER))
    sequence = parties.state.public.instructions + 1
    refuses(parties, parties.instruction(sequence, "withdraw", 1), NotCovered, "was not proven covered")
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.enter(parties.instruction(sequence, "withdraw", 1))


def test_nobody_amends_alone() -> None:
    parties = covered_once()
    body = parties.amendment(OTHER).body
    forged = AgreementAmendment.parse(body).signed_by(parties.operator)
    refuses(parties, forged, WrongSigner, "signed by the institution")


def due() -> Parties:
    return under()


@pytest.mark.parametrize("stage", [evaluating, recorded, due], ids=lambda stage: stage.__name__)
def test_nothing_is_amended_while_a_run_is_open_or_due(stage: Callable[[], Parties]) -> None:
    parties = stage()
    refuses(parties, parties.amendment(OTHER), RunNotOver, "open, due or owed")


def test_nothing_is_amended_while_a_book_is_owed() -> None:
    for parties in (owed(), frozen()):
        assert parties.state.public.owed is not None
        with pytest.raises(IllegalTransition, match="not possible in that state"):
            parties.enter(parties.amendment(OTHER))


def test_an_amendment_is_good_once() -> None:
    parties = covered_once()
    there, back = parties.amendment(OTHER), FIRST
    parties.enter(there)
    refuses(parties, there, WrongAgreement, "follows another agreement")
    parties.enter(parties.amendment(back))
    # The agreement is what it was when it was signed; its number is not.
    refuses(parties, there, OutOfSequence, "the next amendment sequence number is 3")


def test_an_amendment_names_the_agreement_before() -> None:
    parties = covered_once()
    refuses(parties, parties.amendment(OTHER, before=OTHER.hash()), WrongAgreement, "follows another agreement")
    plain = covered_once(None)
    refuses(plain, plain.amendment(OTHER, before=OTHER.hash()), WrongAgreement, "follows another agreement")


def test_an_amendment_is_void_after_its_last_tick() -> None:
    parties = covered_once()
    document = parties.amendment(OTHER)
    for _ in range(2):
        parties.tick()
        open_run(parties)
        parties.enter(parties.answer("covered"))
    refuses(parties, document, WrongTick, "at the latest")
    parties.enter(parties.amendment(OTHER))


def test_what_is_posted_stays_eligible() -> None:
    parties = covered_once()
    refuses(parties, parties.amendment(agreement(eligible=["ETH"])), WrongCollateral, "USDC is not eligible")


def test_what_became_cash_hinders_no_amendment() -> None:
    """A bill of the list matured into cash that neither list has: nobody brought it, and it may stay."""
    parties = covered_once(agreement(eligible=["USDC"], threshold="50"))
    parties.enter(maturity(parties))
    assert dict(parties.state.public.posted) == {"USD": 200}
    parties.enter(parties.amendment(agreement(eligible=["USDC"], threshold="60")))
    assert dict(parties.state.public.posted) == {"USD": 200}
    # It is still not posted by anybody, and what the list had is not taken out of it while it is posted.
    parties.enter(parties.deposit(5, "USD"))
    sequence = parties.state.public.instructions + 1
    refuses(parties, parties.instruction(sequence, "post", 5, "USD"), WrongCollateral, "USD is not eligible")
    parties.enter(parties.instruction(sequence, "post", 5))
    refuses(parties, parties.amendment(agreement(eligible=["USD"])), WrongCollateral, "USDC is not eligible")
    parties.enter(parties.amendment(agreement(eligible=["USD", "USDC"])))
    refuses(parties, parties.amendment(agreement(eligible=["USDC"])), WrongCollateral, "USD is not eligible")


def test_an_old_proof_is_none_under_other_terms() -> None:
    """Signed under a generous agreement, shown after both sides made it stricter."""
    parties = covered_once(OTHER)
    old = parties.coverage()
    assert old.body["agreed"] == OTHER.agreed.canonical()
    parties.enter(parties.amendment(FIRST))
    refuses(parties, old, WrongTick, "nothing is owed or due")
    parties.tick()
    # Signed anew for the entry and the tick, it still counts what is in force no more.
    refuses(parties, old, WrongTick, "not at the newest tick")
    refuses(parties, parties.coverage(**said(OTHER.agreed)), WrongAgreement, "other figures")
    parties.enter(parties.coverage())


def test_for_some_ticks_after_a_call_nothing_is_released_but_for_what_takes_its_place() -> None:
    parties = open_run(under(agreement(cool_down="2")))
    parties.enter(parties.answer("breach"))
    called = parties.market
    parties.enter(parties.settlement(parties.moves(7)))
    assert parties.state.public.called == called
    parties.enter(parties.deposit(7, "BTC"))
    for waited in range(3):
        refuses(parties, release(parties, {"USDC": 1}), CoolingDown, f"up to tick {called + 2}")
        # What is worth less, and so comes with a proof, takes nothing's place.
        refuses(parties, release(parties, {"USDC": 1}, {"BTC": 1}), CoolingDown, "substitute, or release after")
        parties.enter(release(parties, {"USDC": 1}, {"BTC": 1}, proof=False))
        parties.tick()
        parties.enter(parties.run_opened())
        parties.enter(parties.record())
        parties.enter(parties.answer("covered"))
        assert parties.market == called + waited + 1
    parties.enter(release(parties, {"USDC": 1}))


def test_without_a_cool_down_no_call_is_noted() -> None:
    parties = open_run(under())
    parties.enter(parties.answer("breach"))
    parties.enter(parties.settlement(parties.moves(7)))
    assert parties.state.public.called is None
