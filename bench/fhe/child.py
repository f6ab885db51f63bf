"""A measuring process: ``python -m atomic_margin.bench.fhe.child JOB DESCRIPTOR``. Only `processes` starts it.

It writes one line of JSON for each stage it reaches, and at last its result, or why there is none, to the descriptor.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from atomic_margin.bench.fhe.jobs import CKKS, PREPARE, Job
from atomic_margin.circuits.errors import LookupTooWide

Stage = Callable[[str], None]


def perform(job: Job, stage: Stage) -> dict[str, Any]:
    """Do what a job says and return its figures."""
    # Imported here: a process that measures TenSEAL's memory must not hold the other library.
    if job.kind == CKKS:
        from atomic_margin.bench.fhe.ckks import measure_ckks

        return measure_ckks(job, stage)
    from atomic_margin.bench.fhe.evaluating import evaluate
    from atomic_margin.bench.fhe.preparing import prepare
    from atomic_margin.bench.fhe.sources import load_circuits

    if job.circuit_file is not None:
        load_circuits(job.circuit_file)
    return prepare(job, stage) if job.kind == PREPARE else evaluate(job, stage)


def main() -> None:
    """Perform the job of the command line."""
    report: TextIO
    with os.fdopen(int(sys.argv[2]), "w", buffering=1) as report:

        def tell(**message: Any) -> None:
            report.write(json.dumps(message) + "\n")

        try:
            tell(result=perform(Job.read(Path(sys.argv[1])), lambda name: tell(stage=name)))
        except LookupTooWide as error:
            tell(problem=str(error))


if __name__ == "__main__":
    main()
