"""Netting from the institution's side: its own agent, operator, witness and log, and what a cheating operator does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import AgentRefused, AttestationInvalid, HistoryDiffers, RemoteError
from atomic_margin.service.files import write_json
from atomic_margin.service.institution import cycles, disputing, obligations
from atomic_margin.service.institution.log_watch import NotLogged
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.store import log
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.agent_messages import Promise
from atomic_margin.service.protocol.dispute_messages import Disputing
from atomic_margin.service.protocol.leaves import leaf_of_netting
from atomic_margin.service.protocol.netting import Netted, net
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Monitor, Seen
from atomic_margin.service.verifier.netting import check_same, verify_netting

from .documents import FUND
from .netting import day
from .test_agent_log import Watched
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched

WEST = "west"


class Sides:
    """The fund, with its agent, and a second account of its party, without one."""

    def __init__(self, watched: Watched, scope: Any = "party") -> None:
        self.watched, self.world, self.scope = watched, watched.resident.world, scope
        self.world.admit(WEST)
        self.world.deposit(WEST, "USDC", 1000, "first-west")
        for name in (FUND, WEST):
            netting.name_party(self.world.operator, name, "lei-one", scope)
        self.agent.history.sync()

    @property
    def agent(self) -> Any:
        return self.watched.agent

    def promise(self, quantity: int = 300, direction: str = "delivery") -> str:
        asked = {"direction": direction, "asset": "USDC", "quantity": str(quantity), "settles": day()}
        with self.agent.signing() as (party, outbox):
            return obligations.promise(party, outbox, Promise.parse({**asked, "party": "lei-one", "scope": self.scope}))

    def promise_west(self, quantity: int = 200) -> None:
        body = {
            "institution": WEST, "operator": self.world.key, "sequence": "1", "entry": self.world.head(WEST),
            "party": "lei-one", "scope": self.scope, "direction": "return", "asset": "USDC",
            "quantity": str(quantity), "settles": day(),
        }  # fmt: skip
        signed = netting.Obligation.parse(body).signed_by(self.world.funds[WEST].identity)
        netting.promise(self.world.operator, WEST, signed.to_json())

    def net(self) -> Any:
        party = "lei-one" if self.scope == "party" else self.world.key
        return netting.net_cycle(self.world.operator, day(), [(self.scope, party, "USDC", day())])

    def net_without_arrivals(self) -> Any:
        return netting.net_cycle(self.world.operator, day())

    def round(self) -> None:
        self.watched.publish()
        self.agent.answer_due()

    def file(self, cycle: int = 1) -> Any:
        with self.agent.signing() as (party, _):
            return json.loads(json.dumps(cycles.file_of(party, cycle)))

    @property
    def trust(self) -> TrustFile:
        found: TrustFile = self.agent.settings.trust
        return found

    def kept(self, pattern: str) -> Any:
        (place,) = (self.watched.resident.folder / "contradictions").glob(pattern)
        return json.loads(place.read_text())

    def monitored(self) -> Seen:
        monitor = Monitor(
            self.world.operator.log_key, self.world.key, self.trust.prices,
            self.agent._party.watch._monitor.policy, self.agent._client.public,
        )  # fmt: skip
        return monitor.look(Seen(), int(self.agent.settings.clock().timestamp())).seen


@pytest.fixture
def sides(watched: Watched) -> Sides:
    return Sides(watched)


def test_an_agent_finds_its_cycle_in_the_log_and_hands_on_what_shows_it(sides: Sides, tmp_path: Path) -> None:
    sides.promise(300)
    sides.promise(50)
    sides.promise_west()
    sides.round()
    sides.net()
    sides.agent.answer_due()
    # It is followed at once, and looked for in the log until a witness cosigned that.
    assert sides.agent._store.note(cycles.CHECKED) is None
    sides.round()
    assert sides.agent._store.note(cycles.CHECKED) == str(sides.agent._party.history._account.number)
    assert sides.agent.contradiction is None
    report = verify_netting(sides.file(), sides.trust)
    (own,) = report.groups
    assert (own.deliveries, own.returns, own.undone, own.group.returns, own.group.arrives) == (350, 0, 0, 200, 150)
    assert report.believed is not None
    assert [cycle.number for cycle in sides.monitored().cycles] == [1]


def forged_tree(sides: Sides, monkeypatch: pytest.MonkeyPatch, name: str) -> list[bytes]:
    """Let the operator show one account another cycle of the number, without the other account's line."""
    real, leaves = netting._document, list[bytes]()

    def document(operator: Any, account: Any, own: Any, tree: CycleTree, cycle: Any) -> Netting:
        if account.institution != name:
            return real(operator, account, own, tree, cycle)
        lines = [line for one in own for line in one.lines if line.institution == name]
        arrived = [(sides.scope, "lei-one" if sides.scope == "party" else sides.world.key, "USDC", day())]
        alone = net(lines, operator.identity.public_key, arrived, lambda named: "77" * 32)
        made = real(operator, account, alone, CycleTree(alone), cycle)
        leaves.append(leaf_of_netting(made).to_bytes())
        return made

    monkeypatch.setattr(netting, "_document", document)
    return leaves


