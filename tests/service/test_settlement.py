"""Answers and the settlement hook on the real store: exactly once, all or nothing."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.service.errors import Conflict, NotFound, RequestError, SignatureInvalid
from atomic_margin.service.operator.runs import answers, background
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Settlement
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .documents import FUND, example
from .stages import Stages
from .world import World

WorldAt = Callable[[str], World]
FALL, CRASH = f"{FUND}.2", f"{FUND}.4"


def settlement_of(world: World, run_id: str) -> Settlement:
    signed, settlement = parse_signed(world.settlements()[run_id], Settlement)
    signed.verify(frozenset({world.key}))
    return settlement


def test_coverage_moves_nothing(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("calm-open")
    before = world.ledger()
    entry = world.answer(f"{FUND}.1", stages.answers["calm"])
    entry.verify(frozenset({world.key}))
    assert (entry.body_hash(), entry.body["kind"]) == (world.head(), "covered")
    assert world.ledger() == before
    assert world.settlements() == {}
    assert world.bundles() == [f"{FUND}.1"]


def test_a_breach_is_called_and_transferred(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    free, posted = world.held(f"{FUND}/free"), world.held(f"{FUND}/posted")
    entry = world.answer(FALL, stages.answers["fall"])
    assert entry.body["kind"] == "breach proven"
    settlement = settlement_of(world, FALL)
    assert (settlement.kind, settlement.top_up_usd) == ("margin_call", "100000")
    assert settlement.transfers
    for move in settlement.transfers:
        assert (move.source, move.destination) == ("free", "posted")
        free[move.asset] -= move.quantity
        posted[move.asset] = posted.get(move.asset, 0) + move.quantity
    assert world.held(f"{FUND}/free") == {asset: quantity for asset, quantity in free.items() if quantity}
    assert world.held(f"{FUND}/posted") == posted
    assert (world.state(), world.run(FALL).state) == (AccountState.ACTIVE, RunState.SETTLED)
    assert not any(world.totals().values())


def test_a_call_that_free_collateral_does_not_cover_liquidates(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("crash-open")
    held = world.ledger()
    world.answer(CRASH, stages.answers["crash"])
    settlement = settlement_of(world, CRASH)
    assert settlement.kind == "liquidation"
    moved = {(move.source, move.asset): move.quantity for move in settlement.transfers}
    assert moved == {
        (place, asset): quantity for place in ("free", "posted") for asset, quantity in held[f"{FUND}/{place}"].items()
    }
    assert world.held(f"{FUND}/free") == world.held(f"{FUND}/posted") == {}
    holdings = CollateralHoldings.parse(example("collateral"))
    everything = {asset: holdings.posted[asset] + holdings.free.get(asset, 0) for asset in holdings.posted}
    assert world.held(f"{FUND}/liquidation") == everything
    assert (world.state(), world.run(CRASH).state) == (AccountState.IN_DEFAULT, RunState.SETTLED)
    assert not any(world.totals().values())


def test_an_account_without_collateral_is_liquidated_too(world_at: WorldAt, group: Group) -> None:
    world = world_at("bare")
    run_id = world.play(1)
    world.answer(run_id)
    settlement = settlement_of(world, run_id)
    assert (settlement.kind, settlement.transfers) == ("liquidation", ())
    assert world.state() == AccountState.IN_DEFAULT
    assert world.ledger() == {}
    assert verify_attestation(world.bundle(run_id), world.trust_file(), group).settlement == settlement


def test_the_same_answer_gets_the_same_receipt(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    first = world.answer(FALL, stages.answers["fall"])
    after = world.ledger()
    assert world.answer(FALL, stages.answers["fall"]) == first
    world = world.restarted()
    assert world.answer(FALL, stages.answers["fall"]) == first
    assert world.ledger() == after
    assert list(world.settlements()) == [FALL]
    world.close()


def test_a_second_answer_is_refused(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    other = world.prove_answer(FALL)
    assert other.body_hash() != stages.answers["fall"].body_hash()
    world.answer(FALL, stages.answers["fall"])
    with pytest.raises(Conflict, match="another answer already"):
        world.answer(FALL, other)
    with pytest.raises(SignatureInvalid):
        world.answer(FALL, Identity.generate().sign("answer", stages.answers["fall"].body))
    assert world.run(FALL).state == RunState.SETTLED


def test_wrong_answers_leave_the_run_as_it_was(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    before = world.ledger()
    fund, good = world.funds[FUND].identity, stages.answers["fall"]
    proof = good.body["sufficiency_proof"]
    wrong: list[SignedDocument] = [
        Identity.generate().sign("answer", good.body),
        world.operator.identity.sign("answer", good.body),
        fund.sign("answer", {**good.body, "sufficiency_proof": proof[:-2] + ("01" if proof.endswith("00") else "00")}),
        fund.sign("answer", {**good.body, "top_up": "1"}),
        fund.sign("settlement", good.body),
        stages.answers["calm"],
        stages.answers["crash"],
    ]
    for document in wrong:
        with pytest.raises(RequestError):
            world.answer(FALL, document)
    with pytest.raises(NotFound):
        world.answer(f"{FUND}.9", good)
    assert (world.run(FALL).state, world.ledger(), world.settlements()) == (RunState.AWAITING_ANSWER, before, {})
    world.answer(FALL, good)


def test_a_verified_breach_settles_once(world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    world, fired = world_at("fall-open"), []
    real = answers.settle

    def settle(operator: Any, breach: Any) -> None:
        fired.append(breach)
        real(operator, breach)

    monkeypatch.setattr(answers, "settle", settle)
    world.answer(FALL, stages.answers["fall"])
    after = world.ledger()
    # Firing the hook again, as a recovering server may, moves nothing.
    real(world.operator, fired[0])
    assert world.ledger() == after
    assert answers.settle_unfinished(world.operator) == []
    assert (len(fired), world.ledger()) == (1, after)


@pytest.mark.parametrize("name", ["fall", "crash"])
@pytest.mark.parametrize("count", [2, 6])
def test_threads_answering_at_once_settle_once(world_at: WorldAt, stages: Stages, name: str, count: int) -> None:
    world = world_at(f"{name}-open")
    run_id = FALL if name == "fall" else CRASH
    barrier, receipts, refused = threading.Barrier(count), [], []

    def answer() -> None:
        barrier.wait()
        try:
            receipts.append(world.answer(run_id, stages.answers[name]))
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=answer) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) + len(refused) == count
    assert len({receipt.signature for receipt in receipts}) == 1
    assert world.run(run_id).state == RunState.SETTLED
    assert list(world.settlements()) == [FALL, CRASH][: 1 + (name == "crash")]
    assert not any(world.totals().values())
    assert world.answer(run_id, stages.answers[name]) == receipts[0]


@pytest.mark.parametrize("name", ["fall", "crash"])
@pytest.mark.parametrize("point", ["ledger.book", "attest"])
def test_a_settlement_that_fails_moves_nothing_and_is_finished_at_the_next_start(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch, name: str, point: str
) -> None:
    world = world_at(f"{name}-open")
    run_id = FALL if name == "fall" else CRASH
    before, settled_before = world.ledger(), len(world.settlements())

    def fail(*_: object) -> None:
        raise OSError(28, "disk full")

    with monkeypatch.context() as patched:
        patched.setattr(f"atomic_margin.service.operator.settlement.hook.{point}", fail)
        with pytest.raises(OSError, match="disk full"):
            world.answer(run_id, stages.answers[name])
        assert (world.ledger(), len(world.settlements())) == (before, settled_before)
        assert world.run(run_id).state == RunState.BREACH_VERIFIED
        assert world.state() == AccountState.ACTIVE
    world = world.restarted()
    assert answers.settle_unfinished(world.operator) == [run_id]
    assert answers.settle_unfinished(world.operator) == []
    assert world.run(run_id).state == RunState.SETTLED
    assert world.state() == (AccountState.ACTIVE if name == "fall" else AccountState.IN_DEFAULT)
    assert not any(world.totals().values())
    world.close()


def test_sending_the_answer_again_finishes_a_settlement_that_failed(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API promises: a verified breach is settled before the receipt is returned."""
    world = world_at("fall-open")

    def busy(*_: object) -> None:
        raise OSError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "book", busy)
        with pytest.raises(OSError, match="locked"):
            world.answer(FALL, stages.answers["fall"])
    world.answer(FALL, stages.answers["fall"])
    assert world.run(FALL).state == RunState.SETTLED


