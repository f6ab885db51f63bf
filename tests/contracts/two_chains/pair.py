"""Two chains at once: a lock on one, a vault and what decides on the other, with everybody's keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import TxReceipt

from atomic_margin.contracts.key_holder import KeyHolder
from atomic_margin.contracts.keys import KeyPlace, KeyReference, Outcome, joined, key_of, terms
from atomic_margin.contracts.local_chain import tester

from ..vault.chain import Chain, Refusal, new_chain
from ..vault.world import HOLDER, PEOPLE, RUN, STRANGER, World, digest, key, world

ASSET_CHAIN, DECIDING_CHAIN = 8_001, 8_002
SECURED, PROVIDER = key("secured party"), key("provider")
EVERYBODY = (*PEOPLE, SECURED, PROVIDER)
SEEDS = tuple(digest(f"seed {number}") for number in range(5))
THRESHOLD = 3
CONFIRMATIONS = 2
ID = 7
LOCKED, PAID = 700, 600
NO_CALLBACK = "0x" + "00" * 20
DAY = 24 * 3600
MINUTES = 600

SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE


def numbered(chain_id: int) -> Chain:
    """Return a new chain in this process that has another id than the others."""
    w3 = tester()
    provider: Any = w3.provider
    type(provider.ethereum_tester.backend.chain).chain_id = chain_id
    endpoints = provider.api_endpoints
    provider.api_endpoints = {**endpoints, "eth": {**endpoints["eth"], "chainId": lambda *_: chain_id}}
    return new_chain(EVERYBODY, w3)


@dataclass
class Pair:
    """Contracts on both chains."""

    asset: Chain
    lock_token: Contract
    lock: Contract
    vault: World
    margin: Contract
    payment: Contract

    @property
    def deciding(self) -> Chain:
        """The chain with the vault."""
        return self.vault.chain

    def mine(self, blocks: int = CONFIRMATIONS) -> None:
        """Let blocks be mined on the deciding chain, of whatever kind it is."""
        eth = self.deciding.w3.eth
        for _ in range(blocks):
            sent = eth.send_transaction({"from": eth.accounts[0], "to": eth.accounts[0]})
            eth.wait_for_transaction_receipt(sent)

    def locked_tokens(self, who: str) -> int:
        """Return somebody's balance of the token on the asset chain."""
        balance: int = self.lock_token.functions.balanceOf(who).call()
        return balance


def pair(asset: Chain, deciding: Chain, verifier: Contract | None = None) -> Pair:
    """Deploy everything on two chains, with the stand-in for a verifier unless there is one."""
    return over(asset, world(deciding, verifier=verifier))


def over(first: Chain, vault: World, lock_kind: str = "Token") -> Pair:
    """Deploy a lock over a token of a kind on one chain, and what decides by a vault on the vault's chain."""
    second = vault.chain
    token = first.deploy(f"test/{lock_kind}")
    return Pair(
        first,
        token,
        first.deploy("KeyLock", token.address),
        vault,
        second.deploy("MarginDecision", vault.vault.address),
        second.deploy("CollateralPayment", vault.vault.address),
    )


