"""What counts as a verified submission: every check fails when what it looks at is changed, with real proofs."""

import dataclasses
import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.fhe.lwe import Words
from atomic_margin.margin.errors import GrossLimitError, GrossLimitTooSmall
from atomic_margin.service.errors import AgentRefused, Refused
from atomic_margin.service.institution import submissions as own_submissions
from atomic_margin.service.institution.store import InstitutionStore
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.statements import ciphertext_of, encryption_statement, portfolio_statement
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import AccountColumns
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.verify.encryption import verify_encryption
from atomic_margin.zk.verify.portfolio import verify_portfolio

from .bodies import BODIES, KEY
from .cases import Case, H, other_hex
from .documents import FUND, GROSS_LIMIT, OTHER
from .world import Sent, World

SUBMISSION_CHANGES: list[tuple[str, Any, str]] = [
    ("profile", H, "profile"),
    ("universe", H, "universe"),
    ("entry_map", H, "entry_map"),
    ("generators", H, "generators"),
    # Both sides' bytes, both parties, number and keys make the masks: the named ciphertext is not what they give.
    ("institution", OTHER, "ciphertext"),
    ("sequence", "2", "ciphertext"),
    ("nonce", H, "ciphertext"),
    ("randomness", H, "ciphertext"),
    ("operator", H, "ciphertext"),
    ("key_commitments", H, "key_commitments"),
    ("bodies", "00" * 8, "bodies"),
    ("bodies", "00", "bodies"),
    ("ciphertext", H, "ciphertext"),
    ("evaluation_keys", H, "portfolio_proof"),
    ("encryption_proof", "00", "encryption_proof"),
    ("gross_limit", "4000001", "portfolio_proof"),
    # Another power of two is above it: its cash lots are others.
    ("gross_limit", "63999999", "entry_map"),
    ("columns", {"underlyings": ["BTC"]}, "entry_map"),
    ("columns", {"underlyings": ["DOGE"]}, "columns"),
    ("columns", {"tiers": {"perpetual": [["1", "16"]]}}, "columns"),
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
    columns = calm.terms.columns(AccountColumns(calm.terms.universe.hash(), int(limit)))
    with pytest.raises(GrossLimitError):
        calm.verify_submission(calm.submitted(gross_limit=limit, entry_map=columns.hash()))


def test_a_gross_limit_below_the_minimum_transfer_amount_is_refused(
    case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its top-ups could not be proven in any unit that is fine enough for it."""
    calm = case("calm")
    model = type(calm.terms.model)
    monkeypatch.setattr(model, "minimum_transfer_amount", Decimal(GROSS_LIMIT))
    calm.verify_submission(calm.submission)
    monkeypatch.setattr(model, "minimum_transfer_amount", Decimal(GROSS_LIMIT + 1))
    with pytest.raises(GrossLimitTooSmall, match="minimum transfer amount of 4000001 USD"):
        calm.verify_submission(calm.submission)


def test_an_institution_makes_no_submission_with_such_a_limit(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is encrypted, and no mask is used up."""
    world = world_at("enrolled")
    monkeypatch.setattr(type(world.terms.model), "minimum_transfer_amount", Decimal(GROSS_LIMIT + 1))
    monkeypatch.setattr(own_submissions, "mask_seed", lambda *_: pytest.fail("masks were made"))
    with pytest.raises(GrossLimitTooSmall, match="choose at least that"):
        world.prepare_submission(FUND, (0,) * len(world.columns))


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


def absorbed() -> list[str]:
    return list(Submission.parse(BODIES[Submission]).proof_context())


def test_both_proofs_absorb_all_that_a_submission_names() -> None:
    """What the masks are made from among it."""
    # What is said of the gain has a proof of its own, which absorbs it.
    # Shares are dealt before, and a custodian checks them against the commitments.
    proofs = {"portfolio_proof", "encryption_proof", "gain", "gain_proof", "sharing"}
    # Limit, bodies and commitments are public inputs of the statements themselves; the hash of the columns names them.
    statements = {"gross_limit", "columns", "bodies", "commitments"}
    fields = set(Submission.model_fields) - proofs - statements
    body = BODIES[Submission]
    # Every hash another, so that none can stand for another.
    hashes = {name: f"{number:064x}" for number, name in enumerate(sorted(fields)) if body[name] == H}
    submission = Submission.parse({**body, **hashes})
    wanted = {name: str(getattr(submission, name)) for name in fields - {"sequence"}}
    assert submission.proof_context() == {**wanted, "submission_sequence": str(submission.sequence)}


@pytest.mark.parametrize("name", absorbed())
def test_a_submission_s_proofs_hold_for_nothing_else(case: Callable[[str], Case], name: str) -> None:
    calm = case("calm")
    submission = Submission.parse(calm.submission.body)
    portfolio = portfolio_statement(submission, calm.terms)
    encryption = encryption_statement(submission, calm.terms, calm.keys, ciphertext_of(submission, calm.terms))
    other = {**submission.proof_context(), name: H}
    assert other != submission.proof_context()
    with pytest.raises(ProofError):
        verify_portfolio(
            dataclasses.replace(portfolio, context=other), bytes.fromhex(submission.portfolio_proof), calm.group
        )
    with pytest.raises(ProofError):
        verify_encryption(
            dataclasses.replace(encryption, context=other), bytes.fromhex(submission.encryption_proof), calm.group
        )


# The masks.


def masks_of(world: World, sent: Sent) -> Words:
    return ciphertext_of(sent.submission, world.terms).masks


def test_an_operator_that_repeats_its_nonce_gets_other_masks(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("enrolled")
    monkeypatch.setattr(enrolment, "issue_nonce", lambda *_: H)
    used: list[bytes] = []
    values = (1,) * len(world.columns)
    first, second = (world.prepare_unproven_submission(FUND, values, use_masks=used.append) for _ in range(2))
    for name in ("nonce", "sequence", "institution", "operator", "key_commitments"):
        assert getattr(first.submission, name) == getattr(second.submission, name)
    assert first.submission.randomness != second.submission.randomness
    assert len(set(used)) == 2
    assert not (masks_of(world, first) == masks_of(world, second)).any()


def test_masks_are_those_of_this_operator_and_these_bytes(world_at: Callable[[str], World]) -> None:
    """A second operator that replays the first one's nonce is given nothing to compare."""
    world = world_at("enrolled")
    sent = world.prepare_unproven_submission(FUND, (1,) * len(world.columns))
    known = masks_of(world, sent)
    for name in ("operator", "randomness"):
        other = Submission.parse({**sent.signed.body, name: KEY})
        assert not (ciphertext_of(other, world.terms).masks == known).any()


def test_random_bytes_and_a_nonce_that_both_repeat_are_refused(
    world_at: Callable[[str], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored machine beside an operator that repeats itself: nothing is encrypted."""
    world, store = world_at("enrolled"), InstitutionStore(tmp_path)
    monkeypatch.setattr(enrolment, "issue_nonce", lambda *_: H)
    monkeypatch.setattr(own_submissions.secrets, "token_hex", lambda size: "5a" * size)
    values = (1,) * len(world.columns)
    world.prepare_unproven_submission(FUND, values, use_masks=store.use_masks)
    monkeypatch.setattr(world.funds[FUND].secret, "encrypt_under", lambda *_: pytest.fail("something was encrypted"))
    with pytest.raises(AgentRefused, match="these masks were used before"):
        world.prepare_unproven_submission(FUND, values, use_masks=store.use_masks)
    store.close()
