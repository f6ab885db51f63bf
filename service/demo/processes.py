"""Start this program's own commands as processes, wait for them, and stop them whatever happens."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.http.problems import MEDIA_TYPE
from atomic_margin.service.protocol.messages import M, RequestBody

POLL_SECONDS = 0.1
SHOWN = 300
"""Characters of a message that never became what was waited for."""
TOO_MANY_ATTEMPTS = 30
"""How often a call is made that the other side has too many of."""
PORTS, PORTS_APART = range(20_000, 32_000), 32
"""Below all that Linux and others give to who asks for any port, and how far apart two processes begin among them."""
_drawn = itertools.count()


def command(*arguments: str) -> list[str]:
    """Return the command line of one of this program's commands."""
    return [sys.executable, "-m", "atomic_margin", *arguments]


def printed(*arguments: str) -> str:
    """Run one of this program's commands to its end, and return what it printed.

    Raises:
        ConfigurationError: it ended with another status than 0; what it said is the message.
    """
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own command
    if done.returncode:
        raise ConfigurationError(f"atomic-margin {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that no system hands out before it is used.

    Processes beside each other begin at different ones, and none returns the same twice before all others.

    Raises:
        ConfigurationError: all ``PORTS`` are taken.
    """
    for _ in range(len(PORTS)):
        port = PORTS[(os.getpid() * PORTS_APART + next(_drawn)) % len(PORTS)]
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ConfigurationError(f"all ports from {PORTS[0]} to {PORTS[-1]} of 127.0.0.1 are taken: stop what listens")


@contextmanager
def running(
    arguments: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the length of the block, its output in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, env=environment)  # noqa: S603 - our own command
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Http:
    """Calls on one of the processes, waiting for it to come up."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path, token: str | None = None) -> None:
        """`process` and `log` serve the message when it does not answer."""
        self.url = url
        self._process, self._log = process, log
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=180)

    def get(self, path: str) -> Any:
        """GET a document as JSON."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """POST a document as JSON."""
        return self._call("POST", path, body)

    def read(self, path: str, kind: type[M]) -> M:
        """GET a message."""
        return kind.parse(self.get(path))

    def send(self, path: str, request: RequestBody, kind: type[M]) -> M:
        """POST a message, and return the message that comes back."""
        return kind.parse(self.post(path, request.to_json()))

    def wait(
        self, path: str, kind: type[M], until: Callable[[M], bool], seconds: float, watch: Callable[[M], None]
    ) -> M:
        """Poll a message until it satisfies `until`; `watch` sees every reading.

        Raises:
            RemoteError: it does not in time, or the process ended.
        """
        deadline, last = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RemoteError(
                    f"the process behind {self.url} ended with status {self._process.returncode}{self._tail()}"
                )
            try:
                last = self.read(path, kind)
            except RemoteError as error:
                if error.status:
                    raise
            else:
                watch(last)
                if until(last):
                    return last
            time.sleep(POLL_SECONDS)
        shown = f"{str(last)[:SHOWN]}…" if len(str(last)) > SHOWN else str(last)
        raise RemoteError(f"{self.url}{path} is still {shown} after {seconds:.0f} s{self._tail()}")

    def __enter__(self) -> "Http":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: Any) -> Any:
        for again in reversed(range(TOO_MANY_ATTEMPTS)):
            try:
                response = self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise RemoteError(f"{self.url} does not answer: {error}{self._tail()}") from error
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or not again:
                break
            # Nothing of it was done, and it says when to come again.
            time.sleep(float(response.headers.get("Retry-After", 1)))
        if response.is_error:
            told = response.headers.get("content-type", "").startswith(MEDIA_TYPE)
            problem = response.json() if told else None
            raise RemoteError(f"{method} {path}: {response.text}", response.status_code, problem)
        return response.json()

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-15:] if self._log.exists() else []
        return f"; the end of {self._log} says:\n" + "\n".join(lines) if lines else f"; {self._log} is empty"
