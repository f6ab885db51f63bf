"""Keys of a chain from encrypted files (Web3 Secret Storage, version 3), as wallets and nodes write them.

For the commands that publish and for the gateway. A key never comes from the command line or the environment, and is
never written anywhere.
"""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from atomic_margin.service.errors import ServiceError
from atomic_margin.service.files import read_json, read_text
from atomic_margin.service.pointer.errors import KeystoreUnusable

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

MAX_KEYSTORE_BYTES = 1 << 14
MAX_PASSWORD_BYTES = 1 << 12


def load_account(keystore: Path, password_file: Path | None) -> "LocalAccount":
    """Return the key in a keystore; its password is the first line of a file, or is asked for.

    Raises:
        KeystoreUnusable: it is no keystore, is not encrypted, or the password is another one's.
    """
    from eth_account import Account

    try:
        written = read_json(keystore, numbers=True, limit=MAX_KEYSTORE_BYTES)
    except ServiceError as error:
        raise KeystoreUnusable(f"{keystore} is no keystore: {error}") from None
    if not isinstance(written, dict) or not {"crypto", "Crypto"} & set(written):
        raise KeystoreUnusable(f"{keystore} is no encrypted keystore (Web3 Secret Storage, version 3)")
    password = _password(keystore, password_file)
    try:
        key = Account.decrypt(written, password)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        # The library's words: none of them has the password or the key in it.
        raise KeystoreUnusable(f"{keystore} does not open: {error}; is it this password?") from None
    account: LocalAccount = Account.from_key(key)
    return account


def _password(keystore: Path, password_file: Path | None) -> str:
    if password_file is None:
        return getpass.getpass(f"Password of {keystore}: ")
    lines = read_text(password_file, limit=MAX_PASSWORD_BYTES).splitlines()
    if not lines or not lines[0]:
        raise KeystoreUnusable(f"{password_file} has no password in its first line")
    return lines[0]
