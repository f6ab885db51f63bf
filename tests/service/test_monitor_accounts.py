"""A monitor follows the entries of accounts among the ticks of a log, and several operators at once."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli import monitor as command
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.log.checkpoints import WitnessPolicy, witness_key
from atomic_margin.service.protocol.leaves import EntryLeaf, TickLeaf, tick_leaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.verifier.errors import Contradiction, LeafUnknown
from atomic_margin.service.verifier.monitor import Seen, seen_from_json, seen_to_json

from .test_log import ticks_of
from .test_monitor import Served, shown_to_anybody
from .world import World


@dataclass
class Account:
    """The entries of an account, as their leaves show them."""

    name: str
    number: int = 0
    head: str = "0" * 64
    made: list[bytes] = field(default_factory=list)

    @property
    def pseudonym(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def leaf(self, newest: TickLeaf | None, run: bool = False, **changes: Any) -> bytes:
        """Return the leaf of the next entry, with changes."""
        number = self.number + 1
        entry = hashlib.sha256(f"{self.name} {number} {changes}".encode()).hexdigest()
        body = {
            "format": "atomic-margin/leaf/2",
            "kind": "entry",
            "account": self.pseudonym,
            "number": str(number),
            "previous": self.head,
            "entry": entry,
            "document": entry[::-1],
            "run": run,
            "tick": "0" * 64 if newest is None else newest.tick,
            "tick_sequence": "0" if newest is None else str(newest.sequence),
            "receipted": "0" if newest is None else str(newest.sequence),
            "entered_at": "2026-11-27T12:00:00Z",
        }
        return EntryLeaf.parse({**body, **changes}).to_bytes()

    def next(self, tick: TickLeaf | None, run: bool = False) -> bytes:
        """Return the leaf of the next entry, and remember it."""
        leaf = self.leaf(tick, run)
        self.number, self.head = self.number + 1, json.loads(leaf)["entry"]
        self.made.append(leaf)
        return leaf


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[SignedDocument]]]:
    world = World(tmp_path_factory.mktemp("accounts") / "operator", Identity.generate(), {})
    # Void ones of no documents: receipts of sources are looked at in `test_monitor_receipts`.
    for _ in range(3):
        world.void()
    yield world, ticks_of(world)
    world.close()


@pytest.fixture
def served(played: tuple[World, list[SignedDocument]]) -> Served:
    return Served(*played)


class Story:
    """Two accounts among three ticks: 0 fund, 1 tick 1, 2 fund, 3 pool, 4 fund run, 5 tick 2, 6 fund run, 7 pool."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.ticks = [tick_leaf(document) for document in served.ticks.values()]
        one, two, self.third = self.ticks
        self.fund, self.pool = Account("fund"), Account("pool")
        served.entries = [
            self.fund.next(None),
            one.to_bytes(),
            self.fund.next(one),
            self.pool.next(one),
            self.fund.next(one, run=True),
            two.to_bytes(),
            self.fund.next(two, run=True),
            self.pool.next(two),
        ]
        served.size = len(served.entries)
        self.newest = two

    def seen(self) -> Seen:
        return self.served.monitor().look(Seen(), 0).seen

    def then(self, *leaves: bytes) -> None:
        self.served.entries += leaves
        self.served.size = len(self.served.entries)


@pytest.fixture
def story(served: Served) -> Story:
    return Story(served)


def test_accounts_are_followed_from_look_to_look(story: Story) -> None:
    seen, monitor = Seen(), story.served.monitor()
    for size in (1, 2, 5, 8, 8):
        story.served.size = size
        looked = monitor.look(seen, 0)
        seen = seen_from_json(json.loads(json.dumps(seen_to_json(looked.seen))))
        assert seen == looked.seen
    assert seen.counts == (2, 6, 2)
    assert {name: account.number for name, account in seen.accounts.items()} == {
        story.fund.pseudonym: 4,
        story.pool.pseudonym: 2,
    }
    # The pool never had a run: that is counted, and contradicts nothing.
    assert seen.without_run == 1
    story.then(story.third.to_bytes())
    assert monitor.look(seen, 0).seen.without_run == 2
    # What is kept does not grow with the entries of an account.
    before = len(json.dumps(seen_to_json(seen)))
    story.then(*(story.fund.next(story.third) for _ in range(50)))
    assert len(json.dumps(seen_to_json(monitor.look(seen, 0).seen))) < before + 500


