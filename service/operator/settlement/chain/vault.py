"""The vault contract, as the rail reads and writes it. Nothing here decides anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from eth_typing import ChecksumAddress, HexStr
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import BlockNotFound, ContractLogicError, Web3Exception
from web3.types import BlockIdentifier, TxParams

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.attestations import FIELDS
from atomic_margin.contracts.deploy import TRANSACTION_GAS
from atomic_margin.contracts.parts import Answer, Part, Plan
from atomic_margin.contracts.recording import Recorder
from atomic_margin.contracts.reverts import revert_of
from atomic_margin.service.operator.settlement.chain.errors import NodeProblem, VaultRefuses

T = TypeVar("T")

RUN_STATES = ("Unknown", "Valuation", "Covered", "Lapsed", "Challenged", "Settled", "Terminated")
MAX_LOG_BLOCKS = 2_000
"""Nodes refuse longer ranges of events."""
UNREACHABLE = (OSError, Web3Exception, ValueError)
"""What a node that is down, or answers nonsense, makes web3 raise; its errors of HTTP are `OSError`."""


class ChainRun(NamedTuple):
    """A run as the vault has it.

    Attributes:
        account: whose it is.
        tick: it was opened at.
        deadline: by the vault's clock.
        state: a name of `RUN_STATES`.
        commitments: hash(V) of the book then in force.
        free, posted: balances when it was opened, smallest units.
    """

    account: str
    tick: int
    deadline: int
    state: str
    commitments: bytes
    free: int
    posted: int


class Outcome(NamedTuple):
    """What a settlement moved.

    Attributes:
        kind: `margin_call` or `liquidation`.
        amount: that moved: from free to posted, or all that the account had.
        top_up: X that was proven.
        log: root of the operator's log that the signers named.
        block: number.
        transaction: its hash, in hex.
    """

    kind: str
    amount: int
    top_up: int
    log: bytes
    block: int
    transaction: str


class Arrived(NamedTuple):
    """A deposit.

    Attributes:
        account: it is for.
        amount: that arrived.
        reference: chain, vault, block and place of its event, which no other deposit has.
        block: number.
    """

    account: str
    amount: int
    reference: str
    block: int


class VaultOnChain:
    """One vault, by one node."""

    def __init__(self, web3: Web3, addresses: ChainAddresses) -> None:
        """Take a connection; nothing is asked yet."""
        self.web3, self.addresses = web3, addresses
        self.address = cast(ChecksumAddress, addresses.vault)
        # What a `Vault` has, it has too.
        self._vault = web3.eth.contract(address=self.address, abi=load_artifact("PartsVault").abi)
        self._takes_parts: bool | None = None

    def require_ours(self) -> None:
        """Make sure that the node is on the chain of the addresses, and that these go together.

        Raises:
            NodeProblem: it is not, or they do not.
        """
        with node_problems():
            chain = self.web3.eth.chain_id
            if chain != self.addresses.chain:
                raise NodeProblem(f"the node is on chain {chain}, the addresses are of chain {self.addresses.chain}")
            if not self.web3.eth.get_code(self.address):
                raise NodeProblem(f"there is no contract at {self.address}, the vault's address")
            for name in ("oracle", "verifier", "token"):
                found, wanted = self._vault.functions[name]().call(), getattr(self.addresses, name)
                if found != wanted:
                    raise NodeProblem(f"the vault's {name} is {found}, the addresses say {wanted}")

    def takes_parts(self) -> bool:
        """Return whether it is a `PartsVault`, which takes proofs in parts and in chunks."""
        if self._takes_parts is None:
            with node_problems():
                try:
                    self._takes_parts = bool(self._vault.functions.partialVerifier().call())
                except ContractLogicError:
                    self._takes_parts = False
        return self._takes_parts

    # What is there

    def final_block(self, confirmations: int | None) -> int | None:
        """Return the newest block that nothing undoes; None if there is none yet.

        Args:
            confirmations: blocks that have to be on top, itself counted; None for what the node calls finalized.
        """
        with node_problems():
            if confirmations is not None:
                block = self.web3.eth.block_number - confirmations + 1
                return block if block >= 0 else None
            try:
                return int(self.web3.eth.get_block("finalized")["number"])
            except BlockNotFound:
                return None

    def newest_block(self) -> int:
        """Return the number of the newest block."""
        with node_problems():
            return int(self.web3.eth.block_number)

    def time(self) -> int:
        """Return the time of the newest block, seconds of the epoch."""
        with node_problems():
            return int(self.web3.eth.get_block("latest")["timestamp"])

    def run(self, key: bytes, block: BlockIdentifier = "latest") -> ChainRun:
        """Return a run as of a block."""
        with node_problems():
            found = self._vault.functions.runOf(key).call(block_identifier=block)
        return ChainRun(found[0], found[1], found[2], RUN_STATES[found[3]], bytes(found[4]), found[5], found[6])

    def balances(self, account: str, block: BlockIdentifier = "latest") -> tuple[int, int]:
        """Return an account's free and posted collateral as of a block."""
        with node_problems():
            found = self._vault.functions.accountOf(account).call(block_identifier=block)
        return int(found[0]), int(found[1])

    def holder(self, commitments: bytes) -> str | None:
        """Return the account that has registered a book, by its hash(V); None if nobody has."""
        with node_problems():
            found = str(self._vault.functions.holderOf(commitments).call())
        return found if int(found, 16) else None

    def outcome(self, key: bytes, first: int, last: int) -> Outcome | None:
        """Return what the settlement of a run moved; None if there is none in these blocks."""
        for begin, end in _ranges(first, last):
            determined = self._events("SettlementDetermined", {"run": key}, begin, end)
            if not determined:
                continue
            # Both are of one transaction, so of one block.
            moved = self._events("SettlementTransferred", {"run": key}, begin, end)
            seized = self._events("TradeTerminated", {"run": key}, begin, end)
            if len(determined) != 1 or len(moved) + len(seized) != 1:
                raise NodeProblem(f"run {key.hex()} is settled {len(determined)} times by the node's events")
            said, what = determined[0]["args"], (moved or seized)[0]
            return Outcome(
                kind="margin_call" if moved else "liquidation",
                amount=int(what["args"]["amount" if moved else "seized"]),
                top_up=int(said["topUp"]),
                log=bytes(said["log"]),
                block=int(what["blockNumber"]),
                transaction=what["transactionHash"].to_0x_hex(),
            )
        return None

    def deposits(self, first: int, last: int) -> Iterator[Arrived]:
        """Yield the deposits of some blocks, in their order."""
        for begin, end in _ranges(first, last):
            for found in self._events("Deposited", {}, begin, end):
                # Short enough for a label, and of a final block: no other event ever has it.
                place = f"{self.addresses.chain}/{self.address[:10]}/{found['blockNumber']}.{found['logIndex']}"
                arrived = int(found["args"]["arrived"])
                yield Arrived(found["args"]["account"], arrived, place, int(found["blockNumber"]))

    # What is sent

    def opening(self, key: bytes, account: str, tick: int, commitments: bytes, posted: int) -> HexStr:
        """Return the data of a call that opens a run on a book and so much posted collateral."""
        return HexStr(self._vault.encode_abi("openRun", [key, account, tick, commitments, posted]))

    def settling(
        self, message: Mapping[str, Any], signatures: Sequence[tuple[bytes, bytes, int]], proofs: Sequence[bytes]
    ) -> HexStr:
        """Return the data of a call that settles a run."""
        return HexStr(self._vault.encode_abi("settle", [_attestation(message), list(signatures), *proofs]))

    def missing_part(self, answer: Answer, plan: Plan, key: bytes) -> Part | None:
        """Return the first part of an answer that is to be recorded for a run and is not; None if all are there."""
        recorder = self._recorder(answer, plan, key)
        with node_problems():
            return next(iter(recorder.missing()), None)

    def recording(self, answer: Answer, plan: Plan, key: bytes, part: Part) -> HexStr:
        """Return the data of a call that records a part."""
        return _data(self._recorder(answer, plan, key).recording(part))

    def settling_parts(
        self,
        message: dict[str, Any],
        signatures: list[tuple[bytes, bytes, int]],
        answer: Answer,
        plan: Plan,
        key: bytes,
    ) -> HexStr:
        """Return the data of a call that settles a run whose parts are recorded."""
        return _data(self._recorder(answer, plan, key).settling(cast(Any, _attestation(message)), signatures))

    def _recorder(self, answer: Answer, plan: Plan, key: bytes) -> Recorder:
        # It sends nothing here.
        return Recorder(self.web3, self._vault, self.address, key, answer, plan)

    def gas_of(self, sender: str, data: HexStr) -> int:
        """Return the gas that a call of the vault takes now, with room.

        Raises:
            VaultRefuses: it would revert, and why.
        """
        asked: TxParams = {"from": cast(ChecksumAddress, sender), "to": self.address, "data": data}
        try:
            estimated = self.web3.eth.estimate_gas(asked)
        except Exception as error:
            raise _refusal(error) from error
        return min(estimated + estimated // 10, TRANSACTION_GAS)

    def why_reverted(self, sender: str, data: HexStr) -> str:
        """Return why a call that was mined and reverted would revert now, in a few words."""
        try:
            self.gas_of(sender, data)
        except VaultRefuses as refusal:
            return str(refusal)
        return "it would not revert now"

    def _events(self, name: str, wanted: Mapping[str, Any], first: int, last: int) -> list[Any]:
        with node_problems():
            return list(self._vault.events[name]().get_logs(argument_filters=wanted, from_block=first, to_block=last))


def _attestation(message: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the fields of a struct in its order."""
    return tuple(message[name] for name, _ in FIELDS["MatrixAttestation"])


def _data(call: ContractFunction) -> HexStr:
    """Return the data of a call, without asking anybody."""
    return HexStr(call._encode_transaction_data())


def _refusal(error: Exception) -> Exception:
    revert = revert_of(error)
    if revert is not None:
        return VaultRefuses(f"the vault refuses: {revert}")
    if isinstance(error, UNREACHABLE):
        return NodeProblem(f"the node does not answer: {_short(error)}")
    return error


@contextmanager
def node_problems() -> Iterator[None]:
    """Name what goes wrong between here and the node.

    Raises:
        NodeProblem: in place of what web3 and HTTP raise.
    """
    try:
        yield
    except UNREACHABLE as error:
        raise NodeProblem(f"the node does not answer: {_short(error)}") from error


def asked(question: Callable[[], T]) -> T:
    """Return what a node answers, with `node_problems`."""
    with node_problems():
        return question()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]


def _ranges(first: int, last: int) -> Iterator[tuple[int, int]]:
    while first <= last:
        yield first, min(first + MAX_LOG_BLOCKS - 1, last)
        first += MAX_LOG_BLOCKS
