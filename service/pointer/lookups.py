"""From a name to its resolver and its records: EIP-137, ENSIP-10, and ERC-3668 for what is fetched elsewhere.

Gateways are asked here, not by web3, which would follow any address without a limit. For `records`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.pointer.chain import Chain
from atomic_margin.service.pointer.errors import (
    AnswerRefused,
    CallReverted,
    DownloadFailed,
    NameUnresolved,
    PointerError,
    RecordMissing,
)
from atomic_margin.service.pointer.names import Name

ENS_REGISTRY = "0x00000000000C2E074eC69A0dFb2997BA6C7d2e1e"
"""Of ENS, on Ethereum and its test networks alike."""

RESOLVER = bytes.fromhex("0178b8bf")
SUPPORTS = bytes.fromhex("01ffc9a7")
TEXT = bytes.fromhex("59d1d43c")
CONTENTHASH = bytes.fromhex("bc1c58d1")
EXTENDED = bytes.fromhex("9061b923")
LOOKUP = bytes.fromhex("556f1830")
"""First four bytes of `resolver(bytes32)`, of the functions whose names they have, which are the interfaces' numbers
too, and of the error `OffchainLookup`."""

MAX_LOOKUPS = 4
"""That one call may ask for, one after the other."""
MAX_GATEWAYS = 4
"""That are tried for one of them."""
MAX_ANSWER_BYTES = 1 << 16
"""Of a gateway."""
_ANSWER = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

Ask = Callable[[str, bytes | None], bytes]
"""Returns what is at an address, asked by GET, or by POST of a body."""


@dataclass(frozen=True)
class Lookup:
    """What a contract wants to be brought (ERC-3668)."""

    sender: str
    urls: tuple[str, ...]
    call: bytes
    callback: bytes
    extra: bytes


@dataclass(frozen=True)
class Resolver:
    """The resolver of a name.

    Attributes:
        chain: where it is.
        address: its own.
        name: what it is asked about.
        extended: asked by `resolve`, as ENSIP-10 has it.
        ask: asks gateways.
        gateway: an address of the user's own in place of those that the resolver names.
    """

    chain: Chain
    address: str
    name: Name
    extended: bool
    ask: Ask
    gateway: str | None = None

    def text(self, key: str) -> str:
        """Return a text record, empty where there is none.

        Raises:
            PointerError: see `read`.
        """
        from eth_abi.abi import encode

        value = self.read(TEXT + encode(["bytes32", "string"], [self.name.node, key]), "text")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise RecordMissing(f"{self.name.text}: the text record {key} is no text") from None

    def contenthash(self) -> bytes:
        """Return the content hash, empty where there is none.

        Raises:
            PointerError: see `read`.
        """
        return self.read(CONTENTHASH + self.name.node, "contenthash")

    def read(self, call: bytes, what: str) -> bytes:
        """Return what the resolver, or its gateway, answers to a call that returns text or bytes.

        Raises:
            CallReverted: it refuses.
            AnswerRefused: it refuses what the gateway answered, or asks for somebody else's answer.
            DownloadFailed: no gateway answers.
            AddressRefused: a gateway is where nobody is asked.
            RecordMissing: what it returns is of another form.
        """
        from eth_abi.abi import encode

        if self.extended:
            inner = self._bytes(self._call(EXTENDED + encode(["bytes", "bytes"], [self.name.encoded, call])), what)
            return self._bytes(inner, what)
        return self._bytes(self._call(call), what)

    def _call(self, data: bytes) -> bytes:
        from eth_abi.abi import encode

        for asked in range(MAX_LOOKUPS + 1):
            try:
                return self.chain.call(self.address, data)
            except CallReverted as refused:
                lookup = parse_lookup(refused.data)
                if lookup is None:
                    raise self._refusal(refused, asked > 0) from None
            if lookup.sender != self.address.lower():
                raise AnswerRefused(f"{self.name.text}: the resolver asks for an answer to another contract")
            answer = self._ask_gateways(lookup)
            data = lookup.callback + encode(["bytes", "bytes"], [answer, lookup.extra])
        raise AnswerRefused(f"{self.name.text}: the resolver asks for more than {MAX_LOOKUPS} answers, one by one")

    def _refusal(self, refused: CallReverted, answered: bool) -> PointerError:
        said = error_name(refused.data) or str(refused)
        if answered:
            return AnswerRefused(f"{self.name.text}: the resolver does not accept the gateway's answer: {said}")
        return CallReverted(f"{self.name.text}: its resolver refuses: {said}", refused.data)

    def _ask_gateways(self, lookup: Lookup) -> bytes:
        urls = lookup.urls if self.gateway is None else (self.gateway,)
        failure: PointerError | None = None
        for url in urls[:MAX_GATEWAYS]:
            try:
                return self._ask_gateway(url, lookup)
            except DownloadFailed as error:
                failure = error
                if 400 <= error.status < 500:
                    # It knows, and says no: another one would say the same.
                    break
        raise failure or DownloadFailed(f"{self.name.text}: the resolver names no gateway, give one with --gateway")

    def _ask_gateway(self, url: str, lookup: Lookup) -> bytes:
        sender, data = lookup.sender, f"0x{lookup.call.hex()}"
        whole = url.replace("{sender}", sender).replace("{data}", data)
        body = None if "{data}" in url else json.dumps({"data": data, "sender": sender}).encode()
        try:
            found = parse_json(self.ask(whole, body), "answer", numbers=True)
        except MalformedRequest as error:
            raise DownloadFailed(f"{self.name.text}: a gateway's answer is no JSON: {error}") from None
        answer = found.get("data") if isinstance(found, dict) else None
        if not isinstance(answer, str) or not _ANSWER.fullmatch(answer):
            raise DownloadFailed(f"{self.name.text}: a gateway's answer has no `data` in hex")
        return bytes.fromhex(answer[2:])

    def _bytes(self, returned: bytes, what: str) -> bytes:
        value = _decoded(["bytes"], returned)
        if value is None:
            raise RecordMissing(f"{self.name.text}: its resolver has no {what} records: is it a resolver?")
        return bytes(value[0])


def find_resolver(chain: Chain, registry: str, name: Name, ask: Ask, gateway: str | None = None) -> Resolver:
    """Return the resolver of a name: its own, or one of a name above it that answers for all below.

    Raises:
        NameUnresolved: there is none, or no registry.
        RecordMissing: it has no text records.
    """
    for node in name.parents:
        try:
            word = chain.call(registry, RESOLVER + node)
        except CallReverted as refused:
            raise NameUnresolved(f"{registry} is no registry of names: {refused}") from None
        if len(word) != 32:
            raise NameUnresolved(f"there is no registry of names at {registry} on chain {chain.number}")
        if any(word[12:]):
            return _usable(chain, f"0x{word[12:].hex()}", name, node == name.node, ask, gateway)
    raise NameUnresolved(f"{name.text} has no resolver in the registry {registry}: its owner has to set one")


def _usable(chain: Chain, address: str, name: Name, own: bool, ask: Ask, gateway: str | None) -> Resolver:
    extended = _supports(chain, address, EXTENDED)
    if not own and not extended:
        raise NameUnresolved(f"{name.text} has no resolver, and that of the name above it is for itself alone")
    if not _supports(chain, address, TEXT):
        raise RecordMissing(f"{name.text}: its resolver {address} has no text records (EIP-634)")
    return Resolver(chain, address, name, extended, ask, gateway)


def _supports(chain: Chain, address: str, interface: bytes) -> bool:
    try:
        answer = chain.call(address, SUPPORTS + interface.ljust(32, b"\x00"))
    except CallReverted:
        return False
    return answer == (1).to_bytes(32, "big")


def parse_lookup(data: bytes) -> Lookup | None:
    """Return what a revert asks for, None if it asks for nothing."""
    if data[:4] != LOOKUP:
        return None
    parts = _decoded(["address", "string[]", "bytes", "bytes4", "bytes"], data[4:])
    if parts is None:
        return None
    sender, urls, call, callback, extra = parts
    return Lookup(str(sender).lower(), tuple(map(str, urls)), bytes(call), bytes(callback), bytes(extra))


def _decoded(types: list[str], data: bytes) -> tuple[Any, ...] | None:
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        return decode(types, data)
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None


def error_name(data: bytes) -> str | None:
    """Return the name of the error of our resolver that a revert is, None if it is another's."""
    from eth_utils.crypto import keccak

    for entry in load_artifact("PointerResolver").abi:
        if entry["type"] == "error":
            signature = f"{entry['name']}({','.join(given['type'] for given in entry['inputs'])})"
            if keccak(text=signature)[:4] == data[:4]:
                return str(entry["name"])
    return None
