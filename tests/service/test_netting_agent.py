"""Netting from the institution's side: its own agent, operator, witness and log, and what a cheating operator does."""

import json
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import AgentRefused, HistoryDiffers, RemoteError
from atomic_margin.service.institution import cycles, disputing
from atomic_margin.service.institution.log_watch import NotLogged
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.store import log
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.dispute_messages import Disputing
from atomic_margin.service.protocol.leaves import leaf_of_netting
from atomic_margin.service.protocol.netting import net
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.netting import verify_netting

from .documents import FUND
from .netting import day
from .netting_sides import Sides
from .netting_sides import sides as sides
from .test_agent_log import Watched
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched

pytestmark = pytest.mark.long


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
