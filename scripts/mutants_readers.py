"""The mutants of what readers of a log check: monitors, agents, and histories that institutions release."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_FOLDER = "tests/service"
_BY_ITSELF = "what_does_not_hold_by_itself_speaks_against_nobody"


def _released(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    place = f"service.verifier.released:{function}"
    return Mutant(f"released: {name}", place, node, new, (f"{_FOLDER}/test_monitor_released.py::test_{test}",))


def _stood_for(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    tests = (f"{_FOLDER}/account/test_released_openings.py::test_{test}",)
    return Mutant(f"released: {name}", f"service.{place}", node, new, tests)


def _shown(name: str, function: str, node: Node, test: str, new: str = "None") -> Mutant:
    tests = (f"{_FOLDER}/test_released_documents.py::test_{test}",)
    return Mutant(f"shown: {name}", f"service.verifier.released_documents:{function}", node, new, tests)


_STANDS, _STEP = "verifier.stand_ins", "verifier.released:_check_step"
_ANY = "no_choice_of_what_is_opened_accuses_an_honest_operator"

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
    _released("runs that were left out", "_left_out", condition("last_run"),
              "runs_that_were_left_out_are_named_by_tick"),
    _released("an open run", "_awaits", RETURNED, "a_run_that_waits_for_its_answer_leaves_nothing_out",
              "is_due(state, At(tick=number, market=number))"),
    _stood_for("halts of runs", "verifier.released:_stopped", RETURNED,
               "runs_that_a_halt_keeps_from_beginning_are_named_by_themselves"),
    _stood_for("what a genuine private part does not fit", "verifier.released:_step", condition("document"),
               _ANY, "private is None and item.document is None"),
    _stood_for("the private part after a step", _STEP, condition("whole", "private"),
               "free_collateral_that_grows_beside_what_is_shown"),
    _stood_for("what kinds rule out", _STEP, value("obstacle"), "netting_before_a_party_was_named", "None"),
    _stood_for("entries that kinds are counted of", _STEP, value("by_kinds"),
               "a_halt_of_an_old_tick_for_an_account_that_had_a_deposit"),
    _stood_for("what is free before", f"{_STANDS}:impossible", condition("_may_be_free"), "what_kinds_alone_rule_out"),
    _stood_for("a liquidation takes all of it", f"{_STANDS}:_may_be_free", condition("TAKES_ALL"),
               "what_kinds_alone_rule_out"),
    _stood_for("a party before netting", f"{_STANDS}:impossible", condition("OF_A_PARTY"),
               "netting_before_a_party_was_named"),
    _stood_for("no naming while something is pending", f"{_STANDS}:impossible", condition("PARTY_NAMED", "since"),
               "a_cycle_with_nothing_pending_and_a_naming_with_something"),
    _stood_for("how much may be pending", f"{_STANDS}:impossible", condition("MAX_PENDING"),
               "what_kinds_alone_rule_out"),
    _stood_for("no cycle of nothing", f"{_STANDS}:impossible", condition("cycles"),
               "a_cycle_with_nothing_pending_and_a_naming_with_something"),
    _stood_for("an account that is not new", f"{_STANDS}:least_private", condition("BEGUN"),
               "a_halt_of_an_old_tick_for_an_account_that_had_a_deposit"),
    _stood_for("an account that agreed anew is not new", "protocol.account.halts:_is_new", value("amended"),
               "an_account_that_agreed_to_other_terms_is_not_new"),
    _stood_for("numbers of namings", f"{_STANDS}:_numbered", value("namings"),
               "a_document_that_is_shown_is_held_against_the_numbers_before_it",
               "body.number - 1 if isinstance(body, PartyNaming) else 1"),
    _stood_for("numbers of obligations", f"{_STANDS}:_numbered", value("promised"),
               "a_document_that_is_shown_is_held_against_the_numbers_before_it",
               "body.sequence - 1 if isinstance(body, Obligation) else 0"),
    _shown("what matured", "_Documents.matured", call("check_maturity"), "what_matured_pays_what_the_schedule_says"),
    _shown("what a settlement is for", "_Documents.settled", call("check_settled"),
           "a_settlement_is_of_what_the_answer_proved"),
    _shown("limits of sales", "_Documents.sold", call("check_sale"), "a_sale_keeps_its_limit"),
    _shown("trees of cycles", "_Documents.netted", call("check_netting"), "a_cycle_that_is_shown_is_in_its_tree"),
    _shown("times of a lapse", "_Documents.lapsed", condition("priced_at"),
           "a_dispute_lapses_by_the_times_of_prices", "False"),
    _shown("waterfall rules", "_Documents.take", call("check_waterfall"), "a_sale_keeps_its_limit"),
    _shown("agreements", "_Documents.take", call("agreements.count"),
           "runs_without_an_agreement_where_some_are_pinned"),
    _shown("terms", "_Documents.require_terms", condition("named_terms"),
           "an_account_under_other_terms_speaks_against_nobody", "False"),
    _shown("whose key", "_Documents.require_terms", condition("identity"),
           "an_account_under_other_terms_speaks_against_nobody", "False"),
    _shown("pinned institutions", "_Documents.require_terms", condition("key", "None"),
           "an_account_under_other_terms_speaks_against_nobody", "False"),
    _shown("pinned keys", "_Documents.submitted", condition("unpinned"),
           "an_account_under_other_terms_speaks_against_nobody", "False"),
    _shown("the pinned universe", "_Documents.require_universe", condition("leads_to"),
           "an_account_under_other_terms_speaks_against_nobody", "False"),
    Mutant("shown: what came back", "service.verifier.released_documents:_Documents.came_back",
           call("_releases.check"), "None",
           (f"{_FOLDER}/test_release_readers.py::test_a_friendly_operator_is_contradicted_by_what_it_let_go",)),
    Mutant("shown: terms by their hash", "service.verifier.served_terms:ServedTerms._read", condition("hash"), "False",
           (f"{_FOLDER}/test_release_readers.py::test_terms_that_are_not_the_pinned_ones_speak_against_nobody",)),
    Mutant("shown: revisions of the universe", "service.verifier.served_terms:ServedTerms.leads_to",
           condition("pinned", "universes"), "True",
           (f"{_FOLDER}/test_released_documents.py::test_revisions_lead_from_the_pinned_universe_to_the_account_s",)),
    Mutant("shown: an installation at fault", "service.verifier.released_documents:_Documents._signed",
           condition("GeneratorError"), "False",
           (f"{_FOLDER}/test_release_readers.py::test_what_this_installation_cannot_verify_speaks_against_nobody",)),
    _shown("prices of the log", "_Documents._priced", condition("market"),
           "another_schedule_or_tick_than_is_pinned_and_logged_shows_nothing", "False"),
    _shown("deadlines by the operator", "_Documents.overdue", Node("condition", mentions=("record", "deadline")),
           "no_time_is_over_before_its_deadline", "False"),
    _shown("deadlines by witnesses", "_Documents.overdue", call("check_deadline"),
           "no_time_is_over_before_its_deadline"),
)  # fmt: skip
