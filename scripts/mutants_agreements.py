"""The mutants of collateral agreements: what shifts c, which figures are in force, and who may change them."""

from mutant import Mutant, Node, call, condition, value

_FORMULAS = "tests/margin/test_agreement.py::test_"
_MACHINE = "tests/service/account/test_machine_agreements.py::test_"
_PARTIES = "tests/service/test_agreement_amendments.py::test_"
_RUNS = "tests/service/test_agreements.py::test_"
_COOL_DOWN = "for_some_ticks_after_a_call_nothing_is_released_but_for_what_takes_its_place"
_CHOICE = "tests/service/test_returns.py::test_"
_AGREEMENTS = "service.protocol.account.agreements"


def _machine(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"agreement: {name}", place, node, new, (f"{_MACHINE}{test}",))


AGREEMENT_MUTANTS = (
    Mutant("agreement: a cent more than nothing", "margin.collateral.agreement:shift", condition("purpose"), "False",
           (f"{_FORMULAS}a_row_at_the_boundary",)),
    Mutant("agreement: returns round down", "margin.collateral.agreement:return_amount", condition("excess"),
           "excess <= 0", (f"{_FORMULAS}the_desk_is_called_for_nothing_below_the_minimum_transfer",
                           f"{_FORMULAS}a_return_never_begins_a_call")),
    _machine("figures of a run", "service.protocol.account.runs:_compare", condition("body", "wanted"),
             "no_run_begins_with_other_figures", "name != 'agreed' and getattr(body, name) != getattr(wanted, name)"),
    _machine("figures of a proof unasked", "service.protocol.account.runs:covered_unasked", condition("agreed"),
             "a_proof_unasked_counts_the_figures_in_force"),
    _machine("no credit for who is frozen", f"{_AGREEMENTS}:agreed_in_force",
             Node("value", "trusted"), "who_owes_a_proof_has_neither_threshold_nor_minimum_transfer", "True"),
    _machine("eligible assets", f"{_AGREEMENTS}:require_eligible", condition("eligible"),
             "what_is_not_eligible_is_not_posted"),
    _machine("runs end before an amendment", f"{_AGREEMENTS}:agreement_amended", condition("is_due"),
             "nothing_is_amended_while_a_run_is_open_or_due"),
    _machine("the one before", f"{_AGREEMENTS}:agreement_amended", condition("before"),
             "an_amendment_names_the_agreement_before"),
    _machine("cool-down of releases", "service.protocol.account.releases:require_release_allowed",
             condition("substitutes"), _COOL_DOWN),
    _machine("cool-down ends", f"{_AGREEMENTS}:require_cooled_down", condition("until"), _COOL_DOWN),
    _machine("less in its place is a release", "service.protocol.account.releases:released",
             Node("value", "substitutes"), _COOL_DOWN, "body.given is not None"),
    Mutant("agreement: a call is noted", "service.protocol.account.runs:margin_called", Node("call", "called"),
           "moved(state, moves)", (f"{_MACHINE}{_COOL_DOWN}",)),
    _machine("last tick", f"{_AGREEMENTS}:agreement_amended", condition("until"),
             "an_amendment_is_void_after_its_last_tick"),
    Mutant("agreement: numbers of amendments", f"{_AGREEMENTS}:agreement_amended", Node("call", "require_next"), "None",
           (f"{_MACHINE}an_amendment_is_good_once",)),
    Mutant("agreement: pinned by the agent", "service.institution.admitted:check_pinned",
           condition("agreements_of"), "False", (f"{_PARTIES}an_agent_takes_the_pinned_agreement_alone",)),
    Mutant("agreement: pinned by the verifier", "service.verifier.history:check_recorded",
           Node("call", "check_agreement"), "None", (f"{_RUNS}a_verifier_refuses_a_run_under_another_agreement",)),
    Mutant("agreement: pinned by readers of archives", "service.verifier.pinned:Agreements.count",
           Node("call", "check_agreement"), "None", (f"{_PARTIES}an_archive_under_another_agreement_is_refused",)),
    _machine("other terms are proven anew", "service.protocol.account.agreements:agreement_amended", value("book"),
             "what_was_proven_under_other_terms_lets_nothing_leave", "public.book"),
    Mutant("agreement: the cash of a bill", "margin.collateral.agreement:CollateralAgreement.check_schedule",
           condition("pays"), "False", (f"{_FORMULAS}who_takes_a_bill_takes_the_cash_that_it_becomes",)),
    _machine("what is posted stays eligible", f"{_AGREEMENTS}:agreement_amended", Node("call", "require_eligible"),
             "what_is_posted_stays_eligible", "None"),
    _machine("what became cash stays", f"{_AGREEMENTS}:agreement_amended", Node("call", "require_eligible"),
             "what_became_cash_hinders_no_amendment", "require_eligible(after.public, public.posted)"),
    Mutant("agreement: what ends before a call is settled",
           "margin.collateral.agreement:CollateralAgreement.deliverable", call("settles_by"), "notified",
           (f"{_FORMULAS}what_ends_before_a_call_is_settled_is_not_delivered",)),
    Mutant("agreement: cheapest of what lasts", "service.institution.releases:_cheapest", call("deliverable"), "free",
           (f"{_CHOICE}what_is_missing_is_delivered_by_what_the_agreement_takes_and_lasts",)),
    Mutant("agreement: cheapest of what is eligible", "service.institution.releases:_cheapest", value("eligible"),
           "None", (f"{_CHOICE}what_is_missing_is_delivered_by_what_the_agreement_takes_and_lasts",)),
)  # fmt: skip
