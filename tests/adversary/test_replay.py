"""Row: "replay of an old proof, old submission, other unit, profile, model or price": a proof is bound to its run."""

import json
from typing import Any

import httpx
import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.signing import SignedDocument

from ..e2e.harness import World

pytestmark = pytest.mark.fhe


def test_an_answer_to_one_run_answers_no_other(world: World) -> None:
    with world.serving():
        first = world.tick(1, 1)
        with world.answering():
            world.wait_run(first, ("covered",))
        bundle = world.operator.get(f"/v1/attestations/{first}")
        second = world.tick(2, 2)
        record = world.wait_run(second, ("awaiting_answer",))["record"]

        def post(document: dict[str, Any]) -> httpx.Response:
            return httpx.post(f"{world.operator.url}/v1/runs/{second}/answer", json=document)

        # The old answer as it was: about another run.
        old = bundle["body"]["answer"]
        assert post(old).json()["field"] == "run_id"
        # Re-signed by the institution itself for the new run, with the old proof: the proof is bound to the old one.
        body = {**old["body"], "run_id": second, "run": SignedDocument.parse(record).body_hash(), "price_sequence": "2"}
        with world.own_agent() as agent:
            response = post(agent.identity.sign("answer", body).to_json())
        assert (response.status_code, response.json()["field"]) == (422, "sufficiency_proof")
        assert world.operator.get(f"/v1/runs/{second}")["state"] == "awaiting_answer"


def test_an_old_submission_is_not_taken_again(world: World) -> None:
    with world.both():
        run_id = world.tick(1, 1)
        world.wait_run(run_id, ("covered",))
        old = world.operator.get(f"/v1/attestations/{run_id}")["body"]["submission"]
        ciphertext = (world.root / "operator" / "blobs" / old["body"]["ciphertext"]).read_bytes()
        files = {"document": json.dumps(old).encode(), "ciphertext": ciphertext}
        response = httpx.post(f"{world.operator.url}/v1/institutions/{NAME}/submissions", files=files)
        assert (response.status_code, response.json()["field"]) == (409, "nonce")
