"""Expand evaluation keys while no run is due, so that the first run after a start or an enrolment need not.

Keys are wanted warm while runs of their account are to be expected. No worker gives up other keys for it: with more
accounts than the workers have room for, the rest is expanded by the runs themselves.
"""

import logging
import threading

from sqlalchemy import select

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.evaluation import FUNCTIONS
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys
from atomic_margin.service.protocol.states import WATCHED

_log = logging.getLogger(__name__)


class KeyWarmer:
    """Finds keys that no worker holds, and has them expanded one call at a time; safe to call from several threads."""

    def __init__(self, operator: Operator) -> None:
        """Prepare; nothing is read before the first call."""
        self._operator = operator
        self._lock = threading.Lock()
        self._look = True
        self._in_hand: set[str] = set()
        self._given_up: set[str] = set()

    def look_again(self) -> None:
        """Say that keys may be cold now: something was enrolled or submitted, or a worker was replaced."""
        self._look = True

    def warm_next(self) -> bool:
        """Expand one account's keys; return False when none are cold, or no worker has room for more.

        Call it when no run is due: an expansion that has begun is not interrupted. Keys that cannot be expanded are
        logged and left to their run, whose failure is counted.
        """
        with self._lock:
            if not self._look or not self._operator.evaluator.has_room():
                return False
            self._look = False
            keys = self._cold()
            if keys is None:
                return False
            self._in_hand.add(keys.evaluation_keys)
        try:
            self._operator.evaluator.warm_up(self._operator.key_file(keys), FUNCTIONS)
        except Exception:
            # Whatever it was must not end the thread; it is tried once, and again by the next run.
            _log.exception("the keys %s of %s could not be expanded", keys.evaluation_keys, keys.institution)
            self._given_up.add(keys.evaluation_keys)
        finally:
            self._in_hand.discard(keys.evaluation_keys)
            self._look = True
        return True

    def _cold(self) -> EnrolledKeys | None:
        with self._operator.store.reading() as session:
            for account in session.scalars(select(Account).where(Account.state.in_(WATCHED))):
                public = entries.state_of(account).public
                # Runs stay under the keys of their book until it is there under newer keys.
                books = (book.evaluation_keys for book in (public.book, public.waiting) if book is not None)
                for wanted in filter(None, (*books, public.keys)):
                    if wanted in self._in_hand | self._given_up or self._operator.evaluator.is_warm(wanted):
                        continue
                    keys = session.get(EnrolledKeys, wanted)
                    if keys is not None and keys.confirmed:
                        return keys
        return None
