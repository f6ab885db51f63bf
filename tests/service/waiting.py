"""Waiting for what other threads do."""

import time
from collections.abc import Callable

WAIT_SECONDS = 20


def eventually(good: Callable[[], bool]) -> None:
    """Wait until something holds; fail when it does not in a while."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.01)
