"""The mutants of asking for an opening, of whether its run is old, and of whose shares of rows are taken."""

from mutant import Mutant, Node, call, condition, value

_ASKING = "tests/service/custody/test_asking.py::test_"
_OLD = "tests/service/custodian/test_old_runs.py::test_"
_ROWS = "tests/service/custodian/test_row_boxes.py::test_"
_ACCUSED = "tests/service/custody/test_openings.py::test_who_was_sent_shares_of_rows_accuses_who_sent_them"


def _opening(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"openings: {name}", f"service.{place}", node, new, (test,))


OPENING_MUTANTS = (
    _opening("the policy's time", "operator.custody.asking:require_late", condition("moment", "earliest"),
             f"{_ASKING}asked_too_early_nothing_is_entered_and_no_opening_is_used_up"),
    _opening("a minute for who looks late", "operator.custody.asking:require_late", value("waits"),
             f"{_ASKING}asked_too_early_nothing_is_entered_and_no_opening_is_used_up", "timedelta(seconds=after)"),
    _opening("a cosigned entry", "operator.custody.asking:require_late", value("since"),
             f"{_ASKING}before_witnesses_cosigned_the_entry_no_time_is_known", "moment"),
    _opening("owed without a break", "protocol.released:ReleasedHistory.owed_since", value("number", "owed"),
             f"{_ASKING}who_is_silent_from_tick_to_tick_is_owed_since_the_first",
             "None if item.public.owed is None else at"),
    _opening("no opening of an old run is asked for", "operator.custody.asking:require_new",
             condition("later", "known"), f"{_OLD}the_operator_does_not_ask_where_custodians_would_refuse"),
    _opening("no old run is opened", "custodian.judging:_require_new", condition("most"),
             f"{_OLD}a_run_is_not_opened_once_a_later_tick_was_long_known"),
    _opening("the time to answer counts", "protocol.opening_times:behind_at_most",
             call("min"), f"{_OLD}the_time_to_answer_and_to_evaluate_is_not_too_long", "0"),
    _opening("signed by the custodian", "custodian.closing:open_rows", call("verify_row_shares"),
             f"{_ROWS}what_an_operator_does_with_boxes_is_nobody_s_fault", "None"),
    _opening("signed for what was computed", "custodian.closing:_signed", value("computed"),
             f"{_ROWS}what_an_operator_does_with_boxes_is_nobody_s_fault", "{}"),
    _opening("the session is in the box", "custodian.closing:_info", value("session"),
             f"{_ROWS}what_an_operator_does_with_boxes_is_nobody_s_fault", '""'),
    _opening("who may accuse", "operator.custody.openings:_keep_accusation", condition("about", "closer"), _ACCUSED),
)  # fmt: skip
