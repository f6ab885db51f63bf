"""Enrolment, submissions, tokens and collateral instructions on the real store."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import (
    ConfigurationError,
    Conflict,
    IllegalTransition,
    InsufficientFunds,
    MalformedRequest,
    SignatureInvalid,
)
from atomic_margin.service.operator.accounts import collateral, enrolment, submissions
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs import records
from atomic_margin.service.protocol.account.errors import NotCovered, OutOfSequence, RunNotOver, WrongKeys, WrongSigner
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, OTHER
from .stages import Stages
from .world import World

WorldAt = Callable[[str], World]


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
    with pytest.raises(IllegalTransition, match="in_default"):
        world.start_enrolment(FUND, b"other keys", sequence=2)


def rotate(world: World, keys: bytes) -> None:
    world.start_enrolment(FUND, keys, sequence=2)
    enrolment.confirm(world.operator, FUND, world.confirmation(FUND, keys).to_json())


def test_new_keys_are_no_way_out_of_a_run(world_at: WorldAt) -> None:
    """Until a submission under the new keys arrives, runs go on under those of the last one."""
    world = world_at("submitted")
    before = world.account().public.keys
    rotate(world, b"other keys")
    assert world.account().public.keys != before
    run_id = world.play(1)
    assert world.run(run_id).record["body"]["evaluation_keys"] == before  # type: ignore[index]
    world.answer(run_id)
    assert world.run(run_id).state == RunState.COVERED


def test_a_submission_under_replaced_keys_is_refused(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("submitted")
    before = world.prepare_unproven_submission(FUND, stages.book)
    rotate(world, b"other keys")
    with pytest.raises(WrongKeys) as caught:
        submissions.submit(world.operator, FUND, before.signed.to_json())
    assert caught.value.field == "evaluation_keys"
    world.submit(FUND, stages.book)
    assert world.run(world.play(1)).record["body"]["submission_sequence"] == "2"  # type: ignore[index]


def test_a_frozen_account_brings_the_same_book_under_new_keys_and_another_waits(
    world_at: WorldAt, stages: Stages, later: Callable[[int], None]
) -> None:
    world = world_at("calm-open")
    later(905)
    runs.sweep_deadlines(world.operator)
    first = world.funds[FUND].sent[1]
    committed = (tuple(bytes.fromhex(point) for point in first.submission.commitments), first.blindings)
    rotate(world, b"other keys")
    owed = world.account().public.owed
    sent = world.prepare_submission(FUND, stages.book, committed)
    submissions.submit(world.operator, FUND, sent.signed.to_json())
    world.funds[FUND].sent[2] = sent
    flat = world.submit(FUND, (0,) * len(stages.book))
    public = world.account().public
    assert public.book is not None
    assert public.waiting is not None
    assert (public.book.submission, public.waiting.submission) == (sent.signed.body_hash(), flat.signed.body_hash())
    assert (world.state(), public.owed, owed) == (AccountState.FROZEN, owed, public.book.commitments)
    run_id = world.play(2)
    assert world.run(run_id).record["body"]["submission_sequence"] == "2"  # type: ignore[index]
    world.answer(run_id)
    assert (world.state(), world.run(run_id).state) == (AccountState.ACTIVE, RunState.SETTLED)
    # What was owed is settled: the other book is in force from here on, and the next tick runs it.
    assert world.account().public.book == public.waiting
    assert world.run(world.play(3)).record["body"]["submission_sequence"] == "3"  # type: ignore[index]


def test_a_book_that_comes_after_a_tick_is_no_way_out_of_its_run(world_at: WorldAt, stages: Stages) -> None:
    """The second attack: swap the book while a breach waits, or is about to be found."""
    world = world_at("submitted")
    world.tick(2)
    first = world.account().public.book
    flat = world.submit(FUND, (0,) * len(stages.book))
    assert world.account().public.book == first
    assert world.evaluate() == f"{FUND}.2"
    with pytest.raises(RunNotOver):
        world.instruct(FUND, "withdraw", "USDC", 1)
    world.answer(f"{FUND}.2")
    assert world.run(f"{FUND}.2").state == RunState.SETTLED
    book = world.account().public.book
    assert book is not None
    assert book.submission == flat.signed.body_hash()
    # Released is nothing before this book, too, was proven at a tick of its own.
    with pytest.raises(NotCovered):
        world.instruct(FUND, "withdraw", "USDC", 1)
    world.answer(world.play(3))
    world.instruct(FUND, "withdraw", "USDC", 1)


def test_a_run_that_is_due_begins_before_another_book_comes(world_at: WorldAt, stages: Stages) -> None:
    """Or a tick that comes before its turn would leave no run on the book that was there at this one."""
    world = world_at("submitted")
    world.tick(2)
    sent = world.prepare_submission(FUND, (0,) * len(stages.book))
    submissions.submit(world.operator, FUND, sent.signed.to_json(), records.open_due)
    world.tick(3)
    assert world.evaluate() == f"{FUND}.2"
    assert world.run(f"{FUND}.2").record["body"]["submission_sequence"] == "1"  # type: ignore[index]
    world.answer(f"{FUND}.2")
    assert world.run(f"{FUND}.2").state == RunState.SETTLED


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
    entry = submissions.submit(world.operator, FUND, sent.signed.to_json())
    entry.verify(frozenset({world.key}))
    assert entry.body_hash() == world.head()
    # The same again is the same entry; another of its number is refused.
    assert submissions.submit(world.operator, FUND, sent.signed.to_json()) == entry
    world.funds[FUND].sent.clear()
    other = world.prepare_unproven_submission(FUND, stages.book)
    with pytest.raises(OutOfSequence) as caught:
        submissions.submit(world.operator, FUND, other.signed.to_json())
    assert caught.value.field == "sequence"
    assert world.account().public.submissions == 1


def test_only_a_fresh_nonce_counts(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("enrolled")
    sent = world.prepare_unproven_submission(FUND, stages.book)
    enrolment.issue_nonce(world.operator, FUND)
    with pytest.raises(Conflict) as caught:
        submissions.submit(world.operator, FUND, sent.signed.to_json())
    assert caught.value.field == "nonce"


def test_an_identity_opens_its_own_account(world_at: WorldAt) -> None:
    world = world_at("two")
    for name, other in ((FUND, OTHER), (OTHER, FUND)):
        path = f"/v1/institutions/{name}"
        assert world.client.get(path, auth=world.auth(name)).json()["institution"] == name
        assert world.client.get(path, headers=world.admin).json()["institution"] == name
        for caller in ({"auth": world.auth(other)}, {"auth": world.signed_by(Identity.generate())}, {}):
            assert world.client.get(path, **caller).status_code == 401
    # Names cannot be probed: one that is not there is refused alike.
    assert world.client.get("/v1/institutions/nobody", auth=world.auth()).status_code == 401
    assert world.client.get("/v1/institutions/nobody", headers=world.admin).status_code == 404
    for path in (f"/v1/institutions/{FUND}", f"/v1/runs/{FUND}.1", "/v1/ledger", "/v1/institutions"):
        for wrong in ("", "Basic eA==", "Bearer", "Bearer x", "Bearer \u00e9"):
            headers = {"Authorization": wrong.encode("latin-1")}
            assert world.client.get(path, headers=headers).status_code == 401
    path = f"/v1/institutions/{FUND}/nonce"
    assert world.client.post(path, auth=world.auth(OTHER)).status_code == 401
    assert world.client.post(path, auth=world.auth()).status_code == 201


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
    entry = collateral.instruct(world.operator, FUND, post.to_json())
    entry.verify(frozenset({world.key}))
    assert collateral.instruct(world.operator, FUND, post.to_json()) == entry
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
        ({"institution": OTHER}, WrongSigner),
        ({"operator": "1a" * 32}, WrongSigner),
        ({"entry": "1a" * 32}, Conflict),
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
