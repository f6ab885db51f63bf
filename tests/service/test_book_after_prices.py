"""A book that is brought once prices of the next tick were seen: real documents, a real log, and who stops it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic_margin.service.errors import HistoryDiffers
from atomic_margin.service.log.checkpoints import WitnessPolicy
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import submissions
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.store import entries
from atomic_margin.service.protocol.account.state import Book
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Looked, Monitor, Seen

from .documents import FUND
from .stages import Stages
from .world import Sent, World


@pytest.fixture(scope="module")
def made(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sent]:
    """The fund's book was covered at tick 1; a flat one is made, and not sent yet."""
    directory = tmp_path_factory.mktemp("made") / "operator"
    world = stages.open("calm-done", directory)
    sent = world.prepare_submission(FUND, (0,) * len(world.columns))
    world.close()
    return directory, sent


@pytest.fixture
def world(made: tuple[Path, Sent], stages: Stages, tmp_path: Path) -> Iterator[World]:
    directory, sent = made
    shutil.copytree(directory, tmp_path / "operator")
    fund = stages.funds[FUND].copy(sent=True)
    fund.sent[sent.submission.sequence] = sent
    world = World(tmp_path / "operator", stages.source, {FUND: fund})
    yield world
    world.close()


def receipt(world: World, number: int, **changes: object) -> None:
    """Let the source send its document for the next tick; the tick itself comes later."""
    (document,) = world.prices(number, **changes)["prices"]
    assert world.client.post("/v1/prices", json=document, auth=world.signed_by(world.source)).status_code == 201


def flat(world: World) -> Sent:
    sent = max(world.funds[FUND].sent.items())[1]
    submissions.submit(world.operator, FUND, sent.signed.to_json())
    return sent


def in_force(world: World) -> Book:
    book = world.account().public.book
    assert book is not None
    return book


def hash_of(sent: Sent) -> str:
    return sent.signed.body_hash()


def looked(world: World) -> Looked:
    publisher = Publisher(world.operator)
    publisher.publish()
    publisher.close()

    def fetch(path: str, limit: int) -> bytes:
        response = world.client.get(f"/{path}")
        assert response.status_code == 200, path
        return response.content

    return Monitor(world.operator.log_key, world.key, world.rules, WitnessPolicy(), fetch).look(Seen(), 0)


def replayed(world: World) -> replay.Compared:
    with world.operator.store.unit_of_work() as session:
        return replay.check(session, world.key)


def test_the_book_that_was_there_before_the_first_prices_is_run(world: World) -> None:
    """The next tick is a fall. Who has seen it goes flat at once, and is called all the same."""
    before = in_force(world)
    receipt(world, 2)
    sent = flat(world)
    waiting = world.account().public.waiting
    assert waiting is not None
    assert (in_force(world), waiting.submission, waiting.tick) == (before, hash_of(sent), 2)
    assert world.entries()[-1].entry.body["receipted"] == "2"
    run_id = world.play(2)
    assert world.shown(run_id)["record"]["body"]["submission"] == before.submission
    world.answer(run_id)
    assert world.states()[run_id] is RunState.SETTLED
    assert world.settlements()[run_id]["body"]["kind"] == "margin_call"
    # From the tick after it on the flat one is run.
    assert in_force(world).submission == hash_of(sent)
    run_id = world.play(3)
    assert world.shown(run_id)["record"]["body"]["submission"] == hash_of(sent)
    world.answer(run_id)
    assert world.states()[run_id] is RunState.COVERED
    assert looked(world).seen.ticks is not None
    assert replayed(world).entries == len(world.entries())


def test_a_book_before_the_first_prices_counts(world: World) -> None:
    sent = flat(world)
    receipt(world, 2)
    assert (in_force(world).submission, in_force(world).tick) == (hash_of(sent), 1)
    run_id = world.play(2)
    assert world.shown(run_id)["record"]["body"]["submission"] == hash_of(sent)
    looked(world)


def test_prices_of_a_number_that_becomes_void_hold_up_nothing(world: World) -> None:
    """They are from before the last tick, so no tick can be made of them; the book is run at the next one."""
    receipt(world, 2, as_of="2026-11-20T07:00:00Z")
    sent = flat(world)
    world.void()
    assert world.evaluate() is None
    run_id = world.play(3)
    assert world.shown(run_id)["record"]["body"]["submission"] == hash_of(sent)
    assert in_force(world).submission == hash_of(sent)
    looked(world)
    replayed(world)


@pytest.mark.parametrize("denied", [True, False], ids=["denied", "invented"])
def test_an_operator_that_lies_about_receipts_contradicts_its_log(
    world: World, monkeypatch: pytest.MonkeyPatch, denied: bool
) -> None:
    """It lets a friend's flat book count for a fall that was seen; or keeps an old book for prices of nobody."""
    before = in_force(world)
    if denied:
        receipt(world, 2)
    monkeypatch.setattr(entries, "is_receipted", lambda session, sequence: not denied)
    sent = flat(world)
    monkeypatch.undo()
    run_id = world.play(2)
    # The account's entries hold among themselves, and its agent alone would notice nothing.
    ran = world.shown(run_id)["record"]["body"]["submission"]
    assert ran == (hash_of(sent) if denied else before.submission)
    with pytest.raises(Contradiction, match=f"tick {1 if denied else 2} was receipted last") as found:
        looked(world)
    kinds = [document["kind"] for document in found.value.documents]
    assert kinds == ["checkpoint", "leaf", "leaf"]
    with pytest.raises(HistoryDiffers, match="as receipted last"):
        replayed(world)
