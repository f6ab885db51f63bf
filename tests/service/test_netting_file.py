"""The file of a cycle that an agent hands on, and its commands: what verifies, and what does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.files import write_json
from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.netting import Netted
from atomic_margin.service.verifier.netting import check_same, verify_netting

from .documents import FUND
from .netting_sides import WEST, Sides
from .netting_sides import sides as sides
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched

pytestmark = pytest.mark.long


@pytest.fixture
def genuine(sides: Sides) -> Any:
    sides.promise(300)
    sides.promise(50)
    sides.promise_west()
    sides.net()
    sides.round()
    return sides.file()


def resigned(sides: Sides, file: Any, change: Callable[[Any], None], *, planted: bool = True) -> None:
    """Let the operator sign another document, with an entry about it; if wanted, in a tree that has what it says."""
    body = Netting.parse(file["netting"]["document"]["body"]).canonical()
    change(body)
    identity = sides.world.operator.identity
    netting_ = Netting.parse(body)
    if planted:
        tree = CycleTree([Netted(one.group, [item.line for item in one.lines]) for one in netting_.groups])
        for one in netting_.groups:
            own = [item.line for item in one.lines if item.line.institution == FUND]
            shown = tree.group(Netted(one.group, [item.line for item in one.lines]))
            body["groups"], body["lines"] = [shown.canonical()], [tree.line(line).canonical() for line in own]
        body |= {"root": tree.root, "size": str(tree.size)}
    document = Netting.parse(body).signed_by(identity)
    about = {"document": salted_hash(file["netting"]["salt"], document.canonical())}
    entry = Entry.parse(file["netting"]["entry"]["body"] | about).signed_by(identity)
    file["netting"] |= {"document": document.to_json(), "entry": entry.to_json()}


def without_a_line(body: Any) -> None:
    body["groups"][0]["lines"] = [one for one in body["groups"][0]["lines"] if one["line"]["quantity"] != "50"]
    counted = {"deliveries": "300", "arrives": "100", "lines": "2"}
    body["groups"][0]["group"] |= counted


def with_less(body: Any) -> None:
    for one in body["groups"][0]["lines"]:
        if one["line"]["quantity"] == "50":
            one["line"]["quantity"] = "49"
    body["groups"][0]["group"] |= {"deliveries": "349", "arrives": "149"}


def with_another_sum(body: Any) -> None:
    body["groups"][0]["group"] |= {"deliveries": "351", "arrives": "151"}


def without_the_sister(body: Any) -> None:
    body["groups"][0]["lines"] = [one for one in body["groups"][0]["lines"] if one["line"]["institution"] == FUND]


def twice(body: Any) -> None:
    body["lines"].append(body["lines"][0])


def in_another_tree(body: Any) -> None:
    body["root"] = "1a" * 32


def of_another_account(body: Any) -> None:
    body["institution"] = WEST


def another_moment(body: Any) -> None:
    body["entry"] = "1a" * 32


def earlier(body: Any) -> None:
    body["cycle"] = "7"


@pytest.mark.parametrize(
    ("change", "planted", "step", "match"),
    [
        (without_a_line, True, "lines", "the operator dropped a line: obligation 2, a delivery of 50 USDC"),
        (with_less, True, "lines", "obligation 2 has another quantity than was signed"),
        (twice, False, "lines", "netted twice"),
        (in_another_tree, False, "lines", "not in its tree"),
        (with_another_sum, True, "groups", "do not sum"),
        (without_the_sister, True, "groups", "do not sum"),
        (of_another_account, False, "entry", "for another account"),
        (another_moment, False, "entry", "another moment"),
        (earlier, False, "log", "another root"),
    ],
)
def test_what_an_operator_signs_otherwise_does_not_verify(
    sides: Sides, genuine: Any, change: Callable[[Any], None], planted: bool, step: str, match: str
) -> None:
    resigned(sides, genuine, change, planted=planted)
    with pytest.raises(AttestationInvalid, match=match) as found:
        verify_netting(genuine, sides.trust)
    assert found.value.step == step


def test_files_that_do_not_verify(sides: Sides, genuine: Any) -> None:
    def changed(change: Callable[[Any], None]) -> tuple[str, str]:
        file = json.loads(json.dumps(genuine))
        change(file)
        with pytest.raises(AttestationInvalid) as found:
            verify_netting(file, sides.trust)
        return found.value.step, found.value.detail

    def by_another(file: Any) -> None:
        body = file["obligations"][0]["document"]["body"]
        document = netting.Obligation.parse(body).signed_by(sides.world.operator.identity)
        salt = file["obligations"][0]["salt"]
        about = {"document": salted_hash(salt, document.canonical())}
        entry = Entry.parse(file["obligations"][0]["entry"]["body"] | about).signed_by(sides.world.operator.identity)
        file["obligations"][0] |= {"document": document.to_json(), "entry": entry.to_json()}

    def not_entered(file: Any) -> None:
        entry = Entry.parse(file["obligations"][0]["entry"]["body"]).signed_by(sides.agent.identity)
        file["obligations"][0]["entry"] = entry.to_json()

    def later(file: Any) -> None:
        body = file["obligations"][0]["entry"]["body"] | {"number": "999"}
        file["obligations"][0]["entry"] = Entry.parse(body).signed_by(sides.world.operator.identity).to_json()

    def elsewhere(file: Any) -> None:
        body = file["obligations"][0]["entry"]["body"] | {"account": "1a" * 32}
        file["obligations"][0]["entry"] = Entry.parse(body).signed_by(sides.world.operator.identity).to_json()

    def swapped(file: Any) -> None:
        file["evidence"]["leaves"].reverse()

    assert changed(lambda file: file.update(more=1))[0] == "format"
    assert changed(lambda file: file.update(institution="nobody"))[0] == "trust anchors"
    assert changed(lambda file: file["netting"].update(salt="1a" * 32))[1].endswith("than is shown with it")
    assert changed(lambda file: file.update(netting=file["obligations"][0]))[0] == "entry"
    assert changed(lambda file: file["obligations"].pop())[0] == "lines"
    assert "has not signed" in changed(lambda file: file["obligations"].pop())[1]
    assert changed(by_another)[0] == "obligations"
    assert changed(not_entered)[0] == "obligations"
    for wrong in (later, elsewhere):
        assert "not entered in this account before the cycle" in changed(wrong)[1]
    assert changed(lambda file: file.pop("evidence")) == (
        "log", "nothing shows that it is in the log; let the agent save the file again",
    )  # fmt: skip
    assert changed(swapped)[0] == "log"


def test_two_accounts_that_were_shown_two_groups_of_one_tree(sides: Sides, genuine: Any) -> None:
    """One leaf of the cycle does not show this: its tree may have both. Accounts of a party compare."""
    mine = verify_netting(genuine, sides.trust)
    check_same([mine, mine])
    for changes in ({"salt": "1a" * 32}, {"deliveries": 351, "arrives": 151}):
        group = mine.groups[0].group.model_copy(update=changes)
        other = mine._replace(groups=(mine.groups[0]._replace(group=group),))
        with pytest.raises(AttestationInvalid, match="group lei-one/USDC of cycle 1 is another one"):
            check_same([mine, other])
    with pytest.raises(AttestationInvalid, match="cycle 1 is another one"):
        check_same([mine, mine._replace(netting=mine.netting.model_copy(update={"root": "1a" * 32}))])


def test_commands_of_both_sides(sides: Sides, genuine: Any, tmp_path: Path) -> None:
    file, trust = tmp_path / "cycle.json", tmp_path / "trust.json"
    write_json(file, genuine)
    write_json(trust, sides.trust.canonical())

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["verify-netting", *map(str, arguments), "--trust", str(trust)])

    told = run(file)
    assert told.exit_code == 0, told.output
    words = " ".join(told.output.split())
    assert "gross 350 in, 200 out, 0 undone; net 150 arrive (all 3 lines shown); own 350 in, 0 out" in words
    shown = json.loads(run(file, file, "--json").output)
    assert (shown["valid"], shown["held"][-1], shown["cycles"][0]["groups"][0]["own"]["deliveries"]) == (
        True, "same cycle", "350",
    )  # fmt: skip
    resigned(sides, genuine, without_a_line)
    bad = tmp_path / "bad.json"
    write_json(bad, genuine)
    told = run(bad)
    assert (told.exit_code, "dropped a line" in " ".join(told.output.split())) == (1, True)
    shown = json.loads(run(file, bad, "--json").output)
    assert (shown["failed"], shown["file"], shown["not_checked"]) == ("lines", str(bad), ["groups", "log"])
