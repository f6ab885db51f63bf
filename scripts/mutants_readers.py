"""The mutants of what readers of a log check: monitors, agents, and histories that institutions release."""

from mutant import RETURNED, Mutant, Node, condition

_FOLDER = "tests/service"
_BY_ITSELF = "what_does_not_hold_by_itself_speaks_against_nobody"


def _released(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    place = f"service.verifier.released:{function}"
    return Mutant(f"released: {name}", place, node, new, (f"{_FOLDER}/test_monitor_released.py::test_{test}",))


READER_MUTANTS = (
    Mutant("monitor: receipts before an entry", "service.verifier.chains:placed", condition("receipted"), "False",
           (f"{_FOLDER}/test_monitor_receipts.py::test_an_entry_says_whether_prices_for_the_next_tick_were_receipted",)),
    Mutant("agent: leaves of its entries", "service.institution.log_watch:LogWatch.require.differs",
           condition("own", "entry"), "True",
           (f"{_FOLDER}/test_log_watch.py::test_another_entry_than_was_told_is_kept",)),
    Mutant("agent: memory of other entries", "service.institution.log_watch:LogWatch.require",
           condition("_remembers"), "False",
           (f"{_FOLDER}/test_log_watch.py::test_what_is_remembered_of_other_entries_is_read_again",)),
    _released("the state that follows", "_check_step", condition("differ"), "a_state_that_does_not_follow"),
    _released("documents", "_check_step", condition("KEPT_BACK"), _BY_ITSELF),
    _released("free collateral before a liquidation", "_check_step", condition("BESIDE_FREE"), _BY_ITSELF),
    _released("what hashes hide", "_check_opened", condition("opened"), _BY_ITSELF),
    _released("gaps", "check_released", condition("previous"), _BY_ITSELF),
    _released("entries of the log", "_check_logged", condition("entry_leaf"), "an_entry_that_the_log_does_not_have"),
    _released("the newest market", "_check_logged", condition("market_sequence"),
              "an_entry_at_another_market_than_the_log_has"),
    _released("runs that were left out", "_skipped", condition("last_run"),
              "runs_that_were_left_out_are_named_by_tick"),
    _released("an open run", "_awaits", RETURNED, "a_run_that_waits_for_its_answer_leaves_nothing_out",
              "is_due(state, At(tick=number, market=number))"),
)  # fmt: skip
