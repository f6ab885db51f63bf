"""The mutants of `mutate.py`: where each is, and which tests are to notice. Moved code takes a new place, nothing else.

See `mutant.py` for how a place and a node are named.
"""

from mutant import RETURNED, Mutant, Node, call, condition, value
from mutants_account import ACCOUNT_MUTANTS
from mutants_agreements import AGREEMENT_MUTANTS
from mutants_archive import ARCHIVE_MUTANTS
from mutants_books import BOOK_MUTANTS
from mutants_breakers import BREAKER_MUTANTS
from mutants_circuits import CIRCUIT_MUTANTS
from mutants_closing import CLOSING_MUTANTS
from mutants_contracts import CONTRACT_MUTANTS
from mutants_custody import CUSTODY_MUTANTS
from mutants_defaults import DEFAULT_MUTANTS
from mutants_disputes import DISPUTE_MUTANTS
from mutants_edge import EDGE_MUTANTS
from mutants_engine import ENGINE_MUTANTS
from mutants_executors import EXECUTOR_MUTANTS
from mutants_identities import IDENTITY_MUTANTS
from mutants_live import LIVE_MUTANTS
from mutants_maturity import MATURITY_MUTANTS
from mutants_netting import NETTING_MUTANTS
from mutants_openings import OPENING_MUTANTS
from mutants_operations import OPERATIONS_MUTANTS
from mutants_pages import PAGE_MUTANTS
from mutants_pointer import POINTER_MUTANTS
from mutants_rail import RAIL_MUTANTS
from mutants_readers import READER_MUTANTS
from mutants_releases import RELEASE_MUTANTS
from mutants_reports import REPORT_MUTANTS
from mutants_rotation import ROTATION_MUTANTS
from mutants_sharing import SHARING_MUTANTS
from mutants_signers import SIGNER_MUTANTS
from mutants_store import STORE_MUTANTS
from mutants_voids import VOID_MUTANTS


def _tests(folder: str, named: tuple[str, ...]) -> tuple[str, ...]:
    file, *tests = named
    return tuple(f"tests/{folder}/test_{file}.py::test_{test}" for test in tests)


def _zk(name: str, place: str, node: Node, new: str, *named: str) -> Mutant:
    return Mutant(name, f"zk.{place}", node, new, _tests("zk", named))


