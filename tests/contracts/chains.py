"""Calls of the deployed verifier, and what it says."""

import ast
from dataclasses import astuple
from typing import Any

from eth_abi import decode
from eth_tester.exceptions import TransactionFailed
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception

from atomic_margin.contracts.calldata import Checked
from atomic_margin.contracts.deploy import TRANSACTION_GAS

PARTS = [
    "Commitment",
    "A",
    "S",
    "T1",
    "T2",
    "THat",
    "TauX",
    "Mu",
    "L",
    "R",
    "Left",
    "Right",
    "W",
    "Announcement",
    "Share",
    "Response",
    "K",
]
"""In the order of Errors.sol."""


class Verifier:
    """The contract on a chain."""

    def __init__(self, web3: Web3, contract: Contract) -> None:
        self.web3 = web3
        self.contract = contract
        self._errors = {
            bytes(Web3.keccak(text=f"{entry['name']}({','.join(_types(entry))})")[:4]): entry
            for entry in contract.abi
            if entry["type"] == "error"
        }

    def says(self, function: str, statement: bytes, proof: bytes) -> Checked | str:
        """What it returns of a proof, or the error it refuses it by, such as `PointIsIdentity(L, 1)`."""
        call = self.contract.functions[function](statement, proof)
        try:
            returned = call.call({"gas": TRANSACTION_GAS})
        except (Web3Exception, TransactionFailed) as error:
            return self.named(error)
        return Checked(*(returned if isinstance(returned, (list, tuple)) else astuple(returned)))

    def named(self, error: Any) -> str:
        """The contract's error inside one of web3's; anything else is raised."""
        data = getattr(error, "data", None)
        if isinstance(error, TransactionFailed):
            # eth-tester has them in its text, as Python writes bytes.
            raw = ast.literal_eval(str(error).removeprefix("execution reverted: "))
        elif isinstance(data, str) and data.startswith("0x"):
            raw = bytes.fromhex(data[2:])
        else:
            raise error
        entry = self._errors[raw[:4]]
        arguments = [
            PARTS[value] if given["name"] == "part" else value.hex() if isinstance(value, bytes) else str(value)
            for value, given in zip(decode(_types(entry), raw[4:]), entry["inputs"], strict=True)
        ]
        return f"{entry['name']}({', '.join(arguments)})"

    def gas(self, function: str, statement: bytes, proof: bytes) -> int:
        """Gas of a transaction that does nothing but verify."""
        call = self.contract.functions[function](statement, proof)
        sender = self.web3.eth.accounts[0]
        sent = call.transact({"from": sender, "gas": TRANSACTION_GAS})
        receipt = self.web3.eth.wait_for_transaction_receipt(sent)
        assert receipt["status"] == 1
        return int(receipt["gasUsed"])


def _types(entry: Any) -> list[str]:
    return [given["type"] for given in entry["inputs"]]
