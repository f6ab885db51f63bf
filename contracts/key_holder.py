"""A holder of parts of keys: watches one decryption contract and answers what is final. Needs web3 (the extra `chain`).

For signers of an oracle, or an operator alone, that act as ERC-7573's decryption oracle. It keeps a seed and nothing
else: what it answers follows from the seed and from the chain.
"""

from typing import NamedTuple

from web3 import Web3
from web3.contract import Contract

from atomic_margin.contracts.keys import KeyPlace, commitment_to, read_reference, reveal, secret_of

MAX_BLOCKS = 10_000
"""Most blocks that are looked at in one go."""


class Answer(NamedTuple):
    """A part that may be published."""

    place: KeyPlace
    secret: bytes


class KeyHolder:
    """One holder, on the chain that decides."""

    def __init__(self, seed: bytes, web3: Web3, decision: Contract, confirmations: int) -> None:
        """Watch a contract.

        Args:
            seed: 32 secret bytes that never leave this party.
            web3: a connection to the deciding chain, to a node of the holder's own.
            decision: the decryption contract.
            confirmations: so many blocks have to stand on a request before it is answered: what the chain takes to be
                final. With fewer, a reorganisation can make a holder answer both outcomes.
        """
        self._seed = seed
        self._web3 = web3
        self._decision = decision
        self._confirmations = confirmations

    def commitment(self, place: KeyPlace) -> bytes:
        """Return what is published before a transfer begins, for one of its outcomes."""
        return commitment_to(secret_of(self._seed, place))

    def answers(self, first_block: int) -> tuple[list[Answer], int]:
        """Return parts of all keys that were asked for and are final, and the block to go on from.

        Args:
            first_block: to look from.

        Raises:
            KeyReferenceError: the contract asks for keys of others, so it is not what it is taken for.
        """
        last = min(self._web3.eth.block_number - self._confirmations, first_block + MAX_BLOCKS - 1)
        if last < first_block:
            return [], first_block
        chain = self._web3.eth.chain_id
        found = []
        for log in self._decision.events.TransferKeyRequested().get_logs(from_block=first_block, to_block=last):
            asked = bytes(log["args"]["encryptedKey"])
            secret = reveal(self._seed, asked, chain=chain, contract=self._decision.address)
            found.append(Answer(read_reference(asked).place, secret))
        return found, last + 1
