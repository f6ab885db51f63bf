"""Keeps the process's signal handlers through calls into the FHE library, which replaces them.

Importing concrete-python installs handlers for most signals, and the first evaluation or simulation starts the HPX
runtime, which takes SIGPIPE and SIGINT too: from then on a write to a connection that the peer has closed ends the
whole process instead of raising BrokenPipeError, and so does Ctrl-C. (HPX's handler aborts, its handler of the abort
aborts again, until the stack is full: what is seen is a segmentation fault without a Python trace.) Handlers are
restored through the C library, because Python's `signal` module works in the main thread only.

>>> with kept_signal_handlers():
...     pass
"""

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager

# struct sigaction has 152 bytes with the GNU C library on x86-64; it is never looked into here.
_ROOM = 512
_FIXED = (signal.SIGKILL, signal.SIGSTOP)

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """Put every signal's handler back as it was, whatever the calls inside installed.

    Raises:
        OSError: the operating system refuses to tell or to set a handler.
    """
    kept = {number: _exchange(number, None) for number in signal.valid_signals() if number not in _FIXED}
    try:
        yield
    finally:
        for number, handler in kept.items():
            _exchange(number, handler)


def _exchange(number: int, handler: "ctypes.Array[ctypes.c_char] | None") -> "ctypes.Array[ctypes.c_char]":
    """Return the handler of a signal; put ``handler`` in its place unless that is None."""
    before = ctypes.create_string_buffer(_ROOM)
    if _libc.sigaction(int(number), handler, before):
        error = ctypes.get_errno()
        raise OSError(error, f"sigaction of signal {int(number)}")
    return before
