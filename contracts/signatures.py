"""Sign the oracle's messages, and say who signed one. Needs eth-account (the extra `chain`).

A signature is r, s and v of 65 bytes, as wallets write it: s the lower of its two values and v 27 or 28, so that each
has one form, which is all that the oracle takes.
"""

import re
from collections.abc import Mapping
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.exceptions import BadSignature

from atomic_margin.contracts.attestations import Kind, typed_data
from atomic_margin.contracts.errors import MessageInvalid

Signature = tuple[bytes, bytes, int]
"""r, s and v, as contracts take them."""
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_TEXT = re.compile("0x[0-9a-f]{130}")


def sign_message(key: LocalAccount, kind: Kind, message: Mapping[str, Any], *, chain: int, contract: str) -> Signature:
    """Sign one EIP-712 document.

    Args:
        key: of the signer.
        kind: which document.
        message: its fields.
        chain: id of the chain that the domain names.
        contract: address that the domain names, the oracle's.
    """
    document = typed_data(kind, message, chain=chain, contract=contract)
    made = key.sign_message(encode_typed_data(full_message=document))
    return made.r.to_bytes(32, "big"), made.s.to_bytes(32, "big"), made.v


def signer_of(signature: Signature, kind: Kind, message: Mapping[str, Any], *, chain: int, contract: str) -> str:
    """Return the address of who signed a document, as the oracle would recover it; arguments as in `sign_message`.

    Raises:
        MessageInvalid: nobody did: it is no signature.
    """
    r, s, v = signature
    document = typed_data(kind, message, chain=chain, contract=contract)
    vrs = (v, int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    try:
        return str(Account.recover_message(encode_typed_data(full_message=document), vrs=vrs))
    except (BadSignature, ValueError) as error:
        raise MessageInvalid(f"signature: nobody signed this message by it: {error}") from None


def signature_text(signature: Signature) -> str:
    """Return a signature as it is sent."""
    r, s, v = signature
    return "0x" + (r + s + bytes([v])).hex()


def parse_signature(value: object) -> Signature:
    """Return the signature in a text.

    Raises:
        MessageInvalid: it is none, or the second form of one, which the oracle refuses.
    """
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise MessageInvalid("signature: write r, s and v as 0x and 130 lower-case hex digits")
    data = bytes.fromhex(value[2:])
    r, s, v = data[:32], data[32:64], data[64]
    if v not in (27, 28):
        raise MessageInvalid(f"signature: v is 27 or 28, got {v}")
    if int.from_bytes(s, "big") > HALF_ORDER:
        raise MessageInvalid("signature: s is the higher of its two values; the oracle takes the lower one alone")
    return r, s, v


def possession(key: LocalAccount, *, chain: int, oracle: str) -> tuple[str, str]:
    """Return a text about a signer and its signature (ERC-191), for who puts it into an oracle's set.

    No contract takes it: a domain of EIP-712 begins otherwise.
    """
    text = f"atomic-margin signer {key.address} for oracle {oracle} on chain {chain}"
    return text, "0x" + key.sign_message(encode_defunct(text=text)).signature.hex()
