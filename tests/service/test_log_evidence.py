"""An operator shows that leaves are in its log, and when a time to answer is over: by its witnesses' clocks."""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, cosign, sign_head, witness_key
from atomic_margin.service.log.clock import check_deadline
from atomic_margin.service.log.errors import DeadlineOpen, TooFewWitnesses
from atomic_margin.service.log.evidence import check_evidence
from atomic_margin.service.log.tree import root
from atomic_margin.service.operator import deadlines
from atomic_margin.service.operator.deadlines import clock
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.operator.store.tables import CosignedRow
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.leaves import EntryLeaf
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import LogTrust

from .test_log import entries, serving
from .test_log import watcher as watcher
from .test_log import world_at as world_at
from .world import World


class Watched:
    """An operator whose log is published with witnesses whose clocks a test sets."""

    def __init__(self, world: World, count: int, threshold: int | None = None) -> None:
        self.world, self.operator = world, world.operator
        self.identities = [Identity.generate() for _ in range(count)]
        self.keys = [witness_key(f"w{number}", one.public_key) for number, one in enumerate(self.identities)]
        self.operator.settings = dataclasses.replace(
            self.operator.settings,
            witnesses=tuple(("http://127.0.0.1:9", key) for key in self.keys),
            threshold=threshold,
        )

    def append(self, count: int = 1) -> int:
        """Append leaves of entries; return the number of the last one."""
        with self.operator.store.unit_of_work() as session:
            return [log.append(session, entry(log.size(session))) for _ in range(count)][-1]

    def publish(self, *times: int | None) -> str:
        """Store what a publisher does when each witness cosigned at a time, or not where that is None."""
        with self.operator.store.unit_of_work() as session:
            size = log.size(session)
            head = TreeHead(self.operator.log_key.name, size, root(log.reader(session), size))
        checkpoint = sign_head(head, self.operator.identity)
        lines = "".join(
            cosign(checkpoint, key.name, identity, moment)
            for key, identity, moment in zip(self.keys, self.identities, times, strict=True)
            if moment is not None
        )
        Publisher(self.operator)._keep(checkpoint, lines, True)
        return lines

    def trust(self, threshold: int = 2) -> LogTrust:
        return LogTrust.parse(
            {
                "key": str(self.operator.log_key),
                "witnesses": [str(key) for key in self.keys],
                "threshold": str(threshold),
                "max_age_seconds": "60",
            }
        )

    def clock(self, leaf: int, seconds: int = 900) -> deadlines.Clock | None:
        with self.operator.store.unit_of_work() as session:
            return clock(session, self.operator, leaf, seconds)

    def evidence(self, *leaves: int) -> Evidence | None:
        with self.operator.store.unit_of_work() as session:
            return checkpoints.evidence(session, leaves)


def entry(number: int, entered_at: str = "2026-11-27T12:00:00Z") -> bytes:
    """A leaf of an entry, which its number makes another one each time."""
    names = {
        name: hashlib.sha256(f"{name} {number}".encode()).hexdigest() for name in ("entry", "document", "previous")
    }
    return EntryLeaf.parse(
        {
            "format": "atomic-margin/leaf/2",
            "kind": "entry",
            "account": "1a" * 32,
            "number": str(number + 1),
            "run": True,
            "tick": "0" * 64,
            "tick_sequence": "0",
            "receipted": "0",
            "entered_at": entered_at,
            **names,
        }
    ).to_bytes()


@pytest.fixture
def watched(world_at: Callable[[str], World]) -> Watched:
    return Watched(world_at("bare"), 3)


def test_evidence_rests_on_the_newest_checkpoint_that_enough_cosigned(watched: Watched) -> None:
    watched.append(300)
    assert watched.evidence(0) is None
    watched.publish(100, None, None)
    assert watched.evidence(0) is None
    watched.publish(100, 110, None)
    watched.append(5)
    # Signed and seen by one alone: nothing rests on it yet.
    watched.publish(None, None, 120)
    found = watched.evidence(7, 299, 0)
    assert found is not None
    leaves = entries(watched.world)
    believed = check_evidence(found, [leaves[7], leaves[299], leaves[0]], watched.trust(), now=150)
    assert (believed.head.size, believed.seen_at) == (300, 110)
    assert watched.evidence(0, 300) is None
    watched.publish(120, None, 120)
    again = watched.evidence(0, 300)
    assert again is not None
    assert check_evidence(again, [leaves[0], leaves[300]], watched.trust(), now=150).head.size == 305


def test_the_endpoint_shows_it_to_anybody(watched: Watched) -> None:
    client = watched.world.client
    watched.append(4)
    refused = client.get("/v1/log/evidence", params={"leaf": 1})
    assert (refused.status_code, refused.json()["field"]) == (404, "leaf")
    watched.publish(100, 100, 100)
    shown = client.get("/v1/log/evidence", params={"leaf": [1, 3]})
    evidence = Evidence.parse(shown.json()["evidence"])
    leaves = entries(watched.world)
    assert check_evidence(evidence, [leaves[1], leaves[3]], watched.trust()).head.size == 4
    assert client.get("/v1/log/evidence", params={"leaf": 4}).status_code == 404
    for wrong in ({}, {"leaf": [0] * 9}, {"leaf": -1}, {"leaf": "x"}, {"leaf": 2**62}):
        assert client.get("/v1/log/evidence", params=wrong).status_code == 422


