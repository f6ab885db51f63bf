"""`operator reshare` and `operator resharings` against a running operator, with custodians that pass shares on."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ..documents import FUND
from ..test_cli_operator import Office, serving
from .played import Scene
from .test_resharing import moving as moving
from .test_resharing import shared, wrong_shares

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]


def row(office: Office) -> str:
    """The table, without its rules and wrapped lines."""
    return " ".join(office.call("resharings").output.split())


def test_shares_move_to_the_custodians_of_the_policy_in_force(moving: Any) -> None:
    scene, parties = moving
    before = shared(scene)
    with serving(scene.world) as office:
        assert office.printed("resharings", "--json") == {"resharings": []}
        asked = office.printed("reshare", FUND)
        assert (asked["institution"], asked["state"], asked["passed_on"]) == (FUND, "open", [])
        body = asked["request"]["body"]
        assert (body["dealers"], body["before"]["deal"]) == (["1", "2"], before.deal)
        assert (FUND in row(office), "open" in row(office)) == (True, True)
        parties.round()
        [entered] = office.printed("resharings", "--json")["resharings"]
        assert (entered["request"], entered["state"]) == (asked["request"], "entered")
        assert [one["body"]["point"] for one in entered["passed_on"]] == ["1", "2"]
        assert len(entered["receipts"]) == 4
        assert "entered" in row(office)
    assert shared(scene).deal != before.deal


def test_dealers_are_chosen_and_asked_again_the_one_before_is_over(moving: Any) -> None:
    scene, _ = moving
    with serving(scene.world) as office:
        office.printed("reshare", FUND)
        chosen = office.printed("reshare", FUND, "--dealer", "9", "--dealer", "5")
        assert chosen["request"]["body"]["dealers"] == ["5", "9"]
        assert sorted(one["state"] for one in office.printed("resharings", "--json")["resharings"]) == ["open", "over"]


def test_who_dealt_wrong_shares_is_blamed(moving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, parties = moving
    with serving(scene.world) as office:
        office.printed("reshare", FUND)
        with monkeypatch.context() as patched:
            wrong_shares(patched, 2)
            parties.round()
        [over] = office.printed("resharings", "--json")["resharings"]
        assert (over["state"], {one["body"]["reason"] for one in over["complaints"]}) == ("over", {"wrong"})
        monkeypatch.setenv("COLUMNS", "200")
        header, _, shown = office.call("resharings").output.rstrip().splitlines()[1:4]
        assert (header.split()[-1], shown.split()[-1]) == ("blamed", "2")
        # The next one has others.
        assert office.printed("reshare", FUND)["request"]["body"]["dealers"] == ["1", "5"]


def test_what_cannot_be_re_shared_is_refused_with_its_problem(scene_at: Open) -> None:
    scene = scene_at("submitted")
    entries = scene.world.operator.account(FUND).entries
    with serving(scene.world) as office:
        for arguments, said, status in (
            ((FUND, "--dealer", "1"), "dealers", 422),
            ((FUND, "--dealer", "1", "--dealer", "3"), "dealers", 422),
            (("nobody",), "not admitted", 404),
        ):
            refused = office.call("reshare", *arguments)
            assert refused.exit_code == 1, refused.output
            problem = json.loads(refused.stdout)
            assert problem["status"] == status, problem
            assert said in problem["detail"] or problem.get("field") == said, problem
        assert office.printed("resharings", "--json") == {"resharings": []}
        url = office.url
    assert scene.world.operator.account(FUND).entries == entries
    nobody = Office(scene.world.operator.settings.directory, url).call("reshare", FUND)
    assert nobody.exit_code == 2
    assert "the operator does not answer" in nobody.output


def test_an_account_without_a_book_has_nothing_to_pass_on(scene_at: Open) -> None:
    with serving(scene_at("receipted").world) as office:
        refused = office.call("reshare", FUND)
        assert refused.exit_code == 1
        assert "no book is in force that custodians have shares of" in json.loads(refused.stdout)["detail"]
