"""Verify proofs that arrive at about the same time together: one multi-scalar multiplication for all that wait.

Who comes while nothing is verified is verified at once and alone. Who comes while a verification runs waits for its end
and is verified with everybody else who waits. A claim is accepted here exactly when it is accepted alone: see `batch`,
whose weights are drawn after every proof of the batch is fixed. Anyone may call it, from several threads.

>>> VerificationQueue().verify([])
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.StatementError: a batch of no proofs shows nothing: give at least one
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from atomic_margin.zk.errors import BatchInvalid, ProofError, StatementError
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.verify.batch import Claim, verify_batch

MOST_CLAIMS = 64
"""Claims of one batch: beyond it a larger batch saves little, and everybody in it waits for the whole."""
KEPT_POINTS = 1 << 17
"""Decoded points that are kept, about 40 MB: the commitments of 2,000 accounts with 64 columns each."""


class KnownPoints(OrderedDict[bytes, Point]):
    """Decoded points by their bytes; the one not asked for longest is forgotten first, and only by `prune`.

    Nothing is forgotten within a batch: a point that occurs in several proofs is one object there.
    """

    def __init__(self, limit: int = KEPT_POINTS) -> None:
        super().__init__()
        self.limit = limit

    def __getitem__(self, data: bytes) -> Point:
        point = super().__getitem__(data)
        self.move_to_end(data)
        return point

    def prune(self) -> None:
        """Forget what is beyond the limit."""
        while len(self) > self.limit:
            self.popitem(last=False)


class _Job:
    """Claims of one caller, and what came out: an error unless and until they are verified."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = claims
        self.done = False
        self.error: Exception | None = ProofError("the verification was interrupted; send the proof again")


class VerificationQueue:
    """Verifies for many threads, one batch at a time, with points that it decoded before.

    Attributes:
        batches: verified so far.
        claims: that were in them.
    """

    def __init__(self, group: Group | None = None, most_claims: int = MOST_CLAIMS, points: int = KEPT_POINTS) -> None:
        """Start with nothing known. ``group`` is by default the fastest installed."""
        self.batches = self.claims = 0
        self._group = group or load_group()
        self._most = most_claims
        self._known = KnownPoints(points)
        self._waiting: deque[_Job] = deque()
        self._decoded: deque[Mapping[bytes, Point]] = deque(maxlen=64)
        # `_list` is held for a moment; `_turn` by the one thread that verifies, and those it verifies for wait for it.
        self._list = threading.Lock()
        self._turn = threading.Lock()

    def verify(self, claims: Sequence[Claim]) -> None:
        """Check that every claim holds; returning means that all do. What others wait with changes nothing.

        Raises:
            StatementError: there are none, or one is about something that is not a statement.
            BatchInvalid: at least one of these claims does not hold; ``culprits`` has the errors by their position.
        """
        if not claims:
            raise StatementError("a batch of no proofs shows nothing: give at least one")
        job = _Job(tuple(claims))
        with self._list:
            self._waiting.append(job)
        with self._turn:
            # Somebody may have verified it meanwhile. In the order of arrival, so its turn comes.
            while not job.done:
                self._verify(self._next())
        if job.error is not None:
            raise job.error

    def remember(self, points: Mapping[bytes, Point]) -> None:
        """Keep points of this backend that were decoded, with every check, for other proofs about them."""
        with self._list:
            self._decoded.append(dict(points))

    def _next(self) -> list[_Job]:
        """Take what waits longest, and what fits beside it."""
        jobs: list[_Job] = []
        with self._list:
            count = 0
            while self._waiting and (not jobs or count + len(self._waiting[0].claims) <= self._most):
                jobs.append(self._waiting.popleft())
                count += len(jobs[-1].claims)
            while self._decoded:
                self._known.update(self._decoded.popleft())
        return jobs

    def _verify(self, jobs: Sequence[_Job]) -> None:
        """Verify jobs together, or one by one if that is not possible; each of them is done then."""
        together = [claim for job in jobs for claim in job.claims]
        try:
            self._together(jobs, together)
        except Exception:
            # Something else than a proof that does not hold, of one of them: each has its own error.
            for job in jobs:
                job.error = self._alone(job)
        finally:
            self._known.prune()
            self.batches += 1
            self.claims += len(together)
            for job in jobs:
                job.done = True

    def _together(self, jobs: Sequence[_Job], claims: Sequence[Claim]) -> None:
        culprits: Mapping[int, ProofError] = {}
        try:
            verify_batch(claims, self._group, self._known)
        except BatchInvalid as error:
            culprits = error.culprits
        first = 0
        for job in jobs:
            own = range(first, first + len(job.claims))
            bad = {index - first: culprits[index] for index in own if index in culprits}
            job.error = BatchInvalid(bad) if bad else None
            first += len(job.claims)

    def _alone(self, job: _Job) -> Exception | None:
        try:
            verify_batch(job.claims, self._group, self._known)
        except Exception as error:
            return error
        return None
