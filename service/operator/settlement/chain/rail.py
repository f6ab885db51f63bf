"""The rail: each settlement from the hook's word to a block that nothing undoes, one step at a time.

What it believes of a settlement is what the vault says as of a final block, never that something was sent. So it goes
on after any crash, reorganisation or lost transaction by looking again: a run that the vault does not know is opened,
one that is open is settled, one that is settled in a final block is handed to the hook.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

from eth_typing import HexStr
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from atomic_margin.contracts.run_keys import MAX_ROUNDS, run_key
from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import Conflict, Refused
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.rail import Instruction, Trouble
from atomic_margin.service.operator.settlement.chain.errors import LedgerDiffers, NodeProblem, NotCarriable, RailProblem
from atomic_margin.service.operator.settlement.chain.mirror import Mirror
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.transactions import Task, Transactions
from atomic_margin.service.operator.settlement.chain.vault import Outcome, VaultOnChain
from atomic_margin.service.operator.settlement.chain.views import view_of
from atomic_margin.service.operator.store import halted
from atomic_margin.service.operator.store.database import Store, now
from atomic_margin.service.operator.store.rail_tables import RailTransfer
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.rail_messages import RailView
from atomic_margin.service.protocol.settlements import Rightful
from atomic_margin.service.protocol.states import RailState, RunState

_log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at the chain while something is under way."""
MAX_WAIT_SECONDS = 300
REORGANISED_BLOCKS = 128
"""Events of a run are looked for from so many blocks before its opening was sent."""
SHOWN = 20


class Recording(NamedTuple):
    """A part of a proof that is to be recorded before its run can settle.

    Attributes:
        purpose: what its transaction is called.
        data: returns the data of the call.
    """

    purpose: str
    data: Callable[[], HexStr]


class Preparing(Protocol):
    """Gets together what `settle` takes."""

    def require_carriable(self, run_id: str, answer: Answer) -> None:
        """Make sure that this chain can settle on an answer, before it is taken.

        Raises:
            Refused: it cannot.
        """

    def counted(self, run_id: str) -> tuple[bytes, int]:
        """Return hash(V) and the posted collateral of a run that this chain can settle, before it is opened.

        Raises:
            NotCarriable: it cannot.
        """

    def missing_part(self, run_id: str, key: bytes) -> Recording | None:
        """Return what is to be recorded next before a run can settle; None if nothing is.

        Raises:
            RailProblem: this chain cannot settle it, or the node does not answer.
        """

    def ready(self, run_id: str, key: bytes, number: int) -> HexStr:
        """Return the data of the call that settles a run, open on the chain in its round of this number.

        Raises:
            RailProblem: what is missing.
        """


