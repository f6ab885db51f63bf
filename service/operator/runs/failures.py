"""Whose fault it was that something was not evaluated, how often that may happen, and when it is tried again.

`claims` and `shortfalls` ask. A failure of the evaluation itself counts as an attempt and is tried again at once. What
the machine did (a worker that died, a cluster that is not there, a full disk, a busy database) waits longer every time
and has bounds of its own: it says nothing about the run.
"""

import errno
import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from atomic_margin.documents.fields import instant_text
from atomic_margin.fhe.errors import ExecutorUnavailable, WorkerLost
from atomic_margin.service.errors import DatabaseBusy
from atomic_margin.service.operator.store.tables import Claimable

MAX_ATTEMPTS = 3
"""How often an evaluation may fail by itself."""
MAX_WORKER_DEATHS = 8
"""How often its worker may die: bytes that kill every worker they meet do not kill them for ever."""
MAX_INTERRUPTIONS = 120
"""How often it may be cut off in all: at the longest wait that is two hours."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0

_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
        errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ENETUNREACH, errno.EHOSTUNREACH,
    }
)  # fmt: skip


class Fault(Enum):
    """Whose fault a failure is."""

    EVALUATION = "the evaluation failed"
    WORKER = "its worker died, which may be anybody's fault"
    MACHINE = "the operator's machines are at fault, not the run"
    STOPPED = "the operator was stopped"


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words, and whose fault it was."""

    fault: Fault
    what: str

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.what}"


def failure_of(error: BaseException, *, stopping: bool = False) -> Failure:
    """Return whose fault an error is; `stopping`: the operator cuts off what is in hand."""
    what = f"{type(error).__name__}: {error}"
    if stopping:
        return Failure(Fault.STOPPED, what)
    if isinstance(error, WorkerLost):
        return Failure(Fault.WORKER, what)
    if isinstance(error, DBAPIError):
        # The statement and its values are nobody's business; the driver's words are enough.
        what = f"{type(error).__name__}: {error.orig}"
    if isinstance(
        error, ExecutorUnavailable | DatabaseBusy | OperationalError | InterfaceError | PoolTimeout | MemoryError
    ):
        return Failure(Fault.MACHINE, what)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return Failure(Fault.MACHINE, what)
    return Failure(Fault.EVALUATION, what)


def interrupted(reason: str) -> Failure:
    """Return a failure that nobody caught: the lease of a claim ran out."""
    return Failure(Fault.MACHINE, reason)


def count(row: Claimable, failure: Failure, at: datetime) -> str | None:
    """Count a failure of what the row's claim was for; return why it is given up now, or None to try again.

    Args:
        row: whose claim ends.
        failure: what happened.
        at: the present time.
    """
    if failure.fault is Fault.EVALUATION:
        return f"not evaluated in {row.attempts} attempts" if row.attempts >= MAX_ATTEMPTS else None
    row.attempts = max(0, row.attempts - 1)
    if failure.fault is Fault.STOPPED:
        return None
    row.interruptions += 1
    row.worker_deaths += failure.fault is Fault.WORKER
    if row.worker_deaths >= MAX_WORKER_DEATHS:
        return f"its worker died {row.worker_deaths} times"
    if row.interruptions >= MAX_INTERRUPTIONS:
        return f"cut off {row.interruptions} times"
    # Whole seconds, upwards: the shortest wait is one.
    row.retry_at = instant_text(
        at + timedelta(seconds=math.ceil(wait_seconds(row.interruptions)), microseconds=999_999)
    )
    return None


def wait_seconds(failures: int) -> float:
    """Return how long to wait after so many failures: twice as long every time, up to a bound, and never in step."""
    doubled: float = FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16)
    # Jitter, so that what failed together is not tried again together; nothing secret hangs on it.
    return min(LONGEST_WAIT_SECONDS, doubled) * random.uniform(0.5, 1.0)  # noqa: S311


def forget(row: Claimable) -> None:
    """Let what was counted be forgotten, and try again now."""
    row.attempts = row.interruptions = row.worker_deaths = 0
    row.retry_at = None
