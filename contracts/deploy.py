"""Put the verifier on a chain. Needs web3 (the extra `chain`). For whoever deploys, and for tests."""

from typing import Any

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.contract import Contract

from atomic_margin.contracts.artifact import Artifact, load_artifact
from atomic_margin.contracts.errors import ContractsError
from atomic_margin.contracts.generator_blocks import creation_code, generator_blocks

TRANSACTION_GAS = 16_777_216
"""Most gas of one transaction (EIP-7825)."""
WAIT_SECONDS = 300


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
