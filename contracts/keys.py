"""Keys of transfers over two chains: how they are named, committed to, revealed and put together. Pure.

Holders of a key's parts, the parties of a transfer and whoever brings a key take them from here;
`contracts/solidity/TwoChains.sol` reads the same. Needs eth-abi (the extra `chain`).

A key has n holders. Each derives one secret for each outcome of each transfer from a seed that never leaves it, and
publishes its hash; any k secrets open. A reference names the key by all of that and opens nothing: it is what ERC-7573
calls the encrypted key.

>>> place = KeyPlace(1, "0x" + "11" * 20, 2, "0x" + "22" * 20, 7, Outcome.SUCCESS)
>>> secrets = [secret_of(bytes([number]) * 32, place) for number in range(3)]
>>> reference = KeyReference(place, 2, commitments := tuple(commitment_to(one) for one in secrets))
>>> read_reference(reference.encoded()).place == place
True
>>> len(key_of(commitments, {0: secrets[0], 2: secrets[2]}))
352
"""

import enum
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from atomic_margin.contracts.errors import KeyReferenceError

MAX_HOLDERS = 16
KIND = keccak(text="atomic-margin/key-reference/1")
_DERIVED = b"atomic-margin/key-part/1"
_PLACE = ("uint256", "address", "uint256", "address", "uint256", "uint8")
_REFERENCE = ("bytes32", *_PLACE, "uint64", "bytes32")
_KEY = ("bytes32[]", "(uint256,bytes32)[]")
_TERMS = ("uint64", "uint64", "bytes32")
SECRET_BYTES = 32


class Outcome(enum.IntEnum):
    """Which of a transfer's two keys."""

    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class KeyPlace:
    """What a key is for.

    Attributes:
        lock_chain: id of the chain where the token is locked.
        lock: the locking contract's address.
        decision_chain: id of the chain that decides.
        decision: the decryption contract's address.
        id: the transfer's number, the same on both chains.
        outcome: on which the key is released.

    Addresses are kept in lower case, so that two places are equal if they are.
    """

    lock_chain: int
    lock: str
    decision_chain: int
    decision: str
    id: int
    outcome: Outcome

    def __post_init__(self) -> None:
        object.__setattr__(self, "lock", self.lock.lower())
        object.__setattr__(self, "decision", self.decision.lower())

    def _fields(self) -> tuple[Any, ...]:
        return (self.lock_chain, self.lock, self.decision_chain, self.decision, self.id, int(self.outcome))

    def encoded(self) -> bytes:
        """Return it as bytes, the same for everybody."""
        return encode(_PLACE, self._fields())


class Requested(NamedTuple):
    """What a reference says that somebody else made: whose commitments, is only a hash."""

    place: KeyPlace
    threshold: int
    holders: bytes


@dataclass(frozen=True)
class KeyReference:
    """A key by its place and its holders.

    Attributes:
        place: what it is for.
        threshold: k, so many secrets open it.
        commitments: of all holders, in their order.

    Raises:
        KeyReferenceError: no k of these holders can open it, or two have one commitment.
    """

    place: KeyPlace
    threshold: int
    commitments: tuple[bytes, ...]

    def __post_init__(self) -> None:
        count = len(self.commitments)
        if not 1 <= self.threshold <= count <= MAX_HOLDERS:
            raise KeyReferenceError(
                f"threshold {self.threshold} of {count} holders: take 1 to {MAX_HOLDERS} holders, and no more of them"
            )
        if len(set(self.commitments)) != count:
            raise KeyReferenceError("commitments: two holders have the same one, so one secret would count twice")

    def encoded(self) -> bytes:
        """Return ERC-7573's `keyEncrypted`. A party compares it, to the byte, with what the other one sent."""
        fields = self.place._fields()
        return encode(_REFERENCE, (KIND, *fields, self.threshold, keccak(b"".join(self.commitments))))

    def hashed(self) -> bytes:
        """Return ERC-7573's `keyHashed`."""
        return keccak(self.encoded())


def read_reference(encoded: bytes) -> Requested:
    """Return what a reference says.

    Raises:
        KeyReferenceError: it is none.
    """
    try:
        kind, lock_chain, lock, decision_chain, decision, id_, outcome, threshold, holders = decode(_REFERENCE, encoded)
        place = KeyPlace(lock_chain, lock, decision_chain, decision, id_, Outcome(outcome))
    except (DecodingError, ValueError) as error:
        raise KeyReferenceError(f"reference: {error}") from None
    if kind != KIND or len(encoded) != 32 * len(_REFERENCE):
        raise KeyReferenceError("reference: not of this kind; it names a key of another protocol or version")
    return Requested(place, threshold, holders)


def terms(decide_before: int, reclaimable_from: int, run: bytes) -> bytes:
    """Return ERC-7573's `transaction`: the same bytes on both chains.

    Args:
        decide_before: last second, by the deciding chain's clock, to pay, or for the run to be opened.
        reclaimable_from: first second, by the locking chain's clock, to ask for the token back without a key.
        run: that decides, or that the payment is for.
    """
    return encode(_TERMS, (decide_before, reclaimable_from, run))


def secret_of(seed: bytes, place: KeyPlace) -> bytes:
    """Return a holder's part of a key: HMAC-SHA256 of its place under the holder's seed, so nothing has to be kept."""
    return hmac.new(seed, _DERIVED + place.encoded(), hashlib.sha256).digest()


def commitment_to(secret: bytes) -> bytes:
    """Return what a holder publishes of its part before the transfer begins."""
    return keccak(secret)


def reveal(seed: bytes, requested: bytes, *, chain: int, contract: str) -> bytes:
    """Return a holder's part of a key that was asked for.

    The holder calls this for an event `TransferKeyRequested` that is final, and for nothing else.

    Args:
        seed: the holder's.
        requested: the event's `encryptedKey`.
        chain: id of the chain on which the event was seen.
        contract: address that emitted it.

    Raises:
        KeyReferenceError: the key is for another contract's decision.
    """
    place = read_reference(requested).place
    if (place.decision_chain, place.decision) != (chain, contract.lower()):
        raise KeyReferenceError(
            f"reference: for a decision of {place.decision} on chain {place.decision_chain}, and asked for by "
            f"{contract} on chain {chain}; reveal nothing"
        )
    return secret_of(seed, place)


def key_of(commitments: Sequence[bytes], secrets: Mapping[int, bytes]) -> bytes:
    """Return a key, or a part of one: all commitments, and some secrets by the place of their holder.

    Raises:
        KeyReferenceError: a secret is not what its holder committed to.
    """
    for holder, secret in secrets.items():
        if not 0 <= holder < len(commitments) or commitment_to(secret) != commitments[holder]:
            raise KeyReferenceError(f"part {holder}: not what that holder committed to; ask it again")
    return encode(_KEY, (list(commitments), sorted(secrets.items())))


def joined(keys: Iterable[bytes]) -> bytes:
    """Return one key of parts that were released one by one.

    Raises:
        KeyReferenceError: there are none, or they are of several keys.
    """
    found: dict[int, bytes] = {}
    commitments: set[tuple[bytes, ...]] = set()
    for one in keys:
        given, parts = decode(_KEY, one)
        commitments.add(tuple(given))
        found |= dict(parts)
    if len(commitments) != 1:
        raise KeyReferenceError(f"parts of {len(commitments)} keys: join those of one transfer and one outcome")
    (common,) = commitments
    return key_of(common, found)