@pytest.mark.parametrize("scope", ["party", "principal"])
def test_one_account_is_shown_another_cycle_than_the_log_has(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """Genuine documents, each sound by itself: only the one leaf of the cycle tells."""
    sides = Sides(watched, scope)
    sides.promise()
    sides.promise_west()
    forged_tree(sides, monkeypatch, FUND)
    sides.net()
    sides.round()
    assert sides.agent.contradiction is not None
    kept = sides.kept("cycle-*.json")
    assert "the log has another cycle of that number" in kept["reason"]
    checkpoint, leaf = kept["documents"]
    assert json.loads(leaf["entry"])["kind"] == "cycle"
    head = Checkpoint.parse(checkpoint["text"]).head
    path = [bytes.fromhex(one) for one in leaf["path"]]
    check_inclusion(leaf["entry"].encode(), int(leaf["index"]), head.size, path, head.root)
    assert leaf_of_netting(Netting.parse(kept["document"]["body"])).to_bytes() != leaf["entry"].encode()
    # Nor can it be shown to others: there is no such leaf.
    with pytest.raises(NotLogged):
        sides.file()
    # It is told once, and runs are answered all the same.
    run_id = sides.world.play(1)
    sides.watched.publish()
    assert sides.agent.answer_due() == [run_id]


def test_a_log_with_both_cycles_contradicts_itself(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.promise()
    sides.promise_west()
    leaves = forged_tree(sides, monkeypatch, FUND)
    sides.net()
    with sides.world.operator.store.unit_of_work() as session:
        log.append(session, leaves[0])
    sides.round()
    assert "cycle 1 of netting comes once more" in sides.kept("log-log.json")["reason"]
    with pytest.raises(Contradiction, match="cycle 1 of netting comes once more") as found:
        sides.monitored()
    assert len([one for one in found.value.documents if one["kind"] == "leaf"]) == 2
    with sides.world.operator.store.unit_of_work() as session, pytest.raises(HistoryDiffers, match="cycles of netting"):
        replay.check(session, sides.world.key)


@pytest.mark.long
def test_a_cycle_without_a_leaf(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.promise()
    with monkeypatch.context() as patch:
        real = log.append
        patch.setattr(log, "append", lambda session, leaf: 0 if b'"kind":"cycle"' in leaf else real(session, leaf))
        sides.net()
    sides.round()
    assert "the log has no cycle of that number" in sides.kept("cycle-*.json")["reason"]


def test_an_account_that_a_cycle_passes_over(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator drops all that the fund promised: it gets no entry, and the log has the cycle of its day."""
    promised = sides.promise()
    sides.promise_west()
    sides.round()
    assert sides.agent.contradiction is None
    real = netting._lines
    monkeypatch.setattr(
        netting, "_lines", lambda account, *rest: () if account.institution == FUND else real(account, *rest)
    )
    netting.net_cycle(sides.world.operator, day())
    for _ in range(2):
        sides.watched.publish() if sides.agent.contradiction is None else None
        sides.agent.answer_due()
    kept = sides.kept("passed-over-*.json")
    assert "cycle 1" in kept["reason"]
    assert "delivery of 300 USDC" in kept["reason"]
    assert SignedDocument.parse(kept["document"]).body_hash() == promised
    first, second = (json.loads(one["entry"]) for one in kept["documents"][1:])
    assert (first["entry"], second["kind"]) == (SignedDocument.parse(kept["entry"]).body_hash(), "cycle")


def test_what_was_promised_after_a_cycle_was_not_passed_over(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that takes an obligation too late nets it in the next cycle; that is no dropped line."""
    sides.promise_west()
    sides.net_without_arrivals()
    monkeypatch.setattr(netting, "_last", lambda session: None)
    sides.promise()
    sides.round()
    assert sides.agent.contradiction is None


def test_a_line_that_is_dropped_from_the_own_part_is_not_followed(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.promise(300)
    sides.promise(50)
    real, lax = netting._document, machine._APPLY[EventKind.NETTED]

    def document(*arguments: Any) -> Netting:
        body = real(*arguments).canonical()
        body["lines"].pop()  # type: ignore[index,union-attr]
        return Netting.parse(body)

    with monkeypatch.context() as patch:
        patch.setattr(netting, "_document", document)
        patch.setitem(machine._APPLY, EventKind.NETTED, lambda state, event, at: state)
        sides.net()
    assert machine._APPLY[EventKind.NETTED] is lax
    with pytest.raises(EntryIllegal, match="not those that the account promised"):
        sides.round()
    assert sides.agent.contradiction is not None
    assert sides.kept("entry-*.json")["document"]["body"]["cycle"] == "1"
    with pytest.raises(EntryIllegal):
        sides.promise()


def test_a_cycle_that_the_account_was_not_in(sides: Sides) -> None:
    sides.promise()
    with pytest.raises(AgentRefused, match="in no cycle 1"):
        sides.file()


def test_a_log_that_is_not_cosigned_is_looked_at_again(sides: Sides) -> None:
    sides.promise()
    sides.net()
    sides.agent.answer_due()
    with sides.agent.signing() as (party, _):
        assert cycles.check(party) is False
    assert sides.watched.stages[-1].startswith("cycles of netting are not in a cosigned log yet")
    sides.round()
    with sides.agent.signing() as (party, _):
        assert cycles.check(party) is True


def test_a_dispute_holds_what_would_be_promised_and_no_cycle(sides: Sides) -> None:
    """What left free collateral before is not the account's any more; one account's dispute stops no other's cycle."""
    run_id = sides.world.play(1)
    sides.watched.publish()
    assert sides.agent.answer_due() == [run_id]
    sides.promise(5, "return")
    free = sides.world.account().private.free["USDC"]
    with sides.agent.signing() as (party, outbox):
        said = {"subject": sides.agent.history.head, "kind": "other", "reason": "it is not ours"}
        disputing.dispute(party, outbox, Disputing.parse(said))
    with pytest.raises(RemoteError, match="dispute"):
        sides.promise(1, "return")
    sides.promise(300)
    sides.promise_west()
    sides.net()
    sides.round()
    assert sides.agent.contradiction is None
    (own,) = verify_netting(sides.file(), sides.trust).groups
    assert (own.returns, own.deliveries, own.group.arrives) == (5, 300, 95)
    assert sides.world.account().private.free["USDC"] == free + 300


# The file, and the commands


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
