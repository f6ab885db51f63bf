"""Field types of the signed documents: lower-case hex of fixed length, public keys, instants, counters.

Built on the strict documents of `atomic_margin.documents.strict`: unknown fields, other spellings and other types are
refused with the JSON path of the field.
"""

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, TypeAlias

from pydantic import PlainValidator, TypeAdapter

from atomic_margin.documents.clock import CLOCK
from atomic_margin.documents.ed25519 import fault_of
from atomic_margin.documents.errors import NotAPublicKey
from atomic_margin.documents.strict import InstantText, PriceText, integer_in, problem

MAX_COUNTER = 2**63 - 1


def _checked_hex(length: int | None, limit: int) -> Callable[[object], str]:
    pattern = re.compile(rf"[0-9a-f]{{{length}}}" if length else rf"(?:[0-9a-f]{{2}}){{1,{limit}}}")
    wanted = f"{length} lower-case hex digits" if length else f"lower-case hex of 1 to {limit} bytes"

    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{wanted} here")
        return value

    return check


def _hex(length: int | None, limit: int) -> PlainValidator:
    return PlainValidator(_checked_hex(length, limit))


def require_public_key(key: str) -> str:
    """Return 64 hex digits that are an Ed25519 public key, for models that check their form themselves.

    Raises what a validator raises: `NotAPublicKey`, once the model is parsed.
    """
    fault = fault_of(key)
    if fault is not None:
        raise problem(NotAPublicKey, fault)
    return key


def _public_key(value: object) -> str:
    return require_public_key(_key_hex(value))


def _amount(value: object) -> str:
    return "0" if value == "0" else _price_text.validate_python(value)


_key_hex = _checked_hex(64, 0)
_price_text: TypeAdapter[str] = TypeAdapter(PriceText)

AmountText: TypeAlias = Annotated[str, PlainValidator(_amount)]
"""An amount of money: a positive decimal, or 0."""
Hash: TypeAlias = Annotated[str, _hex(64, 0)]
PublicKey: TypeAlias = Annotated[str, PlainValidator(_public_key)]
"""An Ed25519 public key in its one spelling, not of small order. Every key that is to be trusted is parsed as one."""
Signature: TypeAlias = Annotated[str, _hex(128, 0)]
PointHex: TypeAlias = Annotated[str, _hex(96, 0)]
ProofHex: TypeAlias = Annotated[str, _hex(None, 65535)]
"""A proof; the longest, of a breach among 256 rows, has 30 kB."""
BodiesHex: TypeAlias = Annotated[str, _hex(None, 8 * 4096)]
"""Eight bytes for each of at most 4,096 ciphertexts."""
WordsHex: TypeAlias = Annotated[str, _hex(None, 1 << 17)]
SharesHex: TypeAlias = Annotated[str, _hex(None, 1 << 19)]
"""A custodian's shares of at most 4,096 entries, 64 bytes each."""
Nonce: TypeAlias = Annotated[str, _hex(64, 0)]
Counter: TypeAlias = Annotated[int, integer_in(0, MAX_COUNTER)]
Time: TypeAlias = InstantText


def now_text() -> str:
    """Return the present time as documents spell it; it never runs backwards."""
    return instant_text(CLOCK.now())


def instant_text(instant: datetime) -> str:
    """Return an instant as documents spell it: UTC, to the second."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
