"""A chain on this machine, for tests and demonstrations. Needs web3 (the extra `chain`).

Two can be had: eth-tester, in this process and in Python, slow where proofs are large; and anvil, a process of its own
that `make contracts` installs (package.json), as fast as a node.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from web3 import Web3

from atomic_margin.contracts.errors import ChainUnavailable

ANVIL = Path(__file__).resolve().parents[1] / "node_modules" / ".bin" / "anvil"
"""Where `make contracts` puts it, in a checkout."""
BLOCK_GAS = 60_000_000
ANVIL_CHAIN = 31_337
"""Chain id that anvil has unless it is told another."""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
CALL_SECONDS = 120
PORTS = range(10_000, 20_000)


def tester() -> Web3:
    """Return a connection to a new chain in this process, with ten unlocked accounts.

    Raises:
        ChainUnavailable: eth-tester is not installed.
    """
    try:
        from eth_tester import EthereumTester, PyEVMBackend
        from web3.providers.eth_tester import EthereumTesterProvider
    except ImportError as error:
        raise ChainUnavailable(f"eth-tester is not installed ({error}): install the extra `dev`") from None
    backend = PyEVMBackend.from_mnemonic(
        "test test test test test test test test test test test junk",
        genesis_parameters={"gas_limit": BLOCK_GAS},
    )
    return Web3(EthereumTesterProvider(EthereumTester(backend)))


@contextlib.contextmanager
def anvil(
    hardfork: str = "osaka", executable: Path = ANVIL, options: Sequence[str] = (), chain: int = ANVIL_CHAIN
) -> Iterator[Web3]:
    """Run anvil on a free port of loopback for the length of the block, with ten unlocked accounts.

    Args:
        hardfork: whose rules it plays.
        executable: where it is.
        options: more of its own.
        chain: id of the chain.

    Raises:
        ChainUnavailable: it is not installed, or does not answer.
    """
    if not executable.exists():
        raise ChainUnavailable(f"there is no {executable}: `make contracts` installs it")
    port = _free_port()
    command = [str(executable), "--host", "127.0.0.1", "--port", str(port), "--hardfork", hardfork, "--silent"]
    command += ["--gas-limit", str(BLOCK_GAS), "--chain-id", str(chain), *options]
    # What npm installs starts the program as a child of its own, which ends with the group alone.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - ours, by its path
    try:
        yield _connected(process, f"http://127.0.0.1:{port}")
    finally:
        _stop(process)


def _connected(process: "subprocess.Popen[bytes]", url: str) -> Web3:
    web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": CALL_SECONDS}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ChainUnavailable(f"anvil ended at once, with status {process.returncode}: run it by hand to see why")
        if web3.is_connected():
            return web3
        time.sleep(0.05)
    raise ChainUnavailable(f"anvil does not answer at {url} after {START_SECONDS} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The starter may be gone before the program.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def _free_port() -> int:
    """Return a port that nobody listens at, below those that the system gives to whoever asks for any."""
    for port in random.sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ChainUnavailable(f"a hundred ports from {PORTS[0]} to {PORTS[-1]} are all taken: stop what listens there")