@dataclass(frozen=True)
class Trade:
    """One transfer over both chains: who is who, how much, until when, and whose keys."""

    pair: Pair
    decision: Contract
    lock_from: LocalAccount
    lock_to: LocalAccount
    decide_from: LocalAccount
    decide_to: LocalAccount
    amount: int
    transaction: bytes
    decide_before: int
    reclaimable_from: int
    first_block: int
    id: int = ID
    lock_amount: int = LOCKED
    seeds: Sequence[bytes] = SEEDS
    threshold: int = THRESHOLD
    lock: Contract = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.lock is None:
            object.__setattr__(self, "lock", self.pair.lock)

    def with_(self, **changed: Any) -> "Trade":
        """Return another trade."""
        return replace(self, **changed)

    # Keys

    def place(self, outcome: Outcome) -> KeyPlace:
        """Return what a key is for."""
        pair = self.pair
        return KeyPlace(pair.asset.id, self.lock.address, pair.deciding.id, self.decision.address, self.id, outcome)

    def holders(self, confirmations: int = CONFIRMATIONS) -> list[KeyHolder]:
        """Return the holders, who watch the deciding chain."""
        return [KeyHolder(seed, self.pair.deciding.w3, self.decision, confirmations) for seed in self.seeds]

    def reference(self, outcome: Outcome) -> KeyReference:
        """Return the reference that both parties compute from the holders' commitments."""
        place = self.place(outcome)
        return KeyReference(place, self.threshold, tuple(one.commitment(place) for one in self.holders()))

    def encrypted(self, outcome: Outcome) -> bytes:
        """Return a reference as the contracts take it."""
        return self.reference(outcome).encoded()

    def revealed(
        self, outcome: Outcome, who: Iterable[int] = range(THRESHOLD), confirmations: int = CONFIRMATIONS
    ) -> bytes | None:
        """Return the key of what these holders answer, None if they answer nothing."""
        commitments = self.reference(outcome).commitments
        parts = []
        for number in who:
            answers, _ = self.holders(confirmations)[number].answers(self.first_block)
            secrets = [one.secret for one in answers if one.place == self.place(outcome)]
            parts += [key_of(commitments, {number: secret}) for secret in secrets]
        return joined(parts) if parts else None

    # What is sent

    def incepting_lock(self, **changed: Any) -> ContractFunction:
        """Return the receiver's call on the asset chain."""
        return self.lock.functions.inceptTransfer(*self.lock_arguments(FAILURE, **changed))

    def confirming_lock(self, **changed: Any) -> ContractFunction:
        """Return the sender's call on the asset chain."""
        return self.lock.functions.confirmTransfer(*self.lock_arguments(SUCCESS, **changed))

    def canceling_lock(self, **changed: Any) -> ContractFunction:
        """Return the call that withdraws what was not confirmed."""
        return self.lock.functions.cancelTransfer(*self.lock_arguments(FAILURE, **changed))

    def lock_arguments(self, outcome: Outcome, **changed: Any) -> list[Any]:
        """Return arguments of the asset chain's calls."""
        encrypted = changed.pop("encrypted", self.encrypted(outcome))
        fields = {
            "id": self.id,
            "amount": self.lock_amount,
            "from": self.lock_from.address,
            "to": self.lock_to.address,
            "transaction": self.transaction,
            "hashed": Web3.keccak(encrypted),
            "encrypted": encrypted,
        }
        return list((fields | changed).values())

    def incepting(self, **changed: Any) -> ContractFunction:
        """Return the receiver's call on the deciding chain."""
        return self.decision.functions.inceptTransfer(*self.arguments(**changed))

    def confirming(self, **changed: Any) -> ContractFunction:
        """Return the sender's call on the deciding chain."""
        return self.decision.functions.confirmTransfer(*self._with_callback(changed))

    def canceling(self, **changed: Any) -> ContractFunction:
        """Return the call that ends a transfer without a success."""
        return self.decision.functions.cancelAndDecrypt(*self._with_callback(changed))

    def deciding(self) -> ContractFunction:
        """Return the call that decides."""
        return self.decision.functions.transferAndDecrypt(self.id)

    def arguments(self, **changed: Any) -> list[Any]:
        """Return arguments of the deciding chain's calls."""
        fields = {
            "id": self.id,
            "amount": self.amount,
            "from": self.decide_from.address,
            "to": self.decide_to.address,
            "transaction": self.transaction,
            "success": self.encrypted(SUCCESS),
            "failure": self.encrypted(FAILURE),
        }
        return list((fields | changed).values())

    def _with_callback(self, changed: dict[str, Any]) -> list[Any]:
        callback = changed.pop("callback", NO_CALLBACK)
        arguments = self.arguments(**changed)
        return [*arguments[:5], callback, *arguments[5:]]

    def with_key(self, key_: bytes) -> ContractFunction:
        """Return the call that brings a key to the asset chain."""
        return self.lock.functions.transferWithKey(self.id, key_)

    # Deeds

    def fund_lock(self) -> None:
        """Give the sender what it is to lock, and let the lock take it."""
        pair = self.pair
        pair.asset.send(pair.lock_token.functions.mint(self.lock_from.address, self.lock_amount), STRANGER)
        approve = pair.lock_token.functions.approve(self.lock.address, self.lock_amount)
        pair.asset.send(approve, self.lock_from)

    def incept_both(self) -> None:
        """Both receivers propose."""
        self.pair.asset.send(self.incepting_lock(), self.lock_to)
        self.pair.deciding.send(self.incepting(), self.decide_to)

    def stand(self) -> "Trade":
        """Everything is agreed on both chains, and the token is locked."""
        self.fund_lock()
        self.incept_both()
        self.pair.deciding.send(self.confirming(), self.decide_from)
        self.pair.asset.send(self.confirming_lock(), self.lock_from)
        return self

    def fund_payment(self) -> None:
        """Give the payer what it owes, and let the contract take it."""
        vault = self.pair.vault
        vault.send(vault.token.functions.mint(self.decide_from.address, self.amount))
        vault.send(vault.token.functions.approve(self.decision.address, self.amount), self.decide_from)

    def decide(self, sender: LocalAccount | None = None) -> TxReceipt:
        """Decide, and let it become final."""
        receipt = self.pair.deciding.send(self.deciding(), sender or self.decide_from)
        self.pair.mine()
        return receipt

    def cancel(self, sender: LocalAccount) -> TxReceipt:
        """End it, and let that become final."""
        receipt = self.pair.deciding.send(self.canceling(), sender)
        self.pair.mine()
        return receipt

    def release(self, outcome: Outcome, who: Iterable[int] = range(THRESHOLD)) -> None:
        """Publish what these holders answer on the deciding chain, one by one."""
        for number in who:
            part = self.revealed(outcome, [number])
            assert part is not None
            self.pair.deciding.send(self.decision.functions.releaseKey(self.id, part), STRANGER)

    def published(self) -> bytes:
        """Return the key that anybody collects from the deciding chain."""
        logs = self.decision.events.TransferKeyReleased().get_logs(from_block=self.first_block)
        return joined(bytes(log["args"]["key"]) for log in logs if log["args"]["id"] == self.id)

    def lock_refused(self, function: ContractFunction, sender: LocalAccount = STRANGER) -> Refusal:
        """Return how the asset chain refuses a call."""
        return self.pair.asset.refused(function, sender)

    def refused(self, function: ContractFunction, sender: LocalAccount = STRANGER) -> Refusal:
        """Return how the deciding chain refuses a call."""
        return self.pair.deciding.refused(function, sender)

    def lock_state(self) -> str:
        """Return the name of the lock's state."""
        names = ("Unknown", "Incepted", "Canceled", "Locked", "Claimed", "Reclaimed")
        return names[self.lock.functions.lockOf(self.id).call()[2]]

    def state(self) -> str:
        """Return the name of the state on the deciding chain."""
        names = ("Unknown", "Incepted", "Confirmed", "Deciding", "Success", "Failure")
        return names[self.decision.functions.transferOf(self.id).call()[2]]


def times(pair_: Pair, seconds: int = MINUTES) -> tuple[int, int]:
    """Return until when is decided, and from when a lock is given back: as soon as allowed, by both clocks."""
    before = max(pair_.asset.now(), pair_.deciding.now()) + seconds
    return before, before + DAY


def standing_behind(pair_: Pair, run: bytes = RUN, **changed: Any) -> Trade:
    """Return a trade in which the holder's collateral on the asset chain stands behind a run."""
    people = (HOLDER, SECURED, HOLDER, SECURED)
    return Trade(pair_, pair_.margin, *people, LOCKED, *_agreed(pair_, run)).with_(**changed)


def exchange(pair_: Pair, run: bytes = RUN, **changed: Any) -> Trade:
    """Return a trade in which a provider pays into the holder's account of the vault for what the holder locks."""
    people = (HOLDER, PROVIDER, PROVIDER, HOLDER)
    return Trade(pair_, pair_.payment, *people, PAID, *_agreed(pair_, run)).with_(**changed)


def _agreed(pair_: Pair, run: bytes) -> tuple[bytes, int, int, int]:
    before, reclaimable = times(pair_)
    return terms(before, reclaimable, run), before, reclaimable, pair_.deciding.w3.eth.block_number
