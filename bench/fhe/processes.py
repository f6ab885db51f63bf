"""Starts measuring processes, one after the other, and hears what they say."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from atomic_margin.bench.fhe.errors import BenchFailed
from atomic_margin.bench.fhe.jobs import COMPILING, MAKING_KEYS, Job

_JOB, _ERRORS = "job.json", "errors.txt"


def in_a_process(job: Job, stage: Callable[[str], None], limit: float | None = None) -> dict[str, Any]:
    """Perform `job` in a fresh process of this interpreter and return its figures.

    Args:
        job: what to do.
        stage: called with the name of each stage the process reaches.
        limit: seconds that compiling and making keys may take together; None for any time.

    Raises:
        BenchFailed: the process ended without a result, or was killed because compiling took too long.
    """
    job.write(job.directory / _JOB)
    errors = job.directory / _ERRORS
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "atomic_margin.bench.fhe.child", str(job.directory / _JOB), str(writing)]
    result: dict[str, Any] | None = None
    problem: str | None = None
    late = _Limit(limit)
    with os.fdopen(reading) as lines:
        try:
            with errors.open("wb") as output:
                process = subprocess.Popen(command, pass_fds=(writing,), stdout=output, stderr=output)  # noqa: S603 - our own command
        finally:
            os.close(writing)
        try:
            for line in lines:
                message = json.loads(line)
                if "stage" in message:
                    stage(message["stage"])
                    late.watch(process, message["stage"])
                elif "problem" in message:
                    problem = message["problem"]
                else:
                    result = message["result"]
            status = process.wait()
        finally:
            late.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
    if late.passed:
        raise BenchFailed(
            f"{late.stage} {', '.join(job.circuits)} was stopped after {limit:g} s (--compile-timeout): make its "
            "lookups narrower, or allow more time"
        )
    if problem is not None:
        raise BenchFailed(problem)
    if status != 0 or result is None:
        said = errors.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing; it may have run out of memory"
        raise BenchFailed(f"{job.kind} of {', '.join(job.circuits)} ended with status {status}: {last}")
    return result


class _Limit:
    """Kills a process that compiles, or makes keys, for too long."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._timer: threading.Timer | None = None
        self.stage = COMPILING
        self.passed = False

    def watch(self, process: "subprocess.Popen[bytes]", stage: str) -> None:
        """Note a stage: time runs from the first limited one to the first that is not."""
        if stage not in (COMPILING, MAKING_KEYS):
            self.cancel()
            return
        self.stage = stage
        if self._timer is None and self._seconds is not None:

            def kill() -> None:
                self.passed = True
                process.kill()

            self._timer = threading.Timer(self._seconds, kill)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
