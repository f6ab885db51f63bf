"""Row: "institution encrypts other positions than it committed". The operator's encryption check stops it."""

from typing import Any

import numpy as np
import pytest

from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.verification import verify_submission
from atomic_margin.zk.groups import load_group

from .attacks import Stage

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved")]


def swapped(bodies: Any) -> Any:
    return np.concatenate([bodies[1:2], bodies[:1], bodies[2:]])


def shifted(bodies: Any) -> Any:
    # One more of the first entry, in whatever width the messages have: any multiple of the smallest step will do.
    return bodies + np.array([1 << 50, *[0] * (len(bodies) - 1)], dtype=np.uint64)


def noisy(bodies: Any) -> Any:
    # The proof allows errors below 2^18: the message would still decrypt.
    return bodies + np.array([1 << 20, *[0] * (len(bodies) - 1)], dtype=np.uint64)


def test_ciphertexts_of_another_book_are_refused(stage: Stage) -> None:
    flat = (0,) * len(stage.secrets.values)
    assert stage.submit(stage.secrets.submit(encrypted=flat)) == (422, "encryption_proof")
    assert stage.submit(stage.secrets.submit(committed=flat, encrypted=stage.secrets.values)) == (
        422,
        "encryption_proof",
    )


@pytest.mark.parametrize("change", [swapped, shifted, noisy])
def test_changed_bodies_are_refused(stage: Stage, change: Any) -> None:
    assert stage.submit(stage.secrets.submit(bodies=change)) == (422, "encryption_proof")


def test_bodies_under_another_key_are_refused(stage: Stage, spare_keys: InstitutionKeys) -> None:
    assert stage.submit(stage.secrets.submit(under=spare_keys)) == (422, "encryption_proof")


def test_the_forger_is_honest_when_told_nothing(stage: Stage) -> None:
    """So that the refusals of this folder are owed to what each attack changes."""
    secrets = stage.secrets
    signed = SignedDocument.parse(secrets.submit())
    terms, identity = stage.agent.terms, stage.agent.identity.public_key
    submission = Submission.parse(signed.body)
    verify_submission(signed, submission, terms, identity, secrets.openings.pair, load_group())
