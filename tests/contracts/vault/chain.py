"""The local chain of the tests of vaults and oracle: deploys, sends, travels in time, names what is refused."""

import ast
import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import rlp
from eth_account.signers.local import LocalAccount
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.providers.eth_tester import EthereumTesterProvider
from web3.types import TxReceipt

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import TRANSACTION_GAS, deploy
from atomic_margin.contracts.local_chain import tester

MOST_FEE = 10**11
"""What is paid for gas at most: said, so that nobody has to be asked."""
NAMED = (
    "AttestedVault",
    "ChunkedSufficiency",
    "CollateralPayment",
    "KeyLock",
    "MarginDecision",
    "MarginVerifier",
    "MatrixOracle",
    "PartialVerifier",
    "PartsVault",
    "Vault",
    "test/DecidedVerifier",
)
"""Contracts whose errors tests meet."""
AHEAD_SECONDS = 10**8


class Refusal(NamedTuple):
    """A named error of a contract."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Chain:
    """One chain in this process, which mines a block for every transaction."""

    w3: Web3
    _done: dict[tuple[bytes, Hashable], int] = field(default_factory=dict)

    @functools.cached_property
    def id(self) -> int:
        """Its chain id."""
        return self.w3.eth.chain_id

    @property
    def machine(self) -> Any:
        """What plays the chain: snapshots, time."""
        return self.w3.provider.ethereum_tester  # type: ignore[attr-defined]

    def now(self) -> int:
        """Return the time of the newest block."""
        return int(self.w3.eth.get_block("latest")["timestamp"])

    def travel(self, seconds: int) -> None:
        """Let time pass."""
        self.machine.time_travel(self.now() + seconds)
        self.machine.mine_block()

    def once(self, what: Hashable, deed: Callable[[], None]) -> None:
        """Do something; where it was done on the same block before, go to the block that it led to."""
        if not isinstance(self.w3.provider, EthereumTesterProvider):
            return deed()
        key = bytes(self.w3.eth.get_block("latest")["hash"]), what
        if key in self._done:
            self.machine.revert_to_snapshot(self._done[key])
        else:
            deed()
            # Going to a block carries it out: an empty one is quickest.
            self.machine.mine_block()
            self._done[key] = self.machine.take_snapshot()
        return None

    def deploy(self, name: str, *arguments: Any) -> Contract:
        """Deploy a contract."""
        return deploy(self.w3, self.w3.eth.accounts[0], load_artifact(name), *arguments)

    def refused_deployment(self, name: str, *arguments: Any) -> Refusal:
        """Return the named error with which a constructor reverts."""
        made = load_artifact(name)
        factory = self.w3.eth.contract(abi=made.abi, bytecode=made.bytecode)
        data = factory.constructor(*arguments).data_in_transaction
        try:
            self.w3.eth.call({"from": self.w3.eth.accounts[0], "gas": TRANSACTION_GAS, "data": data})
        except (ContractCustomError, TransactionFailed) as refusal:
            return _named(self.w3, _data(refusal))
        raise AssertionError(f"{name} was deployed")

    def next_contract(self) -> str:
        """Return the address that the next contract gets which `deploy` makes."""
        creator = self.w3.eth.accounts[0]
        nonce = self.w3.eth.get_transaction_count(creator)
        return Web3.to_checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[12:])

    def send(self, function: ContractFunction, sender: LocalAccount) -> TxReceipt:
        """Send a transaction that has to succeed."""
        fees = {"maxFeePerGas": MOST_FEE, "maxPriorityFeePerGas": 1, "chainId": self.id}
        nonce = self.w3.eth.get_transaction_count(Web3.to_checksum_address(sender.address))
        sent = function.transact({"from": sender.address, "gas": TRANSACTION_GAS, "nonce": nonce, **fees})
        receipt = self.w3.eth.wait_for_transaction_receipt(sent)
        if receipt["status"] != 1:
            raise AssertionError(f"{function.fn_name} was refused: {self.refused(function, sender)}")
        return receipt

    def refusal(self, function: ContractFunction, sender: LocalAccount) -> Refusal | None:
        """Return the named error with which a call is refused, None if it is not."""
        try:
            function.call({"from": sender.address, "gas": TRANSACTION_GAS})
        except (ContractCustomError, TransactionFailed) as refusal:
            return _named(self.w3, _data(refusal))
        return None

    def refused(self, function: ContractFunction, sender: LocalAccount) -> Refusal:
        """Return the named error with which a call has to be refused."""
        refusal = self.refusal(function, sender)
        assert refusal is not None, f"{function.fn_name} was not refused"
        return refusal

    def events(self, receipt: TxReceipt, contract: Contract) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of one contract in a transaction, in order."""
        seen = []
        for one in contract.events:
            seen += [
                (log["logIndex"], log["event"], dict(log["args"]))
                for log in one().process_receipt(receipt, errors=DISCARD)
                if log["address"] == contract.address
            ]
        return [(name, arguments) for _, name, arguments in sorted(seen, key=lambda each: each[0])]


def new_chain(people: Iterable[LocalAccount], w3: Web3 | None = None) -> Chain:
    """Return a chain on which these people sign for themselves and have something to pay for gas.

    Args:
        people: who acts on it.
        w3: a connection to a local chain; None for a new one in this process.
    """
    chain = Chain(w3 or tester())
    if w3 is None:
        # Ahead of the machine's clock each block is a second later than the one before, however long a test takes.
        chain.machine.time_travel(chain.now() + AHEAD_SECONDS)
    keys = list(people)
    rich = chain.w3.eth.accounts[0]
    for one in keys:
        chain.w3.eth.send_transaction({"from": rich, "to": one.address, "value": Web3.to_wei(10, "ether")})
    chain.w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(keys), layer=0)
    return chain


def _data(refusal: ContractCustomError | TransactionFailed) -> bytes:
    """Return what a call reverted with: anvil gives it as hex, eth-tester as Python writes bytes."""
    if isinstance(refusal, ContractCustomError):
        return bytes.fromhex(str(refusal.data).removeprefix("0x"))
    said = ast.literal_eval(str(refusal.args[0]).removeprefix("execution reverted: "))
    assert isinstance(said, bytes), refusal
    return said


def _named(w3: Web3, data: bytes) -> Refusal:
    known = _errors()
    if data[:4] not in known:
        raise AssertionError(f"an error that no contract here has: {data.hex()}")
    name, types = known[data[:4]]
    return Refusal(name, tuple(w3.codec.decode(types, data[4:])))


@functools.cache
def _errors() -> Mapping[bytes, tuple[str, list[str]]]:
    known = {}
    for entry in [entry for name in NAMED for entry in load_artifact(name).abi if entry["type"] == "error"]:
        types = [str(one["type"]) for one in entry["inputs"]]
        known[keccak(text=f"{entry['name']}({','.join(types)})")[:4]] = (str(entry["name"]), types)
    return known
