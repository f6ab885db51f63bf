"""Requests between agent and operator that are lost, late, doubled, out of order and cut, and partitions of both."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from atomic_margin.service.demo.parties import signed_prices
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.messages import LastTick
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.ticks import place_after

from ..e2e.harness import World
from .house import NAME, House, open_house
from .moments import MOMENTS, random_of
from .stories import ENDS, calm, sending, verdict, watching
from .wire import Fate, Wire, send_again

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


MOST_TICKS = 40


def enough(wire: Wire) -> bool:
    """Whether answers to runs were lost on both ways, doubled, late and out of order; what is read is so by the way."""
    sent = {fate for method, fate in wire.fates if method == "POST"}
    back = {Fate.ANSWER_LOST, Fate.ANSWER_CUT}
    return sent >= {Fate.LOST, Fate.DELAYED, Fate.DOUBLED, Fate.AGAIN_LATER} and bool(sent & back)


@contextmanager
def wired(world: World, choices: random.Random) -> Iterator[tuple[House, Wire]]:
    """A house whose agent reaches its operator through a wire."""
    wires: list[Wire] = []

    def between(port: int) -> str:
        wires.append(Wire(port, choices))
        return wires[0].start()

    try:
        with open_house(world, between=between) as house:
            yield house, wires[0]
    finally:
        for wire in wires:
            wire.stop()


def test_requests_are_lost_late_doubled_cut_and_out_of_order(plain_world: World) -> None:
    choices = random_of("wire")
    with wired(plain_world, choices) as (house, wire):
        calm(house)
        # A round of the agent reads a few times and sends once: what it sends is what this is about.
        wire.shares = {"GET": 0.1, "POST": 0.7}
        number = 1
        while not enough(wire):
            number += 1
            assert number < MOST_TICKS, f"too little happened: {wire.fates}"
            if number % 2 == 0:
                house.falling()
            assert house.tick() == number
            print(f"{NAME}.{number}: {house.wait_over(number, ENDS)}")
        wire.shares = {}
        calm(house)
        print(wire.fates)
        # All that the agent ever sent comes once more, in another order: by now somebody could have kept it.
        target = int(house.url.rpartition(":")[2])
        posted = list(wire.recorded)
        assert len(posted) >= number
        choices.shuffle(posted)
        statuses = {send_again(target, request) for request in posted}
        print(f"sent again: {statuses}")
        assert max(statuses) < 500
        calm(house)
        judged = verdict(house)
        assert house.operator.starts == house.agent.starts == 1
    seen = judged()
    # Nothing came of what was sent again: every run has its own answer and no more.
    assert len(seen.ticks) == number + 2


def test_the_way_between_agent_and_operator_is_cut_at_moments_of_runs(plain_world: World) -> None:
    choices = random_of("partitions")
    with wired(plain_world, choices) as (house, wire):
        calm(house)
        for number in range(2, 8):
            falling = number % 2 == 0 and house.falling()
            moment = choices.choice([one for one in MOMENTS if one.falling in (None, falling)])
            wait, run_id = watching(house), f"{NAME}.{number}"
            silent, seconds = choices.random() < 0.5, choices.uniform(0.5, 8)
            with sending(house):
                wait(moment, run_id)
                with wire.parted(silent=silent):
                    time.sleep(seconds)
            print(f"{run_id}: parted for {seconds:.1f} s after {moment.name}, silent {silent}")
            print(f"{run_id}: {house.wait_over(number, ENDS)}")
        # Ticks come while nobody can answer: the newest counts, and the account is covered when the way is back.
        with wire.parted(silent=False):
            ticks = [house.tick() for _ in range(3)]
        house.wait_over(ticks[-1], (RunState.COVERED, RunState.SUPERSEDED))
        calm(house)
        judged = verdict(house)
        assert house.operator.starts == house.agent.starts == 1
    judged()


def test_sources_send_the_same_tick_twice_at_once_and_older_ones_again(plain_world: World) -> None:
    choices = random_of("sources")
    with open_house(plain_world) as house:
        calm(house)
        rules = PriceRules.parse(read_json(plain_world.root / "price-rules.json"))
        headers = {"Authorization": f"Bearer {(plain_world.root / 'operator' / 'admin.token').read_text().strip()}"}
        sent: list[dict[str, Any]] = []
        for number in range(2, 6):
            if number % 2 == 0:
                house.falling()
            newest = house.ask("/v1/ticks", LastTick)
            assert newest is not None
            place = place_after(house.last_tick(newest), rules)
            sent.append(signed_prices(plain_world.sources, house.prices(number), place))
            bodies = [sent[-1]] * 3 + choices.sample(sent, min(2, len(sent)))
            choices.shuffle(bodies)
            statuses: list[int] = []

            def send(body: dict[str, Any], statuses: list[int] = statuses) -> None:
                statuses.append(httpx.post(f"{house.url}/v1/ticks", json=body, headers=headers, timeout=60).status_code)

            threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(f"tick {number}: {statuses}")
            assert statuses.count(202) >= 1
            assert max(statuses) < 500
            house.ticks.append(number)
            house.wait_over(number, ENDS)
        calm(house)
        judged = verdict(house)
    assert len(judged().ticks) == 6
