"""Moments at which something is killed: what a log says, and how long after that. Chosen by a seed, never by a sleep.

What is told after a commit, and what comes before the next, lie between two lines: a moment is a line and a part of a
second after it, so that over many of them a kill falls before, into and after every commit on the way of a run.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VARIABLE = "ATOMIC_MARGIN_CHAOS_SEED"
USUAL_SEED = 14


def seed_of(story: str) -> str:
    """Return the seed of a story; it is printed, and shown with whatever fails."""
    seed = f"{os.environ.get(VARIABLE, USUAL_SEED)}/{story}"
    print(f"{VARIABLE}={seed.partition('/')[0]} (story {story})")
    return seed


def random_of(story: str) -> random.Random:
    """Return the choices of a story."""
    return random.Random(seed_of(story))


@dataclass(frozen=True)
class Moment:
    """A line of a log that tells of a run.

    Attributes:
        name: for reports.
        log: whose: `operator` or `agent`.
        falling: whether it comes with a call only; None for both.
        tells: whether a line is it, given the line and the run.
    """

    name: str
    log: str
    falling: bool | None
    tells: Callable[[dict[str, Any], str], bool]


def _entered(kind: str) -> Callable[[dict[str, Any], str], bool]:
    return lambda line, run_id: line.get("event") == kind and line.get("run") == run_id


def _said(text: str) -> Callable[[dict[str, Any], str], bool]:
    return lambda line, run_id: text.format(run_id) in str(line.get("event"))


def _taken(line: dict[str, Any], run_id: str) -> bool:
    return line.get("event") == "tick taken" and str(line.get("tick")) == run_id.rpartition(".")[2]


MOMENTS = (
    Moment("tick taken", "operator", None, _taken),
    Moment("run opened", "operator", None, _entered("run opened")),
    Moment("run recorded", "operator", None, _said("run {} recorded")),
    Moment("answer signed", "agent", None, _said("run {}: the answer is signed")),
    Moment("covered", "operator", False, _entered("covered")),
    Moment("breach proven", "operator", True, _entered("breach proven")),
    Moment("margin called", "operator", True, _entered("margin called")),
    Moment("covered, at the agent", "agent", False, _said("covered, run {}")),
    Moment("breach proven, at the agent", "agent", True, _said("breach proven, run {}")),
    Moment("margin called, at the agent", "agent", True, _said("margin called, run {}")),
)
"""On the way of a run, in their order."""


def delay(choices: random.Random) -> float:
    """Return seconds after a line: often none, seldom as long as a settlement takes."""
    return choices.choice((0.0, choices.uniform(0, 0.02), choices.uniform(0, 0.4)))
