"""Register an institution's book in a vault: ask the signers, sign with the account's key, send. Needs web3.

For the institution's command. What is asked about the book is the caller's; number, expiry and the message that comes
back are seen to here, so that the account's key signs what was meant and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eth_account.signers.local import LocalAccount
from requests.exceptions import RequestException
from web3 import Web3
from web3.exceptions import Web3Exception

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.attestations import Kind
from atomic_margin.contracts.collect import Collected, SignerSet, collect
from atomic_margin.contracts.errors import RegistrationRefused
from atomic_margin.contracts.signatures import sign_message

EXPIRY_SECONDS = 3600
CALL_SECONDS = 60
WAIT_SECONDS = 300
KIND: Kind = "PortfolioAttestation"


def register_book(
    web3: Web3,
    addresses: ChainAddresses,
    key: LocalAccount,
    commitments: bytes,
    request: Callable[[int, int], Mapping[str, Any]],
    urls: Sequence[str],
) -> str:
    """Make a book the account's in the vault; return the hash of the transaction that did.

    Args:
        web3: a node of the chain, the institution's own.
        addresses: of the vault.
        key: of the institution's account, which pays for gas.
        commitments: hash of the book's.
        request: makes what signers are asked, of the account's next number and an expiry.
        urls: where signers serve.

    Raises:
        TooFewSignatures: the signers did not attest it.
        RegistrationRefused: they attested something else, or the chain does not take it.
    """
    try:
        return _registered(web3, addresses, key, commitments, request, urls)
    except (Web3Exception, RequestException, OSError) as error:
        raise RegistrationRefused(
            f"the chain does not take it: {type(error).__name__}: {str(error)[:300]}; see whether the account has "
            "something to pay for gas, and no run is open"
        ) from error


def _registered(
    web3: Web3,
    addresses: ChainAddresses,
    key: LocalAccount,
    commitments: bytes,
    request: Callable[[int, int], Mapping[str, Any]],
    urls: Sequence[str],
) -> str:
    chain = web3.eth.chain_id
    if chain != addresses.chain:
        raise RegistrationRefused(f"the node is of chain {chain}, and the addresses are of {addresses.chain}")
    vault = web3.eth.contract(address=Web3.to_checksum_address(addresses.vault), abi=load_artifact("Vault").abi)
    oracle = vault.functions.oracle().call()
    if oracle != addresses.oracle:
        raise RegistrationRefused(f"the vault's oracle is {oracle}, and the addresses say {addresses.oracle}")
    sequence = vault.functions.accountOf(key.address).call()[4] + 1
    expiry = web3.eth.get_block("latest")["timestamp"] + EXPIRY_SECONDS
    signers = SignerSet.read(web3, addresses.oracle)
    collected = collect(urls, request(sequence, expiry), signers.threshold, signers)
    _require_meant(
        collected,
        {"vault": addresses.vault, "account": key.address, "commitments": commitments, "sequence": sequence},
    )
    own = sign_message(key, KIND, collected.message, chain=chain, contract=addresses.oracle)
    call = vault.functions.registerPortfolio(collected.message, own, collected.signatures)
    # Another type by name than the one that signs.
    transaction: Any = call.build_transaction(
        {"from": key.address, "nonce": web3.eth.get_transaction_count(key.address)}
    )
    sent = web3.eth.send_raw_transaction(key.sign_transaction(transaction).raw_transaction)
    receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=WAIT_SECONDS)
    if receipt["status"] != 1:
        raise RegistrationRefused(
            f"transaction {sent.to_0x_hex()} was reverted: the account went on meanwhile; ask again"
        )
    return sent.to_0x_hex()


def _require_meant(collected: Collected, wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if collected.message[name] != value:
            raise RegistrationRefused(f"{name}: the signers attest {collected.message[name]!r}, not {value!r}")
