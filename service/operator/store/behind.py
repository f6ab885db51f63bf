"""One line in the operator's log when institutions know more of their accounts than is stored; for the HTTP face."""

import logging
import threading
import time

SECONDS = 600.0
"""Between two lines about one account: its agent asks in every round."""

_said: dict[str, float] = {}
_lock = threading.Lock()
_log = logging.getLogger(__name__)


def say(institution: str, known: int, stored: int) -> None:
    """Say that an admitted institution asks for entries after one that is not stored."""
    with _lock:
        if time.monotonic() < _said.get(institution, 0.0):
            return
        _said[institution] = time.monotonic() + SECONDS
    _log.warning(
        "institution %s knows %d entries of its account, and the database has %d: it is an older backup; "
        'stop, and see "Restored from an older backup" in docs/operator.md',
        institution,
        known,
        stored,
    )
