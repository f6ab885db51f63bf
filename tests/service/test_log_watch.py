"""An agent reads all of the log before it answers: its account stands there once, as it was told."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.service.errors import AgentRefused, ConfigurationError, RemoteError
from atomic_margin.service.institution.log_watch import LogContradicts, LogWatch, NotLogged
from atomic_margin.service.log.checkpoints import Checkpoint, cosign, witness_key
from atomic_margin.service.log.errors import TooFewWitnesses
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.protocol.leaves import EntryLeaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import LogUnreadable

from .test_log import ticks_of
from .test_monitor import Served
from .test_monitor_accounts import Story
from .world import World

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[SignedDocument]]]:
    world = World(tmp_path_factory.mktemp("watched") / "operator", Identity.generate(), {})
    # Void ones of no documents, as in `test_monitor_accounts`.
    for _ in range(3):
        world.void()
    yield world, ticks_of(world)
    world.close()


class Watched(Served):
    """A log with a witness that cosigns at a time the test sets."""

    def __init__(self, world: World, ticks: list[SignedDocument]) -> None:
        super().__init__(world, ticks)
        self.witness, self.seen_at = Identity.generate(), NOW

    def checkpoint(self) -> Checkpoint:
        bare = super().checkpoint()
        line = cosign(bare, "w1", self.witness, int(self.seen_at.timestamp()))
        return Checkpoint.parse(str(bare.note.with_lines(line)))

    def trust(self) -> TrustFile:
        log = {
            "key": str(self.world.operator.log_key),
            "witnesses": [str(witness_key("w1", self.witness.public_key))],
            "threshold": "1",
            "max_age_seconds": "60",
        }
        return TrustFile.parse({**self.world.trust(), "log": log})


@pytest.fixture
def story(played: tuple[World, list[SignedDocument]]) -> Story:
    return Story(Watched(*played))


@pytest.fixture
def open_watch(story: Story, tmp_path: Path) -> Callable[[], LogWatch]:
    served = story.served
    assert isinstance(served, Watched)
    return lambda: LogWatch(tmp_path, served.trust(), lambda path, limit: served.fetch(path, limit), lambda: NOW)


def followed(story: Story) -> dict[int, bytes]:
    """Leaves of the fund's entries, as an agent followed them."""
    return dict(enumerate(story.fund.made, 1))


def test_an_account_is_in_the_log_as_it_was_followed(story: Story, open_watch: Callable[[], LogWatch]) -> None:
    own, account = followed(story), story.fund.pseudonym
    believed = open_watch().require(account, 4, own.get)
    assert (believed.head.size, believed.witnesses) == (8, (("w1", int(NOW.timestamp())),))
    # A later start goes on from there; what came to others does not matter.
    story.then(story.pool.next(story.newest))
    watch = open_watch()
    assert watch.require(account, 4, own.get).head.size == 9
    assert watch.require(account, 3, own.get).head.size == 9
    with pytest.raises(NotLogged, match="has 4 entries of this account, and entry 5"):
        watch.require(account, 5, own.get)
    with pytest.raises(NotLogged, match="has 0 entries"):
        watch.require("1a" * 32, 1, own.get)
    story.then(story.fund.next(story.newest))
    for _ in range(2):
        with pytest.raises(NotLogged, match="entry 5 of this account, which was not followed yet"):
            watch.require(account, 4, own.get)
    assert watch.require(account, 5, followed(story).get).head.size == 10


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (4, {"entry": "1a" * 32}),
        (4, {"document": "1a" * 32}),
        # The same entry is named, and its leaf says something else than it does: what a monitor checks is the leaf.
        (2, {"receipted": "2"}),
        (3, {"tick_sequence": "0", "tick": "0" * 64, "receipted": "0"}),
        (3, {"run": False}),
    ],
    ids=str,
)
def test_another_entry_than_was_told_is_kept(
    story: Story,
    open_watch: Callable[[], LogWatch],
    tmp_path: Path,
    number: int,
    changes: dict[str, object],
) -> None:
    own, account = followed(story), story.fund.pseudonym
    told = {**own, number: EntryLeaf.parse({**json.loads(own[number]), **changes}).to_bytes()}
    with pytest.raises(LogContradicts, match=f"entry {number} of this account is another one in the log"):
        open_watch().require(account, 4, told.get)
    (file,) = (tmp_path / "contradictions").iterdir()
    kept = json.loads(file.read_text())
    assert kept["entry"] == told[number].decode()
    shown, leaf = kept["documents"]
    checkpoint = Checkpoint.parse(shown["text"])
    path = [bytes.fromhex(hash_) for hash_ in leaf["path"]]
    check_inclusion(leaf["entry"].encode(), int(leaf["index"]), checkpoint.head.size, path, checkpoint.head.root)
    assert leaf["entry"].encode() == own[number]


