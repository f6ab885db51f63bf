"""The mutants of what runs an operator: what its log shows, room on its disk, its clock, and what it removes."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_FOLDER = "tests/service"


def _operations(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    file, _, function = test.partition(":")
    return Mutant(name, place, node, new, (f"{_FOLDER}/test_{file}.py::test_{function}",))


def _rule(name: str, function: str, node: Node, test: str, new: str) -> Mutant:
    tests = (f"{_FOLDER}/test_retention.py::test_{test}",)
    return Mutant(f"retention: {name}", f"service.operator.retention_rules:{function}", node, new, tests)


_FULL = "monitoring:a_disk_that_is_nearly_full_takes_no_tick_and_no_keys"

OPERATIONS_MUTANTS = (
    _operations("log: secrets are taken out", "service.logs:_Scrubbing.format", call("scrubbed"),
                "logs:a_whole_story_is_told_a_line_an_event_and_without_a_secret", "self._inner.format(record)"),
    _operations("log: tracebacks take debug", "service.logs:_error_alone", call("event.pop", "exc_info"),
                "logs:a_traceback_takes_debug", "None"),
    _operations("log: what is rolled back", "service.operator.store.told:_rolled_back", call("session.info.pop"),
                "logs:what_is_rolled_back_is_not_told", "None"),
    _operations("log: fields tell events apart", "service.logs:_Repeats.filter", call("sorted", "fields"),
                "logs:events_with_other_fields_are_not_the_same", "[]"),
    _operations("disk: room is asked for", "service.operator.disk:require_room", condition("free"), _FULL),
    _operations("disk: before a tick", "service.operator.runs.ticks:take_tick", call("require_room"), _FULL, "None"),
    _operations("disk: before an enrolment", "service.operator.accounts.enrolment:enrol", call("require_room"), _FULL,
                "None"),
    _operations("clock: goes on from what is stored", "service.operator.clock:begin", call("clock.not_before"),
                "clock:a_start_goes_on_from_the_newest_entry", "0.0"),
    _rule("answered runs alone", "words_to_remove", condition("_is_over"),
          "what_is_owed_keeps_its_words_however_old", "False"),
    _rule("an answer that came since", "_is_over", Node("returned", mentions=("UNPROVEN",)),
          "a_run_that_was_not_answered_is_owed_until_a_newer_one_is", "run.state is RunState.UNPROVEN"),
    _rule("a shortfall that is to come", "_is_over", Node("returned", mentions=("shortfall",)),
          "a_shortfall_that_is_to_come_keeps_its_run", "True"),
    _rule("disputes hold", "words_to_remove", condition("disputed"), "nothing_goes_while_something_is_disputed",
          "False"),
    _operations("retention: flags of settled runs", "service.operator.retention:_forget_words", value("covered"),
                "retention:words_of_answered_runs_go_and_their_bundles_verify", "Run.run_id.in_(run_ids)"),
    _operations("retention: keys in use", "service.operator.retention:_keys_in_use", RETURNED,
                "retention:keys_and_ciphertexts_that_no_book_is_under_go_after_their_time", "set()"),
    _operations("retention: books in force", "service.operator.retention:_replaced_ciphertexts", value("idle"),
                "retention:keys_and_ciphertexts_that_no_book_is_under_go_after_their_time",
                "_is_idle(session, book, rules.ciphertext_days, moment)"),
)  # fmt: skip
