"""Keys on secp256k1 in keystore files, as Ethereum's clients write them (Web3 Secret Storage, version 3).

For signers, operators and institutions that sign for a chain. A password comes from a file that its owner alone may
read, or from a prompt; never from an argument, which every user of a machine sees. Needs eth-account (the extra
`chain`).
"""

import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from atomic_margin.contracts.errors import KeystoreError, KeystoreNotPrivate, WrongPassword

MAX_KEYSTORE_BYTES = 1 << 14
MAX_PASSWORD_BYTES = 1 << 12
MAX_SCRYPT_BYTES = 1 << 30
MAX_PBKDF2_ROUNDS = 10_000_000


def load_key(path: Path, password_file: Path | None, ask: Callable[[], str] | None = None) -> LocalAccount:
    """Return the key in a keystore file.

    Args:
        path: of the keystore.
        password_file: that its password is in, on one line; None to ask.
        ask: returns the password, for example by a prompt, where there is no file.

    Raises:
        KeystoreNotPrivate: somebody else may read or change one of both files.
        WrongPassword: it opens nothing, or there is none.
        KeystoreError: a file cannot be read, or is no keystore.
    """
    document = _document(path)
    if password_file is not None:
        password = read_password(password_file)
    elif ask is not None:
        password = ask()
    else:
        raise WrongPassword(f"{path} needs its password: name a file that has it")
    try:
        key = Account.decrypt(document, password)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        if "MAC" in str(error):
            raise WrongPassword(f"{path}: the password is not that of this keystore") from None
        raise KeystoreError(f"{path}: this keystore cannot be read: {type(error).__name__}; restore it") from None
    account: LocalAccount = Account.from_key(key)
    written = str(document.get("address", "")).lower().removeprefix("0x")
    if written and written != account.address.lower()[2:]:
        raise KeystoreError(f"{path}: it says address {written[:40]} and holds the key of {account.address}")
    return account


def read_password(path: Path) -> str:
    """Return the password in a file: its text without the line end.

    Raises:
        KeystoreNotPrivate: somebody else may read or change the file.
        WrongPassword: it is empty or has more than one line.
        KeystoreError: it cannot be read.
    """
    try:
        text = _private(path, MAX_PASSWORD_BYTES).decode()
    except UnicodeDecodeError:
        raise KeystoreError(f"{path} is not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise WrongPassword(f"{path}: write the password on one line, and nothing else")
    return password


def create_key(path: Path, password: str, *, iterations: int | None = None) -> LocalAccount:
    """Make a key and its keystore file, which its owner alone may read.

    Args:
        path: of the file; it must not be there.
        password: of the keystore.
        iterations: of scrypt, a power of two; None for the usual 2^18.

    Raises:
        KeystoreError: there is a file already, or it cannot be written.
    """
    account: LocalAccount = Account.from_key(secrets.token_bytes(32))
    document = Account.encrypt(account.key, password, kdf="scrypt", iterations=iterations)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeystoreError(f"cannot make {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return account


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_private(path, MAX_KEYSTORE_BYTES))
        crypto = document.get("crypto") or document["Crypto"]
        parameters = crypto["kdfparams"]
        # What a keystore asks for is done before its password is known to be right.
        memory = 128 * int(parameters.get("n", 0)) * int(parameters.get("r", 0))
        rounds = int(parameters.get("c", 0))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeystoreError(f"{path} is no keystore: restore it, or make one by `signer init`") from None
    if memory > MAX_SCRYPT_BYTES or rounds > MAX_PBKDF2_ROUNDS:
        raise KeystoreError(f"{path} asks for more work than a keystore needs: make it anew with usual parameters")
    return dict(document)


def _private(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file that nobody but its owner may read or change."""
    try:
        # Not to wait for whoever writes into a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise KeystoreError(f"cannot read {path}: {error.strerror}") from None
    try:
        # Of what was opened, not of what stands there now.
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise KeystoreError(f"{path} is no regular file")
        if about.st_uid not in (os.geteuid(), 0):
            raise KeystoreNotPrivate(f"{path} is another user's: make it yours, by chown")
        if about.st_mode & 0o077:
            raise KeystoreNotPrivate(f"{path} may be read or changed by others: chmod 600 {path}")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise KeystoreError(f"{path} is larger than {limit} bytes")
    return data
