"""Keys of one opening. A custodian's identity certifies a fresh TLS key for one task; the process gets no other.

The certificate has the task's hash as its name and is issued by the identity key itself. Peers trust what an identity
of the policy has issued: for OpenSSL an anchor with that key is made here, whose own signature nobody checks, as with
any trust anchor. The issuer's signature is checked again, by the pinned key alone, once a certificate is shown.
"""

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atomic_margin.service.custodian.engine.errors import IdentityRefused, TaskDiffers
from atomic_margin.service.protocol.signing import Identity

VALID_FOR = timedelta(days=1)
"""Before and after now: clocks of custodians differ. Which opening a certificate is for is its name's business."""
_COMMON_NAME = NameOID.COMMON_NAME
_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Credentials:
    """A certificate for one task and its private key, both as PEM."""

    certificate: str
    key: str = field(repr=False)


def issue(identity: Identity, task: str) -> Credentials:
    """Make a TLS key for the task of this hash, and have ``identity`` certify it."""
    key = Ed25519PrivateKey.generate()
    builder = (
        _builder(_name(task), _name(identity.public_key), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES), critical=True)
    )
    encoding = serialization.Encoding.PEM
    return Credentials(
        identity.certify(builder).public_bytes(encoding).decode(),
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
    )


def context(credentials: Credentials, peers: Iterable[str], server: bool) -> ssl.SSLContext:
    """Return a context of TLS 1.3 that shows ``credentials`` and wants a certificate by one of these identities."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    # Custodians are known by their keys, not by names of machines: see `require_peer`.
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata="".join(_anchor(peer) for peer in peers))
    # The module ssl takes a key from a file alone; this one never reaches a disk.
    descriptor = os.memfd_create("engine", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (credentials.certificate + credentials.key).encode())
        made.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    if server:
        made.num_tickets = 0
    return made


def issuer(shown: bytes | None) -> str:
    """Return the identity, in hex, that a certificate in DER says has issued it.

    Raises:
        IdentityRefused: there is none.
    """
    try:
        names = (
            [] if shown is None else x509.load_der_x509_certificate(shown).issuer.get_attributes_for_oid(_COMMON_NAME)
        )
    except ValueError:
        names = []
    if len(names) != 1:
        raise IdentityRefused("no certificate, or none with an identity as its issuer, was shown")
    return str(names[0].value)


def require_peer(shown: bytes | None, identity: str, task: str, point: int) -> None:
    """Make sure that the certificate, which TLS has verified, was issued by ``identity`` itself and for this task.

    Raises:
        IdentityRefused: it was not; names the point.
        TaskDiffers: it is for another task; names the point.
    """
    refused = IdentityRefused(
        f"the certificate shown for point {point} is not by the identity key of the policy: ask that custodian which "
        "key it has, and compare addresses",
        (point,),
    )
    if issuer(shown) != identity or shown is None:
        raise refused
    certificate = x509.load_der_x509_certificate(shown)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity)).verify(
            certificate.signature, certificate.tbs_certificate_bytes
        )
    except InvalidSignature:
        raise refused from None
    names = certificate.subject.get_attributes_for_oid(_COMMON_NAME)
    if [name.value for name in names] != [task]:
        raise TaskDiffers(
            f"the custodian at point {point} is engaged in another task: agree on request, rows, threshold, bit length "
            "and who is present, end older processes, and start again",
            (point,),
        )


def _anchor(identity: str) -> str:
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity))
    builder = _builder(_name(identity), _name(identity), key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return builder.sign(Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.PEM).decode()


def _builder(subject: x509.Name, issued_by: x509.Name, key: Ed25519PublicKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID_FOR)
        .not_valid_after(now + VALID_FOR)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(_COMMON_NAME, text)])
