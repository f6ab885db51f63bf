"""Row: "replay of an old proof, old submission, other unit, profile, model or price": a proof is bound to its run."""

from typing import Any

import numpy as np
import pytest

from atomic_margin.service.protocol.signing import SignedDocument

from .attacks import Stage, signed_again

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved"), pytest.mark.long]

OTHER = "5a" * 32


def test_an_answer_to_one_run_answers_no_other(stage: Stage) -> None:
    # The old answer as it was: about another run.
    old = stage.bundle["body"]["answer"]
    assert stage.reply(old) == (409, "run_id")
    # Re-signed by the institution itself for the new run, with the old proof: the proof is bound to the old one.
    record = stage.view(stage.open)["record"]
    addressed: dict[str, Any] = {"run_id": stage.open, "run": SignedDocument.parse(record).body_hash()}
    addressed |= {"entry": stage.answer["body"]["entry"], "submission": record["body"]["submission"]}
    replayed = signed_again(old, stage.agent.identity, **addressed, price_sequence="2")
    assert stage.reply(replayed) == (422, "sufficiency_proof")
    # Nor does the other kind of proof of the very same run.
    parts = {"outcome": "covered", "top_up": "0", "top_up_usd": "0"}
    absent = dict.fromkeys(("flag", "flag_output", "decryption_proof", "breach_proof"))
    assert stage.reply(signed_again(stage.answer, stage.agent.identity, **parts, **absent)) == (
        422,
        "sufficiency_proof",
    )


def test_the_proofs_of_a_breach_are_bound_to_it(stage: Stage) -> None:
    body = stage.answer["body"]
    exchanged = {"breach_proof": body["decryption_proof"], "decryption_proof": body["breach_proof"]}
    assert stage.reply(signed_again(stage.answer, stage.agent.identity, **exchanged)) == (422, "decryption_proof")
    other_words = signed_again(stage.answer, stage.agent.identity, flag_output=OTHER)
    assert stage.reply(other_words) == (422, "flag_output")


def test_an_old_submission_is_not_taken_again(stage: Stage) -> None:
    old = stage.bundle["body"]["submission"]
    # The very same is known: it gets the entry that it has.
    assert stage.submit(old) == (201, None)
    fresh = {"nonce": stage.agent._client.nonce()}
    assert stage.submit(signed_again(old, stage.agent.identity, **fresh)) == (409, "sequence")
    # Addressed anew throughout, its proofs and its words are still those of the old one.
    addressed = {**fresh, "sequence": "2", "gain": stage.secrets.submit()["body"]["gain"]}
    addressed["nonce"] = stage.agent._client.nonce()
    assert stage.submit(signed_again(old, stage.agent.identity, **addressed)) == (422, "ciphertext")
    # With everything else made anew, the old bodies are under other masks than those of the nonce.
    bodies = np.frombuffer(bytes.fromhex(old["body"]["bodies"]), dtype="<u8").astype(np.uint64)
    assert stage.submit(stage.secrets.submit(bodies=lambda _: bodies)) == (422, "encryption_proof")


@pytest.mark.parametrize(
    ("name", "status"), [("profile", 422), ("universe", 409), ("entry_map", 422), ("generators", 422)]
)
def test_a_submission_for_other_terms_is_refused(stage: Stage, name: str, status: int) -> None:
    assert stage.submit(stage.secrets.submit(**{name: OTHER})) == (status, name)


def test_proofs_do_not_move_to_another_submission(stage: Stage) -> None:
    """Reordered commitments, and each proof of one submission in the next."""
    secrets = stage.secrets
    first = secrets.submit()
    commitments = first["body"]["commitments"]
    reordered = [commitments[1], commitments[0], *commitments[2:]]
    assert stage.submit(signed_again(first, stage.agent.identity, commitments=reordered)) == (422, "portfolio_proof")
    second = secrets.submit()
    for proof in ("portfolio_proof", "encryption_proof"):
        mixed = signed_again(second, stage.agent.identity, **{proof: first["body"][proof]})
        assert stage.submit(mixed) == (422, proof)
