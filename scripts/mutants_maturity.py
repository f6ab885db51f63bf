"""The mutants of collateral that matures: what the machine, an agent and a reader of an archive compare."""

from mutant import Mutant, Node, call, condition

_FOLDER = "tests/service"


def _machine(name: str, node: Node, test: str) -> Mutant:
    place = "service.protocol.account.maturity:matured"
    tests = (f"{_FOLDER}/account/test_machine_maturity.py::test_{test}",)
    return Mutant(f"maturity: {name}", place, node, "False", tests)


def _due(name: str, node: Node) -> Mutant:
    tests = (f"{_FOLDER}/test_maturities.py::test_readers_hold_it_against_schedule_and_prices",)
    return Mutant(f"maturity: {name}", "service.protocol.maturities:check_maturity", node, "False", tests)


def _said(name: str, node: Node) -> Mutant:
    place = "service.protocol.account.maturity_documents:Maturity._check"
    return Mutant(
        f"maturity: {name}", place, node, "False", (f"{_FOLDER}/test_contents.py::test_what_no_document_says",)
    )


MATURITY_MUTANTS = (
    _machine("no open run", condition("run", "stage"), "an_open_run_counts_what_was_posted_when_it_began"),
    _machine("after the last entry", condition("entry", "head"), "it_is_at_the_newest_prices_and_after_the_last_entry"),
    _machine("newest prices", condition("price_sequence"), "it_is_at_the_newest_prices_and_after_the_last_entry"),
    _machine("all of it", condition("held", "quantity"), "a_part_of_it_is_refused"),
    _due("has matured", condition("has_matured")),
    _due("what is due", condition("wanted")),
    Mutant("maturity: what the agent follows", "service.institution.matured:check_paid",
           call("check_maturity"), "None",
           (f"{_FOLDER}/test_maturities.py::test_an_agent_follows_what_is_due_and_nothing_else",)),
    Mutant("maturity: nothing is given for what has matured", "service.operator.accounts.releases:take_release",
           call("check_accepted"), "None",
           ("tests/service/test_maturities.py::test_what_has_matured_takes_the_place_of_nothing_and_is_not_promised",)),
    Mutant("maturity: no delivery of what has matured", "service.operator.accounts.netting:promise",
           call("check_accepted"), "None",
           ("tests/service/test_maturities.py::test_what_has_matured_takes_the_place_of_nothing_and_is_not_promised",)),
    Mutant("maturity: what an archive shows", "service.verifier.archived_documents:ArchivedDocuments.matured",
           call("check_maturity"), "None",
           (f"{_FOLDER}/test_maturities.py::test_an_operator_that_books_less_is_found",)),
    _said("something matures", condition("quantity")),
    _said("another asset pays", condition("asset")),
)  # fmt: skip
