"""What counts as a verified answer: every check fails when what it looks at is changed, with real proofs."""

import copy
import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.service.errors import AttestationInvalid, Conflict, Refused, SignatureInvalid
from atomic_margin.service.operator.settlement.hook import settle
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.verification import (
    VerifiedBreach,
    VerifiedCoverage,
)
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .cases import Case, H, Verified, other_hex
from .documents import FUND, OTHER
from .stages import Stages
from .world import Fund, World


def test_the_answers_of_the_story_hold(case: Callable[[str], Case]) -> None:
    calm = case("calm")
    covered = calm.verify_answer(calm.answer)
    assert isinstance(covered, VerifiedCoverage)
    assert covered.record.run_id == f"{FUND}.1"
    fall = case("fall")
    breach = fall.verify_answer(fall.answer)
    assert isinstance(breach, VerifiedBreach)
    assert (breach.top_up_usd, breach.flag) == (Decimal(100_000), "proven")
    assert breach.answer_hash == fall.answer.body_hash()
    assert breach.run_hash == fall.run.body_hash()


@pytest.mark.parametrize("kind", [VerifiedCoverage, VerifiedBreach])
@pytest.mark.parametrize("seal", [None, True, object(), "_SEAL"], ids=["none", "true", "object", "text"])
def test_a_verified_answer_is_not_made_by_hand(case: Callable[[str], Case], kind: type[Verified], seal: object) -> None:
    record = RunRecord.parse(case("calm").run.body)
    more = (1, Decimal(1)) if kind is VerifiedBreach else ()
    with pytest.raises(TypeError, match="only verify_answer and verify_opened make"):
        kind(record, H, H, seal, *more)
    with pytest.raises(TypeError):
        kind(record, H, H, *more)  # type: ignore[call-arg]


def test_a_verified_breach_is_not_made_of_a_verified_coverage(case: Callable[[str], Case]) -> None:
    calm = case("calm")
    covered = calm.verify_answer(calm.answer)
    with pytest.raises(dataclasses.FrozenInstanceError):
        covered.run_hash = H  # type: ignore[misc]
    with pytest.raises(TypeError):
        VerifiedBreach(**{**vars(covered), "seal": None, "top_up": 1, "top_up_usd": Decimal(1)})


def test_a_verified_breach_with_another_amount_is_not_made_by_replace(case: Callable[[str], Case]) -> None:
    fall = case("fall")
    breach = fall.verify_answer(fall.answer)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(breach, top_up_usd=Decimal(1))  # type: ignore[call-arg]


@pytest.mark.parametrize("thing", ["coverage", "dict", "none", "look-alike"])
def test_the_settlement_hook_takes_nothing_else(
    case: Callable[[str], Case], world_at: Callable[[str], World], thing: str
) -> None:
    world, fall, calm = world_at("fall-open"), case("fall"), case("calm")
    breach = fall.verify_answer(fall.answer)

    class LookAlike:
        pass

    alike = LookAlike()
    vars(alike).update(vars(breach))
    given = {"coverage": calm.verify_answer(calm.answer), "dict": vars(breach), "none": None, "look-alike": alike}
    before = world.ledger()
    with pytest.raises(TypeError, match="takes a VerifiedBreach"):
        settle(world.operator, given[thing])  # type: ignore[arg-type]
    assert world.ledger() == before
    assert world.run(f"{FUND}.2").state == RunState.AWAITING_ANSWER


def test_a_verified_breach_whose_answer_was_not_stored_settles_nothing(
    case: Callable[[str], Case], world_at: Callable[[str], World]
) -> None:
    world, fall = world_at("fall-open"), case("fall")
    breach = fall.verify_answer(fall.answer)
    assert isinstance(breach, VerifiedBreach)
    before = world.ledger()
    with pytest.raises(Conflict, match="awaiting_answer"):
        settle(world.operator, breach)
    assert world.ledger() == before


