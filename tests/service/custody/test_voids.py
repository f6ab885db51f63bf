"""What makes findings void, at the operator: carried for the custodians of an opening, and not believed by anybody."""

from collections.abc import Callable

import pytest

from atomic_margin.service.protocol.opening_voids import OpeningVoid

from ..documents import Json
from .conftest import Custody, Later
from .opening import Owed

pytestmark = pytest.mark.long

At = Callable[..., Custody]


@pytest.fixture
def owed(custody_at: At, later: Later) -> Owed:
    owed = Owed(custody_at("dealt", proofs=True), later, 1).asked()
    owed.in_session(1, 2, 5)
    return owed


def void(owed: Owed, **changes: object) -> Json:
    record = owed.ground.record
    return {
        "institution": record.institution,
        "operator": record.operator,
        "request": owed.request,
        "run": owed.ground.run_hash,
        "submission": record.submission,
        "session": "1",
        "closer": "1",
        "kind": "maintenance",
        "row": "3",
        "proof": "ab" * 40,
        **changes,
    }


def brought(owed: Owed, point: int, document: object) -> tuple[int, str]:
    response = owed.holders[point].call("POST", f"/openings/{owed.request}/void", json={"void": document})
    return response.status_code, response.text


def test_it_is_shown_to_all_in_later_sessions_too(owed: Owed) -> None:
    said = void(owed)
    assert brought(owed, 1, said)[0] == 201
    assert brought(owed, 1, said)[0] == 201
    assert owed.standing(9)["voids"] == [said]
    owed.in_session(9)
    for point in (1, 2, 5):
        owed.holders[point].takes_part(owed.request, 1)
    later = owed.standing(9)
    assert (later["session"]["number"], later["voids"]) == ("2", [said])
    # Another set computes than the one whose finding is void.
    assert [one["point"] for one in later["session"]["present"]] != ["1", "2", "5"]
    assert "urn:atomic-margin:problem:opening-over" in brought(owed, 1, said)[1]


@pytest.mark.parametrize("point", [2, 5])
def test_whoever_computes_may_bring_it(owed: Owed, point: int) -> None:
    assert brought(owed, point, void(owed, closer=str(point)))[0] == 201
    assert brought(owed, 1, void(owed))[0] == 201
    assert [one["closer"] for one in owed.standing()["voids"]] == ["1", str(point)]


def test_shares_of_rows_that_are_void_are_needed_no_more(owed: Owed) -> None:
    path = f"/openings/{owed.request}/rows"
    for point in (2, 5):
        owed.holders[point].posted(path, {"session": "1", "box": "ab"})
    assert brought(owed, 1, void(owed))[0] == 201
    assert owed.holders[1].got(path) == {"boxes": {}}
    owed.holders[5].posted(path, {"session": "1", "box": "cd", "closer": "2"})
    assert owed.holders[2].got(path) == {"boxes": {"5": "cd"}}
    assert owed.holders[1].got(path) == {"boxes": {}}


def test_who_says_that_a_finding_is_void_makes_away_with_no_shares_of_others(owed: Owed) -> None:
    """Nobody verifies it here: a custodian that deviates could keep the closer from its shares."""
    path = f"/openings/{owed.request}/rows"
    owed.holders[5].posted(path, {"session": "1", "box": "ab"})
    assert brought(owed, 2, void(owed, closer="2"))[0] == 201
    assert owed.holders[1].got(path) == {"boxes": {"5": "ab"}}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"request": "1a" * 32}, 422),
        ({"run": "1a" * 32}, 422),
        ({"submission": "1a" * 32}, 422),
        ({"institution": "harbour"}, 422),
        ({"closer": "2"}, 422),
        ({"session": "2"}, 409),
        ({"kind": "gain"}, 422),
        ({"row": "-1"}, 422),
        ({"proof": "ab" * 70000}, 422),
        ({"proof": "xy"}, 422),
        ({"value": "3"}, 422),
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_is_about_something_else_is_not_kept(owed: Owed, changes: dict[str, object], status: int) -> None:
    assert brought(owed, 1, void(owed, **changes))[0] == status
    assert owed.standing()["voids"] == []


def test_one_is_kept_of_each_custodian_of_the_session(owed: Owed) -> None:
    assert brought(owed, 1, void(owed))[0] == 201
    status, said = brought(owed, 1, void(owed, row="4"))
    assert (status, "made another finding void in this session" in said) == (409, True)
    status, said = brought(owed, 9, void(owed, closer="9"))
    assert (status, "does not compute in session 1" in said) == (409, True)


def test_the_proof_is_bound_to_everything_that_is_said(owed: Owed) -> None:
    said = OpeningVoid.parse(void(owed))
    contexts = [said.proof_context("m", "none"), said.proof_context("n", "none"), said.proof_context("m", "c")]
    changed = {"session": 2, "closer": 2, "row": 4, "kind": "initial", **dict.fromkeys(("request", "run"), "1a" * 32)}
    changed |= {"institution": "harbour", "operator": "1b" * 32, "submission": "1a" * 32}
    contexts += [said.model_copy(update={name: one}).proof_context("m", "none") for name, one in changed.items()]
    assert len({tuple(one.items()) for one in contexts}) == 3 + 9
    assert all(one["document"] == "opening-void" for one in contexts)
