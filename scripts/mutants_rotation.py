"""The mutants of identity keys that are replaced: in the machine, at the operator, in the agent, and for readers."""

from mutant import Mutant, Node, call, condition, value

_MACHINE, _READER = "service.protocol.account.identities:identity_rotated", "service.protocol.account.identities"
_UNITS, _SERVICE = "tests/service/account/test_machine_identity.py", "tests/service/test_identity_rotation.py"


def _unit(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rotation: {name}", place, node, new, (f"{_UNITS}::test_{test}",))


def _service(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rotation: {name}", f"service.{place}", node, new, (f"{_SERVICE}::test_{test}",))


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
        "operator.replay:_columns",
        value("identity"),
        "an_operator_that_says_so_without_an_entry_swaps_nothing",
        "None",
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
)
