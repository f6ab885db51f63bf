"""TLS of the HTTP faces: a server's certificate, checked before anything is begun, and whom a client trusts."""

import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509

from atomic_margin.service.errors import ConfigurationError


@dataclass(frozen=True)
class Certificate:
    """Files of a server's certificate chain and of its key, which were found to go together.

    Attributes:
        chain: PEM, the server's own certificate first.
        key: PEM, without a passphrase.
    """

    chain: Path
    key: Path


def certificate(chain: Path | None, key: Path | None, now: datetime | None = None) -> Certificate | None:
    """Return a server's certificate, or None where neither file is named.

    Args:
        chain: what `--tls-cert` names.
        key: what `--tls-key` names.
        now: the time; by default this machine's.

    Raises:
        ConfigurationError: one is missing, cannot be read, is no PEM; the key is another's or wants a passphrase; or
            the certificate is not valid now.
    """
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise ConfigurationError("--tls-cert and --tls-key go together: name both files, or neither")
    for option, path in (("--tls-cert", chain), ("--tls-key", key)):
        _read(option, path)
    try:
        own = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    except ValueError as error:
        raise ConfigurationError(f"--tls-cert {chain} holds no certificate in PEM: {error}") from None
    now = now or datetime.now(timezone.utc)
    if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
        begins, ends = own.not_valid_before_utc, own.not_valid_after_utc
        raise ConfigurationError(
            f"--tls-cert {chain} is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}, and not now; renew it, or set "
            "this machine's clock right"
        )
    found = Certificate(chain, key)
    try:
        context_of(found)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"--tls-key {key} is not the key of {chain}, in PEM and without a passphrase: {error}"
        ) from None
    return found


def context_of(files: Certificate) -> ssl.SSLContext:
    """Return what a server shows and speaks by.

    Raises:
        SSLError: the key is not the certificate's, or wants a passphrase.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # An empty passphrase, so that nobody is asked for one.
    context.load_cert_chain(files.chain, files.key, password=lambda: "")
    return context


def trusting(authorities: Path | None) -> ssl.SSLContext:
    """Return what a client checks servers by: the certificates in a file, or those that this machine trusts.

    Raises:
        ConfigurationError: the file cannot be read, or holds no certificate.
    """
    if authorities is None:
        return ssl.create_default_context()
    _read("--ca", authorities)
    try:
        # These and no others: a private authority is named so that no public one can stand in for it.
        return ssl.create_default_context(cafile=str(authorities))
    except ssl.SSLError as error:
        raise ConfigurationError(f"--ca {authorities} holds no certificate in PEM: {error}") from None


def _read(option: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {option} {path}: {error.strerror}") from error
