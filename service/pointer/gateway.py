"""The gateway of a name (ERC-3668): what an operator answers where its name says that records are fetched from it.

For the operator's HTTP face. An answer is signed by a key that the owner of the name named to the resolver, for one
name, one record, one chain and one resolver, and for a short time; `PointerResolver.sol` checks all of it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PlainValidator

from atomic_margin.contracts.attestations import typed_data
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Document, integer_in, problem
from atomic_margin.service.errors import NotFound
from atomic_margin.service.pointer.keystore import load_account
from atomic_margin.service.pointer.names import parse_name
from atomic_margin.service.pointer.records import BUNDLE, CHECKPOINT, CONTENTHASH, MAX_BYTES, RAW_SHA256, TILES
from atomic_margin.service.protocol.messages import ResponseBody

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

POINTER = bytes.fromhex("22771353")
"""First four bytes of `pointer(bytes32,string)`."""
MAX_VALID_SECONDS = 3600
MAX_CALL_BYTES = 256
MAX_TEXT = 1024


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise problem(MalformedDocument, f"text of 1 to {MAX_TEXT} characters is wanted")
    return value


def _contract(value: object) -> str:
    text = _text(value)
    if len(text) != 42 or not text.startswith("0x") or set(text[2:].lower()) - set("0123456789abcdef"):
        raise problem(MalformedDocument, "an address is 0x and 40 hex digits")
    return text


Text = Annotated[str, PlainValidator(_text)]
Contract = Annotated[str, PlainValidator(_contract)]


class GatewaySettings(Document):
    """What an operator's gateway answers for, format ``atomic-margin/ens-gateway/1``. Paths are relative to its file.

    Attributes:
        name: the ENS name.
        chain: id of the chain.
        resolver: address of the `PointerResolver` there.
        keystore: encrypted key that signs, the one that the owner of the name named.
        password_file: with its password in the first line.
        bundle: address of the bundle.
        tiles: address under which this operator serves `v1/log/tile/`; absent for none.
        bundle_sha256: of the bundle; absent where it is replaced by newer ones under the same address.
        valid_seconds: how long an answer counts.
    """

    TAG = "ens-gateway"
    format: Literal["atomic-margin/ens-gateway/1"]
    name: Text
    chain: Annotated[int, integer_in(1, 2**53)]
    resolver: Contract
    keystore: Text
    password_file: Text
    bundle: Text
    tiles: Text | None = None
    bundle_sha256: Hash | None = None
    valid_seconds: Annotated[int, integer_in(10, MAX_VALID_SECONDS)] = 300


class GatewayAnswer(ResponseBody):
    """What ERC-3668 has a gateway answer."""

    data: str = Field(pattern="^0x([0-9a-f]{2})+$")
    """For the resolver's callback: value, expiry and signature, ABI-encoded."""


class Gateway:
    """Answers for one name."""

    def __init__(self, settings: GatewaySettings, account: "LocalAccount") -> None:
        """Answer by the settings, signed by a key."""
        self._settings, self._account = settings, account
        self._node = parse_name(settings.name).node
        self._signing = threading.Lock()
        self._signed: dict[str, tuple[bytes, int, bytes]] = {}

    @classmethod
    def open(cls, settings: GatewaySettings, folder: Path) -> "Gateway":
        """Read the key.

        Raises:
            KeystoreUnusable: it cannot be read.
            NameInvalid: the name is none.
        """
        return cls(settings, load_account(folder / settings.keystore, folder / settings.password_file))

    @property
    def address(self) -> str:
        """Of the key that signs: what the owner of the name tells the resolver."""
        return str(self._account.address)

    def answer(self, sender: str, data: str, checkpoint: Callable[[], str | None]) -> str:
        """Return the answer to a question, as hex with 0x in front.

        Args:
            sender: the resolver that asks, as the request has it.
            data: the call that it wants answered, likewise.
            checkpoint: returns the newest checkpoint, None if there is none yet.

        Raises:
            NotFound: it is no question that is answered here.
        """
        key = self._asked(sender, data)
        value = self._values(checkpoint)[key]
        if len(value) > MAX_BYTES[key]:
            raise NotFound(f"{key} has over {MAX_BYTES[key]} bytes, which the resolver does not take", "data")
        return f"0x{self._answered(key, value).hex()}"

    def _asked(self, sender: str, data: str) -> str:
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        if sender.lower() != self._settings.resolver.lower():
            raise NotFound("this gateway answers for another resolver", "sender")
        try:
            call = bytes.fromhex(data.removeprefix("0x"))
            if len(call) > MAX_CALL_BYTES or not data.startswith("0x") or call[:4] != POINTER:
                raise ValueError
            node, key = decode(["bytes32", "string"], call[4:])
        except (ValueError, DecodingError):
            raise NotFound("the data is no call of pointer(bytes32,string), in hex", "data") from None
        if node != self._node:
            raise NotFound(f"this gateway answers for {self._settings.name} alone", "data")
        if key not in (CHECKPOINT, BUNDLE, TILES, CONTENTHASH):
            raise NotFound("there are checkpoint, bundle, tiles and content hash", "data")
        return str(key)

    def _values(self, checkpoint: Callable[[], str | None]) -> Mapping[str, bytes]:
        settings = self._settings
        hash_ = settings.bundle_sha256
        return {
            CHECKPOINT: (checkpoint() or "").encode(),
            BUNDLE: settings.bundle.encode(),
            TILES: (settings.tiles or "").encode(),
            CONTENTHASH: b"" if hash_ is None else RAW_SHA256 + bytes.fromhex(hash_),
        }

    def _answered(self, key: str, value: bytes) -> bytes:
        """Return an answer, signed now or before: a signature takes a while, and many may ask."""
        now = int(time.time())
        with self._signing:
            kept = self._signed.get(key)
            # The second half of its time is for the way.
            if kept is None or kept[0] != value or kept[1] - now < self._settings.valid_seconds // 2:
                expiry = now + self._settings.valid_seconds
                kept = (value, expiry, self._sign(key, value, expiry))
                self._signed[key] = kept
        return kept[2]

    def _sign(self, key: str, value: bytes, expiry: int) -> bytes:
        from eth_abi.abi import encode

        document = typed_data(
            "PointerAnswer",
            {"node": self._node, "key": key, "value": value, "expiry": expiry},
            chain=self._settings.chain,
            contract=self._settings.resolver,
        )
        signed = self._account.sign_typed_data(full_message=document)
        r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
        return encode(["bytes", "uint64", "bytes32", "bytes32", "uint8"], [value, expiry, r, s, signed.v])