def test_what_is_remembered_of_other_entries_is_read_again(
    story: Story, open_watch: Callable[[], LogWatch], tmp_path: Path
) -> None:
    """A directory whose database is from a backup: its memory of the log says nothing of the entries there are now."""
    own, account = followed(story), story.fund.pseudonym
    open_watch().require(account, 4, own.get)
    with pytest.raises(NotLogged, match="entry 4 of this account, which was not followed yet"):
        open_watch().require(account, 3, {number: own[number] for number in (1, 2, 3)}.get)
    told = {**own, 4: EntryLeaf.parse({**json.loads(own[4]), "entry": "1a" * 32}).to_bytes()}
    with pytest.raises(LogContradicts, match="entry 4 of this account is another one in the log"):
        open_watch().require(account, 4, told.get)
    assert (tmp_path / "contradictions" / "log-account.json").exists()


def test_a_log_that_contradicts_itself_is_kept(
    story: Story, open_watch: Callable[[], LogWatch], tmp_path: Path
) -> None:
    watch, own = open_watch(), followed(story)
    watch.require(story.fund.pseudonym, 4, own.get)
    # It is about somebody else's account, and the log is no good for this one either.
    story.then(story.pool.leaf(story.newest, number="9"))
    for _ in range(2):
        with pytest.raises(LogContradicts, match="comes after 2"):
            watch.require(story.fund.pseudonym, 4, own.get)
    (file,) = (tmp_path / "contradictions").iterdir()
    assert [item["kind"] for item in json.loads(file.read_text())["documents"]] == ["checkpoint", "leaf", "leaf"]
    assert issubclass(LogContradicts, AgentRefused)


def test_nothing_rests_on_what_too_few_saw_lately(story: Story, open_watch: Callable[[], LogWatch]) -> None:
    served, own = story.served, followed(story)
    assert isinstance(served, Watched)
    served.seen_at = NOW - timedelta(seconds=61)
    with pytest.raises(TooFewWitnesses, match="61 s ago, at most 60 s"):
        open_watch().require(story.fund.pseudonym, 4, own.get)
    served.seen_at = NOW - timedelta(seconds=60)
    watch = open_watch()
    watch.require(story.fund.pseudonym, 4, own.get)
    served.witness = Identity.generate()
    with pytest.raises(TooFewWitnesses, match="0 of the 1"):
        watch.require(story.fund.pseudonym, 4, own.get)


def test_what_cannot_be_read(story: Story, open_watch: Callable[[], LogWatch], tmp_path: Path) -> None:
    watch, own = open_watch(), followed(story)
    watch.require(story.fund.pseudonym, 4, own.get)
    fetch = story.served.fetch

    def gone(path: str, limit: int) -> bytes:
        raise RemoteError("nobody answers")

    story.served.fetch = gone  # type: ignore[method-assign]
    with pytest.raises(RemoteError):
        watch.require(story.fund.pseudonym, 4, own.get)
    story.served.fetch = fetch  # type: ignore[method-assign]
    story.served.size = 7
    with pytest.raises(LogUnreadable, match="of 7 entries is shown, one of 8 was seen"):
        watch.require(story.fund.pseudonym, 4, own.get)
    (tmp_path / "log.json").write_text("{}")
    with pytest.raises(LogUnreadable, match=r"log\.json: no memory of a monitor of this version.*; remove it"):
        open_watch()
    served = story.served
    assert isinstance(served, Watched)
    without = TrustFile.parse({name: value for name, value in served.world.trust().items() if name != "log"})
    with pytest.raises(ConfigurationError, match="names no log"):
        LogWatch(tmp_path, without, fetch, lambda: NOW)
