"""Who signs the rail's transactions: a key from a keystore file, or a signer beside the operator."""

from collections.abc import Mapping
from typing import Any, Protocol

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint

from atomic_margin.contracts.errors import ContractsError
from atomic_margin.contracts.keystore import load_key
from atomic_margin.service.operator.settlement.chain.errors import SenderProblem
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.vault import UNREACHABLE


class TransactionSigner(Protocol):
    """Signs for one address."""

    address: str

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed transaction, as it goes over the wire.

        Raises:
            SenderProblem: it does not sign.
        """


class KeySigner:
    """A key in this process."""

    def __init__(self, key: LocalAccount) -> None:
        """Take a key."""
        self._key, self.address = key, str(key.address)

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed transaction."""
        return bytes(self._key.sign_transaction(dict(transaction)).raw_transaction)


class ExternalSigner:
    """A signer that keeps the key to itself and answers `eth_signTransaction`, as Web3Signer and Clef do."""

    def __init__(self, url: str, address: str, seconds: int) -> None:
        """Say where it is; nothing is asked yet.

        Args:
            url: of its JSON-RPC.
            address: that it signs for.
            seconds: that an answer is waited for.
        """
        self._provider, self.address = HTTPProvider(url, request_kwargs={"timeout": seconds}), address

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed transaction.

        Raises:
            SenderProblem: it does not answer, refuses, or signs for somebody else.
        """
        numbers = {name: Web3.to_hex(value) if isinstance(value, int) else value for name, value in transaction.items()}
        try:
            answer = self._provider.make_request(RPCEndpoint("eth_signTransaction"), [numbers | {"from": self.address}])
        except UNREACHABLE as error:
            raise SenderProblem(
                f"the external signer does not answer: {type(error).__name__}: {error}"[:300]
            ) from error
        result = answer.get("result")
        raw = result.get("raw") if isinstance(result, dict) else result
        if not isinstance(raw, str):
            raise SenderProblem(f"the external signer does not sign: {str(answer.get('error'))[:200]}")
        try:
            signed = bytes.fromhex(raw.removeprefix("0x"))
            signer = Account.recover_transaction(signed)
        except Exception as error:  # a library's parsers of outside bytes, whose errors are of many kinds
            raise SenderProblem(f"the external signer returned no signed transaction: {error}"[:300]) from error
        if signer != self.address:
            raise SenderProblem(f"the external signer signed for {signer}, not for {self.address}")
        return signed


def signer_of(settings: RailSettings) -> TransactionSigner:
    """Return the signer that a rail file names.

    Raises:
        ContractsError: its keystore does not open.
    """
    sender = settings.file.sender
    if sender.signer is not None and sender.address is not None:
        return ExternalSigner(sender.signer, sender.address, settings.file.request_seconds)
    if sender.keystore is None or sender.password_file is None:
        raise ContractsError("sender: name keystore and password_file, or address and signer")
    return KeySigner(load_key(settings.folder / sender.keystore, settings.folder / sender.password_file))
