"""Answers that arrive together are verified together; one that does not hold is refused alone, and by name."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from atomic_margin.service.errors import Refused
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import FUND, OTHER
from .world import World

Open = Callable[[str], World]


def spoiled(world: World, name: str, signed: SignedDocument, field: str = "sufficiency_proof") -> SignedDocument:
    """The same answer with another last scalar in one of its proofs, signed by its institution."""
    proof = signed.body[field]
    last = format(int(proof[-2:], 16) ^ 1, "02x")
    return Answer.parse({**signed.body, field: proof[:-2] + last}).signed_by(world.funds[name].identity)


def sent_together(world: World, documents: dict[str, SignedDocument]) -> dict[str, SignedDocument | Exception]:
    """Send answers at once, with the verifier held up until all of them wait; return what each sender gets."""
    proofs = world.operator.proofs
    proofs._turn.acquire()

    def send(run_id: str) -> SignedDocument | Exception:
        try:
            return answers.take_answer(world.operator, run_id, documents[run_id].to_json())
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(documents)) as senders:
        found = senders.map(send, documents)
        deadline = time.monotonic() + 20
        while len(proofs._waiting) < len(documents):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        proofs._turn.release()
        return dict(zip(documents, found, strict=True))


@pytest.fixture
def open_runs(world_at: Open) -> tuple[World, dict[str, SignedDocument]]:
    """A world with two open runs, and a right answer to each."""
    world = world_at("two")
    for name in (FUND, OTHER):
        assert f"{name}.1" in (world.tick(1) if name == FUND else world.states())
    while world.evaluate() is not None:
        pass
    return world, {f"{name}.1": world.prove_answer(f"{name}.1") for name in (FUND, OTHER)}


def test_answers_that_wait_are_one_batch(open_runs: tuple[World, dict[str, SignedDocument]]) -> None:
    world, documents = open_runs
    before = world.operator.proofs.batches
    found = sent_together(world, documents)
    assert all(isinstance(entry, SignedDocument) for entry in found.values())
    assert world.operator.proofs.batches == before + 1
    assert set(world.states().values()) == {"covered"}


@pytest.mark.parametrize("bad", [FUND, OTHER])
def test_one_that_does_not_hold_is_refused_alone(open_runs: tuple[World, dict[str, SignedDocument]], bad: str) -> None:
    world, documents = open_runs
    good = OTHER if bad == FUND else FUND
    found = sent_together(world, {**documents, f"{bad}.1": spoiled(world, bad, documents[f"{bad}.1"])})
    error = found[f"{bad}.1"]
    assert isinstance(error, Refused)
    assert error.field == "sufficiency_proof"
    assert "the sufficiency proof does not prove this statement" in str(error)
    assert isinstance(found[f"{good}.1"], SignedDocument)
    assert world.states() == {f"{good}.1": "covered", f"{bad}.1": "awaiting_answer"}
    # Its right answer is taken afterwards.
    world.answer(f"{bad}.1", documents[f"{bad}.1"])
    assert set(world.states().values()) == {"covered"}


@pytest.mark.parametrize("field", ["sufficiency_proof", "decryption_proof", "breach_proof"])
def test_the_proof_of_a_breach_that_does_not_hold_is_named(world_at: Open, field: str) -> None:
    world = world_at("fall-open")
    run_id = next(run for run, state in world.states().items() if state == "awaiting_answer")
    right = world.prove_answer(run_id)
    with pytest.raises(Refused) as caught:
        world.answer(run_id, spoiled(world, FUND, right, field))
    assert caught.value.field == field
    assert world.settlements() == {}
    world.answer(run_id, right)
    assert world.run(run_id).state == "settled"


def test_the_commitments_of_a_submission_are_decoded_when_it_comes(world_at: Open) -> None:
    world = world_at("enrolled")
    sent = world.submit(FUND, (0,) * len(world.columns))
    points = [bytes.fromhex(point) for point in sent.submission.commitments]
    world.operator.proofs._next()
    assert set(points) <= set(world.operator.proofs._known)
