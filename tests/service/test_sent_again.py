"""Row 3 of the faults: a signed document that is sent again gets the same answer, whatever has happened since."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import func, select

from atomic_margin.service.errors import Conflict
from atomic_margin.service.institution import obligations
from atomic_margin.service.operator.accounts import disputes, giving_up, netting
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import EntryRow, LedgerTransaction
from atomic_margin.service.protocol.agent_messages import Promise
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunState

from .documents import FUND, Json
from .netting import day
from .resident import Resident
from .rounds import flat
from .rounds import resident as resident
from .rounds import residents as residents
from .stages import Stages
from .test_agent_disputes import dispute, offer, withdraw
from .world import World

WorldAt = Callable[[str], World]
FALL, CRASH = f"{FUND}.2", f"{FUND}.4"
# What becomes of a question goes on; the question does not.
CHANGES = {"problem", "open", "history"}


class Recorded:
    """Every signed document that the agent sends, with the answer that it got first."""

    def __init__(self, resident: Resident) -> None:
        self.resident, self.taken = resident, dict[bytes, tuple[str, int, Json]]()
        self._stream = resident.line.stream
        resident.line.stream = self.stream  # type: ignore[method-assign]

    @contextmanager
    def stream(self, method: str, path: str, **arguments: Any) -> Iterator[Any]:
        with self._stream(method, path, **arguments) as response:
            # What an enrolment names is gone from the uploads when it is taken; `test_uploads` has it.
            if (
                method == "POST"
                and b'"signature"' in (arguments.get("content") or b"")
                and "enrolment" not in path[-9:]
            ):
                response.read()
                if response.is_success:
                    self.taken[arguments["content"]] = (path, response.status_code, response.json())
            yield response

    def send_again(self) -> set[str]:
        """Send all of it again; return to where."""
        world = self.resident.world
        before = effects(world)
        for number, (content, (path, status, said)) in enumerate(self.taken.items()):
            for key in ({}, {"Idempotency-Key": f"again-{number}"}):
                headers = {"Content-Type": "application/json", **key}
                again = world.client.post(path, content=content, headers=headers, auth=world.auth())
                assert again.status_code == status, (path, again.text)
                got = again.json()
                assert {name: got[name] for name in got if name not in CHANGES} == {
                    name: said[name] for name in said if name not in CHANGES
                }, path
        assert effects(world) == before
        return {path.removeprefix(f"/v1/institutions/{FUND}") for path, _, _ in self.taken.values()}


def effects(world: World) -> tuple[int, int]:
    """Entries and transactions: whatever is done twice makes more of them."""
    with world.operator.store.unit_of_work() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (EntryRow, LedgerTransaction)]
    return counts[0] or 0, counts[1] or 0


@pytest.mark.long
def test_all_that_an_agent_signed_is_answered_alike_in_every_state(resident: Resident) -> None:
    recorded, world, agent = Recorded(resident), resident.world, resident.agent
    agent.submit(flat())
    recorded.send_again()
    agent.instruct("post", "USDC", 5)
    recorded.send_again()
    agent.name_reader("auditor")
    netting.name_party(world.operator, FUND, "P", "party")
    agent.answer_due()
    with agent.signing() as (party, outbox):
        obligations.promise(party, outbox, Promise.parse(promised()))
    world.play(1)
    recorded.send_again()
    agent.answer_due()
    assert world.run(f"{FUND}.1").state is RunState.COVERED
    agent.instruct("withdraw", "USDC", 5)
    recorded.send_again()
    disputed = agent.history.head
    dispute(resident, disputed)
    recorded.send_again()
    withdraw(resident)
    agent.answer_due()
    dispute(resident, disputed)
    hash_ = offer(resident, {"outcome": "rejected", "words": "the price was right"})
    recorded.send_again()
    world.tick(2)
    recorded.send_again()
    disputes.agree(world.operator, FUND, hash_)
    recorded.send_again()
    agent.answer_due()
    agent.rotate_keys()
    while world.evaluate() is not None:
        pass
    agent.answer_due()
    paths = recorded.send_again()
    assert {
        "/submissions",
        "/collateral",
        "/readers",
        "/obligations",
        "/disputes",
        "/disputes/withdrawal",
        "/disputes/resolution",
        "/enrolment/confirmation",
        f"/v1/runs/{FUND}.1/answer",
    } <= paths


def promised() -> Json:
    return {
        "direction": "delivery",
        "asset": "USDC",
        "quantity": "5",
        "settles": day(),
        "party": "P",
        "scope": "party",
    }


def test_a_breach_is_answered_alike_before_and_after_settlement_and_after_later_runs(
    world_at: WorldAt, stages: Stages
) -> None:
    world, answer = world_at("fall-open"), stages.answers["fall"]
    path = f"/v1/runs/{FALL}/answer"
    first = world.client.post(path, json=answer.to_json(), auth=world.auth())
    assert first.status_code == 200
    assert world.run(FALL).state is RunState.SETTLED
    settlement, before = world.settlements()[FALL], effects(world)

    def again() -> None:
        for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
            repeated = world.client.post(path, json=answer.to_json(), headers=headers, auth=world.auth())
            assert (repeated.status_code, repeated.json()) == (200, first.json())

    again()
    world.tick(4)
    again()
    while world.evaluate() is not None:
        pass
    again()
    crash = world.prove_answer(CRASH)
    world.answer(CRASH, crash)
    assert world.settlements()[CRASH]["body"]["kind"] == "liquidation"
    after = effects(world)
    again()
    taken = world.client.post(f"/v1/runs/{CRASH}/answer", json=crash.to_json(), auth=world.auth())
    assert taken.status_code == 200
    assert world.settlements()[FALL] == settlement
    assert effects(world) == after > before


def test_a_breach_that_waits_for_its_settlement_is_answered_alike(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt is for the answer: that it cannot be settled yet is no reason to keep it back."""
    world, answer = world_at("fall-open"), stages.answers["fall"]
    path = f"/v1/runs/{FALL}/answer"

    def fails(*_: Any) -> bool:
        raise Conflict("the ledger is busy")

    with monkeypatch.context() as patched:
        patched.setattr(answers, "settle", fails)
        first = world.client.post(path, json=answer.to_json(), auth=world.auth())
        again = world.client.post(path, json=answer.to_json(), auth=world.auth())
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert world.run(FALL).state is RunState.BREACH_VERIFIED
    settled = world.client.post(path, json=answer.to_json(), auth=world.auth())
    assert settled.json() == first.json()
    assert world.run(FALL).state is RunState.SETTLED


