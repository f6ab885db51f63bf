"""Cycles of netting in a log, as a monitor and an agent count them: each number once, days going up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution.log_watch import LogContradicts, LogWatch
from atomic_margin.service.protocol.leaves import CycleLeaf, cycle_leaf
from atomic_margin.service.verifier.chains import CycleSeen, Misplaced, netted
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable
from atomic_margin.service.verifier.monitor import Seen, seen_from_json, seen_to_json

from .test_log_watch import followed
from .test_log_watch import open_watch as open_watch
from .test_log_watch import story as story
from .test_monitor_accounts import Story
from .test_monitor_accounts import played as played


def leaf(number: int, day: int, root: str = "11" * 32, size: int = 3) -> CycleLeaf:
    settles = f"2026-11-{day:02}"
    return cycle_leaf(number, settles, root, size, f"{settles}T18:00:00Z")


def test_cycles_are_followed_from_look_to_look(story: Story) -> None:
    """A log without any is read as before; what is kept of one survives a new start of the monitor."""
    monitor, seen = story.served.monitor(), story.seen()
    assert (seen.cycles, seen_to_json(seen)["cycles"]) == ((), [])
    story.then(leaf(1, 20).to_bytes(), story.fund.next(story.newest))
    seen = seen_from_json(json.loads(json.dumps(seen_to_json(monitor.look(seen, 0).seen))))
    story.then(leaf(2, 21).to_bytes())
    seen = monitor.look(seen, 0).seen
    assert [(one.leaf, one.number, one.settles) for one in seen.cycles] == [(8, 1, "2026-11-20"), (10, 2, "2026-11-21")]
    assert seen == seen_from_json(json.loads(json.dumps(seen_to_json(seen))))
    assert seen.cycles[0].is_of(leaf(1, 20))
    for other in (leaf(1, 20, root="22" * 32), leaf(1, 20, size=4), leaf(1, 19), leaf(2, 20)):
        assert not seen.cycles[0].is_of(other)
    # Neither ticks nor entries are counted otherwise for it.
    assert seen.counts == (2, 7, 2)


@pytest.mark.parametrize(
    ("other", "reason", "against"),
    [
        (leaf(1, 20), "cycle 1 of netting comes once more", 1),
        (leaf(1, 21), "cycle 1 of netting comes once more", 1),
        (leaf(3, 21), "cycle 3 of netting comes after 1", 1),
        (leaf(0, 21), "cycle 0 of netting comes after 1", 1),
        (leaf(2, 20), "cycle 2 of netting is of 2026-11-20, the one before of 2026-11-20", 1),
        (leaf(2, 19), "cycle 2 of netting is of 2026-11-19, the one before of 2026-11-20", 1),
    ],
)
def test_cycles_that_may_not_stand_in_one_log(story: Story, other: CycleLeaf, reason: str, against: int) -> None:
    story.then(leaf(1, 20).to_bytes())
    seen = story.seen()
    story.then(other.to_bytes())
    for known in (seen, Seen()):
        with pytest.raises(Contradiction, match=reason) as found:
            story.served.monitor().look(known, 0)
        shown = [json.loads(one["entry"]) for one in found.value.documents if one["kind"] == "leaf"]
        assert [one["kind"] for one in shown] == ["cycle"] * (against + 1)


def test_a_log_begins_with_the_first_cycle() -> None:
    assert netted(None, leaf(2, 20), 5) == Misplaced("cycle 2 of netting comes after 0", None)
    assert isinstance(netted(None, leaf(1, 20), 5), CycleSeen)


@pytest.mark.parametrize(
    "change",
    [{"format": "atomic-margin/monitor/4"}, {"cycles": ["8 1 2026-11-20"]}, {"cycles": None}],
    ids=str,
)
def test_a_memory_of_another_form_is_refused(story: Story, change: dict[str, Any]) -> None:
    """Also what a version without cycles wrote: it read past none, but did not say so."""
    with pytest.raises(LogUnreadable, match="no memory of a monitor"):
        seen_from_json({**seen_to_json(story.seen()), **change})


def test_an_agent_knows_the_cycles_that_its_log_has(story: Story, open_watch: Callable[[], LogWatch]) -> None:
    story.then(leaf(1, 20).to_bytes())
    watch, own = open_watch(), followed(story)
    watch.require(story.fund.pseudonym, 4, own.get)
    assert [one.number for one in watch.cycles] == [1]
    assert open_watch().cycles == watch.cycles


def test_what_speaks_against_a_cycle_is_kept_with_its_leaves_or_not_at_all(
    story: Story, open_watch: Callable[[], LogWatch], tmp_path: Path
) -> None:
    """Evidence without the leaf would convince nobody; the agent asks again in its next round."""
    story.then(leaf(1, 20).to_bytes())
    watch, own = open_watch(), followed(story)
    watch.require(story.fund.pseudonym, 4, own.get)
    fetch = story.served.fetch

    def kept_back(path: str, limit: int) -> bytes:
        raise RemoteError("nobody answers")

    story.served.fetch = kept_back  # type: ignore[method-assign]
    with pytest.raises(LogUnreadable, match="not handed out now"):
        watch.contradict("cycle-1", "another cycle", [8], {})
    assert not watch.kept("cycle-1")
    story.served.fetch = fetch  # type: ignore[method-assign]
    with pytest.raises(LogContradicts, match="another cycle"):
        watch.contradict("cycle-1", "another cycle", [8], {})
    assert watch.kept("cycle-1")
    kept = json.loads((tmp_path / "contradictions" / "cycle-1.json").read_text())
    assert json.loads(kept["documents"][1]["entry"]) == json.loads(leaf(1, 20).to_bytes())
