"""The mutants of disputes: what the machine, the operator, the agent and a monitor check of them."""

from mutant import Mutant, Node, call, condition, value

_FOLDER = "tests/service"
_HELD = "nothing_leaves_a_held_account_and_all_of_it_does_afterwards"
_PRICES = "a_dispute_names_prices_that_there_were"
_LAPSES = "it_lapses_by_the_time_of_prices_and_not_a_second_before"
_MANY = "one_is_open_at_a_time_and_three_begin_on_a_day"
_ONE_IN_DEFAULT = "an_account_in_default_has_one_dispute_so_that_its_collateral_is_sold_in_the_end"
_OVER = "what_was_resolved_or_lapsed_is_disputed_no_more_and_what_was_withdrawn_may_be"
_OLD = "an_old_resolution_or_withdrawal_ends_no_new_dispute"
_FLOOR = "a_state_names_the_newest_that_ended_and_none_before_them_is_disputed_again"
_ALIEN = "a_dispute_of_what_is_no_entry_of_the_account_is_refused"
_FAULT = "a_dispute_of_what_is_no_entry_of_the_account_is_the_operators_fault"


def _machine(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    tests = (f"{_FOLDER}/account/test_machine_disputes.py::test_{test}",)
    return Mutant(f"disputes: {name}", f"service.protocol.account.{function}", node, new, tests)


def _party(name: str, place: str, node: Node, test: str, new: str = "False", file: str = "disputes") -> Mutant:
    return Mutant(f"disputes: {name}", f"service.{place}", node, new, (f"{_FOLDER}/test_{file}.py::test_{test}",))


def _said(name: str, body: str, node: Node) -> Mutant:
    place = f"service.protocol.disputes:{body}._check"
    return Mutant(
        f"disputes: {name}", place, node, "False", (f"{_FOLDER}/test_contents.py::test_what_no_document_says",)
    )


DISPUTE_MUTANTS = (
    _machine("withdrawals are held", "holdings:require_may_leave", call("require_not_held"), _HELD, "None"),
    _machine("settled losses are held", "books:losses_settled", call("require_not_held"), _HELD, "None"),
    _machine("what holds", "disputes:require_not_held", condition("open"), _HELD),
    _machine("numbers", "disputes:disputed", call("require_next"), "an_old_dispute_opens_nothing_again", "None"),
    _machine("one is open", "disputes:disputed", condition("before", "open"), _MANY),
    _machine("three a day", "disputes:disputed", condition("on_day"), _MANY),
    _machine("days go on", "disputes:disputed", condition("day", "before"), _MANY),
    _machine("one in default", "disputes:disputed", condition("in_default"), _ONE_IN_DEFAULT),
    _machine("an entry once", "disputes:disputed", condition("over"), _OVER),
    _machine("none under the floor", "disputes:disputed", condition("over"),
             _FLOOR, "body.number in before.over"),
    _machine("prices", "disputes:_check_prices", condition("price_sequence"), _PRICES),
    _machine("the tick of prices", "disputes:_check_prices", condition("tick"), _PRICES),
    _machine("its own end", "disputes:_open", condition("dispute"), _OLD, "before is None or before.open is None"),
    _machine("an offer's tick", "disputes:resolved", condition("until"), "an_offer_binds_until_its_tick"),
    _machine("what is agreed on", "disputes:resolved", condition("amount"),
             "an_amount_that_is_agreed_on_is_at_most_what_is_disputed"),
    _machine("a lapse begins at its entry", "disputes:lapsed", condition("begins"), _LAPSES),
    _machine("a lapse ends now", "disputes:lapsed", condition("ends", "at"), _LAPSES),
    _machine("the longest time", "disputes:lapsed", condition("stood"), _LAPSES),
    _machine("it counts from its entry", "disputes:disputed", value("opened", "made"),
             "its_time_counts_from_its_entry_and_not_from_its_signature",
             "made(OpenDispute, dispute=event.document, subject=body.subject, number=body.number, amount=body.amount, "
             "price_sequence=body.price_sequence, tick=body.tick)"),
    _party("the institution disputes", "operator.accounts.disputes:dispute", call("signed.verify"), _ALIEN, "None"),
    _party("the entry is known", "operator.accounts.disputes:dispute", call("require_known"), _ALIEN, "None"),
    _party("an entry of the account", "operator.accounts.disputes:_require_subject", condition("row", "number"), _ALIEN,
           "row is None"),
    _party("no dispute of a dispute", "operator.accounts.disputes:_require_subject", condition("about_a_dispute"),
           _ALIEN),
    _party("times of prices", "operator.accounts.disputes:_require_prices", condition("tick"), _ALIEN),
    _party("the institution offers", "operator.accounts.disputes:offer", call("signed.verify"),
           "nobody_but_the_institution_ends_its_dispute_before_its_time", "None"),
    _party("what is offered is possible", "operator.accounts.disputes:offer", call("entries.check"),
           "what_ends_an_old_dispute_ends_no_new_one", "None"),
    _party("agreed to is what was shown", "operator.accounts.disputes:agree", condition("row", "resolution"),
           "an_operator_agrees_to_the_amount_that_it_was_shown_alone"),
    _party("agreed to is a resolution", "operator.accounts.disputes:agree", condition("earlier"),
           "a_dispute_is_taken_offered_an_end_and_ended_over_http", "earlier is not None"),
    _party("one offer at a time", "institution.disputing:resolve", condition("model_dump"),
           "the_agent_signs_what_the_operator_proposes_and_one_offer_at_a_time", file="agent_disputes"),
    _party("times of a lapse", "institution.disputed:check_lapse", condition("priced_at"),
           "the_agent_refuses_a_lapse_at_times_that_prices_do_not_have", file="agent_disputes"),
    _party("the agent looks at a lapse", "institution.history:History._check_event", condition("dispute-lapse"),
           "the_agent_refuses_a_lapse_at_times_that_prices_do_not_have", file="agent_disputes"),
    _party("a monitor sees what is disputed", "verifier.released:_check_subject", condition("found"), _FAULT,
           file="monitor_released"),
    _said("an amount is said", "Dispute", condition("kind")),
    _said("an amount is more than 0", "Dispute", condition("0")),
    _said("what is agreed to is a part", "Dispute", condition("part", "Decimal")),
    _said("a part is of an amount", "Dispute", condition("undisputed")),
    _said("an amount goes with an agreement", "DisputeResolution", condition("agreed")),
)  # fmt: skip
