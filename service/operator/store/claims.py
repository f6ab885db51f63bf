"""Claims: one caller at a time works on a row, for as long as it says that it is still there.

A claim has an owner, a name that no other claim has, and a lease. `runs.background` renews the leases of what this
process has in hand, and takes back what nobody renews: the caller died, or could not even write that it failed. Whoever
records a result shows that the claim is still its own.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import ClaimLost
from atomic_margin.service.operator.store.tables import Claimable, Run, ShortfallRow
from atomic_margin.service.protocol.states import RunState, ShortfallState

LEASE_SECONDS = 60
"""How long a claim holds without being renewed."""


@dataclass(frozen=True)
class Claim:
    """What a caller has in hand: the run's name, the name of the claim, and how often it was tried, this time too."""

    run_id: str
    owner: str
    attempts: int


class ClaimsInHand:
    """The claims that threads of this process work on now."""

    def __init__(self) -> None:
        """Nothing is in hand."""
        self._owners: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def working(self, claim: Claim) -> Iterator[None]:
        """Have a claim renewed until the block ends, however it ends."""
        with self._lock:
            self._owners.add(claim.owner)
        try:
            yield
        finally:
            with self._lock:
                self._owners.discard(claim.owner)

    def owners(self) -> frozenset[str]:
        """Return the names of the claims in hand."""
        with self._lock:
            return frozenset(self._owners)


def take(row: Run | ShortfallRow, at: datetime) -> Claim:
    """Claim a row inside the caller's unit of work, which gives it its state."""
    row.attempts += 1
    row.claimed_by, row.lease_until, row.retry_at = secrets.token_hex(16), _ends(at), None
    return Claim(row.run_id, row.claimed_by, row.attempts)


def require(row: Claimable, owner: str, what: str) -> None:
    """Make sure that a row is still the caller's.

    Raises:
        ClaimLost: another caller has it, or nobody.
    """
    if row.claimed_by != owner:
        raise ClaimLost(f"another caller has {what}, or it is done; what this one found is not used", "run_id")


def let_go(row: Claimable) -> None:
    """End the claim of a row, inside the unit of work that says what became of it."""
    row.claimed_by = row.lease_until = None


def renew(session: Session, owners: frozenset[str], at: datetime) -> None:
    """Let the claims with these names last longer."""
    runs = update(Run).where(Run.state == RunState.EVALUATING, Run.claimed_by.in_(owners))
    shortfalls = update(ShortfallRow).where(
        ShortfallRow.state == ShortfallState.EVALUATING, ShortfallRow.claimed_by.in_(owners)
    )
    for statement in (runs, shortfalls):
        session.execute(statement.values(lease_until=_ends(at)))


def expired_runs(session: Session, in_hand: frozenset[str], at: datetime) -> Sequence[Run]:
    """Return runs whose claim nobody renewed in time."""
    late = or_(Run.lease_until.is_(None), Run.lease_until < instant_text(at))
    claimed = Run.state == RunState.EVALUATING, or_(Run.claimed_by.is_(None), Run.claimed_by.not_in(in_hand))
    return session.scalars(select(Run).where(*claimed, late)).all()


def expired_shortfalls(session: Session, in_hand: frozenset[str], at: datetime) -> Sequence[ShortfallRow]:
    """Return shortfalls whose claim nobody renewed in time."""
    late = or_(ShortfallRow.lease_until.is_(None), ShortfallRow.lease_until < instant_text(at))
    claimed = (
        ShortfallRow.state == ShortfallState.EVALUATING,
        or_(ShortfallRow.claimed_by.is_(None), ShortfallRow.claimed_by.not_in(in_hand)),
    )
    return session.scalars(select(ShortfallRow).where(*claimed, late)).all()


def _ends(at: datetime) -> str:
    return instant_text(at + timedelta(seconds=LEASE_SECONDS))