def test_a_real_publisher_and_real_witnesses(
    world_at: Callable[[str], World], watcher: Callable[[World, str], Any]
) -> None:
    world = world_at("bare")
    witness = watcher(world, "w1")
    with serving(witness) as url:
        settings = dataclasses.replace(world.operator.settings, witnesses=((url, witness.key),))
        world.operator.settings = settings
        publisher = Publisher(world.operator)
        world.tick(1)
        assert publisher.publish() is True
        publisher.close()
    with world.operator.store.unit_of_work() as session:
        found = checkpoints.evidence(session, [0, 1])
    assert found is not None
    trust = {"key": str(world.operator.log_key), "witnesses": [str(witness.key)], "threshold": "1"}
    policy = LogTrust.parse({**trust, "max_age_seconds": "60"})
    assert check_evidence(found, entries(world), policy, now=int(time.time())).witnesses[0][0] == "w1"


def test_a_time_is_over_when_enough_witnesses_say_so(watched: Watched) -> None:
    leaf = watched.append()
    assert watched.clock(leaf) is None
    # One of three is not enough to begin it.
    watched.publish(0, None, None)
    watched.publish(1000, 1010, None)
    watched.append(3)
    assert watched.clock(leaf) is None
    # Nor is one fast clock enough to end it.
    watched.publish(9999, 1500, None)
    assert watched.clock(leaf) is None
    watched.publish(9999, 1910, None)
    watched.publish(9999, 9999, 9999)
    over = watched.clock(leaf)
    assert over is not None
    assert over.ends is not None
    data = entries(watched.world)[leaf]
    elapsed = check_deadline(over.begins, over.ends, data, 900, watched.trust())
    assert elapsed == (1010, 1910)
    with pytest.raises(DeadlineOpen):
        check_deadline(over.begins, over.ends, data, 901, watched.trust())
    with pytest.raises(TooFewWitnesses):
        check_deadline(over.begins, over.ends, data, 900, watched.trust(3))
    # It can be told as soon as it is over, and what is told does not change afterwards.
    watched.publish(9999, 99999, 99999)
    assert watched.clock(leaf) == over
    # A leaf that came later began later.
    later = watched.clock(leaf + 3, seconds=400)
    assert later is not None
    assert later.ends != over.ends
    assert check_deadline(later.begins, later.ends, entries(watched.world)[leaf + 3], 400, watched.trust())[0] == 9999


def test_without_witnesses_there_is_nothing_to_show(world_at: Callable[[str], World]) -> None:
    watched = Watched(world_at("bare"), 0)
    leaf = watched.append()
    assert watched.clock(leaf) == deadlines.Clock(None, None)
    # What was published before there were witnesses is no clock once there are.
    watched.publish()
    assert watched.evidence(leaf) is not None
    with_witness = Watched(watched.world, 1)
    assert with_witness.clock(leaf) is None
    with_witness.publish(100)
    with_witness.publish(1000)
    assert with_witness.clock(leaf) is not None


def test_what_is_old_is_pruned_and_a_clock_then_begins_later(watched: Watched) -> None:
    leaf = watched.append()
    for moment in (100, 200, 300, 400, 5000):
        watched.publish(moment, moment, None)
    with watched.operator.store.unit_of_work() as session:
        checkpoints.prune(session, 2, 4650)
        assert [row.seen_at for row in session.query(CosignedRow).order_by(CosignedRow.id)] == [400, 5000]
        checkpoints.prune(session, 1, 10**6)
        assert session.query(CosignedRow).count() == 2
    over = watched.clock(leaf)
    assert over is not None
    assert over.begins is not None
    believed = check_evidence(over.begins, entries(watched.world)[leaf : leaf + 1], watched.trust())
    assert believed.seen_at == 400


@pytest.fixture
def settings(world_at: Callable[[str], World]) -> Any:
    return world_at("bare").operator.settings


def test_how_many_cosignatures_are_wanted(settings: Any, tmp_path: Path) -> None:
    keys = tuple(
        ("http://127.0.0.1:9", witness_key(f"w{number}", Identity.generate().public_key)) for number in range(4)
    )
    for count, needed in ((0, 0), (1, 1), (2, 2), (3, 2), (4, 3)):
        assert dataclasses.replace(settings, witnesses=keys[:count]).policy_of_log.needed == needed
    assert dataclasses.replace(settings, witnesses=keys, threshold=4).policy_of_log.needed == 4
    with pytest.raises(ConfigurationError, match="2 cosignatures are wanted, and there are 1"):
        Operator(
            dataclasses.replace(settings, directory=tmp_path / "other", witnesses=keys[:1], threshold=2),
            None,  # type: ignore[arg-type]  # it is refused before anything is opened
        )


def test_evidence_is_made_in_the_time_of_a_proof(watched: Watched) -> None:
    """One transaction, one row, and a path for each leaf: no leaf is read."""
    watched.append(2000)
    watched.publish(1, 1, 1)
    assert watched.evidence(0) is not None
    began = time.process_time()
    for number in range(20):
        assert watched.evidence(number * 97) is not None
    assert (time.process_time() - began) / 20 < 0.05
    assert Checkpoint.parse(watched.world.client.get("/v1/log/checkpoint").text).head.size == 2000
