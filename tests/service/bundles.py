"""Bundles that are verified many times over: proofs that held once are not checked again, and which step fails."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import RunMatrices, Terms, matrix_hashes
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group
from atomic_margin.zk.groups.arkworks import ArkworksGroup
from atomic_margin.zk.verify.queue import VerificationQueue

STEPS = [
    "format",
    "trust anchors",
    "price tick",
    "run record",
    "enrolment",
    "submission",
    "matrices",
    "account",
    "gain",
    "answer",
    "settlement",
    "log",
    "attestation",
]  # fmt: skip


class Remembering:
    """Does not check again what it has found to hold: it answers a call whose every argument it has seen as before.

    What a changed bundle must be refused for is always checked anew: with it some argument is another.
    """

    def __init__(self, check: Callable[..., Any]) -> None:
        self.check = check
        self.held: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        key = repr([told(value) for value in (*arguments, *sorted(named.items()))])
        if key not in self.held:
            self.held[key] = self.check(*arguments, **named)
        return self.held[key]


def told(value: Any) -> Any:
    """All of an argument of `verify_submission` or `verify_answer`."""
    if isinstance(value, tuple):
        return [told(one) for one in value]
    if isinstance(value, Terms):
        return value.hashes
    if isinstance(value, KeyPair):
        return value.hash
    if isinstance(value, RunMatrices):
        return matrix_hashes(value)
    if isinstance(value, Market):
        return value.hash()
    if isinstance(value, SignedDocument):
        return value.to_json()
    if isinstance(value, (Body, str, bytes, type(None))):
        return value
    assert isinstance(value, (ArkworksGroup, VerificationQueue))
    return ""


def step_that_fails(bundle: object, trust: TrustFile, group: Group) -> str:
    with pytest.raises(AttestationInvalid) as caught:
        verify_attestation(bundle, trust, group)
    assert caught.value.step in STEPS
    assert caught.value.detail
    return caught.value.step
