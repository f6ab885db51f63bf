"""The mutants of identity keys that are replaced: in the machine, at the operator, in the agent, and for readers."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_MACHINE, _READER = "service.protocol.account.identities:identity_rotated", "service.protocol.account.identities"
_UNITS, _SERVICE = "tests/service/account/test_machine_identity.py", "tests/service/test_identity_rotation.py"


def _unit(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rotation: {name}", place, node, new, (f"{_UNITS}::test_{test}",))


def _service(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rotation: {name}", f"service.{place}", node, new, (f"{_SERVICE}::test_{test}",))


def _shown(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    tests = (f"tests/service/test_rotated_history.py::test_{test}",)
    return Mutant(f"rotation: {name}", f"service.{place}", node, new, tests)


def _held(name: str, place: str, node: Node, test: str, new: str = "None") -> Mutant:
    return Mutant(f"hold: {name}", f"service.{place}", node, new, (f"tests/service/test_holds.py::test_{test}",))


_NETTING, _ARCHIVE = "a_cycle_of_promises_under_two_keys", "an_archive_with_other_rotations_does_not_verify"
_LATE, _RESTORED = (
    "an_answer_that_a_late_rotation_overtook_is_signed_by_the_new_key",
    "a_restore_to_before_the_rotation_is_named",
)

ROTATION_MUTANTS = (
    _unit("the key in force", _MACHINE, condition("old"), "it_replaces_the_key_in_force"),
    _unit("the last entry", _MACHINE, condition("entry"), "it_is_at_the_last_entry"),
    _unit("no key comes back", _MACHINE, condition("new", "keys"), "a_key_never_comes_back"),
    _unit("the operator's key", _MACHINE, condition("operator"), "the_operators_key_is_no_institutions"),
    _unit("so often", _MACHINE, condition("MAX_ROTATIONS"), "it_is_replaced_so_often_and_no_more"),
    _unit("the new key is had", _MACHINE, call("verify_possession"), "whoever_asks_has_the_new_key", "None"),
    _unit("readers: whose", f"{_READER}:keys_shown", condition("institution"), "rotations_that_lead_nowhere"),
    _unit("readers: one after the other", f"{_READER}:keys_shown", condition("old"), "rotations_that_lead_nowhere"),
    _unit(
        "readers: the old key signs",
        f"{_READER}:keys_shown",
        call("signed.verify"),
        "rotations_are_signed_by_both_keys",
        "None",
    ),
    _unit(
        "readers: the new key signs",
        f"{_READER}:keys_shown",
        call("verify_possession"),
        "rotations_are_signed_by_both_keys",
        "None",
    ),
    _unit(
        "readers: the pinned key",
        f"{_READER}:keys_shown",
        condition("pinned"),
        "rotations_lead_over_any_key_that_is_pinned",
    ),
    _unit("readers: states", f"{_READER}:require_keys", condition("had"), "states_name_the_keys_that_were_shown"),
    _service(
        "a replaced key opens nothing",
        "operator.web.callers:Callers.by_key",
        condition("ReplacedKey"),
        "requests_of_the_old_key_open_nothing",
    ),
    _service(
        "keys of others",
        "operator.accounts.identities:rotate",
        call("require_free"),
        "a_key_of_somebody_else_is_not_taken",
        "None",
    ),
    _service(
        "keys that others had",
        "operator.accounts.identities:require_free",
        condition("ReplacedKey"),
        "a_key_of_somebody_else_is_not_taken",
        "taken",
    ),
    _service(
        "the agent's own key",
        "institution.history:History._require_key",
        condition("identity"),
        "an_operator_that_says_so_without_an_entry_swaps_nothing",
    ),
    _service(
        "replay compares keys",
        "operator.replay:_compare_columns",
        condition("found", "wanted"),
        "replay_finds_another_key_and_another_list_of_replaced_ones",
        "found != wanted and name != 'identity'",
    ),
    _service(
        "replay compares replaced keys",
        "operator.replay:check",
        condition("ReplacedKey"),
        "replay_finds_another_key_and_another_list_of_replaced_ones",
    ),
    _service(
        "an answer is under the last key",
        "verifier.attestation:verify_attestation",
        call("verify_answer"),
        "bundles_verify_with_the_trust_file_from_before",
        "verify_answer(signed_answer, answer, record=record, run_hash=signed_run.body_hash(), "
        "submission=submission, market=market, matrices=matrices, terms=terms, identity=signed_answer.signer, "
        "keys=keys, flag_words=None if bundle.flag_words is None else bytes.fromhex(bundle.flag_words), "
        "group=group)",
    ),
    _service("a late rotation", "institution.outbox:Outbox._under_key_in_force", condition("signer"), _LATE, "True"),
    _service(
        "the agent of a replaced key ends",
        "institution.permanent:advice",
        condition("_REPLACED"),
        "a_thief_who_rotates_first_is_noticed",
    ),
    _service(
        "an operator from before it",
        "institution.behind:page_after",
        condition("_MISSING", "number"),
        _RESTORED,
        "problem != _MISSING",
    ),
    _service("an agent from after it", "institution.pinning:_followed", RETURNED, _RESTORED),
    _service(
        "robbed",
        "institution.agent:Agent.send_rotation",
        call("sync"),
        "whoever_was_robbed_takes_over_what_the_thief_did_and_rotates",
        "None",
    ),
    _shown(
        "streams end",
        "http.events:Stream._events",
        condition("over"),
        "a_stream_ends_with_the_entry_that_replaces_its_key",
        "left <= 0 or not (events or follow)",
    ),
    _shown(
        "streams that open",
        "operator.web.events:_start_of_account",
        condition("identity"),
        "a_key_that_is_replaced_while_its_stream_opens_gets_none",
    ),
    _shown(
        "obligations by the key of their entry",
        "verifier.netting:_promised",
        call("document.verify"),
        _NETTING,
        "document.verify(frozenset(shown))",
    ),
    _shown("entries of rotations", "verifier.netting:_replaced", condition("IDENTITY_ROTATED"), _NETTING),
    _shown(
        "whose an archive is",
        "verifier.archive:verify_archive",
        call("frozenset", "keys"),
        _ARCHIVE,
        "frozenset({trust.operator, *keys})",
    ),
    _shown("rotations of nobody", "verifier.archive:_Replay.follow", condition("keys_of"), _ARCHIVE),
    _shown("keys before an archive", "verifier.archive:_Replay.open", value("keys"), _ARCHIVE, "self._identities"),
    _held(
        "at the door",
        "operator.web.callers:Callers.require",
        call("require_open"),
        "a_held_account_takes_what_proves_itself_and_nothing_else",
    ),
    _held(
        "rotations",
        "operator.accounts.identities:rotate",
        call("require_open"),
        "it_waits_for_the_key_that_was_agreed_on",
    ),
    _held("for a key", "operator.holds:Holds.require_open", condition("key"), "holds_are_bounded_and_private", "False"),
    _held(
        "what is harmless",
        "operator.web.access:harmless",
        RETURNED,
        "what_is_harmless_is_read_or_proves_itself",
        "True",
    ),
    _held(
        "a file that is broken",
        "operator.holds:Holds.require_open",
        value("found"),
        "a_file_that_cannot_be_read_holds_everybody",
        "None",
    ),
)
