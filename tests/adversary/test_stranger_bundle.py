"""Row: "verifier's bundle signed by a stranger". The trust file's anchors decide, not what a bundle says of itself."""

import pytest

from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .attacks import Stage, signed_again, verify

pytestmark = pytest.mark.fhe


def test_the_bundle_as_published_verifies(stage: Stage) -> None:
    assert verify(stage, stage.bundle)["valid"]


def test_a_bundle_made_anew_by_a_stranger_fails(stage: Stage) -> None:
    """Consistent throughout: tick, record and whole are the stranger's, only the institution's parts are not."""
    stranger, body = Identity.generate(), stage.bundle["body"]
    assert verify(stage, signed_again(stage.bundle, stranger))["failed"] == "attestation"
    tick = signed_again(body["tick"], stranger)
    record = signed_again(
        body["run"], stranger, operator=stranger.public_key, tick=SignedDocument.parse(tick).body_hash()
    )
    assert verify(stage, signed_again(stage.bundle, stranger, tick=tick, run=record))["failed"] == "run record"


@pytest.mark.parametrize(
    ("part", "step"), [("enrolment", "enrolment"), ("submission", "submission"), ("answer", "answer")]
)
def test_a_part_signed_by_a_stranger_fails(stage: Stage, part: str, step: str) -> None:
    signed = signed_again(stage.bundle["body"][part], Identity.generate())
    assert verify(stage, signed_again(stage.bundle, stage.server, **{part: signed}))["failed"] == step


def test_every_anchor_of_the_trust_file_counts(stage: Stage) -> None:
    trust, other = read_json(stage.world.trust), "5a" * 32
    for name in ("model", "universe", "schedule", "profile", "generators"):
        assert verify(stage, stage.bundle, {**trust, name: other})["failed"] == "trust anchors"
    rules = {**trust["prices"], "sources": [Identity.generate().public_key for _ in range(3)]}
    for name, value, step in (
        ("prices", rules, "price tick"),
        ("operator", Identity.generate().public_key, "run record"),
        ("institutions", {}, "enrolment"),
        ("institutions", {"larkfield": Identity.generate().public_key}, "enrolment"),
        ("keys", {}, "enrolment"),
        ("keys", {"larkfield": [other]}, "enrolment"),
    ):
        assert verify(stage, stage.bundle, {**trust, name: value})["failed"] == step
