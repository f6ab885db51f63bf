"""Messages of the oracle's signers as JSON: integers as decimal strings, hashes and addresses as `0x` hex. Anyone's.

`attestations` has their fields; what is signed is not this text but the EIP-712 hash of the values.

>>> said = message_json("PortfolioAttestation", {"chain": 1, "vault": "0x" + "11" * 20, "account": "0x" + "22" * 20,
...     "commitments": bytes(32), "sequence": 1, "signerSet": 1, "expiry": 7})
>>> said["chain"], said["commitments"][:6]
('1', '0x0000')
>>> parse_message("PortfolioAttestation", said)["expiry"]
7
>>> parse_message("PortfolioAttestation", said | {"expiry": "07"})
Traceback (most recent call last):
    ...
atomic_margin.contracts.errors.MessageInvalid: expiry: write a whole number below 2^64 as a decimal string, got '07'
"""

import re
from collections.abc import Mapping
from typing import Any

from atomic_margin.contracts.addresses import checked_address
from atomic_margin.contracts.attestations import FIELDS, Kind
from atomic_margin.contracts.errors import AddressesInvalid, MessageInvalid

_NUMBER = re.compile("0|[1-9][0-9]{0,77}")
_BYTES32 = re.compile("0x[0-9a-f]{64}")


def message_json(kind: Kind, message: Mapping[str, Any]) -> dict[str, str]:
    """Return a message as it is sent.

    Args:
        kind: which document; none with a list.
        message: its fields: integers, bytes or `0x` strings.
    """
    return {name: _text(type_, message[name]) for name, type_ in FIELDS[kind]}


def parse_message(kind: Kind, value: object) -> dict[str, Any]:
    """Return the fields of a message that somebody sent, with integers as such and 32 bytes as bytes.

    Raises:
        MessageInvalid: a field is missing, unknown or of another form; it is named.
    """
    if not isinstance(value, Mapping):
        raise MessageInvalid("message: a JSON object is wanted here")
    names = [name for name, _ in FIELDS[kind]]
    for name in names:
        if name not in value:
            raise MessageInvalid(f"{name}: this field is missing")
    for name in value:
        if name not in names:
            raise MessageInvalid(f"{str(name)[:40]}: a {kind} has no such field")
    return {name: _value(name, type_, value[name]) for name, type_ in FIELDS[kind]}


def _text(type_: str, value: Any) -> str:
    if type_.startswith("uint"):
        return str(int(value))
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _value(name: str, type_: str, value: object) -> Any:
    if type_.startswith("uint"):
        bits = int(type_.removeprefix("uint"))
        if not isinstance(value, str) or not _NUMBER.fullmatch(value) or int(value) >> bits:
            raise MessageInvalid(
                f"{name}: write a whole number below 2^{bits} as a decimal string, got {_shown(value)}"
            )
        return int(value)
    if type_ == "bytes32":
        if not isinstance(value, str) or not _BYTES32.fullmatch(value):
            raise MessageInvalid(f"{name}: write 32 bytes as 0x and 64 lower-case hex digits, got {_shown(value)}")
        return bytes.fromhex(value[2:])
    try:
        return checked_address(value, name)
    except AddressesInvalid as error:
        raise MessageInvalid(str(error)) from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
