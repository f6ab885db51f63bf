"""Whether an operator can do its work now, and if not, why: what `/readyz` answers with, and no account named.

It is asked often, perhaps by strangers: a look is kept for a moment, reads the database without the write lock, and
does nothing that takes long.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from atomic_margin.service.errors import DatabaseBusy, OutOfSpace, StoreError
from atomic_margin.service.operator.disk import require_room
from atomic_margin.service.operator.observation import Observed, Stuck, observe
from atomic_margin.service.operator.operator import Operator

KEPT_SECONDS = 1.0
"""How long a look is good for: a thousand askers a second cost no more than one."""


class Standing(NamedTuple):
    """What a look showed.

    Attributes:
        problems: what keeps the operator from its work, by name and sentence; empty if nothing does.
        observed: what was seen; None if the database does not answer.
        stuck: how many evaluations take too long.
    """

    problems: dict[str, str]
    observed: Observed | None
    stuck: int


class Watch:
    """Looks at one operator; safe to call from several threads."""

    def __init__(self, operator: Operator, working: Callable[[], bool], behind: Callable[[], bool]) -> None:
        """`working` says whether all background threads live; `behind`, whether witnesses know a longer log."""
        self._operator, self._working, self._behind = operator, working, behind
        self._stuck = Stuck()
        self._lock = threading.Lock()
        self._kept: tuple[float, Standing] | None = None

    def look(self) -> Standing:
        """Return how the operator stands, as of a moment ago at most."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_SECONDS:
                standing = self._look()
                self._kept = time.monotonic(), standing
            return self._kept[1]

    def _look(self) -> Standing:
        problems: dict[str, str] = {}
        observed, stuck = None, 0
        try:
            observed = observe(self._operator)
            stuck = self._stuck.count(observed.evaluating)
        except DatabaseBusy:
            problems["database"] = "the database does not answer; look at its server, or at what locks its file"
        except (StoreError, OSError) as error:
            problems["database"] = f"the database cannot be read ({type(error).__name__}); the log says more"
        if stuck:
            problems["runs"] = f"{stuck} evaluations take longer than they may; the log names them"
        if not self._working():
            problems["workers"] = "the background work does not run: it is starting, stopping, or a thread of it ended"
        if self._behind():
            problems["log"] = "the log is behind what witnesses cosigned: restore the newest backup"
        try:
            require_room(self._operator.settings)
        except OutOfSpace as error:
            problems["disk"] = str(error)
        return Standing(problems, observed, stuck)
