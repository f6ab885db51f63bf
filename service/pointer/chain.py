"""Calls of contracts through a node, all at one block, over JSON-RPC. For `lookups` and `records`.

The node is the user's own choice and is believed: who answers for it says what the chain holds. What it sends is
limited all the same.
"""

import json
import re
import secrets
import ssl
from datetime import datetime, timezone
from functools import partial
from typing import Any, Protocol

from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.pointer.addresses import Route
from atomic_margin.service.pointer.downloads import Trusted, download
from atomic_margin.service.pointer.errors import AddressRefused, CallReverted, ChainUnreachable, DownloadFailed

MAX_ANSWER_BYTES = 1 << 16
"""Of a call: a record, in hex, is a third of it."""
MAX_BLOCK_BYTES = 1 << 23
"""Of a block, with the hashes of its transactions."""
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}")


class Chain(Protocol):
    """What is asked of a chain."""

    @property
    def number(self) -> int:
        """Id of the chain."""

    @property
    def block(self) -> int:
        """Number of the block that all calls are at."""

    @property
    def time(self) -> datetime:
        """Time of that block."""

    def call(self, contract: str, data: bytes) -> bytes:
        """Return what a contract answers; raise `CallReverted` where it refuses, `ChainUnreachable` for all else."""


class Node:
    """A chain through a node, at the block that is newest when it is first asked."""

    def __init__(self, url: str, trusted: Trusted = ssl.create_default_context) -> None:
        """Ask the node at an address.

        Raises:
            AddressRefused: it is no http or https address.
            ChainUnreachable: it does not answer as a node does.
        """
        self._post = partial(download, url, route=Route(own=True), trusted=trusted)
        self.number = self._number(self._ask("eth_chainId", []))
        block = self._ask("eth_getBlockByNumber", ["latest", False], MAX_BLOCK_BYTES)
        if not isinstance(block, dict):
            raise ChainUnreachable("the node has no newest block: wait until it has caught up")
        self.block = self._number(block.get("number"))
        self.time = datetime.fromtimestamp(self._number(block.get("timestamp")), timezone.utc)

    def call(self, contract: str, data: bytes) -> bytes:
        """Return what a contract answers.

        Raises:
            CallReverted: it refuses.
            ChainUnreachable: the node does not answer as a node does.
        """
        answer = self._ask("eth_call", [{"to": contract, "data": f"0x{data.hex()}"}, hex(self.block)])
        return self._bytes(answer)

    def _ask(self, method: str, parameters: list[Any], limit: int = MAX_ANSWER_BYTES) -> Any:
        number = secrets.randbelow(1 << 31)
        question = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        try:
            answer = parse_json(self._post(limit=limit, body=json.dumps(question).encode()), "answer", numbers=True)
        except AddressRefused:
            raise
        except DownloadFailed as error:
            raise ChainUnreachable(f"the node cannot be asked for {method}: {error}") from None
        except MalformedRequest as error:
            raise ChainUnreachable(f"the node's answer to {method} is not JSON-RPC: {error}") from None
        if not isinstance(answer, dict) or answer.get("id") != number or not {"result", "error"} & set(answer):
            raise ChainUnreachable(f"the node's answer to {method} is not JSON-RPC: is it a node's address?")
        if answer.get("error") is not None:
            raise self._refusal(method, answer["error"])
        return answer.get("result")

    def _refusal(self, method: str, error: Any) -> Exception:
        said = str(error.get("message", "") if isinstance(error, dict) else error)[:200]
        data = error.get("data") if isinstance(error, dict) else None
        if isinstance(data, dict):
            data = data.get("data")
        if method == "eth_call" and isinstance(data, str) and _HEX.fullmatch(data):
            return CallReverted(f"the contract refuses the call ({said})", bytes.fromhex(data[2:]))
        if method == "eth_call" and "revert" in said.lower():
            return CallReverted(f"the contract refuses the call ({said})", b"")
        return ChainUnreachable(f"the node refuses {method}: {said}")

    def _number(self, value: Any) -> int:
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise ChainUnreachable("the node's answer has no number where one is wanted: is it a node's address?")
        return int(value, 16)

    def _bytes(self, value: Any) -> bytes:
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise ChainUnreachable("the node's answer to eth_call is not hex: is it a node's address?")
        return bytes.fromhex(value[2:])