def contradicted(story: Story, seen: Seen) -> tuple[str, list[int]]:
    with pytest.raises(Contradiction) as caught:
        story.served.monitor().look(seen, 0)
    return str(caught.value), shown_to_anybody(story.served, caught.value)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("leaf", "said", "leaves"),
    [
        (lambda story: story.fund.leaf(story.newest, number="6"), "comes after 4", [6, 8]),
        (lambda story: story.fund.leaf(story.newest, number="4"), "entry 4 of account .* once more", [6, 8]),
        (lambda story: story.fund.made[0], "entry 1 of account .* once more", [6, 8]),
        (lambda story: story.fund.leaf(story.newest, number="0"), "comes after 4", [6, 8]),
        (lambda story: story.pool.leaf(story.newest, previous="1a" * 32), "follows another entry than 2", [7, 8]),
        (lambda story: story.pool.leaf(story.newest, previous=story.fund.head), "follows another entry", [7, 8]),
        # Backdated: behind the tick that is in the log already; and dated ahead.
        (
            lambda story: story.fund.leaf(story.ticks[0]),
            "names tick 1 as the newest, and before it",
            [5, 8],
        ),
        (
            lambda story: story.fund.leaf(story.third),
            "names tick 3 as the newest, and before it",
            [5, 8],
        ),
        (lambda story: story.fund.leaf(None), "names tick 0 as the newest", [5, 8]),
        (lambda story: story.fund.leaf(story.newest, tick="1a" * 32), "names another tick 2", [5, 8]),
        # Receipts that there are not; what stands before it is all there was.
        (
            lambda story: story.fund.leaf(story.newest, receipted="3"),
            "tick 3 was receipted last, and",
            [5, 8],
        ),
        (
            lambda story: story.fund.leaf(story.newest, receipted="1"),
            "tick 1 was receipted last, and",
            [5, 8],
        ),
        # An account that begins in the middle, where nothing before it could be shown.
        (lambda story: Account("new", 3, "1a" * 32).leaf(story.newest), "comes after 0", [8]),
        (lambda story: Account("new").leaf(story.newest, previous="1a" * 32), "follows another entry than 0", [8]),
    ],
)
def test_what_contradicts_is_kept_with_both_leaves(
    story: Story, leaf: Callable[[Story], bytes], said: str, leaves: list[int], at_once: bool
) -> None:
    seen = Seen() if at_once else story.seen()
    story.then(leaf(story), story.third.to_bytes())
    reason, shown = contradicted(story, seen)
    assert re.search(said, reason), reason
    assert shown == leaves


def test_a_tick_that_comes_twice_is_kept_with_both_leaves(story: Story) -> None:
    seen = story.seen()
    story.then(story.newest.to_bytes())
    reason, shown = contradicted(story, seen)
    assert ("once more" in reason, shown) == (True, [5, 8])
    story.served.entries.pop()
    story.then(story.ticks[0].to_bytes())
    reason, shown = contradicted(story, seen)
    assert ("comes after tick 2" in reason, shown) == (True, [5, 8])


def test_an_operator_that_keeps_old_leaves_back_does_not_end_a_contradiction(story: Story) -> None:
    seen, fetch = story.seen(), story.served.fetch
    story.then(story.fund.leaf(story.newest, number="6"))

    def without_tiles(path: str, limit: int) -> bytes:
        if path.startswith("v1/log/tile/0/"):
            raise RemoteError(f"{path} answers with status 404", 404)
        return fetch(path, limit)

    story.served.fetch = without_tiles  # type: ignore[method-assign]
    with pytest.raises(Contradiction) as caught:
        story.served.monitor().look(seen, 0)
    assert [(item["kind"], item.get("index")) for item in caught.value.documents] == [
        ("checkpoint", None),
        ("leaf", "6"),
        ("leaf", "8"),
    ]
    assert all("404" in item["missing"] for item in caught.value.documents[1:])