def test_a_copy_with_another_amount_convinces_no_verifier(
    case: Callable[[str], Case], world_at: Callable[[str], World], stages: Stages, group: Group,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Code inside the operator's process can forge the object as it can forge the ledger; the bundle still tells."""
    world, fall = world_at("fall-open"), case("fall")
    forged = copy.copy(fall.verify_answer(fall.answer))
    object.__setattr__(forged, "top_up_usd", Decimal(1_000_000))
    monkeypatch.setattr("atomic_margin.service.operator.runs.answers._verify", lambda *_: forged)
    world.answer(f"{FUND}.2", fall.answer)
    with pytest.raises(AttestationInvalid) as caught:
        verify_attestation(world.bundle(f"{FUND}.2"), world.trust_file(), group)
    assert caught.value.step == "settlement"


def test_documents_of_another_signer_are_refused(case: Callable[[str], Case]) -> None:
    calm, stranger = case("calm"), Identity.generate()
    with pytest.raises(SignatureInvalid):
        calm.verify_submission(stranger.sign("submission", calm.submission.body))
    with pytest.raises(SignatureInvalid):
        calm.verify_answer(stranger.sign("answer", calm.answer.body))
    with pytest.raises(SignatureInvalid):
        calm.verify_answer(calm.fund.sign("settlement", calm.answer.body).model_copy(update={"type": "answer"}))


BINDING = [("run_id", f"{FUND}.9"), ("run", H), ("operator", H), ("institution", OTHER), ("submission", H)]


@pytest.mark.parametrize("story", ["calm", "fall"])
@pytest.mark.parametrize(("name", "value"), [*BINDING, ("price_sequence", "9")])
def test_an_answer_about_something_else_is_refused(
    case: Callable[[str], Case], story: str, name: str, value: str
) -> None:
    run = case(story)
    with pytest.raises(Refused, match=f"another {name}") as caught:
        run.verify_answer(run.answered(**{name: value}))
    assert caught.value.field == name


STEP = 250_000 * 32  # the minimum step of the story, G/256 = 250,000 USD, in units of 2^-5 USD

NO_FLAG = dict.fromkeys(("flag", "flag_output", "decryption_proof", "breach_proof"))
OUTCOME_CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("calm", {"flag": "1"}, "flag"),
    ("calm", {"flag_output": H}, "flag"),
    ("calm", {"top_up": str(STEP), "top_up_usd": "250000"}, "top_up"),
    ("calm", {"top_up_usd": "250000"}, "top_up"),
    ("calm", {"outcome": "breach"}, "flag"),
    ("fall", {"outcome": "covered"}, "flag"),
    ("fall", {"outcome": "covered", **NO_FLAG}, "top_up"),
    ("fall", {"outcome": "covered", **NO_FLAG, "decryption_proof": "00"}, "flag"),
    ("fall", {"outcome": "covered", **NO_FLAG, "top_up": "0", "top_up_usd": "0"}, "sufficiency_proof"),
    ("calm", {"decryption_proof": "00"}, "flag"),
    ("calm", {"breach_proof": "00"}, "flag"),
    ("fall", {"flag": None}, "flag"),
    ("fall", {"decryption_proof": None}, "decryption_proof"),
    ("fall", {"decryption_proof": "00"}, "decryption_proof"),
    ("fall", {"breach_proof": None}, "breach_proof"),
    ("fall", {"breach_proof": "00"}, "breach_proof"),
    ("fall", {"flag_output": None}, "flag_output"),
    ("fall", {"flag_output": H}, "flag_output"),
    ("fall", {"top_up": "0", "top_up_usd": "0"}, "top_up"),
    ("fall", {"top_up": "1"}, "top_up"),
    ("fall", {"top_up": str(5 * STEP + 1)}, "top_up"),
    ("fall", {"top_up_usd": "100000.00"}, "top_up_usd"),
    ("fall", {"top_up_usd": "1"}, "top_up_usd"),
    ("fall", {"top_up": str(4 * STEP), "top_up_usd": "1000000"}, "sufficiency_proof"),
    ("fall", {"top_up": str(6 * STEP), "top_up_usd": "1500000"}, "sufficiency_proof"),
    ("fall", {"sufficiency_proof": "00"}, "sufficiency_proof"),
]


@pytest.mark.parametrize(("story", "changes", "field"), OUTCOME_CHANGES, ids=lambda value: str(value)[:50])
def test_outcome_flag_and_top_up_go_together(
    case: Callable[[str], Case], story: str, changes: dict[str, Any], field: str
) -> None:
    run = case(story)
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answered(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize("at", [0, 100, -100, -1])
@pytest.mark.parametrize("name", ["sufficiency_proof", "decryption_proof", "breach_proof"])
def test_a_changed_proof_of_an_answer_is_refused(case: Callable[[str], Case], name: str, at: int) -> None:
    run = case("fall")
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answered(**{name: other_hex(run.answer.body[name], at)}))
    assert caught.value.field == name


@pytest.mark.parametrize("words", [None, b"", bytes(16_392)], ids=["none", "empty", "zero"])
def test_a_flag_from_other_words_is_refused(case: Callable[[str], Case], words: bytes | None) -> None:
    run = case("fall")
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answer, flag_words=words)
    assert caught.value.field == "flag_output"


def test_a_flag_of_another_key_is_refused(case: Callable[[str], Case], stages: Stages) -> None:
    run = case("fall")
    other = Fund(FUND).pair  # the same key, committed to with other blindings
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answer, keys=KeyPair(run.keys.input, other.flag))
    assert caught.value.field == "decryption_proof"


def test_a_breach_proof_of_another_run_is_refused(case: Callable[[str], Case]) -> None:
    """It is whole, and about the same commitments; the matrix and the run are others."""
    run, crash = case("fall"), case("crash")
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answered(breach_proof=crash.answer.body["breach_proof"]))
    assert caught.value.field == "breach_proof"


def test_proofs_do_not_move_between_runs(case: Callable[[str], Case]) -> None:
    calm, fall, crash = case("calm"), case("fall"), case("crash")
    for run, other in ((calm, fall), (fall, crash), (crash, fall)):
        with pytest.raises(Refused) as caught:
            run.verify_answer(run.answered(sufficiency_proof=other.answer.body["sufficiency_proof"]))
        assert caught.value.field == "sufficiency_proof"
        with pytest.raises(Refused):
            run.verify_answer(run.answer, matrices=other.matrices)
        with pytest.raises(Refused):
            run.verify_answer(other.answer)


RECORD_CHANGES = [
    "submission_sequence",
    "profile",
    "model",
    "universe",
    "entry_map",
    "schedule",
    "generators",
    "evaluation_keys",
    "key_commitments",
]


@pytest.mark.parametrize("name", RECORD_CHANGES)
def test_the_proof_is_bound_to_what_the_record_names(case: Callable[[str], Case], name: str) -> None:
    run = case("calm")
    record = RunRecord.parse({**run.run.body, name: "5" if name == "submission_sequence" else H})
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answer, record=record)
    assert caught.value.field == "sufficiency_proof"


def test_the_proof_is_bound_to_the_commitments(case: Callable[[str], Case]) -> None:
    run = case("calm")
    points = run.submission.body["commitments"]
    other = Submission.parse({**run.submission.body, "commitments": [points[1], points[0], *points[2:]]})
    with pytest.raises(Refused) as caught:
        run.verify_answer(run.answer, submission=other)
    assert caught.value.field == "sufficiency_proof"
