"""Expand evaluation keys while no run is due, so that the first run after a start or an enrolment need not.

Keys are wanted warm while runs of their account are to be expected. No worker gives up other keys for it: with more
accounts than the workers have room for, the rest is expanded by the runs themselves.
"""

import logging
import threading

from sqlalchemy import select

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.evaluation import FUNCTIONS
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
        """Return keys that no worker holds. Columns of accounts are read, not their states: there may be thousands."""
        # Runs stay under the keys of their book until it is there under newer keys.
        places = (("book", "evaluation_keys"), ("waiting", "evaluation_keys"), ("keys",))
        wanted = (Account.public_state[place].as_string() for place in places)
        held = self._operator.evaluator.held().values()
        passed_over = self._in_hand.union(self._given_up, *(holdings.keys for holdings in held))
        with self._operator.store.reading() as session:
            of_accounts = session.execute(select(*wanted).where(Account.state.in_(WATCHED))).all()
            for keys in dict.fromkeys(one for row in of_accounts for one in row if one is not None):
                enrolled = None if keys in passed_over else session.get(EnrolledKeys, keys)
                if enrolled is not None and enrolled.confirmed:
                    return enrolled
        return None
