"""A scheduler and its workers as real processes of this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atomic_margin.service.demo.processes import free_port

WAIT_SECONDS = 90


def eventually(good: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Machines:
    """A scheduler at an address of its own, and workers, each started by its command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, cwd=self.folder)
        log.close()
        return process

    def start_scheduler(self) -> None:
        arguments = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show")
        self.scheduler = self.start("scheduler", "-m", "distributed.cli.dask_scheduler", *arguments)

    def start_worker(self) -> "subprocess.Popen[bytes]":
        name = f"w{len(self.workers)}"
        options = ("--scheduler", self.address, "--host", "127.0.0.1", "--name", name, "--threads", "1")
        self.workers.append(self.start(name, "-m", "atomic_margin", "worker", *options))
        return self.workers[-1]

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (*self.workers, self.scheduler):
            if process is not None:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def machines(folder: Path, workers: int) -> Iterator[Machines]:
    """A scheduler and so many workers, ended whatever happens."""
    running = Machines(folder)
    running.start_scheduler()
    try:
        for _ in range(workers):
            running.start_worker()
        yield running
    finally:
        running.end()


def children(process: int) -> list[int]:
    """Return the processes below one, the nearest first."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def listens_at_all(process: int) -> bool:
    """Return whether a process listens on some port."""
    try:
        sockets = {os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()}
        lines = Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(f"socket:[{line.split()[9]}]" in sockets for line in lines if line.split()[3] == "0A")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def listens(process: int, port: int) -> bool:
    """Return whether a process listens on a port."""
    try:
        sockets = {os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()}
    except OSError:
        return False
    for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
            return f"socket:[{fields[9]}]" in sockets
    return False
