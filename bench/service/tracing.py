"""What an operator's process says of its work while a load is played: a line of JSON for each event, in a file.

Times are of the monotonic clock, which all processes of a machine share. The institutions of a load follow the file
instead of asking the operator again and again, as an agent follows the stream of events.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import answers, background, records
from atomic_margin.service.operator.store.claims import Claim as Taken
from atomic_margin.zk.groups import Group
from atomic_margin.zk.verify.batch import Claim
from atomic_margin.zk.verify.queue import VerificationQueue

RECORDED, TIMED = "recorded", "timed"


class Trace:
    """Appends events to a file, and sums up what a thread spends on proofs within a call; safe in several threads."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._spent = threading.local()

    def write(self, event: str, **said: Any) -> None:
        """Append one event, with the time."""
        line = json.dumps({"event": event, "at": time.monotonic(), **said})
        os.write(self._descriptor, line.encode() + b"\n")

    @contextmanager
    def counting(self, kind: str) -> Iterator[None]:
        """Count the time of the block, and the processor's, as a kind of the call that this thread is in."""
        started, cpu = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            spent = getattr(self._spent, "by_kind", None)
            if spent is not None:
                for name, seconds in ((kind, time.monotonic() - started), (f"{kind}_cpu", time.thread_time() - cpu)):
                    spent[name] = spent.get(name, 0.0) + seconds

    def timed(self, module: ModuleType, name: str, run_of: Callable[[tuple[Any, ...], Any], str | None]) -> None:
        """Have every call of a function written down, with what of it was FHE and proofs.

        Args:
            module: where callers find the function.
            name: of the function.
            run_of: returns the run that a call was about, from arguments and result; None for none.
        """
        function = getattr(module, name)

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            by_kind: dict[str, float] = {}
            self._spent.by_kind = by_kind
            started, cpu = time.monotonic(), time.thread_time()
            try:
                result = function(*arguments, **named)
            finally:
                self._spent.by_kind = None
            run_id = run_of(arguments, result)
            if run_id is not None:
                spent = {"seconds": time.monotonic() - started, "cpu": time.thread_time() - cpu}
                self.write(TIMED, call=name, run_id=run_id, **spent, **by_kind)
            return result

        setattr(module, name, call)


class TimedQueue(VerificationQueue):
    """Tells a trace how long each verification took, the waiting for others included."""

    def __init__(self, group: Group, trace: Trace) -> None:
        """Verify as the operator does."""
        super().__init__(group)
        self._trace = trace

    def verify(self, claims: Sequence[Claim]) -> None:
        """Verify, and count the time."""
        with self._trace.counting("proofs"):
            super().verify(claims)


def trace_operator(operator: Operator, path: Path) -> Trace:
    """Have an operator's work written down."""
    trace = Trace(path)
    operator.proofs = TimedQueue(operator.group, trace)
    evaluate = operator.evaluator.evaluate

    def timed_evaluate(*arguments: Any, **named: Any) -> Any:
        with trace.counting("evaluation"):
            return evaluate(*arguments, **named)

    operator.evaluator.evaluate = timed_evaluate  # type: ignore[method-assign]
    record = records._record

    def recorded(
        operator: Operator, plan: records.Plan, claim: Taken, evaluated: records.TimedEvaluation | None
    ) -> None:
        record(operator, plan, claim, evaluated)
        trace.write(RECORDED, run_id=plan.run_id, institution=plan.institution, evaluated=evaluated is not None)

    records._record = recorded
    trace.timed(background, "evaluate_next", lambda _, run_id: run_id)
    trace.timed(background, "ask_next", lambda _, run_id: run_id)
    trace.timed(answers, "take_answer", lambda arguments, _: str(arguments[1]))
    return trace


def follow(path: Path, position: int = 0) -> Iterator[dict[str, Any] | None]:
    """Yield the events of a trace as they come, None whenever there is no other yet."""
    rest = b""
    with path.open("rb") as file:
        file.seek(position)
        while True:
            rest += file.read()
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield json.loads(line)
            yield None
