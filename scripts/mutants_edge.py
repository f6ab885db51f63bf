"""The mutants of the operator's edge: requests that are sent again, uploads, and who is let in how often."""

from mutant import Mutant, Node, call, condition, value

_HTTP, _OPERATOR = "service.http", "service.operator"


def _edge(name: str, place: str, node: Node, new: str, tests: str, *named: str) -> Mutant:
    noticed = tuple(f"tests/service/test_{tests}.py::test_{test}" for test in named)
    return Mutant(f"edge: {name}", place, node, new, noticed)


_ONCE = f"{_HTTP}.idempotency:Idempotency._once"
_UPLOADS = f"{_OPERATOR}.store.uploads:Uploads"

EDGE_MUTANTS = (
    _edge("the digest has the path", f"{_HTTP}.idempotency:digest_of", value("head"), "()", "idempotency",
          "another_body_under_the_key_is_refused"),
    _edge("the digest is of the request", f"{_HTTP}.idempotency:digest_of", call("hashed.update"), "None",
          "idempotency", "another_body_under_the_key_is_refused"),
    _edge("the digest is compared", _ONCE, value("digest"), "''", "idempotency",
          "another_body_under_the_key_is_refused"),
    _edge("a key is its caller's", _ONCE, value("name"), "('', key)", "idempotency", "a_key_is_its_caller_s_own"),
    _edge("one at a time", _ONCE, condition("_begun"), "False", "idempotency",
          "a_request_that_is_still_worked_on_is_a_409"),
    _edge("refusals are not kept", f"{_HTTP}.idempotency:_Recorder.answer", condition("status"), "False", "idempotency",
          "what_was_refused_is_asked_anew"),
    _edge("what changes is not kept", f"{_HTTP}.idempotency:_Recorder.answer", condition("b'no-store'"), "False",
          "uploads", "how_far_it_is_is_never_a_kept_answer"),
    _edge("answers are kept for a day", f"{_OPERATOR}.store.idempotency:find_answer", condition("row"), "row is None",
          "idempotency", "an_answer_is_kept_for_a_day"),
    _edge("the hash of an upload", f"{_UPLOADS}.finish", value("right"), "True", "uploads",
          "other_bytes_than_were_declared_are_refused_and_removed"),
    _edge("the offset of an upload", f"{_UPLOADS}.append", condition("offset"), "False", "uploads",
          "bytes_go_to_where_the_file_is_and_nowhere_else"),
    _edge("only whole files are used", f"{_UPLOADS}.whole", condition("found", "whole"), "found is None", "uploads",
          "parts_make_a_whole_file"),
    _edge("uploads are removed on a timer", f"{_OPERATOR}.runs.pruning:PruningRounds.look",
          call("self._uploads.prune"), "None", "uploads", "uploads_are_removed_on_a_timer"),
    _edge("uploads of one institution are bounded", f"{_UPLOADS}.declare", call("_make_place"), "None", "uploads",
          "uploads_of_an_institution_are_bounded"),
    _edge("sets of keys are bounded", f"{_OPERATOR}.accounts.enrolment:_check", condition("key_sets"), "False",
          "uploads", "an_institution_has_so_many_sets_of_keys_at_most"),
    _edge("a bucket empties", f"{_HTTP}.rates:Buckets.take", value("allowed"), "True", "gate", "a_bucket_fills_again"),
    _edge("buckets are bounded", f"{_HTTP}.rates:Buckets.__init__", value("self._limit"), "10 ** 9", "gate",
          "only_so_many_tenants_are_remembered"),
    _edge("requests of a peer are bounded", f"{_HTTP}.gate:Gate._too_many", condition("requests_of_a_peer"), "False",
          "gate", "requests_of_one_peer_and_of_all_are_bounded"),
    _edge("bodies of a peer are bounded", f"{_HTTP}.gate:Gate._too_many", condition("bodies_of_a_peer"), "False",
          "gate", "bodies_that_are_not_all_there_are_bounded"),
    _edge("an answer comes twice at once", f"{_OPERATOR}.runs.answers:take_answer", condition("meanwhile"), "False",
          "sent_again", "the_same_answer_twice_at_once_gets_one_receipt"),
)  # fmt: skip
