"""Keys of a chain from encrypted files, as `contracts.keystore` reads them; the password is asked for where no file is.

For the commands that publish and for the gateway. A key never comes from the command line or the environment, and is
never written anywhere.
"""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from atomic_margin.contracts.errors import KeystoreError
from atomic_margin.service.pointer.errors import KeystoreUnusable

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


def load_account(keystore: Path, password_file: Path | None) -> "LocalAccount":
    """Return the key in a keystore; its password is in a file, or is asked for.

    Raises:
        KeystoreUnusable: it is no keystore, others may read it, or the password is another one's.
    """
    from atomic_margin.contracts.keystore import load_key

    try:
        return load_key(keystore, password_file, lambda: getpass.getpass(f"Password of {keystore}: "))
    except KeystoreError as error:
        raise KeystoreUnusable(str(error)) from None
