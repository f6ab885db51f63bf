"""The FHE library's runtime takes signal handlers over; a process that talks to others must keep its own."""

import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from atomic_margin.circuits.compiling import compile_module, simulate
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.signals import kept_signal_handlers


def dispositions() -> list[str]:
    """Return the ignored and the caught signals as the kernel sees them."""
    with open("/proc/self/status") as status:
        return [line for line in status if line.startswith(("SigIgn", "SigCgt"))]


def test_a_closed_connection_raises_after_a_circuit_has_run() -> None:
    module = compile_module(
        Profile("two", entries=2, rows=2, bits=8, weight_bits=4, functions=("surplus",)), simulation=True
    )
    before = dispositions()
    simulate(module, "surplus", np.zeros(2, np.int64), np.zeros((2, 2), np.int64), np.zeros(2, np.int64))
    assert dispositions() == before
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(BrokenPipeError):
        ours.send(b"after the peer has gone")


SCRIPT = """
import os, signal, socket, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import atomic_margin.circuits.signals as signals
if sys.argv[1] == "unguarded":
    from contextlib import nullcontext
    signals.kept_signal_handlers = nullcontext
import numpy as np
from atomic_margin.circuits.compiling import compile_module, simulate
from atomic_margin.circuits.profile import Profile
profile = Profile("two", entries=2, rows=2, bits=8, weight_bits=4, functions=("surplus",))
module = compile_module(profile, simulation=True)
simulate(module, "surplus", np.zeros(2, np.int64), np.zeros((2, 2), np.int64), np.zeros(2, np.int64))
if sys.argv[2] == "interrupt":
    os.kill(os.getpid(), signal.SIGINT)
if sys.argv[2] == "exit":
    sys.exit(3)
ours, theirs = socket.socketpair()
theirs.close()
ours.send(b"after the peer has gone")
"""


@pytest.mark.parametrize(("what", "raised"), [("interrupt", b"KeyboardInterrupt"), ("pipe", b"BrokenPipeError")])
def test_a_process_that_evaluated_gets_its_errors(what: str, raised: bytes) -> None:
    command = [sys.executable, "-c", SCRIPT]
    guarded, unguarded = (
        subprocess.run([*command, guard, what], capture_output=True, timeout=120, check=False)
        for guard in ("guarded", "unguarded")
    )
    assert raised in guarded.stderr.splitlines()[-1]
    # The library as it is ends the process by a signal; when this fails, it has changed and the guard can go.
    assert unguarded.returncode < 0


def test_a_process_that_evaluated_ends_with_its_own_status() -> None:
    """Otherwise a test run that fails would look like one that passed."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "guarded", "exit"], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 3


def test_handlers_come_back_after_an_error() -> None:
    before = dispositions()
    ignored = signal.getsignal(signal.SIGUSR1)

    def fail() -> None:
        with kept_signal_handlers():
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            assert dispositions() != before
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert dispositions() == before
    signal.signal(signal.SIGUSR1, ignored)


def test_handlers_come_back_in_any_thread() -> None:
    def call() -> None:
        with kept_signal_handlers():
            pass

    before = dispositions()
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert dispositions() == before
