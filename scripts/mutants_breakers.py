"""The mutants of what stops prices and collateral: staged ticks, and what leaves while there are no prices."""

from mutant import Mutant, Node, call, condition

_FOLDER = "tests/service"


def _staging(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(
        f"staged: {name}", f"service.feed.{place}", node, new, (f"{_FOLDER}/test_feed_staging.py::test_{test}",)
    )


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
)  # fmt: skip
