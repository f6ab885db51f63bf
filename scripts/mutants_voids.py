"""The mutants of void findings: what a custodian gives up what it found for, and what an operator carries."""

from mutant import Mutant, Node, call, condition, value

_VOIDING, _OPERATOR = "tests/service/custodian/test_voiding.py::test_", "tests/service/custody/test_voids.py::test_"
_STORE = "tests/service/custodian/test_store.py::test_"
_ELSE = f"{_VOIDING}what_is_about_something_else_is_refused"
_ANOTHER = f"{_VOIDING}a_proof_of_another_row_session_or_matrix_is_refused"
_NOTHING = f"{_VOIDING}nothing_else_than_a_breach_is_void"
_KEPT = f"{_STORE}what_is_void_is_kept_and_makes_place"
_BOUND = ("operator", "institution", "request", "run", "submission", "session", "closer", "kind", "row", "matrix",
          "certificate")  # fmt: skip


def _void(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"void: {name}", f"service.{place}", node, new, (test,))


VOID_MUTANTS = (
    _void("of this opening", "custodian.voiding:check_void", condition("name", "wanted"), _ELSE),
    _void("something is found", "custodian.voiding:check_void", condition("kept", "None"), _NOTHING),
    _void("a breach is found", "custodian.voiding:check_void", condition("breach"), _NOTHING),
    _void("this row is found", "custodian.voiding:check_void", condition("_row"), _ELSE),
    _void("not of before", "custodian.voiding:check_void", condition("first"), _ANOTHER),
    _void("of who computes", "custodian.voiding:check_void", condition("closer"), _ELSE),
    _void("the proof", "custodian.voiding:check_void", call("verify_lack"), _ANOTHER, "None"),
    _void("a row that is not negative", "custodian.voiding:prove_void", condition("kind", "None"),
          f"{_VOIDING}a_row_that_is_negative_is_never_void"),
    *(
        _void(f"{name} is bound", "protocol.opening_voids:VoidClaim.proof_context", value(name),
              f"{_OPERATOR}the_proof_is_bound_to_everything_that_is_said", '""')
        for name in _BOUND
    ),
    _void("enough have it", "custodian.openings:Openings._require_holders", condition("holders"),
          f"{_VOIDING}what_two_have_alone_is_not_opened_to_a_third"),
    _void("so many of a run", "custodian.store:Store.void_found", condition("most"),
          f"{_STORE}so_many_findings_of_a_run_are_void_and_no_more"),
    _void("what was found before stays", "custodian.store:Store.keep_found", condition("known", "None"), _KEPT),
    _void("who has it", "custodian.store:Store.keep_found", condition("known", "found"), _KEPT),
    _void("brought for this opening", "operator.custody.voids:take_void", condition("wanted"),
          f"{_OPERATOR}what_is_about_something_else_is_not_kept"),
    _void("one of each", "operator.custody.voids:take_void", condition("document"),
          f"{_OPERATOR}one_is_kept_of_each_custodian_of_the_session"),
    _void("shares of void rows go", "operator.custody.voids:take_void", call("session.execute"),
          f"{_OPERATOR}shares_of_rows_that_are_void_are_needed_no_more", "None"),
)  # fmt: skip