def _key(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(f"public keys: {name}", f"documents.{place}", node, new, _tests("documents", ("public_keys", test)))


def _context(name: str, tests: str, function: str) -> Mutant:
    node = value("context")
    return _zk(
        f"{name}: context is absorbed", f"statements.{name}:{function}", node, "{}", tests, "every_context_value"
    )


def _verification(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.protocol.verification:{function}"
    return Mutant(name, place, node, new, _tests("service", ("verification", *tests)))


def _claims(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.protocol.answer_claims:{function}"
    return Mutant(name, place, node, new, _tests("service", ("verification", *tests)))


def _attestation(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.verifier.attestation:{function}"
    return Mutant(name, place, node, new, _tests("service", ("attestation", *tests)))


def _agent(name: str, function: str, node: Node, new: str, test: str) -> Mutant:
    place = f"service.institution.runs:{function}"
    return Mutant(name, place, node, new, _tests("service", ("agent_checks", test)))


def _feed(name: str, place: str, node: Node, new: str, *named: str) -> Mutant:
    return Mutant(name, f"service.feed.{place}", node, new, _tests("service", named))


def _receipt(name: str, place: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.operator.runs.{place}"
    return Mutant(f"receipts: {name}", place, node, new, _tests("service", ("feed_receipts", *tests)))


def _receipted(name: str, function: str, node: Node, new: str, *tests: str) -> Mutant:
    place = f"service.verifier.receipts:{function}"
    return Mutant(f"monitor: {name}", place, node, new, _tests("service", ("monitor_receipts", *tests)))


def _change(name: str, place: str, node: Node, new: str, *tests: str) -> Mutant:
    return _feed(f"rules: {name}", place, node, new, "feed_changes", *tests)


def _chain(name: str, function: str, node: Node, new: str, test: str) -> Mutant:
    place = f"service.institution.chain:MarketChain.{function}"
    return Mutant(f"agent: {name}", place, node, new, _tests("service", ("agent_chain", test)))


def _agent_tests(default: str, test: str) -> tuple[str, ...]:
    """Return a test of the agent, by its name alone or with its module before it."""
    module, _, name = test.rpartition(":")
    return _tests("service", (f"agent_{module or default}", name))


def _history(name: str, function: str, node: Node, new: str, test: str) -> Mutant:
    place = f"service.institution.history:History.{function}"
    return Mutant(f"agent: {name}", place, node, new, _agent_tests("history", test))


def _round(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(f"agent: {name}", f"service.institution.{place}", node, new, _agent_tests("rounds", test))


_SETTLED = "service.institution.settled:check_settlement"
_ANSWER_PROOF = "a_changed_proof_of_an_answer_is_refused"
_SIGNER = "documents_of_another_signer_are_refused"
_ANCHOR = "another_anchor_fails"

MUTANTS = (
    _zk("final multiplication", "bits.final:verify_checks", condition("total"), "False",
        "sufficiency", "a_negative_row_is_refused_by_the_verifier"),
    _zk("proof length", "bits.proof:BitProof.from_bytes", condition("proof_bytes"),
        "len(data) < parameters.proof_bytes", "proof_encoding", "one_byte_more_or_moved"),
    _zk("proof version", "bits.proof:require_version", condition("found", "read"), "False",
        "proof_encoding", "unknown_versions"),
    _zk("chunks are absorbed", "bits.challenges:ChallengeSequence.__init__", condition("chunks"), "False",
        "chunks", "shapes_share_no_challenge"),
    _zk("cross terms are absorbed", "bits.challenges:ChallengeSequence.after_crosses", call(".absorb", "K"),
        "self._transcript.absorb('K', b'')", "chunks", "every_message_changes_the_challenges_after_it_and_none_before"),
    _zk("number of chunks", "bits.parameters:BitParameters.__post_init__", condition("MAX_CHUNKS"), "False",
        "chunks", "shapes_have_limits"),
    _zk("length of a chunk", "bits.parameters:BitParameters.__post_init__", condition("MAX_GENERATORS"), "False",
        "chunks", "shapes_have_limits"),
    _zk("bits of a statement", "statements.checks:total_bits", condition("MAX_BITS"), "False",
        "proof_encoding", "too_many_bits_are_refused_at_once"),
    _zk("number of commitments", "statements.checks:commitments", condition("limit"), "False",
        "proof_encoding", "only_a_sufficiency_statement_joins_two_books"),
    _zk("entries of a matrix", "statements.checks:rows", condition("MAX_CELLS"), "False",
        "proof_encoding", "huge_matrices_are_refused_at_once"),
    _zk("openings of many commitments", "bits.witness:check_openings", condition("many"), "many",
        "openings", "a_wrong_opening_is_named"),
    _zk("weights of a batch", "bits.final:batch_weights", RETURNED, "[group.scalar(1)] * len(checks)",
        "batch", "two_that_cancel_under_equal_weights_are_refused"),
    _zk("a batch has fresh weights", "bits.final:batch_weights", condition("fresh"), "False",
        "queue", "weights_are_drawn_anew_for_every_multiplication"),
    _zk("queue: whose proofs do not hold", "verify.queue:VerificationQueue._together", value("bad"), "{}",
        "queue", "one_bad_among_fifty_is_refused_alone"),
    _zk("queue: an interrupted verification accepts nothing", "verify.queue:_Job.__init__", value("self.error"), "None",
        "queue", "an_interrupted_verification_accepts_nothing"),
    _zk("queue: one by one", "verify.queue:VerificationQueue._alone", call("verify_batch"), "None",
        "queue", "what_is_no_proof_error_is_the_error_of_its_own_job"),
    _zk("zero challenge", "transcript:Transcript.challenge", condition("value", "0"), "False",
        "transcript", "a_zero_challenge_is_refused"),
    _zk("challenge before a message", "transcript:Transcript.challenge", condition("_fresh"), "False",
        "transcript", "a_challenge_before_any_message_is_refused"),
    _zk("the state goes on", "transcript:Transcript._put", call("_sha256", "_state"),
        "_sha256(b''.join((kind, lengths[0], label, lengths[1], data)))", "transcript", "vectors_for_other_languages"),
    _zk("two digests", "transcript:Transcript.challenge", call("_sha256", "_SQUEEZE"),
        "_sha256(self._state + _SQUEEZE)", "transcript", "vectors_for_other_languages"),
    _zk("S is absorbed", "bits.challenges:ChallengeSequence.after_vectors", call(".absorb", "S"), "None",
        "binding", "every_message_changes_the_challenges_after_it_and_none_before"),
    _zk("mu is absorbed", "bits.challenges:ChallengeSequence.after_evaluation", call(".absorb", "mu"), "None",
        "binding", "every_message_changes_the_challenges_after_it_and_none_before"),
    _zk("zero shares of a choice", "verify.breach:gather_breach", condition("shares", "0"), "False",
        "breach", "zero_shares_are_refused"),
    _key("small order", "ed25519:fault_of", condition("D"), "False", "no_spelling_of_a_point_of_small_order_is_a_key"),
    _key("one spelling", "ed25519:fault_of", condition("sign"), "False", "a_y_that_is_not_below_p_is_refused"),
    _key("on the curve", "ed25519:fault_of", condition("pow"), "False", "no_point_is_told_from_another_fault"),
    _key("asked when parsed", "fields:require_public_key", condition("fault"), "False",
         "other_bytes_are_a_key_when_they_are_a_point"),
    _context("portfolio", "binding", "PortfolioStatement._public"),
    _context("sufficiency", "binding", "SufficiencyStatement._public"),
    _context("encryption", "encryption", "EncryptionStatement._public"),
    _context("decryption", "decryption", "DecryptionStatement._public"),
    _context("breach", "breach", "BreachStatement.binding"),
    _verification("submission: signature", "verify_submission", call("signed.verify"), "None", _SIGNER),
    _verification("answer: signature", "verify_answer", call("signed.verify"), "None", _SIGNER),
    _claims("answer: about this run", "answer_claims", condition("getattr", "wanted"), "False",
            "an_answer_about_something_else_is_refused"),
    _claims("answer: outcome, flag and top-up", "answer_claims", call("_check_outcome"), "None",
            "outcome_flag_and_top_up_go_together"),
    _verification("answer: proofs", "verify_answer", call("require_proven"), "None", _ANSWER_PROOF),
    _claims("answer: sufficiency proof", "answer_claims", value("claims"), "{}", _ANSWER_PROOF),
    _claims("breach: words of the flag", "_decryption", condition("words"), "words is None",
            "a_flag_from_other_words_is_refused"),
    _claims("breach: decryption proof", "answer_claims", call("_decryption"), "claims['sufficiency_proof']",
            _ANSWER_PROOF),
    _claims("breach: breach proof", "answer_claims", call("_breach"), "claims['sufficiency_proof']", _ANSWER_PROOF),
    _verification("the verifier's seal", "_Verified.__post_init__", condition("_SEAL"), "False",
                  "a_verified_answer_is_not_made_by_hand",
                  "a_verified_breach_with_another_amount_is_not_made_by_replace"),
    Mutant("settlement: takes verified breaches alone", "service.operator.settlement.hook:settle",
           condition("isinstance", "VerifiedBreach"), "False",
           _tests("service", ("verification", "the_settlement_hook_takes_nothing_else"))),
    _attestation("bundle: anchors of the terms", "verify_attestation", call("_require", "hashes", "trust"), "None",
                 _ANCHOR),
    _attestation("bundle: tick", "verify_attestation", call("verify_tick"), "tick.market", _ANCHOR),
    _attestation("bundle: signature of the record", "verify_attestation", call("signed_run.verify"), "None",
                 "a_part_signed_by_a_stranger_fails", _ANCHOR),
    _attestation("bundle: pinned keys", "verify_attestation", call("_require", "unpinned"), "None", _ANCHOR),
    Mutant("bundle: transfers", "service.verifier.attestation:_check_settlement", call("check_transfer"), "None",
           _tests("service", ("attestation_settlement", "an_operator_that_settles_otherwise_is_found"))),
    _attestation("bundle: signature of the whole", "verify_attestation", call("signed_bundle.verify"), "None",
                 "only_the_operator_signs_the_whole"),
    _agent("agent: terms of the record", "check_run", call("_require_equal", "hashes"), "None",
           "a_run_under_terms_that_are_not_pinned_is_refused"),
    _agent("agent: prices", "check_run", call("verify_tick"), "tick.market",
           "prices_that_the_operator_changed_are_refused"),
    Mutant("matrices of a record", "service.protocol.terms:Terms.matrices_of", condition("others"), "False",
           _tests("service", ("agent_checks", "a_matrix_that_the_prices_do_not_give_is_refused"))),
    _agent("agent: decrypted flag", "decrypt_and_compare", condition("flag", "surplus"), "False",
           "a_flag_that_is_not_the_run_s_is_withheld"),
    _round("one answer to a price", "answering:_keep", condition("_said"), "False",
           "both_runs_of_a_tick_get_the_same_answer"),
    _round("the record that the account has", "answering:_checked", condition("body_hash", "record"), "False",
           "nothing_but_the_open_run_of_the_account_is_answered"),
    _round("what is refused stays known", "outbox:Outbox.send", condition("_NUMBERED"), "False",
           "sending:an_instruction_that_is_refused_is_told_and_not_sent_again"),
    _round("proofs that nobody asked for", "coverage:Unasked._is_asked", condition("unproven"), "False",
           "unasked:nothing_is_proven_unasked_while_a_run_waits_for_its_answer"),
    _round("what hangs after a void run", "coverage:_wanted", condition("void"), "False",
           "unasked:what_hangs_after_a_void_run_is_proven_unasked_once_the_operator_had_its_time"),
    _history("terms of the account", "_check_admission", condition("getattr", "wanted"), "False",
             "an_account_of_somebody_else_or_under_other_terms_is_none_of_ours"),
    Mutant("agent: what settles a breach", _SETTLED, condition("transfers"), "False",
           _agent_tests("history", "events:a_settlement_that_does_not_follow_from_the_breach_is_refused")),
    Mutant("agent: what a breach is settled for", _SETTLED, call("check_settled"), "None",
           _agent_tests("history", "events:a_settlement_that_does_not_follow_from_the_breach_is_refused")),
    _history("a deadline", "_check_event", call("_check_overdue"), "None",
             "events:an_event_that_is_not_legal_is_refused_and_kept"),
    _history("the log of an entry", "_check_place", condition("log"), "False",
             "an_entry_that_says_something_else_than_follows_is_refused"),
    _history("documents that were not sent", "_mark_sent", condition("adopt"), "False",
             "a_document_that_this_directory_did_not_send_is_refused_until_it_is_adopted"),
    _history("seed and log", "_pinned", condition("getattr"), "False", "seed_and_log_stay_what_they_were_at_first"),
    _history("evidence of a broken history", "_take", call("_keep_contradiction"), "None",
             "a_gap_is_refused_and_kept_until_the_entry_is_shown"),
    _history("the entry of an answer", "expect", condition("body_hash", "sha256"), "False",
             "the_entry_that_a_document_is_answered_with_has_to_be_the_one_of_the_account"),
    _feed("prices: a source that signs two", "combine:_misplaced", condition("signed"), "False",
          "feed_combine", "a_source_that_signs_two_documents_for_one_tick_counts_as_none"),
    _feed("prices: rules that are named", "combine:_misplaced", condition("rules"), "False",
          "feed_combine", "what_names_other_rules_or_another_tick_before_counts_nowhere"),
    _feed("prices: tick before", "combine:_misplaced", condition("previous"), "price.last_market != place.last_market",
          "feed_combine", "what_names_other_rules_or_another_tick_before_counts_nowhere"),
    _feed("prices: last tick with a market", "combine:_misplaced", condition("previous"),
          "price.previous != place.previous",
          "feed_combine", "what_names_other_rules_or_another_tick_before_counts_nowhere"),
    _feed("prices: each is sent once", "combine:require_signed", condition("seen"), "False",
          "feed_combine", "strangers_doubles_and_other_types_are_refused"),
    _feed("tick: next number", "tick:_next_place", condition("sequence"), "False",
          "feed_ticks", "a_tick_that_fails_is_refused_with_a_reason_and_changes_nothing"),
    _feed("tick: moves", "tick:verify_tick", call("_check_after"), "None",
          "feed_verify", "a_move_that_the_operator_let_pass_is_found"),
    _feed("tick: the last one with a market is the one named", "tick:_verified_last_market",
          condition("hash", "last_market"), "False", "feed_verify", "the_last_tick_with_a_market_goes_along"),
    _feed("tick: the last one with a market has the same rules", "tick:_verified_last_market",
          condition("last_market", "rules"), "False", "feed_verify", "sources_that_name_what_does_not_come_before"),
    _feed("tick: the last one with a market comes before", "tick:_verified_last_market",
          condition("adjacent"), "False", "feed_verify", "sources_that_name_what_does_not_come_before"),
    _feed("void tick: moves", "tick:verify_void", call("_check_after"), "None",
          "feed_ticks", "whatever_makes_no_tick_can_be_declared_void"),
    _feed("chain: signature", "chain:follow", call("signed.verify"), "None",
          "feed_chain", "what_does_not_follow_is_named"),
    _feed("chain: skipped number", "chain:follow", condition("newest", "1"), "False",
          "feed_chain", "what_does_not_follow_is_named"),
    _feed("chain: tick before", "chain:follow", condition("previous"), "False",
          "feed_chain", "a_chain_that_forked_before_is_found_at_its_next_tick"),
    _feed("chain: last tick with a market", "chain:follow", condition("next_place"), "False",
          "feed_chain", "an_operator_cannot_name_what_its_sources_did_not"),
    _feed("chain: rules", "chain:follow", condition("newest", "rules"), "False",
          "feed_chain", "other_rules_hold_only_until_the_pinned_ones_do"),
    _feed("chain: every tick's sources", "chain:follow", call("_verify"), "None",
          "feed_chain", "an_operator_cannot_name_what_its_sources_did_not"),
    _feed("source: one document for a number", "memory:SourceMemory.sign_once", condition("body"), "False",
          "feed_chain", "a_source_signs_one_document_for_a_number"),
    _feed("source: what it signed is remembered", "memory:SourceMemory.sign_once", call("_write"), "None",
          "feed_chain", "a_source_signs_one_document_for_a_number"),
    _receipt("a tick has them all", "ticks:_gathered", call("with_receipted"), "sent.prices",
             "a_receipted_document_is_in_the_tick_whoever_leaves_it_out", "a_void_tick_lists_what_was_receipted"),
    _receipt("what comes meanwhile", "ticks:_store", condition("receipted", "before", "sequence"), "False",
             "a_document_that_comes_while_a_tick_is_made_is_in_it"),
    _receipt("source", "prices:take_price", call("require_signed"), "None",
             "strangers_and_what_is_no_price_get_no_leaf"),
    _receipt("place", "prices:take_price", call("_require_placed"), "None",
             "what_is_for_another_place_gets_no_leaf"),
    _receipt("two of a source", "prices:take_price", condition("MAX_OF_SOURCE"), "False",
             "a_source_that_signs_two_is_receipted_twice_and_counts_as_none"),
    _receipted("what a tick leaves out", "uncombined", condition("source", "document"), "False",
               "a_tick_that_leaves_a_receipted_document_out"),
    _receipted("what has no leaf", "uncombined", condition("documents", "prices"), "False",
               "a_tick_with_a_document_that_has_no_leaf"),
    _receipted("late leaves", "receipted", condition("tick"), "False",
               "a_leaf_for_a_tick_that_is_made_or_far_ahead"),
    Mutant("receipts: entries say what was", "service.operator.store.entries:newest", call("is_receipted"), "0",
           _tests("service", ("book_after_prices", "the_book_that_was_there_before_the_first_prices_is_run"))),
    Mutant("receipts: what entries say, replayed", "service.operator.replay:_replayed", condition("named"), "False",
           _tests("service", ("replay", "an_entry_that_denies_a_leaf_before_it_is_named"))),
    _change("operator", "changes:changed", condition("operator"), "False",
            "what_the_old_sources_did_not_sign_is_refused_by_name"),
    _change("the ones that end", "changes:changed", condition("previous"), "False",
            "what_the_old_sources_did_not_sign_is_refused_by_name"),
    _change("one change", "changes:changed", condition("body"), "False",
            "what_the_old_sources_did_not_sign_is_refused_by_name"),
    _change("old sources", "changes:changed", call("document.verify"), "None",
            "what_the_old_sources_did_not_sign_is_refused_by_name"),
    _change("threshold", "changes:changed", condition("required"), "False",
            "what_the_old_sources_did_not_sign_is_refused_by_name"),
    _change("order", "changes:rules_after", condition("earliest"), "False",
            "a_change_is_not_taken_back_skipped_or_played_again"),
    _change("not taken back", "changes:require_continued", condition("kept"), "False",
            "a_change_is_not_taken_back_skipped_or_played_again"),
    _change("begins with its tick", "changes:require_continued", condition("from_sequence"), "False",
            "a_change_is_not_taken_back_skipped_or_played_again"),
    _change("carried by every tick", "changes:rules_of", RETURNED, "first",
            "a_change_begins_with_its_tick_and_everybody_follows"),
    _change("what a source is shown", "memory:SourceMemory._rules_of_next", condition("from_sequence"), "False",
            "a_source_signs_nothing_under_a_change_that_does_not_hold"),
    _attestation("bundle: signature of the tick before", "verify_attestation", call("before[0].verify"), "None",
                 "a_part_signed_by_a_stranger_fails"),
    _agent("agent: signature of the tick before", "check_run", call("signed_before.verify"), "None",
           "a_tick_before_that_the_operator_did_not_sign_is_refused"),
    _chain("old prices", "require_fresh", condition("age", "bound"), "False",
           "old_prices_are_refused_by_the_agents_own_clock"),
    _chain("prices of the future", "require_fresh", condition("age", "max_skew_seconds"), "False",
           "old_prices_are_refused_by_the_agents_own_clock"),
    _chain("another tick of an old number", "_reach", condition("wanted"), "False",
           "another_tick_of_an_earlier_number_is_a_contradiction"),
    _chain("the newest market", "_check_market", condition("market_hash"), "False",
           "an_entry_at_an_older_market_than_there_is_is_refused"),
    _chain("evidence of a fork", "_refusing", call("_keep_contradiction"), "None",
           "two_ticks_of_one_number_are_kept_and_get_no_answer"),
    _history("follows the chain", "_check_place", call("_chain.follow"), "None",
             "an_entry_at_a_tick_that_was_not_seen_is_not_taken"),
    Mutant("agent: age of prices", "service.institution.answering:_checked", call("require_fresh"), "None",
           _tests("adversary", ("market_chain", "old_prices_get_no_answer_whatever_time_the_operator_has"))),
    *CIRCUIT_MUTANTS,
    *CONTRACT_MUTANTS,
    *POINTER_MUTANTS,
    Mutant("log: leaves and nodes apart", "service.log.hashing:leaf_hash", RETURNED, "hashlib.sha256(entry).digest()",
           _tests("service/log", ("tree", "a_node_is_no_entry", "roots_are_those_of_the_text"))),
    Mutant("log: inclusion leads to the root", "service.log.proofs:check_leaf", condition("found", "root"), "False",
           _tests("service/log", ("tree", "proofs_verify_and_nothing_like_them_does"))),
    Mutant("log: the old tree is the beginning", "service.log.proofs:check_consistency",
           condition("before", "after"), "after != root",
           _tests("service/log", ("tree", "proofs_verify_and_nothing_like_them_does"))),
    Mutant("checkpoint: the log signed", "service.log.checkpoints:believe", call("checkpoint.note.verify", "log"),
           "None",
           _tests("service/log", ("checkpoints", "signatures_of_others_and_of_other_texts_are_refused"))),
    Mutant("checkpoint: enough witnesses", "service.log.checkpoints:believe", condition("seen", "needed"), "False",
           _tests("service/log", ("checkpoints", "a_checkpoint_is_believed_when_enough_witnesses_saw_it_lately"))),
    Mutant("checkpoint: lately", "service.log.checkpoints:believe", condition("max_age_seconds"), "False",
           _tests("service/log", ("checkpoints", "a_checkpoint_is_believed_when_enough_witnesses_saw_it_lately"))),
    Mutant("witness: goes on from the newest", "service.witness.witness:Witness.add", condition("asked", "newest"),
           "asked.old > newest", _tests("service/witness", ("witness", "another_size_is_told"))),
    Mutant("witness: proof of the newest", "service.witness.witness:Witness.add", call("check_successor"), "None",
           _tests("service/witness", ("witness", "what_the_protocol_refuses"))),
    Mutant("operator: signs nothing behind its witnesses", "service.operator.publishing:Publisher._last_cosigned",
           condition("same"), "False", _tests("service", ("log", "an_older_database_signs_nothing"))),
    Mutant("operator: asks witnesses first", "service.operator.publishing:Publisher._may_sign", RETURNED, "True",
           _tests("service", ("log", "witnesses_cosign_what_is_published"))),
    Mutant("operator: asks witnesses at its start", "service.operator.publishing:Publisher.require_newest",
           call("_may_sign"), "None", _tests("service", ("liveness", "an_operator_from_an_older_backup"))),
    *ACCOUNT_MUTANTS,
    *ROTATION_MUTANTS,
    *BOOK_MUTANTS,
    *READER_MUTANTS,
    *LIVE_MUTANTS,
    *PAGE_MUTANTS,
    *RAIL_MUTANTS,
    *CUSTODY_MUTANTS,
    *DEFAULT_MUTANTS,
    *RELEASE_MUTANTS,
    *ARCHIVE_MUTANTS,
    *DISPUTE_MUTANTS,
    *IDENTITY_MUTANTS,
    *EDGE_MUTANTS,
    *REPORT_MUTANTS,
    *STORE_MUTANTS,
    *VOID_MUTANTS,
    *NETTING_MUTANTS,
    *BREAKER_MUTANTS,
    *EXECUTOR_MUTANTS,
    *MATURITY_MUTANTS,
    *AGREEMENT_MUTANTS,
    *OPERATIONS_MUTANTS,
    *SHARING_MUTANTS,
    *CLOSING_MUTANTS,
    *SIGNER_MUTANTS,
    *ENGINE_MUTANTS,
    *OPENING_MUTANTS,
)  # fmt: skip
