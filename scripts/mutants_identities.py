"""The mutants of who calls an operator: signatures of requests, replays, the table of calls, keys of the staff."""

from mutant import Mutant, Node, call, condition, value

_FOLDER = "tests/service"


def _signature(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    tests = (f"{_FOLDER}/test_signatures.py::test_{test}",)
    return Mutant(f"requests: {name}", f"service.http.{place}", node, new, tests)


def _access(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    tests = (f"{_FOLDER}/test_access.py::test_{test}",)
    return Mutant(f"callers: {name}", f"service.operator.web.{place}", node, new, tests)


_SIGNED, _TAKE, _OBSERVE = "signatures:_signed", "replays:Replays.take", "replays:Replays._observe"
_NOBODY = "nobody_makes_another_s_call"

IDENTITY_MUTANTS = (
    _signature("what is covered", "signatures:check", value("present"), "it_holds_for_no_other", "()"),
    _signature("the operator it is for", "signatures:check", condition("operator"),
               "a_request_to_one_operator_is_none_to_another"),
    _signature("one signature", "signatures:check", condition("results"), "one_signature_is_taken"),
    _signature("times of refusals alone", "signatures:RequestSigner._learn_time", condition("status_code"),
               "times_are_learnt_of_refusals_alone_and_not_for_ever"),
    _signature("how long it holds", _SIGNED, condition("expires"), "what_a_signature_must_say"),
    _signature("the form of a nonce", _SIGNED, value("nonce"), "what_a_signature_must_say", '{"epoch": "", 0: ""}'),
    _signature("a body without a digest", "signatures:_digest", condition("content-length"),
               "a_body_needs_a_digest_that_is_covered"),
    _signature("the digest of the body", "signatures:check_digest", condition("digest"),
               "a_signature_holds_for_the_request_that_was_signed"),
    _signature("the epoch", _TAKE, condition("epoch"), "nothing_that_was_signed_for_another_process_is_taken"),
    _signature("a full address", "signatures:RequestSigner.auth_flow", value("refused"),
               "a_request_of_another_epoch_is_signed_once_more", "response.status_code == 401"),
    _signature("the time", _TAKE, condition("created"), "the_window_is_by_the_operator_s_clock"),
    _signature("twice", _TAKE, condition("nonce"), "a_request_is_taken_once_as_long_as_it_could_be_taken_at_all"),
    _signature("a flood of one key", _TAKE, condition("_live"), "a_flood_of_one_key_shuts_out_no_other"),
    _signature("how long a nonce is kept", _TAKE, value("left"),
               "a_step_back_that_begins_no_epoch_brings_no_request_back", "signed.expires + SKEW_SECONDS - now"),
    _signature("a clock that is set back", _OBSERVE, condition("_ahead"),
               "a_clock_that_is_set_back_brings_no_request_back_and_stops_nobody"),
    _access("the body of a signed request", "signed_bodies:_hashed", call("check_digest"),
            "another_body_than_was_signed_reaches_no_call", "None"),
    _access("a request that was taken", "callers:Callers._signed", call("replays.take"),
            "a_request_that_was_taken_is_taken_once", "None"),
    _access("a key that is not known", "callers:Callers.by_key", condition("reads"),
            "of_a_key_that_is_not_known_nothing_is_kept"),
    _access("whose path it is", "access:_is_of", condition("institution"), _NOBODY),
    _access("a signature that does not hold", "callers:Callers.admit", condition("refused"),
            "what_was_signed_long_ago_is_refused_and_the_time_is_said"),
    _access("staff alone", "access:require", condition("institution"), _NOBODY, "True"),
    _access("sources alone", "access:require", condition("source"), _NOBODY, "True"),
    _access("what the table does not have", "callers:Callers._access", value("listed"),
            "a_call_that_the_table_does_not_have_takes_who_has_every_scope", "False"),
    Mutant("staff: the end of a key", "service.operator.staff:StaffKeys.of", condition("expires_at"), "True",
           (f"{_FOLDER}/test_staff.py::test_a_key_ends_by_itself",)),
    Mutant("staff: a file that changed", "service.operator.staff:StaffKeys.all", condition("_read"),
           "self._read[0] is None",
           (f"{_FOLDER}/test_staff.py::test_a_key_opens_what_its_scopes_say_until_it_is_revoked",)),
    Mutant("readers: one way to open", "service.protocol.account.events:Reader._check", condition("token_sha256"),
           "False",
           (f"{_FOLDER}/test_readers.py::test_a_reader_that_is_named_by_its_key_signs_until_the_key_is_replaced",)),
    Mutant("tls: a certificate that is not valid now", "service.http.tls:certificate", condition("not_valid_after_utc"),
           "False", (f"{_FOLDER}/test_tls.py::test_a_certificate_that_is_not_valid_now_is_named",)),
)  # fmt: skip
