"""Row: "false 'covered'". Only the sufficiency proof counts, and no evaluation key has a part in it."""

import hashlib
from typing import Any

import numpy as np
import pytest

from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.enrolment import _check_known_answers
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.states import AccountState, RunState

from ..e2e.harness import World
from .attacks import Secrets, Stage, signed_again

pytestmark = pytest.mark.fhe


def test_covered_without_a_proof_of_it_is_refused(stage: Stage, unmoved: None) -> None:
    assert stage.reply(stage.secrets.claim_covered(RunView.parse(stage.view(stage.open)))) == (422, "sufficiency_proof")
    # A decrypted 0 is no document at all, whoever's flag it is.
    assert stage.reply(signed_again(stage.answer, stage.agent.identity, flag="0")) == (422, "flag")


def test_masks_of_one_s_own_choice_are_refused(stage: Stage, unmoved: None) -> None:
    """Zero masks make every body the plain entry, whatever the keys: well formed, and refused."""

    def none(masks: Any) -> Any:
        return np.zeros_like(masks)

    assert stage.submit(stage.secrets.submit(masks=none)) == (422, "encryption_proof")
    own = hashlib.sha256(b"words under masks that nobody can expand").hexdigest()
    assert stage.submit(stage.secrets.submit(masks=none, named=own)) == (422, "ciphertext")


@pytest.mark.long
def test_evaluation_keys_of_a_second_secret_key_cover_nothing(world: World, spare_keys: InstitutionKeys) -> None:
    """They pass the known-answer test, which the institution itself reports on; the flag is noise, and no proof."""
    with world.serving(answer_seconds=3), world.own_agent() as agent:
        secrets = Secrets.of(agent)
        enrolled = enrol_others(agent, secrets, spare_keys)
        openings = (secrets.commitments, secrets.blindings)
        book = secrets.submit(evaluation_keys=enrolled, opened=openings)
        agent._client.submit(book)
        run_id = world.tick(2, 1)
        view = world.wait_run(run_id, (RunState.AWAITING_ANSWER,))
        assert view.record["body"]["evaluation_keys"] == enrolled
        stage = Stage(world, agent, run_id, run_id, {}, {})
        assert stage.reply(secrets.claim_covered(view)) == (422, "sufficiency_proof")
        # So nothing is left to it but silence, which freezes the account.
        world.wait_run(run_id, (RunState.UNPROVEN,))
        assert world.account().state is AccountState.FROZEN


def enrol_others(agent: Agent, secrets: Secrets, second: InstitutionKeys) -> str:
    """Enrol evaluation keys of a second secret key under the commitments to the first; return their hash."""
    data, known = second.evaluation_keys(), second.known_answer_input()
    points = {"input_key": secrets.openings.pair.input, "flag_key": secrets.openings.pair.flag}
    parties = {"institution": NAME, "operator": agent.settings.trust.operator}
    sha256 = hashlib.sha256(data).hexdigest()
    body = Enrolment.parse(
        {
            **parties,
            "profile": agent.terms.hashes["profile"],
            "key_sequence": "7",
            "evaluation_keys": sha256,
            "known_answer_input": hashlib.sha256(known).hexdigest(),
            **{name: [point.hex() for point in key.commitments] for name, key in points.items()},
        }
    )
    challenge = agent._client.enrol(body.signed_by(agent.identity).to_json(), data, known)
    _check_known_answers(second, challenge.known_answers)
    done = EnrolmentConfirmation.parse({**parties, "evaluation_keys": sha256, "known_answers": "right"})
    agent._client.confirm(done.signed_by(agent.identity).to_json())
    return sha256