class ChainRail:
    """The rail of one operator to one vault."""

    def __init__(
        self,
        store: Store,
        settings: RailSettings,
        vault: VaultOnChain,
        transactions: Transactions,
        preparing: Preparing,
        mirror: Mirror,
    ) -> None:
        """Put the parts together; nothing is asked yet."""
        self._store, self.settings, self.vault = store, settings, vault
        self._transactions, self._preparing, self.mirror = transactions, preparing, mirror
        self._next_look = 0.0

    # What the hook asks, inside its unit of work

    def require_carriable(self, run_id: str, answer: Answer) -> None:
        """Make sure that the chain can settle on an answer, before it is taken.

        Raises:
            Refused: the contract does not verify its proofs.
        """
        if self._is_here(answer.institution):
            self._preparing.require_carriable(run_id, answer)

    def holds(self, institution: str) -> bool:
        """Return whether an institution has an account in the vault."""
        return institution in self.settings.file.accounts

    def require_backed(self, institution: str, asset: str, posted: int, adding: bool) -> None:
        """Make sure that the vault has what the ledger is to have posted, before that is entered.

        Raises:
            Refused: the vault does not hold the asset, has less posted where something is posted, or more where
                something comes back; or its node does not answer.
        """
        account = self.settings.file.accounts.get(institution)
        if account is None:
            return
        held = self.settings.addresses.asset
        if asset != held:
            raise Refused(f"this account is in a vault of {held}, which is all that counts for it", "asset")
        try:
            final = self.vault.final_block(self.settings.file.finality)
            there = 0 if final is None else self.vault.balances(account, final)[1]
        except NodeProblem as problem:
            raise Refused(f"the vault cannot be looked at now: {problem}; send it again later", "asset") from problem
        if adding and there < posted:
            raise Refused(
                f"the vault has {there} posted as of the newest final block, the ledger {posted}: post it there "
                "first, and send this again once that is final",
                "quantity",
            )
        if not adding and there > posted:
            raise Refused(
                f"the vault has {there} posted as of the newest final block, the ledger {posted}: have it released "
                "there first, and send this again once that is final",
                "quantity",
            )

    def carry(self, session: Session, instruction: Instruction) -> Rightful | None:
        """Return what moved once that is final; None while it is not, or while the ledger would move something else.

        Raises:
            Conflict: the run is carried on another answer.
        """
        row = session.get(RailTransfer, instruction.run_id)
        if not self._is_here(instruction.institution) and (row is None or row.stage == RailState.PENDING):
            # Nothing was sent of it: an account that the vault cannot carry is taken out of the rail file.
            if row is not None:
                session.delete(row)
            return instruction.rightful
        if row is None:
            session.add(
                RailTransfer(
                    run_id=instruction.run_id,
                    stage=str(RailState.PENDING),
                    run_hash=instruction.run_hash,
                    answer=instruction.answer_hash,
                    account="",
                    top_up=instruction.top_up,
                    taken_at=instant_text(now()),
                )
            )
            return None
        if row.answer != instruction.answer_hash:
            raise Conflict(f"run {instruction.run_id} is carried by the rail on another answer", "run_id")
        if row.stage != RailState.FINAL or row.outcome is None:
            return None
        try:
            self._require_same(row, instruction)
        except LedgerDiffers as problem:
            row.problem = str(problem)
            return None
        row.problem = None
        return instruction.rightful

    def under_way(self, session: Session) -> frozenset[str]:
        """Return the runs that were carried and are not final."""
        query = (
            select(RailTransfer.run_id, RailTransfer.stage, Run.institution)
            .join(Run, Run.run_id == RailTransfer.run_id)
            .where(RailTransfer.stage != RailState.FINAL)
        )
        return frozenset(
            run_id
            for run_id, state, institution in session.execute(query)
            if state != RailState.PENDING or self._is_here(institution)
        )

    def finals(self, session: Session) -> frozenset[str]:
        """Return the runs that are final and not booked."""
        query = (
            select(RailTransfer.run_id)
            .join(Run, Run.run_id == RailTransfer.run_id)
            .where(RailTransfer.stage == RailState.FINAL, Run.state == RunState.BREACH_VERIFIED)
        )
        return frozenset(session.scalars(query))

    def troubles(self, session: Session) -> list[Trouble]:
        """Return what keeps it from going on."""
        query = select(RailTransfer.run_id, RailTransfer.problem).where(RailTransfer.problem.is_not(None))
        found = [
            Trouble(run, str(what)) for run, what in session.execute(query.order_by(RailTransfer.run_id).limit(SHOWN))
        ]
        return found + [Trouble("", what) for what in self.mirror.problems()[:SHOWN]]

    def view(self, session: Session) -> RailView:
        """Return what the operator's staff are shown."""
        return view_of(
            session,
            addresses=self.settings.addresses,
            sender=self._transactions.signer.address,
            lines=self.mirror.lines(),
            troubles=self.troubles(session),
        )

    def rounds(self) -> list[tuple[str, Callable[[], bool]]]:
        """Return its work in the background."""
        return [("rail", self.look), ("mirror", self.mirror.look)]

    def close(self) -> None:
        """Hold nothing: every question to the node has a connection of its own."""

    # In the background

    def look(self) -> bool:
        """Take every settlement that is due one step on; return whether one became final."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_SECONDS
        present = instant_text(now())
        query = select(RailTransfer.run_id).where(
            RailTransfer.stage != RailState.FINAL,
            or_(RailTransfer.retry_at.is_(None), RailTransfer.retry_at <= present),
        )
        with self._store.reading() as session:
            due = session.scalars(query.order_by(RailTransfer.taken_at, RailTransfer.run_id)).all()
        finished = [self._step(run_id) for run_id in due]
        return any(finished)

    def _step(self, run_id: str) -> bool:
        """Take one settlement on; whatever keeps it is written down and tried again later, ever more rarely."""
        try:
            final = self._advance(run_id)
        except Exception as error:
            # None of them keeps the others from going on, whatever it is.
            problem = error if isinstance(error, RailProblem) else RailProblem(f"{type(error).__name__}: {error}"[:500])
            if problem is not error:
                _log.debug("run %s on the chain", run_id, exc_info=True)
            with self._store.unit_of_work() as session:
                row = session.get_one(RailTransfer, run_id)
                if row.problem != str(problem):
                    _log.warning("run %s waits on the chain: %s", run_id, problem)
                row.problem, row.failures = str(problem), row.failures + 1
                wait = min(MAX_WAIT_SECONDS, 2 ** min(row.failures, 9))
                row.retry_at = instant_text(now() + timedelta(seconds=wait))
            return False
        with self._store.unit_of_work() as session:
            row = session.get_one(RailTransfer, run_id)
            row.problem, row.failures, row.retry_at = None, 0, None
        return final

    def _advance(self, run_id: str) -> bool:
        with self._store.reading() as session:
            row = session.get_one(RailTransfer, run_id)
            tick = session.get_one(Run, run_id).price_sequence
            institution = session.get_one(Run, run_id).institution
            stopped = halted.stops(session, session.get_one(Account, institution), "settlements")
        key = run_key(bytes.fromhex(row.run_hash), row.round)
        final = self.vault.final_block(self.settings.file.finality)
        settled = None if final is None else self.vault.run(key, final)
        if final is not None and settled is not None and settled.state in ("Settled", "Terminated"):
            self._finish(row, key, final)
            return True
        if stopped:
            raise NotCarriable("settlements are halted: nothing is sent until that is over")
        seen = self.vault.run(key)
        if seen.state == "Unknown":
            account, (book, posted) = self._account_of(institution), self._preparing.counted(run_id)
            self._begin(run_id, account)
            task = Task(run_id, "open", row.round)
            self._transactions.advance(task, lambda: self.vault.opening(key, account, tick, book, posted))
        elif seen.state == "Valuation":
            if seen.account != self._account_of(institution):
                raise NotCarriable(f"the vault opened this run for {seen.account}, the rail file says another address")
            self._begin(run_id, seen.account)
            part = self._preparing.missing_part(run_id, key)
            if part is not None:
                self._transactions.advance(Task(run_id, part.purpose, row.round), part.data)
                return False
            task = Task(run_id, "settle", row.round)
            self._transactions.advance(task, lambda: self._preparing.ready(run_id, key, row.round))
        elif seen.state == "Lapsed" and settled is not None and settled.state == "Lapsed":
            self._again(run_id, row.round)
        elif seen.state in ("Covered", "Challenged"):
            raise NotCarriable(
                f"the run is over on the chain as {seen.state.lower()}, and its breach is proven: somebody with the "
                "operator's key ended it; settle it by hand and book that"
            )
        return False

    def _is_here(self, institution: str) -> bool:
        """Return whether an institution's settlements are carried here: it has an account, or has to have one."""
        return institution in self.settings.file.accounts or self.settings.file.others == "wait"

    def _account_of(self, institution: str) -> str:
        account = self.settings.file.accounts.get(institution)
        if account is None:
            raise NotCarriable(f"the rail file names no account of {institution} in the vault: add it, and start anew")
        return account

    def _begin(self, run_id: str, account: str) -> None:
        """Write down that something is about to be sent for a settlement."""
        first = max(0, self.vault.newest_block() - REORGANISED_BLOCKS)
        with self._store.unit_of_work() as session:
            row = session.get_one(RailTransfer, run_id)
            row.stage, row.account = str(RailState.SUBMITTED), account
            row.first_block = first if row.first_block is None else min(first, row.first_block)

    def _again(self, run_id: str, number: int) -> None:
        if number + 1 >= MAX_ROUNDS:
            raise NotCarriable(f"the run lapsed {MAX_ROUNDS} times on the chain: see why nothing settles it in time")
        _log.warning("run %s lapsed on the chain; it is opened anew", run_id)
        with self._store.unit_of_work() as session:
            session.get_one(RailTransfer, run_id).round = number + 1

    def _finish(self, row: RailTransfer, key: bytes, final: int) -> None:
        # Not opened by this database: one restored from a backup looks from where its vault began.
        first = self.mirror.first_block if row.first_block is None else row.first_block
        outcome = self.vault.outcome(key, first, final)
        if outcome is None:
            # Nodes answer about a block while they take in the next one.
            raise NodeProblem(
                f"the node says that the run is settled by block {final}, and has no event of it since block {first}; "
                "it is asked again"
            )
        fault_point("settlement-final")
        self._transactions.forget(row.run_id)
        with self._store.unit_of_work() as session:
            found = session.get_one(RailTransfer, row.run_id)
            found.stage, found.outcome = str(RailState.FINAL), _written(outcome)
            found.final_at = instant_text(now())
        _log.info("run %s: %s is final in block %d", row.run_id, outcome.kind, outcome.block)

    def _require_same(self, row: RailTransfer, instruction: Instruction) -> None:
        """Make sure that the ledger moves what the chain moved.

        Raises:
            LedgerDiffers: it would move something else.
        """
        outcome, asset = dict(row.outcome or {}), self.settings.addresses.asset
        rightful = instruction.rightful
        moves = {(move.asset, move.source, move.destination): move.quantity for move in rightful.transfers}
        amount = int(outcome["amount"])
        if rightful.kind == "margin_call":
            ours = {(asset, "free", "posted"): amount}
        else:
            ours = {name: moves[name] for name in moves if name[0] == asset}
            if sum(ours.values()) != amount:
                ours = {(asset, "free and posted", "liquidation"): amount}
        if outcome["kind"] != rightful.kind or outcome["top_up"] != str(instruction.top_up) or moves != ours:
            said = ", ".join(f"{quantity} {name[0]} {name[1]} to {name[2]}" for name, quantity in moves.items())
            raise LedgerDiffers(
                f"block {outcome['block']} has a {outcome['kind']} of {amount} {asset} for {outcome['top_up']} units; "
                f"by the ledger it is a {rightful.kind} of {said or 'nothing'} for {instruction.top_up}: nothing is "
                "booked until free and posted collateral of both are the same (`operator rail`)"
            )


def _written(outcome: Outcome) -> dict[str, str]:
    return {
        "kind": outcome.kind,
        "amount": str(outcome.amount),
        "top_up": str(outcome.top_up),
        "log": outcome.log.hex(),
        "block": str(outcome.block),
        "transaction": outcome.transaction,
    }
