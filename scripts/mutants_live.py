"""The mutants of what is told as it happens, and of what an agent asks before it makes keys."""

from mutant import RETURNED, Mutant, Node, call, condition, value


def _event(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(f"events: {name}", f"service.{place}", node, new, (f"tests/service/test_events.py::test_{test}",))


def _agent(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    tests = (f"tests/service/test_agent_process.py::test_{test}",)
    return Mutant(f"agent: {name}", f"service.{place}", node, new, tests)


_LIVE = "operator.web.live:AccountSource"
_RESUMED = "a_stream_goes_on_after_the_last_event_and_a_restart_without_gap_or_double"

LIVE_MUTANTS = (
    _event("whose entries", f"{_LIVE}.at_hand", value("mine"), "[one.entry for one in found if one.entry]",
           "a_stream_has_the_entries_of_its_own_account_alone"),
    _event("what was seen", f"{_LIVE}._events", value("new"), "entries",
           "what_was_read_from_the_database_is_not_told_again_from_memory"),
    _event("what memory does not reach", "operator.web.live:Live.since", condition("_floor"), "False",
           "the_log_is_told_to_everybody_as_it_stands_and_names_to_staff_alone"),
    _event("the place of the header", "http.events:place", Node("returned", mentions=("int",)),
           "int(last_event_id) if after is None else after", _RESUMED),
    _event("names for staff alone", "operator.web.live:LogSource._said", value("named"),
           "{'institution': one.institution, 'entry': one.entry}",
           "the_log_is_told_to_everybody_as_it_stands_and_names_to_staff_alone"),
    _event("streams of one caller", "http.events:Seats.take", condition("_each"), "False",
           "seats_are_bounded_in_total_and_given_back"),
    _agent("admission before keys", "institution.enrolment:require_admission", condition("admitted"), "False",
           "no_keys_are_made_before_the_institution_is_admitted"),
    _agent("one on a directory", "institution.directory_lock:DirectoryLock.__init__", call("flock"), "None",
           "a_second_agent_on_a_directory_is_refused_in_one_line"),
    _agent("whose directory", "institution.pinning:require_own", condition("wanted"), "False",
           "a_directory_of_another_institution_is_refused"),
    _agent("a receipt that was lost", "institution.outbox:Outbox._entered", RETURNED, "False",
           "a_breach_answer_sent_twice_at_once_keeps_its_receipt_and_settlement"),
    Mutant("operator: who is admitted", "service.operator.web.admission:admission_router.admission",
           call("compare_digest"), "account is not None",
           ("tests/service/test_agent_process.py::"
            "test_admission_under_another_key_is_none_and_nobody_learns_of_it",)),
)  # fmt: skip
