"""The folder of a custodian: its keys, the policies that it agreed to, and one process at a time.

    custodian.key     Ed25519, signs requests, receipts and verdicts
    encryption.key    X25519, opens the boxes that shares come in
    storage.key       32 bytes, encrypts shares in the database
    policies/         custody policies that were agreed to, one file each
    custodian.db      what it remembers

Keys are read if their owner alone may read them. A storage key that is lost takes all shares with it.
"""

import fcntl
import os
import re
import stat
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atomic_margin.service.custodian.errors import KeysDamaged, PolicyNotAgreed
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document, replace_json
from atomic_margin.service.protocol.custody import CustodianKeys, CustodyPolicy
from atomic_margin.service.protocol.share_boxes import fault_of_encryption_key
from atomic_margin.service.protocol.signing import Identity

IDENTITY, ENCRYPTION, STORAGE = "custodian.key", "encryption.key", "storage.key"
DATABASE, POLICIES = "custodian.db", "policies"
KEY_BYTES = 32
_HASH = re.compile("[0-9a-f]{64}")


class Folder:
    """A custodian's keys and policies.

    Attributes:
        directory: the folder.
        identity: signs.
        encryption: opens boxes.
        storage: encrypts what is stored.
    """

    def __init__(self, directory: Path) -> None:
        """Read the keys of a folder that `make` made.

        Raises:
            KeysDamaged: one is missing, readable by others, or of another form.
        """
        self.directory = directory
        for name in (IDENTITY, ENCRYPTION, STORAGE):
            _require_private(directory / name)
        self.identity = Identity.load_or_create(directory / IDENTITY)
        self.encryption = X25519PrivateKey.from_private_bytes((directory / ENCRYPTION).read_bytes())
        self.storage = (directory / STORAGE).read_bytes()

    @classmethod
    def make(cls, directory: Path) -> "Folder":
        """Return the folder at a path; keys that are missing are made.

        Raises:
            KeysDamaged: one that is there is readable by others, or of another form.
            ConfigurationError: shares are stored there, and a key is missing: new keys would open none of them.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / POLICIES).mkdir(exist_ok=True, mode=0o700)
        missing = [name for name in (IDENTITY, ENCRYPTION, STORAGE) if not (directory / name).exists()]
        if missing and (directory / DATABASE).exists():
            raise ConfigurationError(
                f"{directory / missing[0]} is missing beside a database with shares: restore it from your backup, or "
                "use another folder"
            )
        for name in missing:
            # Any 32 bytes are a key of each kind.
            _write_private(directory / name, os.urandom(KEY_BYTES))
        return cls(directory)

    @property
    def encryption_key(self) -> str:
        """Public key that shares are encrypted to, hex."""
        return self.encryption.public_key().public_bytes_raw().hex()

    def agree(self, policy: CustodyPolicy) -> CustodianKeys:
        """Take a policy: deals under it are taken from now on; return this custodian's line in it.

        Raises:
            PolicyNotAgreed: it does not name this custodian's keys, or one that nothing can be encrypted to.
        """
        own = self.own_line(policy)
        for one in policy.custodians:
            fault = fault_of_encryption_key(one.encryption_key)
            if fault is not None:
                raise PolicyNotAgreed(f"the encryption key of {one.name}: {fault}")
        replace_json(self.directory / POLICIES / f"{policy.hash()}.json", policy.canonical())
        return own

    def own_line(self, policy: CustodyPolicy) -> CustodianKeys:
        """Return this custodian's line in a policy.

        Raises:
            PolicyNotAgreed: there is none with its keys.
        """
        own = policy.by_identity.get(self.identity.public_key)
        if own is None or own.encryption_key != self.encryption_key:
            raise PolicyNotAgreed(
                f"the policy {policy.name!r} does not have the keys of this custodian: give whoever writes it what "
                "`custodian init` prints"
            )
        return own

    def policy(self, named: str) -> CustodyPolicy:
        """Return a policy that was agreed to, by its hash.

        Raises:
            PolicyNotAgreed: there is none, or it names other keys than these.
            ConfigurationError, DocumentError: its file was damaged.
        """
        path = self.directory / POLICIES / f"{named}.json"
        if not _HASH.fullmatch(named) or not path.is_file():
            raise PolicyNotAgreed(
                f"nobody agreed here to the custody policy {named}; read it, and take it with `custodian agree FILE`"
            )
        policy = read_document(path, CustodyPolicy.parse)
        if policy.hash() != named:
            raise PolicyNotAgreed(f"{path} has another policy than its name says; agree to it anew")
        self.own_line(policy)
        return policy

    def policies(self) -> tuple[str, ...]:
        """Return the hashes of the policies that were agreed to."""
        return tuple(sorted(path.stem for path in (self.directory / POLICIES).glob("*.json")))


def lock(directory: Path) -> IO[bytes]:
    """Take the folder for this process, however it ends.

    Raises:
        ConfigurationError: another process has it.
    """
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigurationError(f"{directory} is used by another custodian; stop that one first") from None
    return file


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _require_private(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise KeysDamaged(f"{path} is not there; `custodian init` makes it, or restore it from your backup") from None
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeysDamaged(f"{path} may be read by others: `chmod 600` it, and consider whether somebody did")
    if found.st_size != KEY_BYTES:
        raise KeysDamaged(f"{path} is not a key of {KEY_BYTES} bytes; restore it from your backup")
