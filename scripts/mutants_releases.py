"""The mutants of collateral that comes back: when, what is proven of it, and what it is worth."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_PURE = "tests/service/account/test_machine_releases.py::test_"
_REAL = "tests/service/test_releases.py::test_"
_READ = "tests/service/test_release_readers.py::test_"
_ROWS = "tests/service/test_release_rows.py::test_"
_WORTH = "tests/margin/test_returns.py::test_"


def _machine(name: str, function: str, node: Node, new: str, test: str) -> Mutant:
    place = f"service.protocol.account.releases:{function}"
    return Mutant(f"release: {name}", place, node, new, (f"{_PURE}{test}",))


def _rule(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(f"release: {name}", place, node, new, (test,))


_MOMENT = "a_release_is_about_this_moment_alone"
_MINIMUM = "tests/service/test_returns.py::test_"
_RETURNS = "service.protocol.returns"
_VERIFIED = "service.protocol.unasked:verify_release"

RELEASE_MUTANTS = (
    _machine("the last entry", "released", condition("head"), "False", _MOMENT),
    _machine("the book in force", "released", condition("submission"), "False", _MOMENT),
    _machine("the newest tick", "released", condition("market_hash"), "False", _MOMENT),
    _machine("what is posted", "released", condition("posted"), "False", _MOMENT),
    _machine("what remains", "released", condition("remaining"), "False", _MOMENT),
    _machine("its number", "released", call("require_next"), "None", _MOMENT),
    _machine("a proof where a book is in force", "released", condition("sufficiency_proof"), "False",
             "a_release_of_a_book_in_force_has_a_proof_and_without_a_book_there_is_none"),
    _machine("when anything may leave", "require_release_allowed", call("require_may_leave"), "None",
             "nothing_comes_back_while_something_is_to_be_proven"),
    _machine("covered after it came", "require_release_allowed", condition("covered"), "False",
             "a_book_that_was_covered_at_its_own_tick_frees_nothing"),
    _machine("prices that are gone", "require_release_allowed", condition("receipted"), "False",
             "nothing_comes_back_when_prices_are_gone"),
    _rule("gains are taken from rows", "service.protocol.release_rows:ReleaseRows.statement", value("taken"),
          "np.zeros((matrix.rows, 1), dtype=np.int64)", f"{_ROWS}margin_that_rests_on_gains_is_not"),
    _rule("rows that bound slack stay", "service.protocol.release_rows:ReleaseRows.statement", value("taken"),
          "-np.ones((matrix.rows, 1), dtype=np.int64)", f"{_ROWS}rows_that_bound_slack_are_not_lowered"),
    _rule("the row of u", "service.protocol.release_rows:ReleaseRows.statement", call("vstack", "gains"),
          "np.vstack([matrix.weights, np.zeros((1, len(self.gains)), dtype=np.int64)])",
          f"{_ROWS}margin_that_rests_on_gains_is_not"),
    _rule("gains are rounded up", "service.protocol.release_rows:in_unit", RETURNED,
          "weight << shift if shift >= 0 else weight >> -shift", f"{_ROWS}a_gain_is_rounded_up_to_a_unit"),
    _rule("the proof is about its gains", "service.protocol.release_rows:ReleaseRows.hash", RETURNED,
          "self.rows.hash()", f"{_ROWS}a_proof_with_other_gains_is_none"),
    _rule("the signature", _VERIFIED, call("signed.verify"), "None",
          f"{_READ}proofs_of_releases_are_checked_offline_by_a_released_history"),
    _rule("its submission", _VERIFIED, condition("submission_hash"), "False",
          f"{_READ}a_release_is_verified_against_the_book_that_it_names"),
    _rule("its parties", _VERIFIED, condition("getattr"), "False",
          f"{_READ}a_release_is_verified_against_the_book_that_it_names"),
    _rule("its rows", _VERIFIED, condition("matrix"), "False",
          f"{_REAL}who_leaves_gains_out_of_the_rows_or_u_out_of_the_proof_has_none"),
    _rule("its proof", _VERIFIED, call("require_proven"), "None",
          f"{_REAL}a_proof_is_about_what_remains_and_about_nothing_else"),
    _rule("what takes its place is worth it", "service.protocol.unasked:_check_worth", call("check_substitution"),
          "None", f"{_REAL}a_worthless_asset_takes_the_place_of_nothing"),
    _rule("worth in every row", "margin.collateral.transfer:check_substitution", condition("before"), "False",
          f"{_WORTH}a_substitution_is_allowed_where_no_row_of_either_kind_is_worth_less"),
    _rule("no more comes back than the amount", "margin.collateral.transfer:_Losses.largest",
          value("found", "ceil"), "found",
          f"{_WORTH}what_comes_back_is_worth_at_most_the_amount_and_a_unit_more_would_be_more"),
    _rule("the book offline", "service.verifier.releases:Releases.check", call("verify_committed"), "None",
          f"{_READ}proofs_of_releases_are_checked_offline_by_a_released_history"),
    _rule("proofs of an archive", "service.verifier.archived_documents:ArchivedDocuments.came_back",
          call("verify_release"), "None", f"{_READ}an_archive_shows_that_what_came_back_was_not_needed"),
    _rule("what is void is not sent again", "service.institution.outbox:_obstacle", condition("release"), "False",
          f"{_REAL}a_release_that_is_about_nothing_any_more_is_not_sent_again"),
    _rule("what a substitution gives, of a released history", "service.verifier.stand_ins:least_private",
          condition("Release"), "False", f"{_READ}a_monitor_takes_releases_and_substitutions_of_a_released_history"),
    _rule("the minimum return", f"{_RETURNS}:check_return", condition("is_returned"), "False",
          f"{_MINIMUM}what_leaves_is_worth_the_minimum_after_haircut"),
    _rule("the minimum return, by prices", f"{_RETURNS}:check_return", condition("price_sequence"), "False",
          f"{_MINIMUM}without_an_agreement_and_before_prices_there_is_no_minimum"),
    _rule("what a substitution returns", f"{_RETURNS}:leaving", RETURNED, "0",
          f"{_MINIMUM}a_substitution_returns_the_difference"),
    _rule("a dollar that has begun", f"{_RETURNS}:leaving", RETURNED, "math.floor(before - after)",
          f"{_MINIMUM}excess_is_rounded_to_the_agreement_and_nothing_below_its_minimum"),
    _rule("the last that is posted", f"{_RETURNS}:is_returned", RETURNED,
          "agreement is None or leaves <= 0 or leaves >= agreement.minimum_return_amount",
          f"{_MINIMUM}all_that_is_posted_comes_back_whatever_it_is_worth"),
    _rule("the minimum return at the operator", "service.operator.accounts.releases:take_release",
          call("check_return"), "None", f"{_MINIMUM}an_operator_takes_no_return_below_the_minimum"),
    _rule("the minimum return before the agent proves", "service.institution.releases:make", call("check_return"),
          "None", f"{_MINIMUM}the_agent_says_what_is_too_little_before_it_proves_anything"),
    _rule("the minimum return in an archive", "service.verifier.archived_documents:ArchivedDocuments.came_back",
          call("check_return"), "None", f"{_MINIMUM}readers_refuse_a_return_below_the_minimum"),
    _rule("proofs of a released history", "service.verifier.releases:Releases.check", call("verify_release"), "None",
          f"{_READ}a_friendly_operator_is_contradicted_by_what_it_let_go"),
    _rule("the minimum return in a released history", "service.verifier.releases:Releases.check",
          call("check_return"), "None", f"{_MINIMUM}readers_refuse_a_return_below_the_minimum"),
    _rule("excess below the minimum return", "service.institution.releases:excess", condition("is_returned"), "back",
          f"{_MINIMUM}excess_leaves_a_coin_that_is_worth_too_little_now"),
)  # fmt: skip
