"""Where the contracts of one vault are, as a file that everybody who speaks to them has. Anyone may call it.

Operator, signers and institutions each have a file of their own making or comparison: whoever can change it chooses
what a signature counts for. docs/chain.md has the format.

>>> text = ChainAddresses(1, *["0x" + "11" * 20] * 4, "USDC").to_json()
>>> ChainAddresses.parse(text).asset
'USDC'
>>> ChainAddresses.parse(text.replace('"1"', '"0"'))
Traceback (most recent call last):
    ...
atomic_margin.contracts.errors.AddressesInvalid: chain: write the id as a decimal string such as "1", got '0'
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from atomic_margin.contracts.errors import AddressesInvalid

FORMAT = "atomic-margin/chain-addresses/1"
MAX_FILE_BYTES = 1 << 14
MAX_CHAIN = (1 << 63) - 1
"""Ids above this are none of a chain that runs."""
_CONTRACTS = ("vault", "oracle", "verifier", "token")
_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_CHAIN = re.compile("[1-9][0-9]{0,18}")
# As `documents.strict.Identifier`.
_ASSET = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ChainAddresses:
    """Contracts of one vault.

    Attributes:
        chain: id of the chain.
        vault, oracle, verifier, token: addresses, with the capitals of ERC-55.
        asset: of the collateral schedule, whose holdings the token is, in the same smallest units.
    """

    chain: int
    vault: str
    oracle: str
    verifier: str
    token: str
    asset: str

    @classmethod
    def parse(cls, text: str) -> "ChainAddresses":
        """Return what the text of a file says.

        Raises:
            AddressesInvalid: the first wrong field, by name.
        """
        found = _object(text)
        wanted = ("format", "chain", *_CONTRACTS, "asset")
        for name in wanted:
            if name not in found:
                raise AddressesInvalid(f"{name}: this field is missing; add it")
        for name in found:
            if name not in wanted:
                raise AddressesInvalid(f"{name[:40]}: no such field in this format; remove it or correct its name")
        if found["format"] != FORMAT:
            raise AddressesInvalid(f"format: write {FORMAT!r}, got {_shown(found['format'])}")
        chain, asset = found["chain"], found["asset"]
        if not isinstance(chain, str) or not _CHAIN.fullmatch(chain) or int(chain) > MAX_CHAIN:
            raise AddressesInvalid(f'chain: write the id as a decimal string such as "1", got {_shown(chain)}')
        if not isinstance(asset, str) or not _ASSET.fullmatch(asset):
            raise AddressesInvalid(f"asset: write an asset of the collateral schedule, got {_shown(asset)}")
        addresses = {name: checked_address(found[name], name) for name in _CONTRACTS}
        return cls(int(chain), **addresses, asset=asset)

    @classmethod
    def load(cls, path: Path) -> "ChainAddresses":
        """Return what a file says.

        Raises:
            AddressesInvalid: it cannot be read, or a field is wrong; file and field are named.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            text = data.decode()
        except OSError as error:
            raise AddressesInvalid(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise AddressesInvalid(f"{path} is not UTF-8 at byte {error.start}") from None
        if len(data) > MAX_FILE_BYTES:
            raise AddressesInvalid(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        try:
            return cls.parse(text)
        except AddressesInvalid as error:
            raise AddressesInvalid(f"{path}: {error}") from None

    def to_json(self) -> str:
        """Return the text of a file that says this."""
        return json.dumps({"format": FORMAT, **asdict(self), "chain": str(self.chain)}, indent=2) + "\n"


def checked_address(value: object, name: str) -> str:
    """Return an address with the capitals of ERC-55; one written with capitals must have the right ones.

    Raises:
        AddressesInvalid: it is none, is zero, or a letter of it was mistyped.
    """
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise AddressesInvalid(f"{name}: write an address, 0x and 40 hex digits, got {_shown(value)}")
    if int(value, 16) == 0:
        raise AddressesInvalid(f"{name}: the zero address is nobody's")
    written = str(to_checksum_address(value))
    if value not in (written, value.lower()):
        raise AddressesInvalid(f"{name}: the capitals of {value} do not fit its digits: compare it with its source")
    return written


def _object(text: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise AddressesInvalid("a field is there twice; keep one")
        return found

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise AddressesInvalid(f"this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise AddressesInvalid("a JSON object is wanted here")
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
