"""The engine's process: one JSON document on standard input, one JSON line on standard output, and nothing else.

`run.run_engine` starts it as ``python -m atomic_margin.service.custodian.engine``. It holds this custodian's row shares
and a TLS key of this opening alone; nothing is read from arguments or the environment, and nothing is logged.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any

from atomic_margin.service.custodian.engine.comparing import Arithmetic
from atomic_margin.service.custodian.engine.connecting import Meeting
from atomic_margin.service.custodian.engine.credentials import Credentials
from atomic_margin.service.custodian.engine.errors import (
    EngineError,
    EngineFailed,
    EngineStalled,
    EngineTaskInvalid,
    PeerMalformed,
    VerdictDiffers,
)
from atomic_margin.service.custodian.engine.guarded import close_process, load_mpyc, make_runtime
from atomic_margin.service.custodian.engine.opening import open_book
from atomic_margin.service.custodian.engine.task import MAX_TASK_BYTES, EngineTask, Verdict, parse_json

GRACE_SECONDS = 3
"""What a process has for its end after the time limit; then the system ends it."""
MEMORY_BYTES = 2 << 30


def main() -> None:
    """Read a task, compute, print a verdict or a named error."""
    # Whatever a library prints, it is not on the line that the parent reads.
    line = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nowhere, line:
        os.dup2(nowhere.fileno(), 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        line.write(json.dumps(answer(sys.stdin.buffer.read(MAX_TASK_BYTES + 1))) + "\n")


def answer(document: bytes) -> dict[str, Any]:
    """Return what is printed: the fields of a `Verdict`, or ``error``, ``detail`` and ``points``."""
    try:
        task, credentials = _parse(document)
        signal.alarm(task.seconds + GRACE_SECONDS)
        return _run(task, credentials).to_fields()
    except EngineError as error:
        return {"error": type(error).__name__, "detail": str(error), "points": list(error.points)}
    except Exception as error:
        # Only its name: its message might have a number in it.
        return {"error": EngineFailed.__name__, "detail": f"{type(error).__name__} in the process", "points": []}


def _parse(document: bytes) -> tuple[EngineTask, Credentials]:
    value = parse_json(document)
    if not isinstance(value, dict) or value.keys() != {"task", "certificate", "key"}:
        raise EngineTaskInvalid("an object of task, certificate and key is wanted")
    if not isinstance(value["certificate"], str) or not isinstance(value["key"], str):
        raise EngineTaskInvalid("certificate and key: PEM is wanted")
    return EngineTask.from_fields(value["task"]), Credentials(value["certificate"], value["key"])


def _run(task: EngineTask, credentials: Credentials) -> Verdict:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    load_mpyc()
    failed: asyncio.Future[EngineError] = loop.create_future()

    def on_exception(_: object, context: dict[str, Any]) -> None:
        # MPyC stops the loop when one of its coroutines fails, which only a wrong number of shares makes it do. What
        # else arrives here are connections that fail before they are anybody's.
        if not isinstance(context.get("exception"), OSError) and not failed.done():
            failed.set_result(
                PeerMalformed("a custodian sent shares that the computation does not take: open again with others")
            )

    loop.set_exception_handler(on_exception)
    meeting = Meeting(task, credentials, failed)
    work = loop.create_task(_within_limit(task, meeting, failed))
    while not work.done():
        # Again if MPyC stopped it: `failed` has the reason then.
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(asyncio.wait({work}))
    error = work.exception()
    loop.run_until_complete(meeting.close(error if isinstance(error, EngineError) else None))
    return work.result()


async def _within_limit(task: EngineTask, meeting: Meeting, failed: "asyncio.Future[EngineError]") -> Verdict:
    computing = asyncio.ensure_future(_compute(task, meeting))
    waited: set[asyncio.Future[Any]] = {computing, failed}
    await asyncio.wait(waited, timeout=task.seconds, return_when=asyncio.FIRST_COMPLETED)
    if computing.done():
        return computing.result()
    computing.cancel()
    raise failed.result() if failed.done() else _stalled(task, meeting)


async def _compute(task: EngineTask, meeting: Meeting) -> Verdict:
    await meeting.connect()
    channels = [meeting.channels.get(one.point) for one in task.present]
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    runtime, field = make_runtime(task.index, channels, task.threshold - 1)
    # MPyC sets one of its own, which prints.
    loop.set_exception_handler(handler)
    close_process()
    verdict = await open_book(task, Arithmetic(runtime, field, task.threshold - 1))
    said = json.dumps(verdict.to_fields()).encode()
    for channel in meeting.channels.values():
        channel.send_verdict(said)
    for point, channel in meeting.channels.items():
        if await channel.verdict != said:
            raise VerdictDiffers(
                f"the custodian at point {point} has another verdict than this one: a custodian deviated; open with "
                "others",
                (point,),
            )
    return verdict


def _stalled(task: EngineTask, meeting: Meeting) -> EngineStalled:
    limit = f"no verdict within {task.seconds} seconds"
    if meeting.missing:
        named = ", ".join(f"{point} ({meeting.notes.get(point, 'did not dial')})" for point in meeting.missing)
        dropped = f"; {meeting.refused} that dialled in were dropped" if meeting.refused else ""
        return EngineStalled(f"{limit}: not connected are points {named}{dropped}", meeting.missing)
    silent = [point for point, channel in meeting.channels.items() if channel.waits] or [
        point for point, channel in meeting.channels.items() if not channel.verdict.done()
    ]
    return EngineStalled(f"{limit}: waiting for points {', '.join(map(str, silent))}", silent)
