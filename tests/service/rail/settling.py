"""An operator whose rail goes to a vault on a chain in this process, and an institution that breached.

Operator, store, proofs, vault and oracle are the real ones. The vault believes a stand-in about proofs, which this
machine in Python would verify for minutes; `tests/e2e/test_chain.py` has the real one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from eth_typing import HexStr

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.settlement.chain.errors import RailProblem
from atomic_margin.service.operator.settlement.chain.mirror import Mirror
from atomic_margin.service.operator.settlement.chain.rail import ChainRail, Recording
from atomic_margin.service.operator.settlement.chain.senders import KeySigner, TransactionSigner
from atomic_margin.service.operator.settlement.chain.settings import RailFile, RailSettings
from atomic_margin.service.operator.settlement.chain.transactions import Transactions
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain
from atomic_margin.service.operator.store.rail_tables import RailTransaction, RailTransfer
from atomic_margin.service.operator.store.tables import AnswerRow, Run, Tick
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.states import RailState

from ...contracts.vault.chain import Chain
from ...contracts.vault.world import BOOK, HOLDER, OPERATOR, settings
from ...contracts.vault.world import World as Vault
from ...contracts.vault.world import world as world_of
from ..documents import FUND
from ..world import World

ASSET = "USDC"
PLENTY = 10**15
RATE_UNIT = 10**18


def rail_file(**changed: Any) -> RailFile:
    """Return a rail file for the chain in this process, where each block is final at once."""
    fields = {
        "format": "atomic-margin/rail/1",
        "rpc": "http://127.0.0.1:8545",
        "addresses": "addresses.json",
        "accounts": {FUND: HOLDER.address},
        "others": "ledger",
        "signers": ["http://127.0.0.1:8460"],
        "sender": {"keystore": "operator.keystore", "password_file": "operator.password"},
        "finality": "1",
        "first_block": "0",
        "max_fee_gwei": "1000",
        "stuck_seconds": "60",
        "attestation_seconds": "3600",
        "request_seconds": "10",
    }
    return RailFile.parse(fields | changed)


@dataclass
class Decided:
    """Gets ready what the stand-in for a verifier takes; `problem` is raised in its place."""

    world: World
    vault: Vault
    on_chain: VaultOnChain
    problem: RailProblem | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)

    def require_carriable(self, run_id: str, answer: Answer) -> None:
        """Take every answer."""

    def missing_part(self, run_id: str, key: bytes) -> Recording | None:
        """Have nothing recorded."""
        assert run_id
        assert key

    def counted(self, run_id: str) -> tuple[bytes, int]:
        """Find nothing in the way of the book that is registered, and what the run counted."""
        if self.problem is not None:
            raise self.problem
        record = self.world.run(run_id).record
        assert record is not None
        return BOOK, int(record["body"]["posted"].get(ASSET, "0"))

    def ready(self, run_id: str, key: bytes, number: int) -> HexStr:
        """Sign what a vault's run says, for the top-up of the stored answer."""
        assert number >= 0
        if self.problem is not None:
            raise self.problem
        top_up, quantity = self.due(run_id)
        seen = self.vault.vault.functions.runOf(key).call()
        message = self.vault.matrices(
            run=key,
            tick=seen[1],
            free=seen[5],
            posted=seen[6],
            topUp=top_up,
            rate=quantity * RATE_UNIT // top_up,
            **self.changed,
        )
        signed = self.vault.sign("MatrixAttestation", message)
        return self.on_chain.settling(message, signed, self.vault.decided(top_up).arguments)

    def due(self, run_id: str) -> tuple[int, int]:
        """Return X of a run's answer, and what it is in the asset."""
        operator = self.world.operator
        with operator.store.reading() as session:
            run, answer = session.get_one(Run, run_id), session.get_one(AnswerRow, run_id).document["body"]
            market = operator.compiled_ticks.of(session.get_one(Tick, run.price_sequence))
        assert run.record is not None
        counted = {asset: int(held) for asset, held in run.record["body"]["posted"].items()}
        due = rightful_transfers(
            operator.terms,
            market.market,
            Decimal(answer["top_up_usd"]),
            counted=counted,
            free={ASSET: PLENTY},
            posted={},
        )
        assert due.kind == "margin_call"
        return int(answer["top_up"]), sum(move.quantity for move in due.transfers)


@dataclass
class Settling:
    """The operator, the vault, and the rail between them."""

    world: World
    vault: Vault
    rail: ChainRail
    preparing: Decided

    def look(self) -> None:
        """Have the rail look at once, and the hook after it, as the background does."""
        self.rail._next_look = 0.0
        self.rail.look()
        answers.settle_unfinished(self.world.operator)

    def settle(self, looks: int = 6) -> None:
        """Look until everything that can be done is done."""
        for _ in range(looks):
            self.look()
            self.again_at_once()

    def again_at_once(self) -> None:
        """Have what waits for another try not wait."""
        with self.world.operator.store.unit_of_work() as session:
            for row in session.query(RailTransfer):
                row.retry_at = None

    def transfer(self, run_id: str) -> RailTransfer:
        """Return how far a settlement is."""
        with self.world.operator.store.reading() as session:
            return session.get_one(RailTransfer, run_id)

    def state(self, run_id: str) -> RailState:
        """Return the same in a word."""
        return RailState(self.transfer(run_id).stage)

    def sent(self, run_id: str) -> list[RailTransaction]:
        """Return the transactions of a settlement, in order."""
        with self.world.operator.store.reading() as session:
            return list(session.query(RailTransaction).filter_by(run_id=run_id).order_by(RailTransaction.id))

    def deposit(self, quantity: int) -> None:
        """Bring collateral to the vault, and have the ledger follow."""
        self.vault.deposit(quantity)
        self.rail.mirror.compare()

    def restarted(self) -> "Settling":
        """Return the same by another process's worth of objects of the operator."""
        return _joined(self.world.restarted(), self.vault, self.rail.settings.file)


def new_vault(chain: Chain) -> Vault:
    """Deploy a vault that takes as much as a book of the examples may need."""
    made = world_of(chain)
    about = settings(made.token.address, made.oracle.address, blockCap=10 * PLENTY)
    return replace(made, vault=chain.deploy("Vault", about, made.verifier.address))


def _joined(world: World, vault: Vault, file: RailFile, signer: TransactionSigner | None = None) -> Settling:
    operator = world.operator
    addresses = ChainAddresses(
        vault.chain.id, vault.vault.address, vault.oracle.address, vault.verifier.address, vault.token.address, ASSET
    )
    on_chain = VaultOnChain(vault.chain.w3, addresses)
    on_chain.require_ours()
    transactions = Transactions(
        operator.store,
        on_chain,
        signer or KeySigner(OPERATOR),
        max_fee_gwei=file.max_fee_gwei,
        stuck_seconds=file.stuck_seconds,
    )
    mirror = Mirror(
        operator.store,
        on_chain,
        file.accounts,
        confirmations=file.finality,
        first_block=file.first_block,
        deposit=world.deposit,
    )
    preparing = Decided(world, vault, on_chain)
    rail = ChainRail(operator.store, RailSettings(file, addresses, Path()), on_chain, transactions, preparing, mirror)
    operator.rail = rail
    return Settling(world, vault, rail, preparing)


@contextmanager
def settling(world: World, vault: Vault, file: RailFile | None = None) -> Iterator[Settling]:
    """Join an operator, whose institution has a book and no collateral, to a vault, where it has that book too."""
    vault.register()
    yield _joined(world, vault, file or rail_file())