def test_a_leaf_of_a_later_format_is_named_and_contradicts_nothing(story: Story) -> None:
    seen = story.seen()
    value = {**json.loads(story.fund.leaf(story.newest)), "format": "atomic-margin/leaf/5", "new": "field"}
    story.then(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(LeafUnknown, match="leaf 8 is of format 'atomic-margin/leaf/5'") as found:
        story.served.monitor().look(seen, 0)
    assert found.value.format == "atomic-margin/leaf/5"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "atomic-margin/leaf/1"},
        {"kind": "tick"},
        {"run": "true"},
        {"number": "05"},
        {"account": "fund"},
        {"more": "1"},
    ],
    ids=str,
)
def test_a_leaf_that_its_format_does_not_allow(story: Story, change: dict[str, Any]) -> None:
    seen = story.seen()
    value = {**json.loads(story.fund.leaf(story.newest)), **change}
    story.then(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    reason, shown = contradicted(story, seen)
    assert ("entry 8 is no leaf of this version" in reason, shown) == (True, [8])


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result


class Operators:
    """Operators behind addresses, and a trust file with its log for each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.served = folder, {}  # type: ignore[var-annotated]
        monkeypatch.setattr(command, "fetcher", lambda url: self.served[url].fetch)

    def add(self, url: str, served: Served, log: bool = True) -> str:
        self.served[url] = served
        trust = served.world.trust()
        if log:
            trust["log"] = {
                "key": str(served.world.operator.log_key),
                "witnesses": [str(witness_key("w", Identity.generate().public_key))],
                "threshold": "1",
                "max_age_seconds": "60",
            }
        file = self.folder / f"{len(self.served)}.json"
        write_json(file, trust)
        return f"{url}={file}"


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Operators, Story, Story]]:
    # Witnesses are looked at elsewhere: here the trust file's threshold would ask for one that nobody runs.
    monkeypatch.setattr(command, "policy_of", lambda _: WitnessPolicy())
    worlds = [World(tmp_path / f"operator-{number}", Identity.generate(), {}) for number in range(2)]
    for world in worlds:
        for _ in range(3):
            world.void()
    stories = [Story(Served(world, ticks_of(world))) for world in worlds]
    yield Operators(tmp_path, monkeypatch), stories[0], stories[1]
    for world in worlds:
        world.close()


def test_several_operators_are_followed_in_one_call(others: tuple[Operators, Story, Story], tmp_path: Path) -> None:
    operators, first, second = others
    named = [
        part
        for url, story in (("http://a", first), ("http://b", second))
        for part in ("--operator", operators.add(url, story.served))
    ]
    watched = tmp_path / "watched"
    held = run(*named, "--dir", watched)
    assert held.exit_code == 0
    lines = held.stdout.splitlines()
    assert len(lines) == 2
    for line, story in zip(lines, (first, second), strict=True):
        assert story.served.world.operator.log_key.name in line
        assert (
            "8 leaves, 8 new; 2 ticks up to 2; 6 entries of 2 accounts; 2 entries about runs; 1 account without" in line
        )
    # One that contradicts itself does not keep the other from being looked at.
    first.then(first.fund.leaf(first.newest, number="6"))
    second.then(second.fund.next(second.newest))
    found = run(*named, "--dir", watched)
    assert found.exit_code == 1
    assert "comes after 4" in found.stdout
    assert "9 leaves, 1 new" in found.stdout
    (contradiction,) = watched.glob("*/contradiction-*.json")
    assert [item["kind"] for item in read_json(contradiction)["documents"]] == ["checkpoint", "leaf", "leaf"]
    # What is known of each stands apart.
    assert len({json.dumps(read_json(place)["size"]) for place in watched.glob("*/seen.json")}) == 2

    def gone(path: str, limit: int) -> bytes:
        raise RemoteError("nobody answers")

    first.served.fetch = gone  # type: ignore[method-assign]
    away = run(*named, "--dir", watched, "--json")
    assert away.exit_code == 2
    assert "nobody answers" in away.stderr
    shown = json.loads(away.stdout)
    assert (shown["holds"], shown["entries"], shown["accounts"], shown["runs"]) == (True, "7", "2", "2")


def test_one_operator_is_followed_by_its_trust_file(others: tuple[Operators, Story, Story], tmp_path: Path) -> None:
    operators, first, _ = others
    file = operators.add("http://a", first.served).partition("=")[2]
    held = run("--url", "http://a", "--trust", file, "--dir", tmp_path / "one", "--json")
    assert (held.exit_code, json.loads(held.stdout)["size"]) == (0, "8")
    assert (tmp_path / "one" / "seen.json").exists()


def test_what_is_asked_wrongly(others: tuple[Operators, Story, Story], tmp_path: Path) -> None:
    operators, first, _ = others
    entry = operators.add("http://a", first.served)
    bare = operators.add("http://b", first.served, log=False)
    file = entry.partition("=")[2]
    for arguments, said in (
        ([], "give --url and --trust"),
        (["--url", "http://a"], "give --url and --trust"),
        (["--operator", entry, "--url", "http://a"], "give --url and --trust"),
        (["--operator", entry, "--needed", "1"], "give --url and --trust"),
        (["--operator", "http://a"], "takes URL=FILE"),
        (["--operator", entry, "--operator", entry], "is followed already"),
        (["--operator", bare], "names no log"),
        (["--url", "http://a", "--trust", file, "--needed", "1"], "go with --log"),
    ):
        refused = run(*arguments, "--dir", tmp_path / "none")
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments
        assert said in refused.stderr
