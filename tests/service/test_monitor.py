"""A monitor reads all of a log: real ticks of a real operator, and what the operator, or a cache, does to them."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import write_json
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, WitnessPolicy, sign_head
from atomic_margin.service.log.errors import NoteNotSigned, TileInvalid, TooFewWitnesses
from atomic_margin.service.log.proofs import check_consistency, check_inclusion
from atomic_margin.service.log.tree import root
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.protocol.leaves import price_leaf, tick_leaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable
from atomic_margin.service.verifier.monitor import Monitor, Seen, seen_from_json, seen_to_json

from .log.logs import MemoryLog
from .test_log import ticks_of, world_at
from .world import World

__all__ = ["world_at"]


def leaves_of(tick: SignedDocument) -> list[bytes]:
    """The leaves of what sources signed for a tick, and its own."""
    signed = [SignedDocument.parse(one) for one in tick.body["prices"]]
    return [*(price_leaf(one, tick.body["received_at"]).to_bytes() for one in signed), tick_leaf(tick).to_bytes()]


class Served:
    """What an operator serves: its real ticks and a log of leaves, which a test may change before it is signed."""

    def __init__(self, world: World, ticks: list[SignedDocument]) -> None:
        self.world = world
        self.ticks = {document.body["sequence"]: document for document in ticks}
        # Tick n is entry 2 n - 1, and before it stands what its source signed.
        self.entries = [leaf for document in ticks for leaf in leaves_of(document)]
        self.identity = world.operator.identity
        self.size = len(self.entries)
        self.altered: dict[str, bytes] = {}

    def checkpoint(self) -> Checkpoint:
        log = MemoryLog(self.entries[: self.size])
        return sign_head(
            TreeHead(self.world.operator.log_key.name, self.size, root(log.read, self.size)), self.identity
        )

    def fetch(self, path: str, limit: int) -> bytes:
        if path in self.altered:
            return self.altered[path]
        if path == "v1/log/checkpoint":
            return str(self.checkpoint()).encode()
        if path.startswith("v1/ticks/") and path.rpartition("/")[2] in self.ticks:
            return canonical_bytes(self.ticks[path.rpartition("/")[2]].to_json())
        found = MemoryLog(self.entries[: self.size]).files().get(path.removeprefix("v1/log/"))
        if found is None:
            raise RemoteError(f"{path} answers with status 404", 404)
        return found

    def monitor(self, policy: WitnessPolicy | None = None) -> Monitor:
        operator = self.world.operator
        return Monitor(operator.log_key, self.world.key, self.world.rules, policy or WitnessPolicy(), self.fetch)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[SignedDocument]]]:
    world = World(tmp_path_factory.mktemp("monitored") / "operator", Identity.generate(), {})
    for number in (1, 2, 3, 4):
        world.tick(number)
    yield world, ticks_of(world)
    world.close()


@pytest.fixture
def served(played: tuple[World, list[SignedDocument]]) -> Served:
    return Served(*played)


def forged(served: Served, number: int, **changes: Any) -> SignedDocument:
    """Return a tick that the operator signed, changed and signed by it again."""
    body = {**served.ticks[str(number)].body, **changes}
    return served.identity.sign("tick", body)


def test_an_honest_log_holds_from_look_to_look(served: Served) -> None:
    seen, monitor = Seen(), served.monitor()
    for size, new in ((2, 2), (2, 0), (6, 4), (8, 2)):
        served.size = size
        looked = monitor.look(seen, 0)
        assert (looked.entries, looked.believed.head.size) == (new, size)
        seen = seen_from_json(seen_to_json(looked.seen))
        assert seen.ticks is not None
        assert 2 * seen.ticks.sequence == size


def test_the_operator_s_own_endpoints_serve_it(world_at: Callable[[str], World]) -> None:
    world = world_at("enrolled")
    world.tick(1)
    world.tick(2)
    publisher = Publisher(world.operator)
    assert publisher.publish() is True
    publisher.close()

    def fetch(path: str, limit: int) -> bytes:
        response = world.client.get(f"/{path}")
        assert response.status_code == 200, path
        assert len(response.content) <= limit
        return response.content

    looked = Monitor(world.operator.log_key, world.key, world.rules, WitnessPolicy(), fetch).look(Seen(), 0)
    assert looked.entries == 4
    assert looked.seen.ticks is not None
    assert looked.seen.ticks.sequence == 2


def contradiction(served: Served, seen: Seen) -> Contradiction:
    with pytest.raises(Contradiction) as caught:
        served.monitor().look(seen, 0)
    bundle = caught.value.bundle()
    assert bundle["format"] == "atomic-margin/contradiction/1"
    assert bundle["documents"]
    return caught.value


def at(served: Served, size: int) -> Seen:
    whole, served.size = served.size, size
    seen = served.monitor().look(Seen(), 0).seen
    served.size = whole
    return seen


def test_two_histories_of_one_size(served: Served) -> None:
    seen = at(served, 8)
    served.entries[7] = tick_leaf(forged(served, 4, received_at="2026-11-20T00:00:00Z")).to_bytes()
    found = contradiction(served, seen)
    assert "two checkpoints of 8 entries" in str(found)
    assert [item["kind"] for item in found.documents] == ["checkpoint", "checkpoint"]


def test_a_history_that_was_changed_before_it_grew(served: Served) -> None:
    seen = at(served, 6)
    assert seen.checkpoint is not None
    served.entries[3] = tick_leaf(forged(served, 2, received_at="2026-11-20T00:00:00Z")).to_bytes()
    found = contradiction(served, seen)
    assert "does not begin with the one of 6" in str(found)
    # Whoever reads it can check it: the new checkpoint stands on another tree of six entries than the old one.
    old, new = (Checkpoint.parse(item["text"]) for item in found.documents[:2])
    proof = found.documents[2]
    path = [base64.b64decode(one) for one in proof["proof"]]
    other = bytes.fromhex(proof["root"])
    check_consistency(6, 8, other, new.head.root, path)
    assert other != old.head.root
    for checkpoint in (old, new):
        checkpoint.note.verify(served.world.operator.log_key)


def test_a_tick_that_is_left_out_or_comes_twice(served: Served) -> None:
    seen, entries = at(served, 4), list(served.entries)
    served.entries = [*entries[:4], entries[7]]
    served.size = 5
    assert "after tick 2 comes 3, this is 4" in str(contradiction(served, seen))
    for twice in (1, 3):
        served.entries = [*entries[:4], entries[twice]]
        assert "once more" in str(contradiction(served, seen)) or "comes after tick" in str(contradiction(served, seen))


def test_a_tick_that_is_not_what_its_leaf_says(served: Served) -> None:
    served.ticks["3"] = forged(served, 3, received_at="2026-11-20T00:00:00Z")
    found = contradiction(served, at(served, 4))
    assert "tick 3 is another one than entry 5 of the log names" in str(found)
    assert [item["kind"] for item in found.documents] == ["checkpoint", "leaf", "tick"]
    assert shown_to_anybody(served, found) == [5]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: {"market": {**body["market"], "rate": "0.5"}}, "not what the signed documents combine to"),
        (lambda body: {"previous": "1a" * 32}, "follows another tick"),
        (lambda body: {"rules": "1a" * 32}, "price rules"),
        (lambda body: {"market": None, "dropped": []}, "its documents make a tick"),
    ],
)
def test_a_tick_that_the_operator_may_not_sign(
    served: Served, change: Callable[[dict[str, Any]], dict[str, Any]], why: str
) -> None:
    seen = at(served, 4)
    changes = change(served.ticks["3"].body)
    body = {name: value for name, value in {**served.ticks["3"].body, **changes}.items() if value is not None}
    served.ticks["3"] = served.identity.sign("tick", body)
    served.entries[5] = tick_leaf(served.ticks["3"]).to_bytes()
    served.size = 6
    assert why in str(contradiction(served, seen))


def shown_to_anybody(served: Served, found: Contradiction) -> list[int]:
    """Check the leaves of a contradiction as somebody does who has nothing else; return where they stand."""
    bundle = found.bundle()
    checkpoint = Checkpoint.parse(bundle["documents"][0]["text"])
    checkpoint.note.verify(served.world.operator.log_key)
    leaves = [item for item in bundle["documents"] if item["kind"] == "leaf"]
    for item in leaves:
        path = [bytes.fromhex(hash_) for hash_ in item["path"]]
        check_inclusion(item["entry"].encode(), int(item["index"]), checkpoint.head.size, path, checkpoint.head.root)
    return [int(item["index"]) for item in leaves]


@pytest.mark.parametrize("entry", [b"", b"{}", b"not json", b'{"kind":"tick"}', b"\xff\xfe"])
def test_an_entry_that_is_no_leaf(served: Served, entry: bytes) -> None:
    seen = at(served, 4)
    served.entries[4] = entry
    assert "entry 4 is no leaf" in str(contradiction(served, seen))


def test_what_a_cache_can_do_proves_nothing(served: Served) -> None:
    seen, monitor = at(served, 4), served.monitor()
    honest = served.fetch("v1/log/tile/entries/000.p/8", 1 << 24)
    for path, data in (
        ("v1/log/tile/entries/000.p/8", honest[:-1]),
        ("v1/log/tile/entries/000.p/8", honest.replace(b'"sequence":"3"', b'"sequence":"9"')),
        ("v1/ticks/3", b"{}"),
        ("v1/ticks/3", b"nothing"),
    ):
        served.altered = {path: data}
        with pytest.raises((LogUnreadable, TileInvalid)):
            monitor.look(seen, 0)
    # Tiles of another tree, so that the log looks forked: they do not lead to the checkpoint.
    bent = MemoryLog([b"other", *served.entries[1:7], b"another"])
    served.altered = {
        "v1/log/tile/entries/000.p/8": bent.files()["tile/entries/000.p/8"],
        "v1/log/tile/0/000.p/8": bent.files()["tile/0/000.p/8"],
    }
    with pytest.raises(LogUnreadable, match="not those of the checkpoint"):
        monitor.look(seen, 0)
    served.altered, served.size = {}, 1
    with pytest.raises(LogUnreadable, match="of 1 entries is shown, one of 4 was seen"):
        monitor.look(seen, 0)


def test_whose_log_and_who_saw_it(served: Served) -> None:
    with pytest.raises(TooFewWitnesses):
        served.monitor(WitnessPolicy((), 1)).look(Seen(), 0)
    served.identity = Identity.generate()
    with pytest.raises(NoteNotSigned):
        served.monitor().look(Seen(), 0)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"format": "other"},
        {"format": "atomic-margin/monitor/2"},
        {"format": "atomic-margin/monitor/3", "checkpoint": None},
    ],
)
def test_a_memory_that_is_none_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(LogUnreadable, match="no memory of a monitor"):
        seen_from_json(value)


def test_what_cannot_be_read_ends_one_look_and_not_a_watch(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = tmp_path / "trust.json"
    write_json(trust, served.world.trust_file().canonical())
    arguments = ["monitor", "--url", "http://127.0.0.1:9", "--trust", str(trust), "--dir", str(tmp_path / "watched")]
    arguments += ["--log", str(served.world.operator.log_key)]
    once = CliRunner().invoke(app, arguments)
    assert once.exit_code == 2
    assert "does not answer" in once.stderr
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("atomic_margin.service.cli.monitor.time.sleep", sleep)
    CliRunner().invoke(app, [*arguments, "--every", "7"])
    assert slept == [7, 7, 7]
