"""Attacks on the verifier's deployment: the generators that it reads from other contracts."""

import rlp
from eth_typing import ChecksumAddress
from eth_utils import keccak
from web3 import Web3

from atomic_margin.contracts.artifact import Artifact, load_artifact
from atomic_margin.contracts.deploy import TRANSACTION_GAS, create, deploy
from atomic_margin.contracts.generator_blocks import creation_code, generator_blocks

from .cases import Case
from .chains import Verifier

ENDS_ITSELF = bytes.fromhex("33ff")
"""CALLER, SELFDESTRUCT."""


def made_by(creator: str, nonce: int) -> ChecksumAddress:
    return Web3.to_checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[12:])


def doomed(code: bytes, ender: str) -> bytes:
    """What creates a contract with a code, which ends in the transaction that creates it: by a call on its behalf.

    Four zeros, PUSH20 ender, GAS, DELEGATECALL, POP; then as `creation_code`, from further behind.
    """
    called = bytes.fromhex("5f5f5f5f73") + bytes.fromhex(ender[2:]) + bytes.fromhex("5af450")
    start = len(called) + 10
    return called + b"\x61" + len(code).to_bytes(2, "big") + bytes([0x80, 0x60, start]) + b"\x3d\x39\x3d\xf3" + code


def over_a_doomed_block(on_anvil: Verifier, artifact: Artifact) -> Verifier:
    """A verifier that was deployed in the transaction that made its first block of generators, which is gone."""
    web3, sender = on_anvil.web3, on_anvil.web3.eth.accounts[0]
    ender = create(web3, sender, creation_code(ENDS_ITSELF))
    creator = deploy(web3, sender, load_artifact("test/Creator"))
    block, verifier = made_by(creator.address, 1), made_by(creator.address, 2)
    others = [on_anvil.contract.functions.generatorBlocks(index).call() for index in range(1, 9)]
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    deployed = bytes.fromhex(factory.constructor([block, *others]).data_in_transaction[2:])
    codes = [doomed(generator_blocks()[0], ender), deployed]
    sent = creator.functions.create(codes).transact({"from": sender, "gas": TRANSACTION_GAS})
    assert web3.eth.wait_for_transaction_receipt(sent)["status"] == 1
    assert (web3.eth.get_code(block), bool(web3.eth.get_code(verifier))) == (b"", True)
    return Verifier(web3, web3.eth.contract(address=verifier, abi=artifact.abi))


def test_generators_that_are_gone_after_the_deployment_are_noticed(on_anvil: Verifier, small_breach: Case) -> None:
    """Block and verifier in one transaction: the constructor sees the generators, nobody does afterwards.

    The address can be had again, by contracts that end and are created anew; then it has the attacker's points.
    """
    attacked = over_a_doomed_block(on_anvil, load_artifact("MarginVerifier"))
    said = attacked.says(small_breach.function, *small_breach.calldata)
    assert said == f"WrongGenerators(0, {bytes(32).hex()})"