def test_background_work_finishes_what_a_crash_left(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    world.tick(3)

    class PowerCut(BaseException):
        pass

    real = answers.settle

    def cut(*_: object) -> None:
        raise PowerCut

    answers.settle = cut  # type: ignore[assignment]
    try:
        with pytest.raises(PowerCut):
            world.answer(FALL, stages.answers["fall"])
    finally:
        answers.settle = real
    world = world.restarted()
    work = background.BackgroundWork(world.operator, interval=0.01)
    evaluated = threading.Event()
    world.evaluator.meanwhile = evaluated.set
    work.start()
    assert evaluated.wait(10)
    work.stop()
    assert world.states() == {
        f"{FUND}.1": RunState.COVERED,
        FALL: RunState.SETTLED,
        f"{FUND}.3": RunState.AWAITING_ANSWER,
    }
    world.close()


def test_over_http(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-open")
    first = world.client.post(f"/v1/runs/{FALL}/answer", json=stages.answers["fall"].to_json(), auth=world.auth())
    assert first.status_code == 200
    again = world.client.post(f"/v1/runs/{FALL}/answer", json=stages.answers["fall"].to_json(), auth=world.auth())
    assert again.json() == first.json()
    shown = world.client.get(f"/v1/runs/{FALL}", auth=world.auth()).json()
    assert shown["state"] == "settled"
    assert shown["settlement"]["body"]["kind"] == "margin_call"
    assert world.client.get(f"/v1/attestations/{FALL}", auth=world.auth()).json() == {
        **world.bundle(FALL),
        "log": None,
    }
    assert world.client.get("/v1/attestations", auth=world.auth()).json() == {"runs": [f"{FUND}.1", FALL]}
    account = world.client.get(f"/v1/institutions/{FUND}", auth=world.auth()).json()
    assert [run["state"] for run in account["runs"]] == ["covered", "settled"]
    assert set(world.client.get("/v1/ledger", headers=world.admin).json()["totals"].values()) == {"0"}
    words = world.client.get(f"/v1/runs/{FALL}/outputs/breach", auth=world.auth())
    assert words.headers["content-type"] == "application/octet-stream"
    assert words.content == world.run(FALL).breach_output
    assert world.client.get(f"/v1/runs/{FALL}/outputs/secret", auth=world.auth()).status_code == 404
