"""Too many calls at once: the pure queue, and an operator whose breaches wait in the order of the log."""

import dataclasses
import itertools
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.settlement import queue
from atomic_margin.service.operator.store.database import now as real_now
from atomic_margin.service.protocol.breakers import BreakerRules, Done, Waiting, releasable
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.verification import VerifiedBreach

from .documents import OTHER, Json, example
from .stages import Stages
from .world import World

WorldAt = Callable[[str], World]
BEGIN = datetime(2026, 11, 28, 8)


def rules(**changes: str) -> BreakerRules:
    body: Json = {
        "format": "atomic-margin/breaker-rules/1",
        "version": "1",
        "settlements": "2",
        "posted_share": "0.1",
        "window_seconds": "60",
        "longest_delay_seconds": "300",
    }
    return BreakerRules.parse(body | changes)


def at(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def leaves(found: list[Waiting]) -> list[int]:
    return [one.leaf for one in found]


def test_as_many_as_the_window_has_in_the_order_of_the_log() -> None:
    waiting = [Waiting(leaf, at(leaf), Decimal(10)) for leaf in (9, 3, 5)]
    assert leaves(releasable(rules(), waiting, [], Decimal(1000), at(10))) == [3, 5]
    one = [Done(at(5), Decimal(10))]
    assert leaves(releasable(rules(), waiting, one, Decimal(1000), at(10))) == [3]
    # The window begins after its first moment.
    assert leaves(releasable(rules(), waiting, one, Decimal(1000), at(64))) == [3]
    assert leaves(releasable(rules(), waiting, one, Decimal(1000), at(65))) == [3, 5]
    assert leaves(releasable(rules(), waiting, one * 2, Decimal(1000), at(10))) == []


def test_a_share_of_what_is_posted_and_a_large_one_keeps_its_place() -> None:
    """A small one behind a large one does not pass it: it would be the operator's choice which is small enough."""
    waiting = [Waiting(3, at(0), Decimal(80)), Waiting(5, at(0), Decimal(90)), Waiting(6, at(0), Decimal(1))]
    assert leaves(releasable(rules(settlements="9"), waiting, [], Decimal(1000), at(0))) == [3]
    assert leaves(releasable(rules(settlements="9"), waiting[1:], [], Decimal(1000), at(0))) == [5, 6]
    assert leaves(releasable(rules(settlements="9"), waiting[:1] + waiting[2:], [], Decimal(810), at(0))) == [3, 6]
    assert leaves(releasable(rules(settlements="9"), waiting[:1] + waiting[2:], [], Decimal(809), at(0))) == [3]
    # The first of a window settles whatever its size: it would wait for the longest delay, and all behind it.
    assert leaves(releasable(rules(), [Waiting(3, at(0), Decimal(5000))], [], Decimal(1000), at(0))) == [3]


def test_none_waits_longer_than_the_longest_delay() -> None:
    waiting = [Waiting(leaf, at(leaf), Decimal(500)) for leaf in range(20)]
    full = [Done(at(290), Decimal(1))] * 2
    assert leaves(releasable(rules(), waiting, full, Decimal(1000), at(299))) == []
    assert leaves(releasable(rules(), waiting, full, Decimal(1000), at(307))) == list(range(8))
    # The operator's clock went back for one: those before it settle with it.
    odd = [Waiting(1, at(100), Decimal(500)), Waiting(2, at(0), Decimal(500))]
    assert leaves(releasable(rules(), odd, full, Decimal(1000), at(300))) == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_any_crowd_is_released_in_order_and_in_time(seed: int) -> None:
    """Whoever comes when, and however often the queue is asked: nobody passes, nobody waits too long."""
    draw = random.Random(seed)
    crowd = sorted(draw.randrange(200) for _ in range(60))
    waiting = [Waiting(leaf, at(second), Decimal(draw.randrange(1, 90))) for leaf, second in enumerate(crowd)]
    done, order = list[Done](), list[int]()
    for second in itertools.count():
        there = [one for one in waiting if one.since <= at(second)]
        released = releasable(rules(), draw.sample(there, len(there)), done, Decimal(1000), at(second))
        recent = [one for one in done if one.settled > at(second - 60)]
        for one in released:
            late = at(second) - one.since >= timedelta(seconds=300)
            total = sum((two.usd for two in recent), one.usd)
            assert late or not recent or (len(recent) < 2 and total <= 100)
            assert at(second) - one.since <= timedelta(seconds=300)
            recent.append(Done(at(second), one.usd))
            done.append(recent[-1])
            order.append(one.leaf)
        waiting = [one for one in waiting if one not in released]
        if not waiting:
            break
    assert order == list(range(60))


@pytest.mark.parametrize(
    "changes",
    [
        {"settlements": "0"}, {"posted_share": "0"}, {"posted_share": "1.1"}, {"window_seconds": "0"},
        {"longest_delay_seconds": "59"}, {"longest_delay_seconds": "86401"}, {"more": "1"},
    ],
)  # fmt: skip
def test_rules_are_strict(changes: dict[str, str]) -> None:
    with pytest.raises(DocumentsError):
        rules(**changes)


def crowded(world: World, stages: Stages) -> list[str]:
    """Two accounts with the same book and collateral; their breaches are answered, the later run first."""
    world.enrol(OTHER)
    holdings = CollateralHoldings.parse(example("collateral"))
    for asset in sorted({*holdings.posted, *holdings.free}):
        posted = holdings.posted.get(asset, 0)
        world.deposit(OTHER, asset, posted + holdings.free.get(asset, 0), f"other-{asset}")
        if posted:
            world.instruct(OTHER, "post", asset, posted)
    world.submit(OTHER, stages.book)
    for number in (1, 2):
        world.tick(number)
        found = [world.evaluate(), world.evaluate()]
        runs = sorted(run_id for run_id in found if run_id is not None)
        for run_id in reversed(runs):
            world.answer(run_id)
    return list(reversed(runs))


def limited(world: World, **changes: str) -> None:
    world.operator.settings = dataclasses.replace(world.operator.settings, breakers=rules(**changes))


def test_breaches_settle_in_the_order_of_the_log_and_in_time(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    limited(world, settlements="1")
    first, second = crowded(world, stages)
    assert list(world.settlements()) == [first]
    assert world.run(second).state is RunState.BREACH_VERIFIED
    # Nothing else happens to it meanwhile: neither runs nor its time, and a restart does not change its place.
    assert answers.settle_unfinished(world.operator) == []
    world.tick(3)
    assert world.evaluate() == f"{first.partition('.')[0]}.3"
    world = world.restarted()
    limited(world, settlements="1")
    assert answers.settle_unfinished(world.operator) == []
    assert world.client.get("/v1/terms/breakers").json()["settlements"] == "1"
    # A halt holds it beyond the longest delay; then it is the next.
    halts.halt(world.operator, "an incident")
    monkeypatch.setattr(queue, "now", lambda: real_now() + timedelta(seconds=301))
    assert answers.settle_unfinished(world.operator) == []
    halts.resume(world.operator, "over")
    monkeypatch.setattr(queue, "now", lambda: real_now() + timedelta(seconds=30))
    assert answers.settle_unfinished(world.operator) == []
    monkeypatch.setattr(queue, "now", lambda: real_now() + timedelta(seconds=61))
    assert answers.settle_unfinished(world.operator) == [second]
    assert sorted(world.settlements()) == sorted([first, second])
    assert not any(world.totals().values())
    world.close()


def test_an_answer_that_comes_later_does_not_pass_one_that_waits(
    world_at: WorldAt, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when its request is the one that finds the window open."""
    world, tried, order = world_at("submitted"), list[str](), list[str]()
    real = answers.settle

    def settle(operator: Operator, breach: VerifiedBreach) -> bool:
        tried.append(breach.record.run_id)
        # The request of the first answer ends before its settlement.
        done = len(tried) > 1 and real(operator, breach)
        order.extend(tried[-1:] if done else [])
        return done

    monkeypatch.setattr(answers, "settle", settle)
    first, second = crowded(world, stages)
    assert (tried, order) == ([first, first, second], [first, second])
