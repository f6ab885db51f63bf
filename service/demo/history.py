"""The demo's witness, and the monitor that reads all of the operator's log at the end: there is one history for all."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.service.demo.processes import Http, command, free_port, running
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.messages import Health
from atomic_margin.service.protocol.signing import Identity

JsonObject = dict[str, Any]

ORIGIN, WITNESS = "demo.example/log", "witness.example/demo"
MAX_AGE_SECONDS = 600
"""Of a checkpoint that somebody acts on; a busy machine publishes late."""
TRIES = 5


@dataclass(frozen=True)
class Watch:
    """The running witness, and the names under which log and witness are trusted.

    Attributes:
        url: where the witness serves.
        log: key of the operator's log.
        witness: key of the witness.
    """

    url: str
    log: str
    witness: str

    @property
    def serve_options(self) -> list[str]:
        """What the operator's server is started with."""
        return ["--log-origin", ORIGIN, "--witness", f"{self.url}={self.witness}"]

    @property
    def trust_options(self) -> list[str]:
        """What goes into trust files: one witness of one."""
        return [
            "--log", self.log, "--witness", self.witness, "--threshold", "1", "--max-age", str(MAX_AGE_SECONDS),
        ]  # fmt: skip


@contextmanager
def witness(operator: Path, directory: Path, output: Path) -> Iterator[Watch]:
    """Run a witness of the operator's log as a process of its own.

    Args:
        operator: the operator's folder; its identity is made there if it has none, since its log's key is of it.
        directory: the witness's folder.
        output: what it prints goes here.

    Raises:
        RemoteError: it does not come up.
    """
    identity = Identity.load_or_create(operator / "operator.key").public_key
    key = witness_key(WITNESS, Identity.load_or_create(directory / "witness.key").public_key)
    url = f"http://127.0.0.1:{free_port()}"
    arguments = command(
        "witness", "--dir", str(directory), "--name", WITNESS, "--log", f"{ORIGIN}={identity}",
        "--port", url.rpartition(":")[2],
    )  # fmt: skip
    with running(arguments, output) as process:
        with Http(url, process, output) as public:
            public.wait("/healthz", Health, lambda _: True, 60, lambda _: None)
        yield Watch(url, str(log_key(ORIGIN, identity)), str(key))


def monitor_apart(url: str, trust: Path) -> JsonObject:
    """Read all of an operator's log in a process of its own, from an empty memory.

    Returns:
        What the monitor prints, with ``holds`` false and its words as ``reason`` if it found a contradiction.

    Raises:
        RemoteError: it could not read the log, however often it tried.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = command("monitor", "--url", url, "--trust", str(trust.resolve()), "--dir", folder, "--json")
        for _ in range(TRIES):
            done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own command
            if done.returncode != 2:
                return dict(json.loads(done.stdout))
            # The newest checkpoint may still wait for its cosignature.
            time.sleep(1)
    raise RemoteError(f"the log of {url} cannot be read: {done.stderr.strip()}")
