"""The ledger mirrors the vault: deposits are booked once they are final, and what differs is said.

What a settlement moved is booked by the hook. What institutions post and withdraw is theirs to do on both sides: until
they have, their line differs, and says so.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import select

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ServiceError
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.settlement.chain.errors import NodeProblem
from atomic_margin.service.operator.settlement.chain.vault import Arrived, VaultOnChain
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.database import Store, now
from atomic_margin.service.operator.store.rail_tables import RailCursor, RailTransfer
from atomic_margin.service.operator.store.tables import Account, LedgerTransaction, Run, SubmissionRow
from atomic_margin.service.protocol.states import RailState, RunState

_log = logging.getLogger(__name__)

MIRROR_SECONDS = 5.0
"""Between two looks."""
MAX_BLOCKS = 20_000
"""That are read in one look; what is left comes with the next."""
MAX_STRANGERS = 100

Deposit = Callable[[str, str, int, str], None]
"""Books a deposit: institution, asset, quantity, reference."""


class Line(NamedTuple):
    """An institution's collateral on both sides, smallest units.

    Attributes:
        institution: whose.
        account: its address.
        chain_free, chain_posted: in the vault, as of `block`.
        free, posted: in the ledger.
        block: that the vault was read at.
        since: when a difference was seen first; None while there is none.
    """

    institution: str
    account: str
    chain_free: int
    chain_posted: int
    free: int
    posted: int
    block: int
    since: str | None

    @property
    def differs(self) -> bool:
        """Whether the sides say something else."""
        return (self.chain_free, self.chain_posted) != (self.free, self.posted)


class Mirror:
    """Compares one ledger with one vault."""

    def __init__(
        self,
        store: Store,
        vault: VaultOnChain,
        accounts: Mapping[str, str],
        *,
        confirmations: int | None,
        first_block: int,
        deposit: Deposit,
    ) -> None:
        """Take what is compared; nothing is asked yet.

        Args:
            store: of the operator.
            vault: on its chain.
            accounts: address of each institution.
            confirmations: after which a block is final; None for what the node calls so.
            first_block: nothing of the vault is in an earlier one.
            deposit: books what arrived.
        """
        self._store, self._vault, self._accounts = store, vault, dict(accounts)
        self._confirmations, self.first_block, self._deposit = confirmations, first_block, deposit
        self._lines: dict[str, Line] = {}
        self._strangers: dict[str, Arrived] = {}
        self._unregistered: dict[str, str] = {}
        # Of each institution the submission whose book the vault is known to have.
        self._registered: dict[str, str] = {}
        self._problem: str | None = None
        self._next_look = 0.0

    def lines(self) -> list[Line]:
        """Return what was seen last, by institution."""
        return [self._lines[name] for name in sorted(self._lines)]

    def problems(self) -> list[str]:
        """Return what somebody should look at."""
        found = [] if self._problem is None else [self._problem]
        found += [
            f"{line.institution}: the vault has {line.chain_free} free and {line.chain_posted} posted as of "
            f"block {line.block}, the ledger {line.free} and {line.posted}, since {line.since}"
            for line in self.lines()
            if line.differs
        ]
        found += [
            f"{arrived.amount} arrived for {arrived.account}, which is nobody's here ({arrived.reference})"
            for arrived in self._strangers.values()
        ]
        found += [self._unregistered[name] for name in sorted(self._unregistered)]
        return found

    def look(self) -> bool:
        """Book what arrived and compare; return False: nobody need be woken."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + MIRROR_SECONDS
        try:
            self.compare()
        except NodeProblem as problem:
            if self._problem is None:
                _log.warning("the ledger cannot be compared with the chain: %s", problem)
            self._problem = str(problem)
        else:
            self._problem = None
        return False

    def compare(self) -> None:
        """Book deposits up to the newest final block, and compare every account there.

        Raises:
            NodeProblem: the node does not answer.
        """
        final = self._vault.final_block(self._confirmations)
        if final is None:
            return
        read = self._book_deposits(final)
        if read < final:
            # What was there so long ago is not asked for; the rest comes at once.
            self._next_look = 0.0
            return
        for institution, account in self._accounts.items():
            self._look_at_book(institution, account)
            chain_free, chain_posted = self._vault.balances(account, read)
            with self._store.reading() as session:
                free = ledger.balances(session, ledger.free(institution)).get(self._vault.addresses.asset, 0)
                posted = ledger.balances(session, ledger.posted(institution)).get(self._vault.addresses.asset, 0)
                settling = session.scalar(
                    select(RailTransfer.run_id)
                    .join(Run, Run.run_id == RailTransfer.run_id)
                    .where(
                        Run.institution == institution,
                        Run.state == RunState.BREACH_VERIFIED,
                        RailTransfer.stage != RailState.PENDING,
                    )
                    .limit(1)
                )
            line = Line(institution, account, chain_free, chain_posted, free, posted, read, None)
            if line.differs and settling is None:
                before = self._lines.get(institution)
                since = before.since if before is not None and before.differs else None
                line = line._replace(since=since or instant_text(now()))
                if since is None:
                    _log.warning("%s: ledger and vault differ as of block %d", institution, read)
            elif settling is not None:
                # One side has moved and the other not yet: what is on the way says so itself.
                line = self._lines.get(institution, line._replace(chain_free=free, chain_posted=posted))
            self._lines[institution] = line

    def _look_at_book(self, institution: str, account: str) -> None:
        """Find out whether the vault has the book in force: a run on another one cannot be settled there."""
        with self._store.reading() as session:
            row = session.get(Account, institution)
            book = None if row is None else entries.state_of(row).public.book
            if book is None or self._registered.get(institution) == book.submission:
                self._unregistered.pop(institution, None)
                return
            document = session.scalar(select(SubmissionRow.document).where(SubmissionRow.sha256 == book.submission))
        points = b"".join(map(bytes.fromhex, document["body"]["commitments"] if document else ()))
        if self._vault.holder(hashlib.sha256(points).digest()) == account:
            self._registered[institution] = book.submission
            self._unregistered.pop(institution, None)
        else:
            self._unregistered[institution] = (
                f"{institution} has not registered its book in force in the vault: a breach of it could not be settled "
                "there (`institution register-book`)"
            )

    def _book_deposits(self, final: int) -> int:
        """Book what arrived up to a block; return the block up to which that is done."""
        with self._store.reading() as session:
            row = session.get(RailCursor, self._vault.address)
        first = self.first_block if row is None else row.block + 1
        last = min(final, first + MAX_BLOCKS - 1)
        if last < first:
            return final if row is None else row.block
        names = {account: institution for institution, account in self._accounts.items()}
        for arrived in self._vault.deposits(first, last):
            institution = names.get(arrived.account)
            if institution is None:
                if len(self._strangers) < MAX_STRANGERS:
                    self._strangers[arrived.reference] = arrived
                continue
            if arrived.amount:
                self._book(institution, arrived)
        with self._store.unit_of_work() as session:
            session.merge(RailCursor(vault=self._vault.address, block=last))
        return last

    def _book(self, institution: str, arrived: Arrived) -> None:
        reference = f"chain/{arrived.reference}"
        with self._store.reading() as session:
            query = select(LedgerTransaction.id).where(LedgerTransaction.reference == f"deposit/{reference}")
            if session.scalar(query) is not None:
                return
        try:
            self._deposit(institution, self._vault.addresses.asset, arrived.amount, reference)
        except (MarginError, ServiceError) as error:
            # It stays in the vault and differs, until somebody books it.
            _log.warning("a deposit of %s in block %d is not booked: %s", institution, arrived.block, error)
        else:
            _log.info("%s: %d arrived in block %d", institution, arrived.amount, arrived.block)
