"""Processes of this program that start at once: forked from one that has imported everything and done nothing else.

Importing takes each process some three seconds of a core, and these tests start some hundred. What runs is the same:
every program gets its own process, arguments, environment and log, and nothing that another one did. That the command
line starts from nothing is shown wherever `demo.processes.command` is used, by `test_demo` first.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[2]


class Process:
    """A started process, as `subprocess.Popen` shows one."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid, self.returncode = pid, None
        self._nursery = nursery

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask(poll=self.pid)["status"]
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        assert self.returncode is not None
        return self.returncode

    def signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Nursery:
    """The process that others are forked from, seen from outside."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.preloaded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @contextmanager
    def running(self, module: str, arguments: list[str], log: Path, **environment: str) -> Iterator[Process]:
        """Run a module as a program for the length of the block, its output in `log`."""
        started = self.ask(module=module, arguments=arguments, log=str(log), environment=environment)
        process = Process(self, started["pid"])
        try:
            yield process
        finally:
            process.signal(15)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.signal(9)
                process.wait(timeout=20)

    def close(self) -> None:
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0


def main(requests: TextIO, answers: TextIO) -> None:
    """Import what the programs need; then start and watch them as told, a line of JSON each."""
    import atomic_margin.circuits.concrete
    import atomic_margin.service.cli.institution
    import atomic_margin.service.cli.serve
    import atomic_margin.service.institution.app  # noqa: F401

    for line in iter(requests.readline, ""):
        request, answer = json.loads(line), {}
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer["status"] = os.waitstatus_to_exitcode(status) if pid else None
        else:
            pid = os.fork()
            if pid == 0:
                return become(**request)
            answer["pid"] = pid
        print(json.dumps(answer), file=answers, flush=True)
    return None


def become(module: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    """Be another program from here on."""
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environment)
    # Found anew, in this environment.
    tempfile.tempdir = None
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
