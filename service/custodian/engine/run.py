"""Start an engine for one opening, and get its verdict or a named error in time. For a custodian's process.

>>> run_engine.__name__
'run_engine'
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from atomic_margin.service.custodian.engine.credentials import issue
from atomic_margin.service.custodian.engine.errors import (
    NAMED,
    EngineError,
    EngineFailed,
    EngineStalled,
    EngineTaskInvalid,
)
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict, parse_json
from atomic_margin.service.protocol.signing import Identity

GRACE_SECONDS = 10.0
"""Added to a task's time limit: the process starts, and says itself what it waited for."""
MAX_ANSWER_BYTES = 1 << 16
_CHOSEN = frozenset({"maintenance_chosen", "initial_chosen"})
_PROGRAM = "atomic_margin.service.custodian.engine"


def run_engine(task: EngineTask, identity: Identity) -> Verdict:
    """Compute the verdict of an opening with the other custodians; blocks until then.

    Args:
        task: what all have alike, and this custodian's row shares.
        identity: this custodian's, which certifies a key of this opening; its private key stays here.

    Raises:
        EngineTaskInvalid: ``identity`` is not that of the task's point.
        EngineError: there is no verdict; the class and `.points` say why.
    """
    if identity.public_key != task.present[task.index].identity:
        raise EngineTaskInvalid(f"present: the identity of point {task.point} is another one than this custodian's")
    credentials = issue(identity, task.hash)
    document = {"task": task.to_fields(), "certificate": credentials.certificate, "key": credentials.key}
    deadline = time.monotonic() + task.seconds + GRACE_SECONDS
    process = _start(json.dumps(document).encode())
    try:
        said = _read(process, deadline)
    finally:
        _end(process)
    return _verdict(said, process.returncode, task.slack is not None)


def _start(document: bytes) -> "subprocess.Popen[bytes]":
    """Start the process with the document as its standard input, on no disk and in no pipe that could fill."""
    given = os.memfd_create("task", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(given), "wb") as file:
            file.write(document)
        os.lseek(given, 0, os.SEEK_SET)
        return subprocess.Popen(  # noqa: S603  this interpreter, and no argument from outside
            [sys.executable, "-m", _PROGRAM],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # The packages of this process, and no token or password of its environment.
            env={"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)},
            start_new_session=True,
        )
    finally:
        os.close(given)


def _read(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    assert process.stdout is not None  # noqa: S101  for the type checker
    said = b""
    with process.stdout as output:
        while len(said) <= MAX_ANSWER_BYTES:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise EngineStalled("the process did not end within its time limit and was ended: open again")
            read = os.read(output.fileno(), MAX_ANSWER_BYTES)
            if not read:
                return said
            said += read
    raise EngineFailed("the process printed more than a verdict")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever is of its group."""
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _verdict(said: bytes, status: int, slack: bool = False) -> Verdict:
    if not said:
        raise EngineFailed(f"the process ended with status {status} and without a verdict: run it by hand to see why")
    try:
        fields = parse_json(said)
    except EngineTaskInvalid:
        fields = None
    if isinstance(fields, dict) and fields.keys() == {"error", "detail", "points"}:
        raise _named(fields)
    chosen = _CHOSEN if isinstance(fields, dict) and fields.get("breach") is True and slack else frozenset[str]()
    if not isinstance(fields, dict) or fields.keys() != {"breach", "maintenance_row", "initial_row"} | chosen:
        raise EngineFailed("the process printed no verdict")
    rows = (fields["maintenance_row"], fields["initial_row"])
    wanted = int if fields["breach"] is True else type(None)
    if type(fields["breach"]) is not bool or any(type(row) is not wanted for row in rows):
        raise EngineFailed("the process printed no verdict")
    if not all(isinstance(fields[name], list) and all(type(row) is int for row in fields[name]) for name in chosen):
        raise EngineFailed("the process printed no verdict")
    if not chosen:
        return Verdict(fields["breach"], *rows)
    return Verdict(True, *rows, tuple(fields["maintenance_chosen"]), tuple(fields["initial_chosen"]))


def _named(fields: dict[str, Any]) -> EngineError:
    error, points = NAMED.get(str(fields["error"]), EngineFailed), fields["points"]
    if not isinstance(points, list) or not all(type(point) is int for point in points):
        points = []
    return error(str(fields["detail"]), points)
