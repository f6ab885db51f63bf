"""Enrolment, submissions, ticks and runs on the real store: order, deadlines, failures, the chain of records."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError, DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import (
    ConfigurationError,
    Conflict,
    InsufficientFunds,
    MalformedRequest,
    NotAuthorised,
    NotFound,
    Refused,
    RequestError,
    SignatureInvalid,
)
from atomic_margin.service.operator.accounts import collateral, enrolment, submissions
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.documents import RunRecord, parse_signed
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, OTHER
from .stages import Stages
from .world import Fund, World

WorldAt = Callable[[str], World]
MONDAY = {"sequence": "5", "as_of": "2026-11-21T08:00:00Z"}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Move the clock that deadlines are measured by."""

    def move(seconds: int) -> None:
        monkeypatch.setattr(runs, "now", lambda: datetime.now(timezone.utc) + timedelta(seconds=seconds))

    return move


# Enrolment and submissions


def test_keys_that_are_brought_again_replace_the_unconfirmed_ones(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    fund = world.admit("new")
    world.start_enrolment("new", fund.keys())
    assert world.state("new") == AccountState.PENDING
    better = fund.keys()[:-1] + b"2"
    world.start_enrolment("new", better, sequence=2)
    assert not (world.directory / "blobs" / hashlib.sha256(fund.keys()).hexdigest()).exists()
    with pytest.raises(Conflict):
        enrolment.confirm(world.operator, "new", world.confirmation("new", fund.keys()).to_json())
    assert world.state("new") == AccountState.PENDING
    for _ in range(2):
        # A confirmation whose reply was lost may come again.
        enrolment.confirm(world.operator, "new", world.confirmation("new", better).to_json())
        assert world.state("new") == AccountState.ACTIVE


def test_a_key_sequence_number_is_used_once(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    fund = world.admit("new")
    world.start_enrolment("new", fund.keys(), sequence=3)
    for used in (1, 3):
        with pytest.raises(Conflict) as caught:
            world.start_enrolment("new", fund.keys(), sequence=used)
        assert caught.value.field == "key_sequence"


def test_keys_belong_to_one_account(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.admit("second")
    with pytest.raises(Conflict) as caught:
        world.start_enrolment("second", world.funds[FUND].keys())
    assert caught.value.field == "evaluation_keys"
    world.play(1)
    assert world.run(f"{FUND}.1").state == RunState.AWAITING_ANSWER


def test_an_account_in_default_brings_no_keys(world_at: WorldAt) -> None:
    world = world_at("crash-done")
    with pytest.raises(Conflict, match="cannot enrol keys"):
        world.start_enrolment(FUND, b"other keys", sequence=2)


def rotate(world: World, keys: bytes) -> None:
    world.start_enrolment(FUND, keys, sequence=2)
    enrolment.confirm(world.operator, FUND, world.confirmation(FUND, keys).to_json())


def test_new_keys_are_no_way_out_of_a_run(world_at: WorldAt) -> None:
    """Until a submission under the new keys arrives, runs go on under those of the last one."""
    world = world_at("submitted")
    before = world.operator.account(FUND).evaluation_keys
    rotate(world, b"other keys")
    assert world.operator.account(FUND).evaluation_keys != before
    run_id = world.play(1)
    assert world.run(run_id).record["body"]["evaluation_keys"] == before  # type: ignore[index]
    world.answer(run_id)
    assert world.run(run_id).state == RunState.COVERED


def test_a_submission_under_replaced_keys_is_refused(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("submitted")
    before = world.prepare_unproven_submission(FUND, stages.book)
    rotate(world, b"other keys")
    with pytest.raises(Refused) as caught:
        submissions.submit(world.operator, FUND, before.signed.to_json())
    assert caught.value.field == "evaluation_keys"
    world.submit(FUND, stages.book)
    assert world.run(world.play(1)).record["body"]["submission_sequence"] == "2"  # type: ignore[index]


def test_a_frozen_account_brings_the_same_book_under_new_keys_and_nothing_else(
    world_at: WorldAt, stages: Stages, later: Callable[[int], None]
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    first = world.funds[FUND].sent[1]
    committed = (tuple(bytes.fromhex(point) for point in first.submission.commitments), first.blindings)

    def refused(values: tuple[int, ...], same: bool) -> bool:
        sent = world.prepare_unproven_submission(FUND, values, committed if same else None)
        with pytest.raises(Conflict) as caught:
            submissions.submit(world.operator, FUND, sent.signed.to_json())
        return caught.value.field == "state"

    assert refused(stages.book, same=True)  # the keys are the old ones: nothing is gained by it
    rotate(world, b"other keys")
    assert refused(stages.book, same=False)
    assert refused((0,) * len(stages.book), same=False)
    sent = world.prepare_submission(FUND, stages.book, committed)
    submissions.submit(world.operator, FUND, sent.signed.to_json())
    world.funds[FUND].sent[2] = sent
    assert world.state() == AccountState.FROZEN
    run_id = world.play(2)
    world.answer(run_id)
    assert (world.state(), world.run(run_id).state) == (AccountState.ACTIVE, RunState.SETTLED)


def test_names_and_identities_are_admitted_once(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    key = world.funds[FUND].identity.public_key
    with pytest.raises(Conflict) as caught:
        enrolment.admit(world.operator, FUND, "again", "00" * 32)
    assert caught.value.field == "institution"
    with pytest.raises(Conflict) as caught:
        enrolment.admit(world.operator, "another", "again", key)
    assert caught.value.field == "identity"


def test_a_submission_is_taken_once_with_its_nonce(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("enrolled")
    sent = world.prepare_submission(FUND, stages.book)
    receipt = submissions.submit(world.operator, FUND, sent.signed.to_json())
    receipt.verify(frozenset({world.key}))
    assert receipt.body["document"] == sent.signed.body_hash()
    with pytest.raises(Conflict) as caught:
        submissions.submit(world.operator, FUND, sent.signed.to_json())
    assert caught.value.field == "nonce"
    enrolment.issue_nonce(world.operator, FUND)
    with pytest.raises(Conflict):
        submissions.submit(world.operator, FUND, sent.signed.to_json())


def test_only_a_fresh_nonce_counts(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("enrolled")
    sent = world.prepare_unproven_submission(FUND, stages.book)
    enrolment.issue_nonce(world.operator, FUND)
    with pytest.raises(Conflict) as caught:
        submissions.submit(world.operator, FUND, sent.signed.to_json())
    assert caught.value.field == "nonce"


def test_tokens_open_their_own_account(world_at: WorldAt) -> None:
    world = world_at("two")
    for name, other in ((FUND, OTHER), (OTHER, FUND)):
        assert world.operator.require_account(name, world.funds[name].token).institution == name
        for token in (world.funds[other].token, None, "", "x", "é"):
            with pytest.raises(NotAuthorised):
                world.operator.require_account(name, token)
        assert world.operator.require_account(name, world.operator.admin_token).institution == name
    with pytest.raises(NotAuthorised):
        world.operator.require_account("nobody", world.funds[FUND].token)
    with pytest.raises(NotFound):
        world.operator.require_account("nobody", world.operator.admin_token)
    for path in (f"/v1/institutions/{FUND}", f"/v1/runs/{FUND}.1", "/v1/ledger", "/v1/institutions"):
        for headers in ({}, world.bearer(OTHER), {"Authorization": "Basic eA=="}, {"Authorization": "Bearer"}):
            assert world.client.get(path, headers=headers).status_code == 401
    assert world.client.post(f"/v1/institutions/{FUND}/nonce", headers=world.bearer(OTHER)).status_code == 401
    assert world.client.post(f"/v1/institutions/{FUND}/nonce", headers=world.bearer(FUND)).status_code == 201


def test_an_emptied_token_file_is_reported(world_at: WorldAt) -> None:
    """A crash while it is written leaves it empty; an operator nobody can administer should not start."""
    world = world_at("enrolled")
    (world.directory / "admin.token").write_text("")
    with pytest.raises(ConfigurationError):
        world.restarted()


# Collateral


def test_instructions_are_carried_out_once_and_in_order(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    world.deposit(FUND, "USDC", 100, "first")
    with pytest.raises(Conflict, match="booked already"):
        world.deposit(FUND, "USDC", 100, "first")
    post = world.instruction(FUND, "post", "USDC", 60)
    receipt = collateral.instruct(world.operator, FUND, post.to_json())
    receipt.verify(frozenset({world.key}))
    assert receipt.body["document"] == post.body_hash()
    for sequence in (1, 3):
        again = world.instruction(FUND, "post", "USDC", 1, sequence=sequence)
        with pytest.raises(Conflict) as caught:
            collateral.instruct(world.operator, FUND, again.to_json())
        assert caught.value.field == "sequence"
    with pytest.raises(InsufficientFunds):
        world.instruct(FUND, "withdraw", "USDC", 41)
    world.instruct(FUND, "withdraw", "USDC", 40)
    assert world.ledger() == {"external": {"USDC": -60}, f"{FUND}/free": {}, f"{FUND}/posted": {"USDC": 60}}
    assert world.totals() == {"USDC": 0}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"quantity": "0"}, MalformedRequest),
        ({"quantity": str(2**62)}, MalformedRequest),
        ({"quantity": str(10**24)}, MalformedRequest),
        ({"asset": "DOGE"}, DocumentError),
        ({"institution": OTHER}, Refused),
        ({"operator": "1a" * 32}, Refused),
    ],
    ids=str,
)
def test_impossible_instructions_move_nothing(
    world_at: WorldAt, changes: dict[str, str], error: type[Exception]
) -> None:
    world = world_at("submitted")
    before = world.ledger()
    good = world.instruction(FUND, "post", "USDC", 1).body
    signed = world.funds[FUND].identity.sign("collateral-instruction", {**good, **changes})
    with pytest.raises(error):
        collateral.instruct(world.operator, FUND, signed.to_json())
    forged = Identity.generate().sign("collateral-instruction", good)
    with pytest.raises(SignatureInvalid):
        collateral.instruct(world.operator, FUND, forged.to_json())
    assert world.ledger() == before


def test_deposits_over_http(world_at: WorldAt) -> None:
    world = world_at("enrolled")

    def deposit(**changes: str) -> Any:
        body = {"institution": FUND, "asset": "USDC", "quantity": "5", "reference": "r-1", **changes}
        return world.client.post("/v1/deposits", json=body, headers=world.admin)

    assert deposit().status_code == 201
    assert deposit().status_code == 409
    assert deposit(reference="r-2", institution="nobody").status_code == 404
    assert deposit(reference="r-2", asset="DOGE").status_code == 422
    for quantity in ("0", "-5", "1.5", "05", "", "9" * 20):
        assert deposit(reference="r-2", quantity=quantity).status_code == 422
    assert deposit(reference="r-2", quantity="9" * 19).status_code == 400
    assert deposit(reference="r-3", quantity=str(2**62 - 6)).status_code == 201
    assert deposit(reference="r-4", quantity="1").status_code == 409
    shown = world.client.get("/v1/ledger", headers=world.admin).json()
    assert shown["accounts"][f"{FUND}/free"] == {"USDC": str(2**62 - 1)}
    assert shown["totals"] == {"USDC": "0"}


# Ticks


def test_ticks_advance(world_at: WorldAt) -> None:
    world = world_at("calm-open")
    for changes, field in (
        ({"sequence": "1"}, "sequence"),
        ({"sequence": "0"}, "sequence"),
        ({"sequence": "2"}, "as_of"),
        ({"sequence": "2", "as_of": "2026-11-20T07:59:59Z"}, "as_of"),
    ):
        with pytest.raises(Conflict) as caught:
            world.tick(1, **changes)
        assert caught.value.field == field
    assert world.tick(2) == [f"{FUND}.2"]


def test_ticks_of_strangers_and_wrong_ticks_are_refused(world_at: WorldAt) -> None:
    world = world_at("submitted")
    good = world.prices(1)
    body = good["prices"][0]["body"]

    def send(signed: SignedDocument) -> None:
        ticks.take_tick(world.operator, {**good, "prices": [signed.to_json()]})

    with pytest.raises(SignatureInvalid):
        send(Identity.generate().sign("price", body))
    with pytest.raises(MalformedRequest):
        send(world.source.sign("run", body))
    for wrong in ({**body, "rate": None}, {**body, "collateral": {}}, {**body, "underlyings": {}}, {**body, "x": "1"}):
        with pytest.raises((DocumentsError, MarginError, RequestError)):
            send(world.source.sign("price", wrong))
    assert world.states() == {}
    assert world.tick(1) == [f"{FUND}.1"]


@pytest.mark.parametrize("sequence", [10**15, 10**15 + 1, 2**63 - 1])
def test_a_tick_that_is_taken_can_be_evaluated(world_at: WorldAt, sequence: int) -> None:
    """Feeds number ticks as they like, by microseconds of the epoch for one (1,795,500,000,000,000 now)."""
    world = world_at("submitted")
    try:
        world.play(1, sequence=str(sequence))
    except (DocumentsError, MarginError, RequestError):
        assert world.states() == {}
        return
    assert set(world.states().values()) == {RunState.AWAITING_ANSWER}


def test_the_longest_name_still_gets_runs(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("enrolled")
    name = "n" * 32
    world.funds[name] = Fund(name)
    admission = {"institution": name, "name": "long", "identity": world.funds[name].identity.public_key}
    assert world.client.post("/v1/admissions", json=admission, headers=world.admin).status_code == 201
    world.start_enrolment(name, world.funds[name].keys())
    enrolment.confirm(world.operator, name, world.confirmation(name, world.funds[name].keys()).to_json())
    world.submit(name, stages.book)
    world.play(1, sequence=str(2**63 - 1))
    assert set(world.states().values()) == {RunState.AWAITING_ANSWER}


# Runs


def test_runs_go_by_price_then_name_one_at_a_time_for_an_account(world_at: WorldAt) -> None:
    world = world_at("two")
    assert world.tick(1) == [f"{OTHER}.1", f"{FUND}.1"]
    assert world.tick(2) == [f"{OTHER}.2", f"{FUND}.2"]
    assert [world.evaluate() for _ in range(3)] == [f"{OTHER}.1", f"{FUND}.1", None]
    world.answer(f"{FUND}.1")
    assert [world.evaluate() for _ in range(2)] == [f"{FUND}.2", None]
    world.answer(f"{OTHER}.1")
    assert [world.evaluate() for _ in range(2)] == [f"{OTHER}.2", None]


def test_nobody_evaluates_while_another_run_of_the_account_is_evaluated(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    world.tick(2)
    found: list[str | None] = []

    def meanwhile() -> None:
        world.evaluator.meanwhile = lambda: None
        found.append(world.evaluate())
        found.append(world.evaluate())

    world.evaluator.meanwhile = meanwhile
    assert world.evaluate() == f"{OTHER}.1"
    assert found == [f"{FUND}.1", None]


def test_records_form_one_chain(world_at: WorldAt) -> None:
    world = world_at("two")
    for number in (1, 2):
        world.play(number)
        for run_id, state in world.states().items():
            if state == RunState.AWAITING_ANSWER:
                world.answer(run_id)
    with world.operator.store.unit_of_work() as session:
        rows = session.query(Run).order_by(Run.number).all()
    assert [row.number for row in rows] == [1, 2, 3, 4]
    previous = GENESIS
    for row in rows:
        signed, record = parse_signed(row.record, RunRecord)
        signed.verify(frozenset({world.key}))
        assert (record.previous, record.number) == (previous, row.number)
        assert hashlib.sha256(row.breach_output or b"").hexdigest() == record.outputs.breach
        assert hashlib.sha256(row.surplus_output or b"").hexdigest() == record.outputs.surplus
        assert row.record_hash == signed.body_hash()
        previous = signed.body_hash()
    assert not any(world.totals().values())


def test_collateral_moved_by_a_settlement_counts_in_the_next_run(world_at: WorldAt) -> None:
    world = world_at("submitted")
    for number in (1, 2, 3):
        world.tick(number)
    for number in (1, 2, 3):
        assert world.evaluate() == f"{FUND}.{number}"
        _, record = parse_signed(world.run(f"{FUND}.{number}").record, RunRecord)
        assert record.posted == world.held(f"{FUND}/posted")
        assert world.evaluate() is None
        world.answer(f"{FUND}.{number}")
    assert world.states() == {
        f"{FUND}.1": RunState.COVERED,
        f"{FUND}.2": RunState.SETTLED,
        f"{FUND}.3": RunState.COVERED,
    }


def test_silence_freezes_and_a_late_answer_unfreezes(world_at: WorldAt, later: Callable[[int], None]) -> None:
    world = world_at("calm-open")
    assert runs.sweep_deadlines(world.operator) == []
    # The stage may have been made minutes ago.
    later(300)
    assert runs.sweep_deadlines(world.operator) == []
    later(905)
    assert runs.sweep_deadlines(world.operator) == [f"{FUND}.1"]
    assert runs.sweep_deadlines(world.operator) == []
    assert (world.state(), world.run(f"{FUND}.1").state) == (AccountState.FROZEN, RunState.UNPROVEN)
    with pytest.raises(Conflict, match="nothing can be withdrawn"):
        world.instruct(FUND, "withdraw", "USDC", 1)
    world.instruct(FUND, "post", "USDC", 1)
    world.answer(f"{FUND}.1")
    assert (world.state(), world.run(f"{FUND}.1").state) == (AccountState.ACTIVE, RunState.COVERED)
    world.instruct(FUND, "withdraw", "USDC", 1)


def test_a_frozen_account_is_watched_and_a_late_breach_is_settled(
    world_at: WorldAt, later: Callable[[int], None]
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    run_id = world.play(2)
    assert world.run(run_id).state == RunState.AWAITING_ANSWER
    assert world.state() == AccountState.FROZEN
    later(3000)
    assert runs.sweep_deadlines(world.operator) == [run_id]
    world.answer(run_id)
    assert (world.state(), world.run(run_id).state) == (AccountState.ACTIVE, RunState.SETTLED)


def test_an_older_run_is_refused_once_a_later_one_is_evaluated(
    world_at: WorldAt, later: Callable[[int], None], stages: Stages
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    world.play(2)
    with pytest.raises(Conflict, match=f"run {FUND}.2 was evaluated since"):
        world.answer(f"{FUND}.1", stages.answers["calm"])
    assert world.state() == AccountState.FROZEN


def test_an_older_run_is_refused_while_a_later_one_is_evaluated(
    world_at: WorldAt, later: Callable[[int], None], stages: Stages
) -> None:
    """The later run has read the collateral already: a call now would be made twice."""
    world = world_at("fall-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(Conflict, match="is being evaluated") as caught:
            world.answer(f"{FUND}.2", stages.answers["fall"])
        refused.append(str(caught.value))

    world.evaluator.meanwhile = meanwhile
    world.play(3)
    assert len(refused) == 1
    assert world.settlements() == {}


def test_a_failed_evaluation_is_tried_again(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    world.evaluator.failures = 2
    assert [world.evaluate() for _ in range(3)] == [f"{FUND}.1"] * 3
    assert (world.run(f"{FUND}.1").state, world.run(f"{FUND}.1").attempts) == (RunState.AWAITING_ANSWER, 3)
    assert world.state() == AccountState.ACTIVE


def test_an_evaluation_that_fails_three_times_freezes_the_account(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    (world.directory / "blobs" / str(world.operator.account(FUND).evaluation_keys)).unlink()
    seen = [world.evaluate() for _ in range(6)]
    assert sorted(filter(None, seen)) == [f"{OTHER}.1", *[f"{FUND}.1"] * 3]
    assert world.states() == {f"{OTHER}.1": RunState.AWAITING_ANSWER, f"{FUND}.1": RunState.FAILED}
    assert (world.state(FUND), world.state(OTHER)) == (AccountState.FROZEN, AccountState.ACTIVE)
    assert "NotFound" in str(world.run(f"{FUND}.1").problem)


def test_a_crash_while_evaluating_costs_no_attempt(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)

    class PowerCut(BaseException):
        pass

    def cut() -> None:
        raise PowerCut

    for _ in range(4):
        world.evaluator.meanwhile = cut
        with pytest.raises(PowerCut):
            world.evaluate()
        assert world.run(f"{FUND}.1").state == RunState.EVALUATING
        assert world.evaluate() is None
        world = world.restarted()
        assert runs.recover(world.operator) == [f"{FUND}.1"]
        assert (world.run(f"{FUND}.1").state, world.run(f"{FUND}.1").attempts) == (RunState.SCHEDULED, 0)
    assert world.evaluate() == f"{FUND}.1"
    assert world.run(f"{FUND}.1").number == 1
    world.close()


def test_an_account_in_default_gets_no_runs_and_no_instructions(world_at: WorldAt) -> None:
    world = world_at("crash-done")
    assert world.state() == AccountState.IN_DEFAULT
    assert world.tick(4, **MONDAY) == []
    assert world.evaluate() is None
    world.deposit(FUND, "USDC", 5, "late money")
    for action in ("post", "withdraw"):
        with pytest.raises(Conflict, match="in_default"):
            world.instruct(FUND, action, "USDC", 1)
    with pytest.raises(Conflict):
        enrolment.issue_nonce(world.operator, FUND)


def test_runs_scheduled_before_a_default_are_not_evaluated(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("crash-open")
    assert world.tick(4, **MONDAY) == [f"{FUND}.5"]
    world.answer(f"{FUND}.4", stages.answers["crash"])
    assert world.evaluate() is None
    assert (world.run(f"{FUND}.5").state, world.run(f"{FUND}.5").problem) == (
        RunState.FAILED,
        "the account is in default",
    )


def test_a_flat_account_owes_nothing(world_at: WorldAt) -> None:
    """No positions, no collateral: nothing can be lost, so nothing may be called."""
    world = world_at("enrolled")
    world.submit(FUND, (0,) * len(world.terms.entry_map))
    world.play(1)
    assert world.prove_answer(f"{FUND}.1").body["outcome"] == "covered"


def test_the_run_that_waits_is_shown_however_many_are_behind_it(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.play(1)
    for number in range(2, 42):
        world.tick(1, sequence=str(number), as_of=f"2026-11-22T00:{number:02}:00Z")
    view = world.client.get(f"/v1/institutions/{FUND}", headers=world.bearer()).json()
    assert view["runs"][0] == {"run_id": f"{FUND}.1", "state": "awaiting_answer", "price_sequence": "1"}
    assert [run["price_sequence"] for run in view["runs"][1:]] == [str(number) for number in range(10, 42)]
