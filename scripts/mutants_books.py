"""The mutants of submissions: columns, cash, masks, proofs, and what a book gained; part of those of `mutants.py`."""

from mutant import RETURNED, Mutant, Node, call, condition, value


def _tests(folder: str, named: tuple[str, ...]) -> tuple[str, ...]:
    file, *tests = named
    return tuple(f"tests/{folder}/test_{file}.py::test_{test}" for test in tests)


def _masks(name: str, key: str) -> Mutant:
    test = _tests("fhe", ("raw_encryption", "masks_depend_on_all_that_they_bind"))
    return Mutant(f"masks: {name}", "fhe.masks:mask_seed", value(key), "''", test)


def _submission(name: str, node: Node, new: str, *tests: str, function: str = "verify_submission") -> Mutant:
    place = f"service.protocol.verification:{function}"
    return Mutant(f"submission: {name}", place, node, new, _tests("service", ("verification_submissions", *tests)))


def _gain(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.protocol.account.books:{function}"
    return Mutant(f"gain: {name}", place, node, new, _tests("service/account", ("machine_gains", *tests)))


def _settles(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.protocol.account.{function}"
    return Mutant(f"losses: {name}", place, node, new, _tests("service/account", ("machine_settles", *tests)))


def _shown(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.verifier.gain:{function}"
    return Mutant(f"gain shown: {name}", place, node, new, _tests("service", ("attestation_gain", *tests)))


def _cash(name: str, place: str, node: Node, new: str, *named: str) -> Mutant:
    return Mutant(f"cash: {name}", f"margin.{place}", node, new, _tests("margin", named))


_SUBMISSION_FIELD = "a_submission_with_another_field_is_refused"
_SUBMISSION_PROOF = "a_changed_proof_of_a_submission_is_refused"

BOOK_MUTANTS = (
    _submission("terms", condition("getattr", "hashes"), "False", _SUBMISSION_FIELD, function="_check_columns"),
    _submission("keys", condition("key_commitments"), "False",
                "a_submission_under_other_keys_than_the_enrolled_ones_is_refused", _SUBMISSION_FIELD),
    _submission("hash of the words", condition("sha256", "ciphertext"), "False",
                "another_body_is_refused", _SUBMISSION_FIELD),
    _submission("gross limit", call("check_gross_limit"), "None",
                "a_gross_limit_that_does_not_suit_the_universe_is_refused"),
    Mutant("submission: no call below the minimum transfer", "margin.rows.rounding:check_gross_limit",
           condition("minimum_transfer_amount"), "False",
           _tests("service", ("verification_submissions",
                              "a_gross_limit_below_the_minimum_transfer_amount_is_refused",
                              "an_institution_makes_no_submission_with_such_a_limit"))),
    Mutant("unit: a top-up can be proven", "margin.rows.rounding:compile_run", value("finest"), "-32",
           _tests("margin", ("top_up_width", "a_row_with_its_top_up_fits_the_proof"))),
    _masks("the operator's nonce", "nonce"),
    _masks("random bytes of the institution", "randomness"),
    _masks("the operator", "operator"),
    _masks("keys", "key_commitments"),
    Mutant("masks: drawn anew", "service.institution.submissions:make_submission", value("randomness", "secrets"),
           "'00' * 32", _tests("service", ("verification_submissions",
                                           "an_operator_that_repeats_its_nonce_gets_other_masks"))),
    Mutant("masks: random bytes are absorbed", "service.protocol.submissions:SubmissionClaim.proof_context",
           value("randomness"), "''", _tests("service", ("verification_submissions",
                                                         "both_proofs_absorb_all_that_a_submission_names"))),
    _submission("portfolio proof", call("verify_portfolio"), "None", _SUBMISSION_PROOF, function="_check_portfolio"),
    _submission("encryption proof", call("verify_encryption"), "None", _SUBMISSION_PROOF),
    _submission("columns", condition("entry_map"), "False", _SUBMISSION_FIELD, function="_check_columns"),
    Mutant("submission: gain proof", "service.protocol.verification:verify_gain", call("verify_sufficiency"), "None",
           _tests("service", ("gains", "invented_cash_is_refused_by_agent_machine_and_proof"))),
    Mutant("submission: day of the gain", "service.protocol.verification:verify_gain", condition("day"), "False",
           _tests("service", ("gains", "the_day_is_that_of_the_prices"))),
    Mutant("agent: no book that gained too much", "service.institution.gains:gain_at", condition("more"), "False",
           _tests("service", ("gains", "a_loss_cannot_be_left_behind"))),
    _gain("newest tick", "_allowed", condition("price_sequence"), "False", "a_gain_is_counted_at_the_newest_tick"),
    _gain("book before", "_allowed", condition("before"), "False",
          "a_first_book_is_compared_with_nothing_and_the_next_with_it"),
    _gain("days go on", "_allowed", condition("day", "gain_day", "gain"), "False",
          "allowances_are_used_up_by_submission_and_by_day"),
    _gain("of one submission", "_allowed", condition("allowance", "submission"), "False",
          "allowances_are_used_up_by_submission_and_by_day"),
    _gain("of a day", "_allowed", condition("used", "allowance"), "False",
          "allowances_are_used_up_by_submission_and_by_day"),
    _gain("the book that came last", "compared_with", value("found"), "same or known[:1]",
          "a_book_is_compared_with_the_one_that_waits_and_itself_under_new_keys"),
    _settles("prices nobody outlived", "books:losses_settled", condition("receipted"), "False",
             "losses_are_not_settled_at_prices_that_others_outlived"),
    _settles("another book", "books:losses_settled", condition("before", "commitments"), "False",
             "losses_are_those_of_a_book_that_is_replaced"),
    _settles("in force at once", "books:losses_settled", condition("waiting"), "False",
             "no_losses_are_settled_while_anything_is_open_or_due"),
    _settles("collateral leaves", "books:losses_settled", call("moved"), "after",
             "collateral_leaves_with_the_losses_and_the_book_is_in_force"),
    Mutant("losses: worth what leaves", "service.protocol.verification:_check_paid", condition("worth"), "False",
           _tests("service", ("losses", "no_more_losses_are_settled_than_what_leaves_is_worth"))),
    Mutant("losses: as much in the ledger", "service.operator.accounts.submissions:submit", call("book"), "None",
           _tests("service", ("losses", "posted_collateral_leaves_and_cash_rises_by_as_much",
                              "the_ledger_is_what_the_entries_give"))),
    Mutant("agent: losses not settled later", "service.institution.outbox:Outbox.send", condition("settles"), "False",
           _tests("service", ("agent_losses", "what_is_refused_is_not_settled_later_at_other_prices"))),
    _shown("state after the submission", "check_entered", condition("made"), "False",
           "an_operator_that_leaves_the_collateral_posted_is_found"),
    _shown("entry of this submission", "check_entered", condition("follows"), "False",
           "what_the_gain_is_counted_from_goes_along"),
    _shown("entries of one account", "check_entered", condition("account"), "False",
           "entries_are_those_of_the_account"),
    _shown("the book before", "_compared", condition("body_hash", "named"), "False",
           "what_the_gain_is_counted_from_goes_along"),
    _shown("the tick of the gain", "_priced", condition("body_hash"), "False",
           "what_the_gain_is_counted_from_goes_along"),
    _gain("listed universes", "_check_universe", condition("found"), "False",
          "a_book_is_in_a_listed_universe_until_that_ends"),
    _gain("a universe that is over", "_check_universe", condition("until"), "False",
          "a_book_is_in_a_listed_universe_until_that_ends"),
    _gain("what is owed in an old universe", "_check_universe", condition("any"), "False",
          "what_is_owed_stays_in_its_universe_beyond_the_end"),
    _gain("revisions follow each other", "universe_revised", condition("before"), "False",
          "a_revision_lists_a_universe_and_ends_the_one_before"),
    _gain("no universe twice", "universe_revised", condition("any"), "False",
          "a_revision_lists_a_universe_and_ends_the_one_before"),
    Mutant("gain: columns are part of a book", "service.protocol.account.values:book_hash", value("entry_map"),
           "''", _tests("service/account", ("machine_gains", "other_columns_make_another_book"))),
    _cash("rounded against the holder", "market.cash:in_lots", RETURNED, "round(amount / Fraction(lot))",
          "cash", "cash_is_rounded_against_the_holder_once"),
    Mutant("slack: a top-up enters margin rows alone", "service.protocol.proof_rows:ProofRows.statement",
           value("counted"), "None",
           _tests("service", ("exact_answers", "a_top_up_enters_no_row_that_bounds_slack"))),
    Mutant("slack: one proof holds the rows", "service.protocol.proof_rows:ProofRows.require_provable",
           condition("MAX_SLACK"), "False",
           _tests("service", ("exact_answers", "rows_that_no_proof_holds_leave_the_others"))),
    Mutant("slack: rows of the form that is said", "service.protocol.answer_claims:_rows_of", condition("form"), "True",
           _tests("service", ("exact_answers", "a_book_that_only_rows_with_slack_cover_is_covered"))),
    Mutant("slack: tried first", "service.institution.sufficient:Position.rows", condition("has_exact"),
           "False", _tests("service", ("exact_answers", "rows_with_slack_answer_also_where_the_others_would_do"))),
)  # fmt: skip