@pytest.mark.parametrize("stage", ["calm", "fall"])
def test_the_same_answer_twice_at_once_gets_one_receipt(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    world, answer = world_at(f"{stage}-open"), stages.answers[stage]
    run_id = {"calm": f"{FUND}.1", "fall": FALL}[stage]
    both, verify = threading.Barrier(2, timeout=30), answers._verify

    def together(*arguments: Any) -> Any:
        verified = verify(*arguments)
        if not both.broken and threading.current_thread().name.startswith("twice"):
            with suppress(threading.BrokenBarrierError):
                both.wait()
        return verified

    monkeypatch.setattr(answers, "_verify", together)
    receipts: list[SignedDocument] = []

    def send() -> None:
        receipts.append(answers.take_answer(world.operator, run_id, answer.to_json()))
        both.abort()

    threads = [threading.Thread(target=send, name=f"twice-{number}") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(receipts) == 2
    assert receipts[0] == receipts[1]
    assert world.run(run_id).state in (RunState.COVERED, RunState.SETTLED)
    with world.operator.store.unit_of_work() as session:
        assert not any(ledger.totals(session).values())


def test_a_question_that_was_agreed_to_is_the_same_question(world_at: WorldAt, later: Callable[[int], None]) -> None:
    from .test_giving_up import asking, runs

    world = world_at("calm-open")
    later(1000)
    runs.sweep_deadlines(world.operator)
    document = asking(world)
    path = f"/v1/institutions/{FUND}/giving-up"
    first = world.client.post(path, json=document.to_json(), auth=world.auth())
    again = world.client.post(path, json=document.to_json(), auth=world.auth())
    assert (first.status_code, again.json()) == (202, first.json())
    giving_up.agree(world.operator, FUND, document.body_hash())
    after = world.client.post(path, json=document.to_json(), auth=world.auth())
    assert after.status_code == 202
    assert (after.json()["giving_up"], after.json()["document"]) == (document.body_hash(), document.to_json())
    assert "agreed to it" in after.json()["problem"]
