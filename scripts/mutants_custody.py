"""The mutants of openings: the account machine, what a custodian takes part in, and who signed what was found."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_MACHINE = "tests/service/account/test_machine_openings.py::test_"
_MOVED = "tests/service/account/test_machine_custody.py::test_"
_JUDGED = "tests/service/custodian/test_judging.py::test_"
_OPENED = "tests/service/custody/test_opened.py::test_"
_RELEASED = "tests/service/test_released_documents.py::test_what_custodians_found_is_signed_by_those_of_the_policy"
_ASKED = "tests/service/test_attestation_opening.py::test_"
_BUNDLE = "tests/service/custodian/test_opened_bundles.py::test_what_custodians_found_is_shown_with_their_request"
_ANSWERED = "tests/service/test_attestation_history.py::test_an_answer_comes_without_a_request_to_open"
_OTHERWISE = f"{_MACHINE}a_request_about_something_else_is_refused"


def _opening(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"openings: {name}", f"service.protocol.account.{place}", node, new, (test,))


def _judge(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"custodian: {name}", f"service.custodian.judging:{place}", node, new, (f"{_JUDGED}{test}",))


def _found(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"found: {name}", f"service.{place}", node, new, (test,))


def _asked(name: str, node: Node, test: str, new: str = "False") -> Mutant:
    return _found(f"asked: {name}", "verifier.opened:check_requested", node, f"{_ASKED}{test}", new)


CUSTODY_MUTANTS = (
    _opening("one at a time", "openings:opening_requested", condition("opening"), f"{_MACHINE}one_opening_at_a_time"),
    _opening("numbered", "openings:opening_requested", call("require_next"), _OTHERWISE, "None"),
    _opening("at the head", "openings:opening_requested", condition("entry"), _OTHERWISE),
    _opening("of this run", "openings:opening_requested", condition("run_id", "run"), _OTHERWISE),
    _opening("of this book", "openings:opening_requested", condition("deal"), _OTHERWISE),
    _opening("no more often than agreed", "openings:opening_requested", condition("most"),
             f"{_MACHINE}a_book_is_opened_no_more_often_than_agreed"),
    _opening("counted", "openings:opening_requested", call("updated", "openings", "book"),
             f"{_MACHINE}a_book_is_opened_no_more_often_than_agreed", "book"),
    _opening("not re-shared since", "openings:opening_requested", condition("reshared"),
             f"{_MOVED}a_frozen_account_is_re_shared"),
    _opening("a re-sharing is noted of the run", "custody:reshared", call("updated", "run"),
             f"{_MOVED}a_frozen_account_is_re_shared", "run"),
    _opening("not while it is opened", "custody:reshared", condition("opening"),
             f"{_MOVED}while_a_book_is_opened_its_shares_stay_where_they_are"),
    _opening("what is found is of the run", "openings:found", condition("named"),
             f"{_MACHINE}a_finding_about_something_else_is_refused"),
    _opening("what is found was asked for", "openings:found", call("_require_open"),
             f"{_MACHINE}a_finding_of_an_opening_that_lapsed_finds_nothing", "None"),
    _opening("enough verdicts", "openings:found", condition("threshold"),
             f"{_MACHINE}fewer_verdicts_than_the_threshold_find_nothing"),
    _opening("no run begins meanwhile", "openings:require_no_opening", condition("opening"),
             f"{_MACHINE}while_a_book_is_opened_no_run_begins"),
    _opening("owed", "openings:_owed", condition("owed"), f"{_MACHINE}while_it_is_evaluated_a_run_is_not_opened"),
    _opening("a failed run is with custodians", "runs:run_recorded", value("failed"),
             f"{_MACHINE}without_custodians_a_run_is_void_and_has_no_record_without_outputs",
             'not evaluated and run is not None and run.stage == "evaluating"'),
    _opening("a failed run is owed", "state:OpenRun.owes", RETURNED,
             f"{_MACHINE}a_run_that_could_not_be_evaluated_is_owed_and_opened", "self.evaluated"),
    _opening("covered is no proof", "runs:opened_covered", RETURNED,
             f"{_MACHINE}what_is_found_covered_frees_nothing_before_a_proof",
             "with_public(state, run=None, owed=None)"),
    _opening("not dealt in its run", "custody:shared_book", condition("run"),
             f"{_MOVED}a_book_is_not_dealt_anew_while_a_run_of_it_is_open"),
    _judge("of the operator", "read_request", call(".verify"), "a_request_of_somebody_else", "None"),
    _judge("of this account", "read_request", condition("institution"), "a_request_of_somebody_else"),
    _judge("in the history", "judge", condition("entered"), "a_request_about_something_else_is_in_no_history"),
    _judge("open", "judge", condition("opening"), "an_opening_that_lapsed"),
    _judge("late enough", "judge", call("_require_late"), "before_its_time", "None"),
    _judge("since it was seen", "_require_late", condition("since"), "before_its_time"),
    _judge("its shares are of the book", "_require_book", condition("commitments", "fromhex"),
           "shares_that_are_not_held_or_of_another_book"),
    _judge("the tick of the log", "_matrices", condition("seen", "tick"), "other_prices_than_the_log_has"),
    _found("by whom the policy names", "protocol.opening_claims:check_verdicts", condition("keys"),
           f"{_OPENED}a_verdict_about_something_else_is_refused"),
    _found("signed", "protocol.opening_claims:check_verdicts", call(".verify"),
           f"{_OPENED}verdicts_under_another_policy_are_refused", "None"),
    _found("about this finding", "protocol.opening_claims:check_verdicts", condition("getattr"),
           f"{_OPENED}a_verdict_about_something_else_is_refused"),
    _found("each once", "protocol.opening_claims:check_verdicts", condition("points", "point"),
           f"{_OPENED}too_few_verdicts_are_refused"),
    _found("by enough", "protocol.opening_claims:check_verdicts", condition("threshold"),
           f"{_OPENED}too_few_verdicts_are_refused"),
    _found("held against the pinned policy", "verifier.released_documents:_Documents.opened",
           call("check_verdicts_of"), _RELEASED, "None"),
    _found("the policy of the request is pinned", "verifier.released_documents:_Documents.take",
           value("self._custodians"), _RELEASED, "None"),
    _found("receipts of a shown book", "verifier.released_documents:_Documents.submitted", call("check_sharing"),
           f"{_JUDGED}receipts_that_custodians_did_not_sign", "None"),
    _found("the policy of a shown book is pinned", "verifier.released_documents:_Documents.submitted",
           call("pinned_if_any"), f"{_JUDGED}receipts_of_a_book_are_held_against_pinned_custodians", "None"),
    _asked("signed by the operator", call("signed.verify"), "the_operator_signed_all_of_it", "None"),
    _asked("entries signed by the operator", call("SignedDocument.parse(entry).verify"),
           "the_operator_signed_all_of_it", "None"),
    _asked("verdicts name it", condition("opened", "body_hash"), "verdicts_are_about_the_request_that_is_shown"),
    _asked("about what was found", condition("getattr"), "the_request_is_about_what_was_found"),
    _asked("the entry it names is shown", condition("request", "entry"),
           "the_entry_that_the_request_names_is_shown"),
    _asked("entered next", value("follows"), "the_request_is_entered_next", "True"),
    _asked("the entry is about it", condition("salted_hash"), "the_request_is_entered_next", "not follows"),
    _asked("of the account with the run", condition("account"), "custodians_read_the_account_that_has_the_run"),
    _asked("after the run was recorded", condition("number", "recorded"),
           "the_run_was_recorded_when_they_were_asked"),
    _asked("before anything was settled", condition("number", "settled"), "nothing_is_settled_before_it_was_found"),
    _found("asked: in a bundle", "verifier.attestation:verify_attestation", call("check_requested"), _BUNDLE, "None"),
    _found("asked: not where it was answered", "verifier.attestation:verify_attestation", call("_require", "opening"),
           _ANSWERED, "None"),
    _found("asked: its entries are in the log", "verifier.history:History.signed_entries", condition("opening"),
           _BUNDLE),
)  # fmt: skip
