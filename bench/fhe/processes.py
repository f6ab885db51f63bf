"""Starts measuring processes, one after the other, and hears what they say."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from atomic_margin.bench.fhe.errors import BenchFailed
from atomic_margin.bench.fhe.jobs import Job

_JOB, _ERRORS = "job.json", "errors.txt"


def in_a_process(job: Job, stage: Callable[[str], None]) -> dict[str, Any]:
    """Perform `job` in a fresh process of this interpreter and return its figures.

    Args:
        job: what to do.
        stage: called with the name of each stage the process reaches.

    Raises:
        BenchFailed: the process ended without a result.
    """
    job.write(job.directory / _JOB)
    errors = job.directory / _ERRORS
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "atomic_margin.bench.fhe.child", str(job.directory / _JOB), str(writing)]
    result: dict[str, Any] | None = None
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
                else:
                    result = message["result"]
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if status != 0 or result is None:
        said = errors.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing; it may have run out of memory"
        raise BenchFailed(f"{job.kind} of {', '.join(job.circuits)} ended with status {status}: {last}")
    return result
