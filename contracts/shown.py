"""What the contracts of an addresses file say, for people. Needs web3 (the extra `chain`)."""

from typing import Any, cast

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.contract import Contract

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.errors import AddressesInvalid

ACCOUNT_STATES = ("inactive", "settled", "valuation", "terminated")
SETTINGS = ("token", "oracle", "verifier", "operator", "guardian", "waterfall")


def shown_vault(web3: Web3, addresses: ChainAddresses) -> dict[str, Any]:
    """Return settings of a vault and the signers of its oracle.

    Raises:
        AddressesInvalid: the node is on another chain, or a contract of the file is not the vault's.
    """
    chain = web3.eth.chain_id
    if chain != addresses.chain:
        raise AddressesInvalid(f"the node is on chain {chain}, the addresses are of chain {addresses.chain}")
    if not web3.eth.get_code(cast(ChecksumAddress, addresses.vault)):
        raise AddressesInvalid(f"vault: there is no contract at {addresses.vault}")
    vault, oracle = _vault(web3, addresses), _oracle(web3, addresses)
    found = {name: vault.functions[name]().call() for name in SETTINGS}
    for name in ("token", "oracle", "verifier"):
        if found[name] != getattr(addresses, name):
            raise AddressesInvalid(f"{name}: the vault's is {found[name]}, the file says {getattr(addresses, name)}")
    return {
        "chain": str(chain),
        "vault": addresses.vault,
        "asset": addresses.asset,
        **found,
        "block_cap": str(vault.functions.blockCap().call()),
        "run_seconds": str(vault.functions.runSeconds().call()),
        "paused": vault.functions.pausedSince().call() != 0,
        "signer_set": str(oracle.functions.signerSet().call()),
        "threshold": str(oracle.functions.threshold().call()),
        "signers": oracle.functions.signers().call(),
    }


def shown_account(web3: Web3, addresses: ChainAddresses, account: str) -> dict[str, Any]:
    """Return an account of a vault."""
    free, posted, commitments, run, sequence, tick, state = _vault(web3, addresses).functions.accountOf(account).call()
    return {
        "account": account,
        "state": ACCOUNT_STATES[state],
        "free": str(free),
        "posted": str(posted),
        "commitments": "0x" + bytes(commitments).hex(),
        "run": "0x" + bytes(run).hex() if any(run) else None,
        "sequence": str(sequence),
        "tick": str(tick),
    }


def _vault(web3: Web3, addresses: ChainAddresses) -> Contract:
    return web3.eth.contract(address=cast(ChecksumAddress, addresses.vault), abi=load_artifact("Vault").abi)


def _oracle(web3: Web3, addresses: ChainAddresses) -> Contract:
    return web3.eth.contract(address=cast(ChecksumAddress, addresses.oracle), abi=load_artifact("MatrixOracle").abi)
