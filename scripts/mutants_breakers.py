"""The mutants of what stops prices and collateral: staged ticks, and what leaves while there are no prices."""

from mutant import Mutant, Node, call, condition, value

_FOLDER = "tests/service"


def _staging(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(
        f"staged: {name}", f"service.feed.{place}", node, new, (f"{_FOLDER}/test_feed_staging.py::test_{test}",)
    )


_MACHINE = f"{_FOLDER}/account/test_machine_halts.py::test_"
_HALTS = f"{_FOLDER}/test_halts.py::test_"
_QUEUE = f"{_FOLDER}/test_breakers.py::test_"


def _halt(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"halt: {name}", f"service.{place}", node, new, (test,))


_PASSED_OFF = "what_is_passed_off_as_confirmed_is_refused"

BREAKER_MUTANTS = (
    _staging("the operator's signature", "staging:require_confirmed", call("tick.confirms.verify"), _PASSED_OFF,
             "None"),
    _staging("the tick before", "staging:require_confirmed", condition("previous"),
             "an_operator_cannot_stage_void_or_confirm_otherwise"),
    _staging("what its documents combine to", "staging:require_confirmed", call("recombined"), _PASSED_OFF, "None"),
    _staging("near what is confirmed", "staging:require_confirmed", condition("_within"), _PASSED_OFF),
    _staging("a second window", "staging:require_confirmed", condition("_is_second_window"), _PASSED_OFF),
    _staging("nothing to confirm", "tick:verify_tick", condition("confirms"), _PASSED_OFF),
    _staging("the first time", "tick:verify_staged", condition("wanted", "staged"),
             "an_operator_cannot_stage_void_or_confirm_otherwise"),
    Mutant("staged: nothing leaves", "service.protocol.account.holdings:require_may_leave", call("require_priced"),
           "None",
           (f"{_FOLDER}/account/test_machine_holdings.py::test_a_run_that_is_due_keeps_everything",)),
    _halt("the machine asks", "protocol.account.machine:apply", call("halts.require_not_halted"),
          f"{_MACHINE}what_is_in_the_scope_stops_and_goes_on_after_it", "None"),
    _halt("no time is over", "protocol.account.halts:require_not_halted", condition("OVERDUE"),
          f"{_MACHINE}what_is_in_the_scope_stops_and_goes_on_after_it"),
    _halt("its scope", "protocol.account.halts:require_not_halted", condition("STOPPED"),
          f"{_MACHINE}what_is_in_the_scope_stops_and_goes_on_after_it"),
    _halt("a run that began is recorded", "protocol.account.halts:require_not_halted", value("begun"),
          f"{_MACHINE}a_run_that_began_is_finished_and_no_other_begins"),
    _halt("over by itself", "protocol.account.halts:scope_at", condition("until"),
          f"{_MACHINE}it_is_over_by_itself_after_the_tick_that_it_names", "halts is None"),
    _halt("no gap", "protocol.account.halts:_check_place", condition("number", "last"),
          f"{_MACHINE}numbers_have_no_gap_and_none_comes_twice"),
    _halt("its tick", "protocol.account.halts:_check_place", condition("tick_hash"),
          f"{_MACHINE}every_account_has_it_at_the_tick_at_which_it_was_announced"),
    _halt("nothing before it", "protocol.account.halts:_check_place", condition("_is_new"),
          f"{_MACHINE}an_account_that_is_admitted_later_has_the_last_one_first", "halts is not None"),
    _halt("the halt that it ends", "protocol.account.halts:resumed", condition("halt"),
          f"{_MACHINE}a_resume_ends_the_halt_that_it_names"),
    _halt("the longest time", "protocol.account.halt_documents:Halt._check", condition("until"),
          f"{_MACHINE}the_longest_time_is_bounded"),
    _halt("all accounts or none", "operator.store.entries:enter", condition("FOR_ALL"),
          f"{_HALTS}an_operator_that_halts_one_account_alone_is_refused_by_its_own_code_and_found"),
    _halt("a new account alone", "operator.store.entries:enter_in_new", condition("entries"),
          f"{_HALTS}an_operator_that_halts_one_account_alone_is_refused_by_its_own_code_and_found"),
    _halt("accounts differ", "operator.replay:_compare_halts", condition("halted"),
          f"{_HALTS}an_operator_that_halts_one_account_alone_is_refused_by_its_own_code_and_found"),
    _halt("later accounts are told", "operator.accounts.enrolment:admit", call("halts.tell"),
          f"{_HALTS}all_accounts_have_it_and_those_that_come_later", "None"),
    Mutant("queue: nobody passes", "service.protocol.breakers:releasable", condition("place", "over", "count", "fits"),
           "False", (f"{_QUEUE}as_many_as_the_window_has_in_the_order_of_the_log",)),
    Mutant("queue: the longest delay", "service.protocol.breakers:releasable", value("over"), "0",
           (f"{_QUEUE}none_waits_longer_than_the_longest_delay",)),
    Mutant("queue: the order of the log", "service.protocol.breakers:releasable", value("ordered"), "list(waiting)",
           (f"{_QUEUE}as_many_as_the_window_has_in_the_order_of_the_log",)),
    Mutant("queue: asked before it settles", "service.operator.settlement.hook:settle", condition("queue"), "False",
           (f"{_HALTS}a_breach_that_waits_settles_once_after_the_resume",
            f"{_QUEUE}breaches_settle_in_the_order_of_the_log_and_in_time")),
)  # fmt: skip
