"""The operator's log: leaves with what they are about, tiles as specified, checkpoints cosigned over real HTTP."""

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from atomic_margin.service.errors import Conflict
from atomic_margin.service.log.checkpoints import Checkpoint, WitnessPolicy, believe
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.log.tiles import TilePath, parse_bundle, tile_path
from atomic_margin.service.log.tree import inclusion_proof, root
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.publishing import LogBehind, Publisher
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import LogLeaf, LogTile, Tick
from atomic_margin.service.protocol.leaves import PriceLeaf, TickLeaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.witness.web import create_app
from atomic_margin.service.witness.witness import Witness

from .documents import price_rules
from .log.logs import MemoryLog
from .world import World


@pytest.fixture
def world_at(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    """An operator without institutions: a log needs none."""
    opened: list[World] = []

    def at(_: str) -> World:
        opened.append(World(tmp_path / f"operator-{len(opened)}", Identity.generate(), {}))
        return opened[-1]

    yield at
    for world in opened:
        world.close()


@contextmanager
def serving(witness: Witness) -> Iterator[str]:
    """A witness behind a real port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(witness), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def entries(world: World) -> list[bytes]:
    with world.operator.store.unit_of_work() as session:
        size = log.size(session)
        return parse_bundle(log.tile(session, TilePath(None, 0, size)), size) if size else []


def ticks_of(world: World) -> list[SignedDocument]:
    with world.operator.store.unit_of_work() as session:
        rows = session.query(Tick).order_by(Tick.sequence).all()
        return [SignedDocument.parse(row.document) for row in rows]


def test_every_tick_is_a_leaf(world_at: Callable[[str], World]) -> None:
    world = world_at("enrolled")
    for number in (1, 2, 3):
        world.tick(number)
    priced = [PriceLeaf.parse(json.loads(entry)) for entry in entries(world)[::2]]
    leaves = [TickLeaf.parse(json.loads(entry)) for entry in entries(world)[1::2]]
    signed = ticks_of(world)
    # Before each stands what its source signed.
    assert [leaf.sequence for leaf in priced] == [1, 2, 3]
    assert {leaf.source for leaf in priced} == {world.source.public_key}
    sent = [SignedDocument.parse(document.body["prices"][0]) for document in signed]
    assert [(leaf.price, leaf.document) for leaf in priced] == [(one.body_hash(), one.hash()) for one in sent]
    assert [leaf.sequence for leaf in leaves] == [1, 2, 3]
    assert [leaf.document for leaf in leaves] == [document.hash() for document in signed]
    assert [leaf.tick for leaf in leaves] == [document.body_hash() for document in signed]
    assert [leaf.previous for leaf in leaves] == ["0" * 64, leaves[0].tick, leaves[1].tick]


def test_a_tick_and_its_leaf_are_there_together_or_not_at_all(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("enrolled")
    world.tick(1)

    def fail(*_: object) -> int:
        raise OSError("the disk is full")

    monkeypatch.setattr("atomic_margin.service.operator.runs.ticks._schedule", fail)
    with pytest.raises(OSError, match="full"):
        world.tick(2)
    assert (len(entries(world)), len(ticks_of(world))) == (2, 1)


def test_stored_hashes_are_those_of_a_log_in_memory(world_at: Callable[[str], World]) -> None:
    world, memory = world_at("enrolled"), MemoryLog()
    with world.operator.store.unit_of_work() as session:
        for number in range(600):
            entry = b"%d" % number
            assert log.append(session, entry) == number
            memory.append(entry)
        assert log.size(session) == 600
        for size in (1, 255, 256, 257, 512, 600):
            assert root(log.reader(session), size) == root(memory.read, size)
        for index in (0, 255, 256, 599):
            proof = inclusion_proof(log.reader(session), index, 600)
            check_inclusion(memory.entries[index], index, 600, proof, root(memory.read, 600))
        stored = {(row.level, row.number): len(row.hashes) // 32 for row in session.query(LogTile)}
        assert stored == {(0, 0): 256, (0, 1): 256, (0, 2): 88, (1, 0): 2}
        assert session.query(LogLeaf).count() == 600
    files = memory.files()
    for path, data in files.items():
        response = world.client.get(f"/v1/log/{path}")
        assert response.status_code == 200
        assert response.content == data
        assert "max-age" in response.headers["cache-control"]
    for path in (tile_path(0, 3), tile_path(0, 2, 100), tile_path(2, 0, 1), "tile/0/0", "tile/9/000"):
        assert world.client.get(f"/v1/log/{path}").status_code == 404


Publishing = Callable[..., Publisher]


@pytest.fixture
def publisher_of() -> Iterator[Publishing]:
    """A publisher with these witnesses, as after a start of the operator."""
    made: list[Publisher] = []

    def publisher(world: World, *witnesses: tuple[str, Witness], seconds: int = 60) -> Publisher:
        settings = world.operator.settings
        asked = tuple((url, witness.key) for url, witness in witnesses)
        world.operator.settings = dataclasses.replace(settings, witnesses=asked, checkpoint_seconds=seconds)
        made.append(Publisher(world.operator, timeout=5))
        return made[-1]

    yield publisher
    for one in made:
        one.close()


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Callable[[World, str], Witness]]:
    made: list[Witness] = []

    def witness(world: World, name: str) -> Witness:
        key = world.operator.log_key
        made.append(Witness(tmp_path / name, name, {key.name: key}, lambda: int(time.time())))
        return made[-1]

    yield witness
    for one in made:
        one.close()


def test_witnesses_cosign_what_is_published(
    world_at: Callable[[str], World], watcher: Callable[[World, str], Witness], publisher_of: Publishing
) -> None:
    world = world_at("enrolled")
    first, second = watcher(world, "w1"), watcher(world, "w2")
    assert world.client.get("/v1/log/checkpoint").status_code == 404
    with serving(first) as url:
        publisher = publisher_of(world, (url, first), ("http://127.0.0.1:9", second))
        # One of two is not more than half: an operator alone signs nothing after a start.
        world.tick(1)
        assert publisher.publish() is False
        assert world.client.get("/v1/log/checkpoint").status_code == 404
        with serving(second) as other:
            publisher = publisher_of(world, (url, first), (other, second))
            assert publisher.publish() is True
            assert publisher.publish() is False
            shown = world.client.get("/v1/log/checkpoint")
            policy = WitnessPolicy((first.key, second.key), 2, 60)
            believed = believe(Checkpoint.parse(shown.text), world.operator.log_key, policy, int(time.time()))
            assert (believed.head.size, len(believed.witnesses)) == (2, 2)
        # One that is away costs its own cosignature alone, and gives it later.
        world.tick(2)
        assert publisher.publish() is True
        text = world.client.get("/v1/log/checkpoint").text
        assert Checkpoint.parse(text).note.signature_of(first.key)
        assert not Checkpoint.parse(text).note.signature_of(second.key)
    with serving(second) as other:
        late = publisher_of(world, (other, second))
        assert late.publish() is True
    text = world.client.get("/v1/log/checkpoint").text
    assert believe(Checkpoint.parse(text), world.operator.log_key, policy, int(time.time())).head.size == 4


def test_what_is_served_keeps_the_cosignatures_it_had_when_it_is_published_again(
    world_at: Callable[[str], World], watcher: Callable[[World, str], Witness], publisher_of: Publishing
) -> None:
    world = world_at("enrolled")
    first, second, third = (watcher(world, name) for name in ("w1", "w2", "w3"))
    policy = WitnessPolicy((first.key, second.key, third.key), 2)
    world.tick(1)
    with serving(first) as url, serving(second) as other:
        with serving(third) as more:
            named = ((url, first), (other, second), (more, third))
            assert publisher_of(world, *named, seconds=0).publish() is True
        # The third is away, and its line stays; the others' are made anew, each still once.
        assert publisher_of(world, *named, seconds=0).publish() is True
    checkpoint = Checkpoint.parse(world.client.get("/v1/log/checkpoint").text)
    assert [name for name, _, _ in checkpoint.note.signatures] == [world.operator.log_key.name, "w3", "w1", "w2"]
    assert len(believe(checkpoint, world.operator.log_key, policy, 0).witnesses) == 3


def test_a_log_that_rests_is_published_again(world_at: Callable[[str], World], publisher_of: Publishing) -> None:
    world = world_at("enrolled")
    world.tick(1)
    assert publisher_of(world, seconds=60).publish() is True
    assert publisher_of(world, seconds=60).publish() is False
    assert publisher_of(world, seconds=0).publish() is True


def test_an_older_database_signs_nothing(
    world_at: Callable[[str], World], watcher: Callable[[World, str], Witness], publisher_of: Publishing
) -> None:
    """Both sides of a restore: the log is shorter than what was cosigned; it grew again, otherwise."""
    world = world_at("enrolled")
    witness = watcher(world, "w1")
    with serving(witness) as url:
        world.tick(1)
        backup = entries(world)
        world.tick(2)
        assert publisher_of(world, (url, witness)).publish() is True
        with world.operator.store.unit_of_work() as session:
            session.query(LogLeaf).filter(LogLeaf.number >= len(backup)).delete()
            (tile,) = session.query(LogTile).all()
            tile.hashes = tile.hashes[: 32 * len(backup)]
        with pytest.raises(LogBehind, match="older than what was published"):
            publisher_of(world, (url, witness)).publish()
        with world.operator.store.unit_of_work() as session:
            log.append(session, b"another history")
        with pytest.raises(LogBehind, match="or another one"):
            publisher_of(world, (url, witness)).publish()
        latest = witness.latest(world.operator.log_key.name)
        assert latest is not None
        assert latest.head.size == 4


def test_a_witness_that_was_asked_by_somebody_else_is_caught_up_with(
    world_at: Callable[[str], World], watcher: Callable[[World, str], Witness], publisher_of: Publishing
) -> None:
    world = world_at("enrolled")
    witness = watcher(world, "w1")
    with serving(witness) as url:
        world.tick(1)
        slow, quick = publisher_of(world, (url, witness)), publisher_of(world, (url, witness))
        assert slow.publish() is True
        world.tick(2)
        assert quick.publish() is True
        world.tick(3)
        # It believes that the witness knows one leaf; it knows two.
        assert slow.publish() is True
        assert Checkpoint.parse(world.client.get("/v1/log/checkpoint").text).note.signature_of(witness.key)


def test_a_witness_that_is_away_is_not_asked_all_the_time(
    world_at: Callable[[str], World],
    watcher: Callable[[World, str], Witness],
    publisher_of: Publishing,
    monkeypatch: Any,
) -> None:
    world = world_at("enrolled")
    publisher = publisher_of(world, ("http://127.0.0.1:9", watcher(world, "w1")))
    asked: list[str] = []
    monkeypatch.setattr(publisher, "_send", lambda method, *_, **__: asked.append(method))
    world.tick(1)
    for _ in range(5):
        assert publisher.publish() is False
    assert asked == ["GET"]
    monkeypatch.setattr("atomic_margin.service.operator.publishing.RETRY_SECONDS", 0.0)
    publisher._asked_again.clear()
    for _ in range(2):
        assert publisher.publish() is False
    assert asked == ["GET"] * 3


def test_a_log_has_the_name_it_is_given(world_at: Callable[[str], World], tmp_path: Path) -> None:
    world = world_at("enrolled")
    shown = world.client.get("/v1/operator").json()["log"]
    assert shown == str(world.operator.log_key)
    assert shown.startswith(f"atomic-margin.log/{world.key[:16]}+")
    settings = Settings(tmp_path / "named", price_rules(world.source), log_origin="margin.example/log")
    named = Operator(settings, world.terms, world.evaluator)
    assert named.log_key.name == "margin.example/log"
    named.close()


def test_a_longer_log_is_a_conflict() -> None:
    assert issubclass(LogBehind, Conflict)
