"""What counts as a verified submission: every check fails when what it looks at is changed, with real proofs."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.margin.errors import GrossLimitError, GrossLimitTooSmall
from atomic_margin.service.errors import Refused
from atomic_margin.service.institution import submissions as own_submissions
from atomic_margin.service.protocol.documents import Submission
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.statements import ciphertext_of

from .cases import Case, H, other_hex
from .documents import FUND, GROSS_LIMIT, OTHER
from .world import World

SUBMISSION_CHANGES: list[tuple[str, Any, str]] = [
    ("profile", H, "profile"),
    ("universe", H, "universe"),
    ("entry_map", H, "entry_map"),
    ("generators", H, "generators"),
    # Institution, number, nonce and keys make the masks, so the named ciphertext is no longer what they give.
    ("institution", OTHER, "ciphertext"),
    ("sequence", "2", "ciphertext"),
    ("nonce", H, "ciphertext"),
    ("key_commitments", H, "key_commitments"),
    ("bodies", "00" * 8, "bodies"),
    ("bodies", "00", "bodies"),
    ("ciphertext", H, "ciphertext"),
    ("operator", H, "portfolio_proof"),
    ("evaluation_keys", H, "portfolio_proof"),
    ("encryption_proof", "00", "encryption_proof"),
    ("gross_limit", "64000001", "portfolio_proof"),
    ("gross_limit", "63999999", "portfolio_proof"),
    ("portfolio_proof", "00", "portfolio_proof"),
]


@pytest.mark.parametrize(("name", "value", "field"), SUBMISSION_CHANGES, ids=lambda value: str(value)[:20])
def test_a_submission_with_another_field_is_refused(
    case: Callable[[str], Case], name: str, value: Any, field: str
) -> None:
    calm = case("calm")
    with pytest.raises(Refused) as caught:
        calm.verify_submission(calm.submitted(**{name: value}))
    assert caught.value.field == field


@pytest.mark.parametrize("limit", ["0", "1", "1000000", str(10**15)])
def test_a_gross_limit_that_does_not_suit_the_universe_is_refused(case: Callable[[str], Case], limit: str) -> None:
    calm = case("calm")
    with pytest.raises(GrossLimitError):
        calm.verify_submission(calm.submitted(gross_limit=limit))


def test_a_gross_limit_below_the_minimum_transfer_amount_is_refused(
    case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its top-ups could not be proven in any unit that is fine enough for it."""
    calm = case("calm")
    model = type(calm.terms.model)
    monkeypatch.setattr(model, "minimum_transfer_amount", Decimal(GROSS_LIMIT))
    calm.verify_submission(calm.submission)
    monkeypatch.setattr(model, "minimum_transfer_amount", Decimal(GROSS_LIMIT + 1))
    with pytest.raises(GrossLimitTooSmall, match="minimum transfer amount of 64000001 USD"):
        calm.verify_submission(calm.submission)


def test_an_institution_makes_no_submission_with_such_a_limit(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is encrypted, and no mask is used up."""
    world = world_at("enrolled")
    monkeypatch.setattr(type(world.terms.model), "minimum_transfer_amount", Decimal(GROSS_LIMIT + 1))
    monkeypatch.setattr(own_submissions, "mask_seed", lambda *_: pytest.fail("masks were made"))
    with pytest.raises(GrossLimitTooSmall, match="choose at least that"):
        world.prepare_submission(FUND, (0,) * len(world.terms.entry_map))


@pytest.mark.parametrize("change", ["one less", "one more", "two swapped", "no point", "infinity", "another point"])
def test_other_commitments_are_refused(case: Callable[[str], Case], change: str) -> None:
    calm = case("calm")
    points = list(calm.submission.body["commitments"])
    changed = {
        "one less": points[:-1],
        "one more": [*points, points[0]],
        "two swapped": [points[1], points[0], *points[2:]],
        "no point": ["ff" * 48, *points[1:]],
        "infinity": ["c0" + "00" * 47, *points[1:]],
        "another point": [points[1], *points[1:]],
    }[change]
    with pytest.raises(Refused) as caught:
        calm.verify_submission(calm.submitted(commitments=changed))
    assert caught.value.field == ("commitments" if change.startswith("one") else "portfolio_proof")


@pytest.mark.parametrize("at", [0, 100, -100, -1])
@pytest.mark.parametrize("name", ["portfolio_proof", "encryption_proof"])
def test_a_changed_proof_of_a_submission_is_refused(case: Callable[[str], Case], name: str, at: int) -> None:
    calm = case("calm")
    with pytest.raises(Refused) as caught:
        calm.verify_submission(calm.submitted(**{name: other_hex(calm.submission.body[name], at)}))
    assert caught.value.field == name


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_another_body_is_refused(case: Callable[[str], Case], named: bool) -> None:
    """One bit of one body, the hash of the words adjusted to it or not."""
    calm = case("calm")
    bodies = other_hex(calm.submission.body["bodies"], 3)
    changes = {"bodies": bodies}
    if named:
        changed = Submission.parse({**calm.submission.body, **changes})
        changes["ciphertext"] = hashlib.sha256(ciphertext_of(changed, calm.terms).to_bytes()).hexdigest()
    with pytest.raises(Refused) as caught:
        calm.verify_submission(calm.submitted(**changes))
    # The portfolio proof is bound to the ciphertext's hash too, and is looked at first.
    assert caught.value.field == ("portfolio_proof" if named else "ciphertext")


def test_a_submission_under_other_keys_than_the_enrolled_ones_is_refused(case: Callable[[str], Case]) -> None:
    calm = case("calm")
    calm.keys = KeyPair(calm.keys.flag, calm.keys.input)
    with pytest.raises(Refused) as caught:
        calm.verify_submission(calm.submission)
    assert caught.value.field == "key_commitments"
