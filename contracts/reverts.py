"""Why a call was refused: the named error of our contracts that it reverted with. Needs web3. Rail, signers, tests."""

import ast
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from eth_abi.abi import decode
from eth_utils.crypto import keccak
from web3.exceptions import ContractLogicError

from atomic_margin.contracts.artifact import load_artifact

NAMED = ("AttestedVault", "MarginVerifier", "MatrixOracle", "Vault")
"""Contracts whose errors are known."""


class Revert(NamedTuple):
    """A named error of a contract.

    Attributes:
        name: of the error; empty for one that none of our contracts has.
        arguments: its fields, in order.
    """

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        said = ", ".join("0x" + one.hex() if isinstance(one, bytes) else str(one) for one in self.arguments)
        return f"{self.name or 'an error that is not ours'}({said})"


def revert_of(error: Exception) -> Revert | None:
    """Return what a call reverted with; None where the error is none of a contract's (the node, the connection).

    Args:
        error: what web3 raised from `call` or `estimate_gas`.
    """
    data = _data(error)
    if data is None:
        return None
    known = _errors().get(data[:4])
    if known is None:
        return Revert("", (data[:64],))
    return Revert(known[0], tuple(decode(list(known[1]), data[4:])))


def _data(error: Exception) -> bytes | None:
    """Return the bytes of a revert: nodes give them as hex, eth-tester as Python writes bytes."""
    if isinstance(error, ContractLogicError):
        said = error.data
        if isinstance(said, str) and said.startswith("0x"):
            return bytes.fromhex(said[2:])
        return _written(str(error.message or ""))
    if type(error).__name__ == "TransactionFailed":
        return _written(str(error.args[0]) if error.args else "")
    return None


def _written(text: str) -> bytes:
    try:
        said = ast.literal_eval(text.removeprefix("execution reverted: "))
    except (SyntaxError, ValueError):
        return text.encode()[:64]
    return said if isinstance(said, bytes) else text.encode()[:64]


@functools.cache
def _errors() -> Mapping[bytes, tuple[str, tuple[str, ...]]]:
    known = {}
    for entry in [entry for name in NAMED for entry in load_artifact(name).abi if entry["type"] == "error"]:
        types = tuple(str(one["type"]) for one in entry["inputs"])
        known[keccak(text=f"{entry['name']}({','.join(types)})")[:4]] = (str(entry["name"]), types)
    return known
