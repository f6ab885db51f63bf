"""Certificates of one opening: whose they are, and what for."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from atomic_margin.service.custodian.engine.credentials import Credentials, issue, issuer, require_peer
from atomic_margin.service.custodian.engine.errors import IdentityRefused, TaskDiffers
from atomic_margin.service.protocol.signing import Identity

TASK, OTHER_TASK = "ab" * 32, "cd" * 32
IDENTITY, OTHER = Identity.generate(), Identity.generate()


def shown(credentials: Credentials) -> bytes:
    certificate = x509.load_pem_x509_certificate(credentials.certificate.encode())
    return certificate.public_bytes(serialization.Encoding.DER)


def test_a_certificate_names_its_identity_and_its_task() -> None:
    made = shown(issue(IDENTITY, TASK))
    assert issuer(made) == IDENTITY.public_key
    require_peer(made, IDENTITY.public_key, TASK, 3)


def test_a_key_is_fresh_and_shown_nowhere() -> None:
    first, second = issue(IDENTITY, TASK), issue(IDENTITY, TASK)
    assert first.key != second.key
    assert "PRIVATE" not in repr(first)


def test_another_task_is_named() -> None:
    with pytest.raises(TaskDiffers, match="point 3") as raised:
        require_peer(shown(issue(IDENTITY, OTHER_TASK)), IDENTITY.public_key, TASK, 3)
    assert raised.value.points == (3,)


def test_another_identity_is_refused() -> None:
    with pytest.raises(IdentityRefused, match="point 3") as raised:
        require_peer(shown(issue(OTHER, TASK)), IDENTITY.public_key, TASK, 3)
    assert raised.value.points == (3,)


def test_a_name_without_the_key_is_refused() -> None:
    """Whoever calls its issuer like an identity has not its signature."""
    impostor = Identity.generate()
    impostor.public_key = IDENTITY.public_key
    made = shown(issue(impostor, TASK))
    assert issuer(made) == IDENTITY.public_key
    with pytest.raises(IdentityRefused):
        require_peer(made, IDENTITY.public_key, TASK, 3)


@pytest.mark.parametrize("data", [None, b"", b"\x30\x00"])
def test_no_certificate_is_refused(data: bytes | None) -> None:
    with pytest.raises(IdentityRefused):
        require_peer(data, IDENTITY.public_key, TASK, 3)
