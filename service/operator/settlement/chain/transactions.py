"""Get transactions mined: stored before they are sent, sent again when dropped, replaced when they offer too little.

Whether one had its effect is not asked here: the vault says that, as of a block that nothing undoes. So it does no harm
that a transaction is mined twice over, in the eyes of this module, or that one thought dead turns up: a run is opened
and settled once by the vault.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple, cast

from eth_typing import ChecksumAddress, HexStr
from eth_utils.crypto import keccak
from sqlalchemy import func, select
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.types import TxReceipt

from atomic_margin.contracts.deploy import POOL
from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.settlement.chain.errors import NodeProblem, SenderProblem, VaultRefuses
from atomic_margin.service.operator.settlement.chain.senders import TransactionSigner
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain, asked, node_problems
from atomic_margin.service.operator.store.database import Store, now
from atomic_margin.service.operator.store.rail_tables import RailTransaction

_log = logging.getLogger(__name__)

GWEI = 10**9
RAISE_PERCENT = 13
"""By so much a replacement offers more: nodes take none below a tenth or an eighth."""


class Task(NamedTuple):
    """What a transaction is for.

    Attributes:
        run_id: of the settlement.
        purpose: `open` or `settle`.
        round: which of its runs on the chain.
    """

    run_id: str
    purpose: str
    round: int


class Fees(NamedTuple):
    """What a transaction offers for a unit of gas, wei: at most in all, and to whoever makes the block."""

    most: int
    priority: int


class Transactions:
    """Transactions of one key to one vault. One thread at a time."""

    def __init__(
        self, store: Store, vault: VaultOnChain, signer: TransactionSigner, *, max_fee_gwei: int, stuck_seconds: int
    ) -> None:
        """Take what is needed; nothing is sent yet."""
        self._store, self._vault, self.signer = store, vault, signer
        self._cap, self._stuck = max_fee_gwei * GWEI, timedelta(seconds=stuck_seconds)
        self._eth = vault.web3.eth

    def advance(self, task: Task, make: Callable[[], HexStr]) -> None:
        """Do what is next so that a transaction for `task` is mined; return when there is nothing to do but wait.

        Args:
            task: what it is for.
            make: returns the data of the call; asked for when a new transaction is signed.

        Raises:
            NodeProblem, SenderProblem, VaultRefuses: it cannot go on; calling again later is safe.
        """
        live = self._live(task)
        if not live:
            self._send(task, make(), self._next_nonce(), None)
            return
        receipt = self._any_receipt(live)
        if receipt is None and asked(lambda: self._eth.get_transaction_count(self._sender, "latest")) > live[-1].nonce:
            # Mined between both questions, or another transaction of this key took its place.
            receipt = self._any_receipt(live)
            if receipt is None:
                self._bury(live, "another transaction of this key had its nonce")
                _log.warning("run %s: %s was displaced by another transaction of the key", task.run_id, task.purpose)
                return
        if receipt is not None:
            self._mined(task, live, receipt)
            return
        newest = live[-1]
        if not self._is_known(newest):
            _log.info("run %s: %s is sent again, the node does not have it", task.run_id, task.purpose)
            self._broadcast(newest.raw)
        elif now() - instant(newest.signed_at) >= self._stuck:
            self._send(task, make(), newest.nonce, newest)

    def forget(self, run_id: str) -> None:
        """Keep of a settlement that is final which transactions there were and where, without their bytes.

        Raises:
            NodeProblem: the node does not answer.
        """
        query = select(RailTransaction).where(RailTransaction.run_id == run_id)
        with self._store.reading() as session:
            rows = session.scalars(query).all()
        with node_problems():
            receipts = {row.id: self._receipt(row) for row in rows}
        with self._store.unit_of_work() as session:
            for row in session.scalars(query):
                receipt = receipts.get(row.id)
                row.block = None if receipt is None else int(receipt["blockNumber"])
                row.live, row.raw = False, b""

    @property
    def _sender(self) -> ChecksumAddress:
        return cast(ChecksumAddress, self.signer.address)

    def _live(self, task: Task) -> Sequence[RailTransaction]:
        """Return the transactions of a task that may be mined, oldest first; all have one nonce."""
        query = select(RailTransaction).where(
            RailTransaction.run_id == task.run_id,
            RailTransaction.purpose == task.purpose,
            RailTransaction.round == task.round,
            RailTransaction.sender == self.signer.address,
            RailTransaction.live,
        )
        with self._store.reading() as session:
            return session.scalars(query.order_by(RailTransaction.id)).all()

    def _any_receipt(self, live: Sequence[RailTransaction]) -> TxReceipt | None:
        for row in live:
            with node_problems():
                receipt = self._receipt(row)
            if receipt is not None:
                return receipt
        return None

    def _receipt(self, row: RailTransaction) -> TxReceipt | None:
        try:
            return self._eth.get_transaction_receipt(HexStr(row.sha3))
        except TransactionNotFound:
            return None

    def _is_known(self, row: RailTransaction) -> bool:
        def look() -> bool:
            try:
                self._eth.get_transaction(HexStr(row.sha3))
            except TransactionNotFound:
                return False
            return True

        return asked(look)

    def _mined(self, task: Task, live: Sequence[RailTransaction], receipt: TxReceipt) -> None:
        if receipt["status"] == 1:
            with self._store.unit_of_work() as session:
                for row in live:
                    block = int(receipt["blockNumber"]) if row.sha3 == receipt["transactionHash"].to_0x_hex() else None
                    session.get_one(RailTransaction, row.id).block = block
            return
        # Its nonce is used up: another one is signed next time, if the vault still wants it.
        self._bury(live, f"reverted in block {receipt['blockNumber']}")
        raise VaultRefuses(
            f"{task.purpose}: transaction {receipt['transactionHash'].to_0x_hex()} was mined and reverted; what the "
            "vault says now decides whether it is tried again"
        )

    def _bury(self, rows: Sequence[RailTransaction], problem: str) -> None:
        with self._store.unit_of_work() as session:
            for row in rows:
                found = session.get_one(RailTransaction, row.id)
                found.live, found.problem = False, problem

    def _next_nonce(self) -> int:
        mine = select(func.max(RailTransaction.nonce)).where(
            RailTransaction.sender == self.signer.address, RailTransaction.live, RailTransaction.block.is_(None)
        )
        with self._store.reading() as session:
            highest = session.scalar(mine)
        pending = asked(lambda: self._eth.get_transaction_count(self._sender, POOL))
        return max(int(pending), -1 if highest is None else int(highest) + 1)

    def _send(self, task: Task, data: HexStr, nonce: int, earlier: RailTransaction | None) -> None:
        gas = self._vault.gas_of(self.signer.address, data)
        fees = self._fees(earlier)
        balance = asked(lambda: self._eth.get_balance(self._sender))
        if balance < gas * fees.most:
            raise SenderProblem(
                f"{self.signer.address} has {balance} wei, and {task.purpose} may take {gas * fees.most}: send it some"
            )
        transaction = {
            "type": 2,
            "chainId": self._vault.addresses.chain,
            "nonce": nonce,
            "to": self._vault.address,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": fees.most,
            "maxPriorityFeePerGas": fees.priority,
        }
        raw = self.signer.sign(transaction)
        row = RailTransaction(
            run_id=task.run_id,
            purpose=task.purpose,
            round=task.round,
            sender=self.signer.address,
            nonce=nonce,
            sha3="0x" + keccak(raw).hex(),
            raw=raw,
            max_fee=fees.most,
            priority_fee=fees.priority,
            gas=gas,
            signed_at=instant_text(now()),
        )
        # Before it is sent: whatever happens now, the next start knows it.
        with self._store.unit_of_work() as session:
            session.add(row)
        fault_point("transaction-stored")
        self._broadcast(raw)
        fault_point("transaction-sent")
        _log.info("run %s: %s sent as %s, nonce %d, gas %d", task.run_id, task.purpose, row.sha3, nonce, gas)

    def _fees(self, earlier: RailTransaction | None) -> Fees:
        """Return what to offer now, more than an earlier transaction with the same nonce."""
        base = int(asked(lambda: self._eth.get_block("latest")).get("baseFeePerGas", 0))
        priority = int(asked(lambda: self._eth.max_priority_fee))
        most = 2 * base + priority
        if earlier is not None:
            priority = max(priority, earlier.priority_fee * (100 + RAISE_PERCENT) // 100 + 1)
            most = max(most, earlier.max_fee * (100 + RAISE_PERCENT) // 100 + 1, base + priority)
        if base + priority > self._cap or (earlier is not None and most > self._cap):
            raise SenderProblem(
                f"a unit of gas costs {(base + priority) / GWEI:.3f} gwei and {most / GWEI:.3f} would have to be "
                f"offered, over max_fee_gwei {self._cap // GWEI}: it is waited for, or raise it"
            )
        return Fees(min(most, self._cap), priority)

    def _broadcast(self, raw: bytes) -> None:
        """Send what is stored; a node that has it already is fine, and what it makes of it is seen the next time.

        Raises:
            SenderProblem: it takes no transaction of this key now.
            NodeProblem: it does not answer.
        """
        try:
            asked(lambda: self._eth.send_raw_transaction(raw))
        except NodeProblem as problem:
            cause = problem.__cause__
            if not isinstance(cause, (Web3RPCError, ValueError)) or isinstance(cause, OSError):
                raise
            said = str(cause)
            if any(
                word in said.lower() for word in ("already known", "already imported", "nonce too low", "known tran")
            ):
                return
            raise SenderProblem(f"the node does not take the transaction: {said}"[:400]) from cause
