"""What the operator measures while it works: durations of steps, requests, alarms of its clock. `web.metrics` shows it.

One object an operator, with a registry of its own, so that two operators in one process do not add up. A step is timed
by `timed`, which also draws it into the trace of its run (`service.tracing`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from atomic_margin.service import tracing

PREFIX = "atomic_margin"
STEPS = ("plan", "evaluate", "record", "verify", "settle")
"""Of a run, in their order; `verify` is the institution's answer."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

P = ParamSpec("P")
T = TypeVar("T")


class Measures:
    """Counters and histograms of one operator's process."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry(auto_describe=True)
        self._steps = Histogram(
            f"{PREFIX}_step_seconds", "Time of a step of a run.", ["step"], buckets=_SECONDS, registry=self.registry
        )
        self._recorded = Histogram(
            f"{PREFIX}_tick_to_recorded_seconds",
            "From a tick's arrival to the record of a run on it.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.requests = Counter(
            f"{PREFIX}_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            f"{PREFIX}_request_seconds",
            "Time to answer a request.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.clock_jumps = Counter(
            f"{PREFIX}_clock_jumps", "Jumps of this machine's clock that were noticed.", registry=self.registry
        )
        for step in STEPS:
            # Shown from the start, so that a rate over the first one is a rate.
            self._steps.labels(step)

    @contextmanager
    def step(self, step: str, run_id: str) -> Iterator[None]:
        """Time the block as a step of a run, also where it fails."""
        with tracing.span(step, run_id), self._steps.labels(step).time():
            yield

    def evaluated(self, run_id: str, started: datetime, ended: datetime) -> None:
        """Take an evaluation that is over."""
        self._steps.labels("evaluate").observe(max(0.0, (ended - started).total_seconds()))
        tracing.past_span("evaluate", run_id, started, ended)

    def recorded(self, received_at: datetime, recorded_at: datetime) -> None:
        """Take how long after its tick a run was recorded."""
        self._recorded.observe(max(0.0, (recorded_at - received_at).total_seconds()))


def timed(step: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return what times a function as a step of a run; it is called with an operator, then what names the run."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def measured(*arguments: P.args, **named: P.kwargs) -> T:
            operator: Any = arguments[0]
            measures: Measures = operator.measures
            with measures.step(step, _run_of(arguments[1])):
                return function(*arguments, **named)

        return measured

    return decorate


def _run_of(named: Any) -> str:
    """Return the identifier of a run, of a row or plan of one, or of what was verified about its record."""
    found = named if isinstance(named, str) else getattr(getattr(named, "record", named), "run_id", None)
    if found is None:
        found = getattr(named, "run_id", "")
    return str(found)
