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
    if _was_said(institution):
        return
    _log.warning(
        "institution %s knows %d entries of its account, and the database has %d: it is an older backup; "
        'stop, and see "Restored from an older backup" in docs/operator.md',
        institution,
        known,
        stored,
    )


def say_unknown(institution: str) -> None:
    """Say that a request about an account is signed by a key that is nobody's here: anybody can send one."""
    if _was_said(f"{institution}/key"):
        return
    _log.warning(
        "a request about %s is signed by a key that is not known here; if it has replaced its identity key, this "
        'database is an older backup: see "Restored from an older backup" in docs/operator.md',
        institution,
    )


def _was_said(what: str) -> bool:
    """Return whether it was said a while ago; it is from now on."""
    with _lock:
        if time.monotonic() < _said.get(what, 0.0):
            return True
        _said[what] = time.monotonic() + SECONDS
    return False
