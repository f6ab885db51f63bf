"""The mutants of signers: what they verify, compare, remember, and what is collected of them."""

from mutant import Mutant, Node, call, condition

_FOLDER = "tests/service/signer/test_"


def _tests(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{_FOLDER}{file}.py::test_{name}" for name in names)


def _matrices(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    return Mutant(f"signers: {name}", f"service.signer.matrices:{function}", node, new, _tests("matrices", *tests))


def _portfolio(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    return Mutant(f"signers: {name}", f"service.signer.portfolio:{function}", node, new, _tests("portfolio", *tests))


def _collect(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    named = tuple(f"tests/contracts/test_collect.py::test_{test}" for test in tests)
    return Mutant(f"collect: {name}", f"contracts.collect:{function}", node, new, named)


_OTHERWISE = "a_vault_that_has_it_otherwise_is_not_signed_for"
_ACCOUNT = "an_account_that_has_it_otherwise_is_not_signed_for"

SIGNER_MUTANTS = (
    Mutant(
        "bundles: an unsettled one has no settlement",
        "service.verifier.attestation:verify_attestation",
        call("_require", "settled", "settlement"),
        "None",
        _tests("matrices", "a_settlement_in_an_unsettled_bundle_is_refused"),
    ),
    _matrices("open", "matrix_message", condition("open"), "False", _OTHERWISE),
    _matrices("tick and commitments", "matrix_message", condition("said", "wanted"), "False", _OTHERWISE),
    _matrices("posted on the chain", "require_posted", condition("counted", "posted"), "False", _OTHERWISE),
    _matrices("other assets", "require_posted", condition("others"), "False", "only_the_tokens_asset_may_count"),
    _matrices("decimals", "moved", condition("decimals"), "False", "the_token_has_to_be_of_the_schedule"),
    _matrices("the oracle's set", "require_counted", condition("counted"), "False", _OTHERWISE),
    _matrices("expiry", "require_expiry", condition("expiry"), "False", _OTHERWISE),
    _matrices(
        "log", "verified_run", condition("checkpoint"), "False", "without_what_shows_it_in_the_log_nothing_is_signed"
    ),
    _matrices("a breach", "verified_run", condition("VerifiedBreach"), "False", "a_covered_run_settles_nothing"),
    _portfolio(
        "the institution's word",
        "named_account",
        call("signed.verify"),
        "None",
        "nobody_else_names_the_account_of_a_book",
    ),
    _portfolio(
        "which vault and chain",
        "named_account",
        condition("said", "wanted"),
        "False",
        "a_word_about_something_else_is_none",
    ),
    _portfolio(
        "one institution", "verified_book", condition("institution"), "False", "nobody_else_names_the_account_of_a_book"
    ),
    _portfolio(
        "proofs of a book",
        "_verified",
        call("verify_submission"),
        "None",
        "the_institution_itself_cannot_have_another_book_attested",
    ),
    _portfolio("pinned keys", "_verified", condition("unpinned"), "False", "keys_that_are_not_pinned_are_refused"),
    _portfolio("state of the account", "portfolio_message", condition("state"), "False", _ACCOUNT),
    _portfolio("holder of commitments", "portfolio_message", condition("holder"), "False", _ACCOUNT),
    _portfolio("number", "require_next", condition("sequence"), "False", _ACCOUNT),
    Mutant(
        "signers: one thing at a time",
        "service.signer.journal:Journal._store",
        condition("other"),
        "False",
        _tests("signers", "another_answer_is_attested_only_once_the_first_is_over"),
    ),
    Mutant(
        "signers: remembered before it is signed",
        "service.signer.signer:Signer._sign",
        call("remember"),
        "None",
        _tests("signers", "it_is_stored_before_it_is_signed"),
    ),
    Mutant(
        "signers: addresses are the chain's",
        "service.signer.vault:VaultReader.check",
        condition("found", "wanted"),
        "False",
        _tests("signers", "what_it_begins_with_has_to_fit"),
    ),
    _collect("members alone", "_counted", condition("members"), "False", "what_does_not_count_says_why"),
    _collect("chain and set", "_counted", condition("message", "wanted"), "False", "what_does_not_count_says_why"),
    _collect("each once", "collect", condition("signer"), "False", "nobody_counts_twice"),
    _collect("k of them", "collect", condition("most"), "False", "too_few_say_what_each_answered"),
    Mutant(
        "signatures: the lower s",
        "contracts.signatures:parse_signature",
        condition("HALF_ORDER"),
        "False",
        ("tests/contracts/test_collect.py::test_what_does_not_count_says_why",),
    ),
    Mutant(
        "keystores: private files",
        "contracts.keystore:_private",
        condition(str(0o077)),
        "False",
        ("tests/contracts/test_keystore.py::test_what_others_may_read_or_change_is_not_used",),
    ),
    Mutant(
        "addresses: capitals",
        "contracts.addresses:checked_address",
        condition("written"),
        "False",
        ("tests/contracts/test_keystore.py::test_a_wrong_field_is_named",),
    ),
)
