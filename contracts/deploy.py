"""Put verifier, oracle and vault on a chain. Needs web3 (the extra `chain`). For whoever deploys, and for tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.contract import Contract
from web3.types import BlockIdentifier

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import Artifact, load_artifact
from atomic_margin.contracts.errors import ContractsError
from atomic_margin.contracts.generator_blocks import creation_code, generator_blocks

TRANSACTION_GAS = 16_777_216
"""Most gas of one transaction (EIP-7825)."""
WAIT_SECONDS = 300
POOL: BlockIdentifier = "pending"
"""The block that a node would make of what waits in its pool: nonces are counted in it."""


def deploy_verifier(web3: Web3, sender: ChecksumAddress) -> Contract:
    """Deploy the generators' blocks and the verifier: ten transactions of ``sender``, which the node signs.

    The constructor refuses blocks with anything but the generators in them.

    Raises:
        ContractsError: a transaction was reverted.
    """
    blocks = [create(web3, sender, creation_code(code)) for code in generator_blocks()]
    return deploy(web3, sender, load_artifact("MarginVerifier"), blocks)


def deploy_partial_verifier(web3: Web3, sender: ChecksumAddress, verifier: Contract) -> Contract:
    """Deploy what verifies by slices, over the generators' blocks that ``verifier`` has: two transactions.

    Raises:
        ContractsError: a transaction was reverted.
    """
    count = len(generator_blocks())
    blocks = [verifier.functions.generatorBlocks(index).call() for index in range(count)]
    chunked = deploy(web3, sender, load_artifact("ChunkedSufficiency"), blocks)
    return deploy(web3, sender, load_artifact("PartialVerifier"), blocks, chunked.address)


def deploy(web3: Web3, sender: ChecksumAddress, artifact: Artifact, *arguments: Any) -> Contract:
    """Deploy a compiled contract with the arguments of its constructor.

    Raises:
        ContractsError: the transaction was reverted.
    """
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    address = create(web3, sender, bytes.fromhex(factory.constructor(*arguments).data_in_transaction[2:]))
    return web3.eth.contract(address=address, abi=artifact.abi)


def create(web3: Web3, sender: ChecksumAddress, code: bytes) -> ChecksumAddress:
    """Create a contract by ``code`` and return its address.

    Raises:
        ContractsError: the transaction was reverted.
    """
    sent = web3.eth.send_transaction({"from": sender, "data": code, "gas": TRANSACTION_GAS})
    receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=WAIT_SECONDS)
    address = receipt["contractAddress"]
    if receipt["status"] != 1 or address is None:
        raise ContractsError(f"transaction {sent.to_0x_hex()} created no contract: it was reverted")
    return address


@dataclass(frozen=True)
class VaultRoles:
    """Who may do what in a vault, and its limits.

    Attributes:
        operator: opens runs, and ends covered ones.
        guardian: pauses.
        waterfall: receives what a liquidation takes.
        block_cap: most that settles in one block and that one account may hold, smallest units of the token.
        run_seconds: how long a run locks an account at most.
    """

    operator: str
    guardian: str
    waterfall: str
    block_cap: int
    run_seconds: int


@dataclass(frozen=True)
class Deployed:
    """A vault that was put on a chain.

    Attributes:
        addresses: of all its contracts.
        first_block: nothing of the vault is in an earlier one.
    """

    addresses: ChainAddresses
    first_block: int


def deploy_vault(
    web3: Web3,
    sender: ChecksumAddress,
    *,
    token: str,
    asset: str,
    signers: Sequence[str],
    threshold: int,
    roles: VaultRoles,
    verifier: str | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> Deployed:
    """Deploy a vault with its oracle, and the verifier unless there is one: fourteen transactions, or four.

    It is a `PartsVault`: proofs that are too large for one transaction are recorded in parts before.

    Args:
        web3: a connection whose node or middleware signs for `sender`.
        sender: pays for it, and has no rights in it afterwards.
        token: the ERC-20 that the vault holds.
        asset: of the collateral schedule, which the token is.
        signers: of the oracle.
        threshold: how many of them have to sign, more than half.
        roles: of the vault.
        verifier: a `MarginVerifier` that is there already; its code is not compared with ours.
        said: told of each contract that is there.

    Raises:
        ContractsError: a transaction was reverted.
    """
    first = int(web3.eth.block_number)
    if verifier is None:
        verifier = str(deploy_verifier(web3, sender).address)
        said(f"verifier {verifier}")
    ordered = sorted(signers, key=lambda one: int(one, 16))
    oracle = str(deploy(web3, sender, load_artifact("MatrixOracle"), ordered, threshold).address)
    said(f"oracle {oracle}: {threshold} of {len(ordered)}")
    settings = (
        token, oracle, roles.operator, roles.guardian, roles.waterfall, roles.block_cap, roles.run_seconds,
    )  # fmt: skip
    whole = web3.eth.contract(address=Web3.to_checksum_address(verifier), abi=load_artifact("MarginVerifier").abi)
    partial = str(deploy_partial_verifier(web3, sender, whole).address)
    said(f"verifier of parts {partial}")
    vault = str(deploy(web3, sender, load_artifact("PartsVault"), settings, verifier, partial).address)
    said(f"vault {vault}")
    return Deployed(ChainAddresses(int(web3.eth.chain_id), vault, oracle, verifier, token, asset), first)
