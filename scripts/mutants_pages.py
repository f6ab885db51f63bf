"""The mutants of the pages: who is signed in, whose form it is, and under which name an agent answers."""

from mutant import RETURNED, Mutant, Node, call, condition

_FOLDER = "tests/service"


def _page(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"pages: {name}", f"service.http.pages:{function}", node, new, (f"{_FOLDER}/{test}",))


PAGE_MUTANTS = (
    _page("forms of other sites", "Pages._check_form", condition("is_own_form"),
          "test_pages.py::test_a_form_of_another_site_is_refused"),
    _page("tokens that were withdrawn", "Pages._token", call("check_token"),
          "test_pages.py::test_a_session_ends_with_its_token", "None"),
    _page("pages of strangers", "Pages._is_stranger", RETURNED,
          "test_pages.py::test_a_page_asks_for_a_token_first"),
    _page("names of this machine", "OwnHost.is_named", RETURNED,
          "test_agent_pages.py::test_another_name_for_this_machine_is_refused", "True"),
)  # fmt: skip
