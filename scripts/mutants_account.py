"""The mutants of the account machine and of entries, one or more for each rule; part of those of `mutants.py`."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_FOLDER = "tests/service/account"
_ORDERS = f"{_FOLDER}/test_orderings.py::test_no_order_of_documents_takes_what_is_not_owed"
OPERATOR = f"{_ORDERS}[CheatingOperator]"
INSTITUTION = f"{_ORDERS}[CheatingInstitution]"
READERS = f"{_FOLDER}/test_orderings.py::test_no_reader_believes_a_wrong_order"


def _machine(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    named = (test if "/" in test else f"{_FOLDER}/test_machine_{test.replace(':', '.py::test_')}" for test in tests)
    return Mutant(f"machine: {name}", f"service.protocol.account.{function}", node, new, tuple(named))


def _entry(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    named = tuple(f"{_FOLDER}/test_entries.py::test_{test}" for test in tests)
    return Mutant(f"entries: {name}", f"service.protocol.account.entries:{function}", node, new, named)


def _run(field: str, *tests: str) -> Mutant:
    differs = "getattr(body, name) != getattr(wanted, name)"
    node, new = condition("body", "wanted"), f"name != {field!r} and {differs}"
    return _machine(f"a run's {field}", "runs:_compare", node, new, *tests)


def _giving_up(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(
        f"giving up: {name}", f"service.{place}", node, new, (f"tests/service/test_giving_up.py::test_{test}",)
    )


# What a run says of itself, taken for what the account is.
_AS_NAMED = "in_force(state).model_copy(update={'submission': body.submission})"
_COUNTED = "state.public.model_copy(update={'posted': body.posted, 'instructions': body.instructions})"
_RUN_FIELDS = "runs:a_run_is_on_what_the_account_is_at_its_tick"
_SECOND = "runs:a_second_run_is_the_first_one_again"
_UNASKED = "answers:an_unasked_proof_is_about_the_account_as_it_is"
_UP = "both_give_up_the_book_and_what_is_open_or_owed_on_it"
_ASKED = "an_institution_asks_and_the_operator_agrees_over_http"
_KEPT = "giving_up:nothing_leaves_before_another_book_was_proven_covered"
_LEAVES = "holdings:nothing_leaves_while_something_is_to_be_proven"
_RECEIPTED = "table:what_is_receipted_is_for_the_next_tick_and_stays_so_until_it_comes"
_SEEN = "books:a_book_that_comes_after_the_first_prices_of_a_tick_is_not_run_at_it"
_OTHER_STATE = "an_entry_that_says_something_else_is_forged"

ACCOUNT_MUTANTS = (
    # Without these the three attacks are back; the game of orders finds each by itself.
    _machine("a run is on the book in force", "runs:_begun", value("book"),
             f"state.public, {_AS_NAMED}, state.public.run", OPERATOR),
    _machine("a run counts what is posted", "runs:_begun", value("public"),
             f"{_COUNTED}, in_force(state), state.public.run", OPERATOR),
    _machine("a book waits", "books:submitted", condition("owed"), "True", INSTITUTION),
    _run("matrices", OPERATOR),
    Mutant("agent: matrices of a record, in any order", "service.protocol.terms:Terms.matrices_of", condition("others"),
           "False", (READERS,)),
    Mutant("agent: the record of the open run", "service.institution.answering:_checked", condition("body_hash"),
           "False", (READERS,)),
    Mutant("agent: one answer a run", "service.institution.answering:prepare", condition("decided"), "run is None",
           (READERS,)),
    Mutant("agent: what a settlement moves", "service.institution.settled:check_settlement",
           condition("transfers"), "False", (READERS,)),
    Mutant("agent: what the operator signed against itself is kept",
           "service.institution.history:History._keep_contradiction", call("contradictions.keep"), "None", (READERS,)),
    Mutant("verifier: a run is of its entry", "service.verifier.history:check_recorded", condition("found"), "False",
           (READERS,)),
    Mutant("verifier: an answer is to its entry", "service.verifier.history:check_answered", condition("entry"),
           "False", (READERS,)),
    Mutant("monitor: numbers of entries", "service.verifier.chains:placed", condition("number"), "False", (READERS,)),
    Mutant("monitor: ticks of entries", "service.verifier.chains:placed", condition("tick_sequence"), "False",
           (READERS,)),
    # What else the game finds.
    _machine("a book waits for an open run", "books:submitted", condition("owed"),
             "public.owed is None and not void and not awaits_run(state, at)", INSTITUTION),
    _machine("a book comes after the one that is to be run", "books:submitted", call("with_book_at"), "state",
             "books:another_book_waits_while_the_one_in_force_is_to_be_proven"),
    _machine("a book that was there before a tick is run at it", "values:book_at", RETURNED, "book", OPERATOR),
    _machine("a book that came at a tick is not run at it", "values:book_at", RETURNED,
             "book if waiting is None or pinned else waiting",
             f"{_FOLDER}/test_scenarios.py::"
             "test_a_book_that_comes_between_a_tick_and_its_run_brings_no_older_one_back"),
    _machine("what is to be proven first keeps its place", "values:book_at", value("pinned"), "False", INSTITUTION),
    _machine("an unasked proof is of the book that a run would be on", "runs:covered_unasked", call("with_book_at"),
             "state", "books:the_book_before_is_not_proven_unasked_in_place_of_the_one_that_came_before_the_tick"),
    _machine("a book that waits keeps its place", "books:submitted", condition("waiting", "tick", "book"), "False",
             OPERATOR),
    _machine("a book waits after a void run", "books:submitted", value("void"), "False", INSTITUTION),
    _machine("a void run keeps collateral", "holdings:require_may_leave", condition("void"), "False",
             "holdings:a_void_run_of_a_covered_book_keeps_everything_until_it_is_proven_again"),
    _machine("coverage is of the book in force", "holdings:require_may_leave", condition("covered"), "False",
             INSTITUTION),
    _machine("nothing leaves during a run", "holdings:require_may_leave", condition("run", "is_due"),
             "is_due(state, at)", _LEAVES),
    _machine("nothing leaves when a run is due", "holdings:require_may_leave", condition("run", "is_due"),
             "public.run is not None", "holdings:a_run_that_is_due_keeps_everything"),
    _machine("nothing leaves while a book waits", "holdings:require_may_leave", condition("waiting"), "False",
             "books:a_void_run_brings_no_book_in_force_and_lets_none_in"),
    _machine("what is not answered is owed", "runs:answer_overdue", RETURNED,
             "with_public(state, run=updated(run, stage='unproven'))", INSTITUTION),
    _machine("what is proven promotes what it is older than", "runs:_proven", condition("waiting"), "waiting is None",
             "books:a_waiting_book_that_came_after_a_tick_waits_for_a_run_at_that_tick"),
    # Runs
    _run("submission", _RUN_FIELDS),
    _run("posted", _RUN_FIELDS),
    _run("price_sequence", _RUN_FIELDS),
    _run("tick", _RUN_FIELDS),
    _run("run_id", _RUN_FIELDS),
    _run("instructions", _RUN_FIELDS),
    _machine("one run a tick, and none of an earlier one", "values:is_due", RETURNED, "book is not None",
             "runs:a_tick_has_one_run"),
    _machine("no run before the book", "values:is_due", RETURNED,
             "book is not None and at.market > state.public.last_run", "runs:a_book_has_no_run_at_a_tick_before_it"),
    _machine("runs that are due", "runs:_begun", condition("is_due"), "False", "runs:a_tick_has_one_run"),
    _machine("a run at a time", "runs:_begun", condition("before", "stage", "unproven"), "False",
             "runs:a_run_begins_when_the_one_before_is_over"),
    _machine("the second run is the first again", "runs:_begun", condition("before", "stage", "not_proven"), "False",
             _SECOND),
    _machine("a second run is evaluated", "runs:_begun", condition("stage", "evaluating"), "False",
             "runs:a_run_that_was_not_proven_is_evaluated_next_and_not_asked_for_again"),
    _machine("a record is of the run that is evaluated", "runs:run_recorded", condition("run_id", "stage"), "False",
             "runs:a_run_has_one_record"),
    _machine("a record says what its run began with", "runs:run_recorded", condition("getattr"), "False",
             "runs:a_record_says_what_its_run_began_with"),
    _machine("keys of a record", "runs:run_recorded", condition("key_commitments"), "False",
             "runs:a_record_names_the_keys_of_its_submission"),
    _machine("void while evaluated", "runs:run_void", condition("stage"), "run is None",
             "runs:a_run_is_void_while_it_is_evaluated_and_no_longer"),
    _machine("overdue while it waits for its answer", "runs:_awaiting", condition("stage"), "run is None",
             "runs:a_run_is_overdue_once_recorded_and_once"),
    _machine("an evaluated run is owed", "runs:proof_overdue", condition("owes"), "False",
             "table:an_evaluated_run_is_never_overdue_as_one_that_was_to_be_proven_first"),
    _machine("a run that was not evaluated is not owed", "runs:answer_overdue", condition("owes"), "False",
             "table:an_evaluated_run_is_never_overdue_as_one_that_was_to_be_proven_first"),
    # Answers and settlements
    _machine("an answer is to the open run", "runs:_answered", condition("stage"), "run is None",
             "answers:an_answer_is_given_once"),
    _machine("an answer is about the record", "runs:_answered", condition("record"), "False",
             "answers:an_answer_is_about_the_record_and_names_its_entry"),
    _machine("an answer names the entry", "runs:_answered", condition("entry"), "False",
             "answers:an_answer_is_about_the_record_and_names_its_entry"),
    _machine("a breach was evaluated", "runs:breach_proven", condition("evaluated"), "False",
             "answers:a_breach_is_an_answer_to_an_evaluated_run"),
    _machine("a breach is settled, once", "runs:_settled", condition("stage"), "run is None",
             "answers:only_a_proven_breach_is_settled"),
    _machine("a settlement is of the answer", "runs:_settled", condition("answer"), "False",
             "answers:a_settlement_is_of_the_answer"),
    _machine("ways of a margin call", "runs:margin_called", condition("posted"), "False",
             "answers:a_margin_call_takes_no_other_way"),
    _machine("ways of a liquidation", "runs:liquidated", condition("target"), "False",
             "answers:a_liquidation_takes_everything_to_the_liquidation_account"),
    _machine("a liquidation takes all", "runs:liquidated", condition("free"), "False",
             "answers:a_liquidation_takes_everything_to_the_liquidation_account"),
    _machine("no more than there is", "holdings:moved", condition("left"), "False",
             "holdings:free_collateral_leaves_once_the_book_is_covered_and_not_more_than_there_is"),
    # Proofs that nobody asked for
    _machine("a proof passes no run that can be answered", "runs:covered_unasked", condition("_may_be_passed"), "False",
             "answers:a_run_that_can_be_answered_or_is_just_evaluated_is_not_passed_over"),
    _machine("what may be passed", "runs:_may_be_passed", RETURNED, "run.stage == 'unproven'",
             "answers:what_is_due_owed_or_stuck_with_the_operator_is_proven_unasked"),
    _machine("an unasked proof's book", "runs:covered_unasked", condition("submission"), "False", _UNASKED),
    _machine("an unasked proof's tick", "runs:covered_unasked", condition("price_sequence"), "False", _UNASKED),
    _machine("an unasked proof's collateral", "runs:covered_unasked", condition("posted"), "False", _UNASKED),
    _machine("an unasked proof's entry", "runs:covered_unasked", condition("head"), "False", _UNASKED),
    _machine("an unasked proof is wanted", "runs:covered_unasked", condition("is_due"), "False",
             "answers:nothing_is_proven_unasked_when_nothing_is_wanted"),
    # Books that nobody can open
    _machine("what is given up is what there is", "books:book_given_up", condition("submission", "waiting"), "False",
             "giving_up:a_giving_up_names_the_books_that_there_are"),
    _machine("what waits is named too", "books:book_given_up", condition("submission", "waiting"),
             "body.submission != book.submission", "giving_up:a_giving_up_names_the_books_that_there_are"),
    _machine("a proof ends what was to be given up", "books:book_given_up", condition("covered"), "False",
             "giving_up:what_was_signed_before_a_proof_gives_nothing_up_after_it"),
    _machine("a breach is settled and not given up", "books:book_given_up", condition("stage"),
             "public.run is not None and public.run.stage == 'evaluating'",
             "giving_up:nobody_gives_up_what_is_being_evaluated_or_settled"),
    _machine("what is evaluated is not given up", "books:book_given_up", condition("stage"),
             "public.run is not None and public.run.stage == 'breach'",
             "giving_up:nobody_gives_up_what_is_being_evaluated_or_settled"),
    _machine("nothing is owed on what was given up", "books:book_given_up", RETURNED,
             "with_public(state, book=None, waiting=None, run=None, given_up=book.submission)", f"giving_up:{_UP}"),
    _machine("what was given up is remembered", "books:book_given_up", RETURNED,
             "with_public(state, book=None, waiting=None, run=None, owed=None)", _KEPT),
    _machine("what was given up keeps collateral", "holdings:require_may_leave", condition("given_up"), "False", _KEPT),
    _machine("the next proof lets go", "runs:_proven", call("with_public", "updated"),
             "with_public(state, run=None, owed=None, book=updated(book, covered=tick, void=None))", _KEPT),
    _giving_up("the institution asks", "operator.accounts.giving_up:ask", call("signed.verify"), "None",
               "nobody_asks_for_an_institution_or_for_another_book"),
    _giving_up("what is asked is possible", "operator.accounts.giving_up:ask", call("entries.check"), "None",
               "nobody_asks_for_an_institution_or_for_another_book"),
    _giving_up("the entry is known", "operator.accounts.giving_up:ask", call("require_known"), "None",
               "nobody_asks_for_an_institution_or_for_another_book"),
    _giving_up("agreed to is what was shown", "operator.accounts.giving_up:agree", condition("sha256"), "False",
               "an_operator_agrees_to_what_it_was_shown_alone"),
    _giving_up("the open run ends", "operator.accounts.giving_up:_end_runs", condition("begun"), "False", _ASKED),
    _giving_up("runs that wait end", "operator.accounts.giving_up:_end_runs", value("scheduled"),
               "select(Run).where(Run.run_id == '')", "the_second_run_of_a_tick_does_not_follow"),
    _giving_up("replayed", "operator.replay:_replayed", condition("BOOK_GIVEN_UP"), "False", _ASKED),
    _giving_up("no book that can be opened", "institution.giving_up:ask", condition("store"), "False",
               "the_agent_gives_up_no_book_that_it_can_open"),
    # Whose, in which order, and under which ticks
    _machine("signers", "machine:_check_signer", condition("signer"), "False",
             "table:everything_else_is_signed_by_the_party_whose_event_it_is"),
    _machine("accounts", "machine:_check_signer", condition("getattr"), "False",
             "table:documents_of_another_account_are_none_of_this_one"),
    _machine("the operator admits", "machine:_opened", condition("signer"), "False",
             "table:an_admission_is_signed_by_the_operator_that_it_names"),
    _machine("ticks go on", "machine:_check_later", condition("at"), "False", "table:ticks_only_go_on"),
    _machine("receipts are for the next tick", "machine:_check_receipted", condition("tick"), "False", _RECEIPTED),
    _machine("receipts stay", "machine:_check_receipted", condition("before"), "False", _RECEIPTED),
    _machine("a book waits for a run by prices that were seen", "values:awaits_run", RETURNED, "is_due(state, at)",
             _SEEN),
    _machine("no run by prices that were seen before the book", "values:At.priced", RETURNED, "self.market", _SEEN),
    _machine("one newest market", "machine:_check_later", condition("between"), "False", "table:ticks_only_go_on"),
    _machine("sequences", "values:require_next", condition("number"), "False", "books:submissions_come_in_sequence"),
    _machine("key sequences", "books:keys_enrolled", condition("key_sequence"), "False",
             "books:keys_come_in_sequence_are_confirmed_and_then_wanted"),
    _machine("keys that are confirmed", "books:keys_confirmed", condition("pending"), "False",
             "books:keys_come_in_sequence_are_confirmed_and_then_wanted"),
    _machine("keys of a submission", "books:submitted", condition("evaluation_keys"), "False",
             "books:keys_come_in_sequence_are_confirmed_and_then_wanted"),
    _machine("the same book does not wait", "books:submitted", condition("before", "book"), "False",
             "books:the_same_commitments_under_new_keys_do_not_wait"),
    _machine("the gross limit is part of a book", "values:book_hash", value("gross_limit"), "''",
             "books:another_gross_limit_makes_another_book"),
    Mutant("machine: the table", "service.protocol.account.table:next_status", condition("following"), "False",
           (f"{_FOLDER}/test_machine_table.py::test_every_event_in_every_status",)),
    # Entries
    _entry("operator's signature", "followed", call("signed.verify"), "None", "an_entry_of_another_signer_is_forged"),
    _entry("forks", "followed", condition("chain", "body_hash"), "False", "two_entries_of_one_number_are_a_fork"),
    _entry("gaps", "followed", condition("previous"), "False", "an_entry_that_does_not_follow_is_a_gap"),
    _entry("account and operator", "followed", condition("wanted"), "False", _OTHER_STATE),
    _entry("kind", "followed", condition("kind"), "False", _OTHER_STATE),
    _entry("hashes", "followed", condition("value"), "False", _OTHER_STATE),
    _entry("salts", "_salted", call("fromhex"), "b''", "salts_hide"),
    _entry("a salt a number", "Salts.of", RETURNED, "self._expanded(part, 0)", "salts_hide"),
)  # fmt: skip
