"""Row: "server or a third party fabricates a breach". The hook fires on the institution's own signed answer alone."""

import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.documents import Answer
from atomic_margin.service.signing import Identity

from ..e2e.harness import World

pytestmark = pytest.mark.fhe


def test_a_server_that_leaves_out_posted_collateral_gets_no_answer(world: World) -> None:
    """The record would show a breach; the agent holds the operator's receipt for what is missing."""
    with closing(sqlite3.connect(world.root / "operator" / "operator.db")) as database, database:
        # Half of what was posted goes back to free: the ledger still sums to zero, and the record is duly signed.
        for account, sign in ((f"{NAME}/posted", -1), (f"{NAME}/free", 1)):
            database.execute(
                "insert into ledger_postings (transaction_id, account, asset, amount) values (1, ?, 'USDC', ?)",
                (account, sign * 150_000_000_000),
            )
    with world.both():
        run_id = world.tick(1, 1)
        world.wait_run(run_id, ("awaiting_answer",))
        refused = world.agent.wait("/v1/status", lambda seen: seen["stage"] == "refused a run", 30, lambda _: None)
        assert refused["alarm"] is None
        time.sleep(1)
        assert world.operator.get(f"/v1/runs/{run_id}")["state"] == "awaiting_answer"
        assert world.account()["collateral"]["posted"] == {"USDC": "150000000000"}
        assert "has signed for 300000000000" in (world.root / "agent.log").read_text()


def test_a_stranger_cannot_answer_for_the_institution(world: World) -> None:
    with world.serving():
        run_id = world.tick(2, 1)
        view = world.wait_run(run_id, ("awaiting_answer",))
        record = view["record"]["body"]
        body = {
            "run_id": run_id,
            "run": "0" * 64,
            "operator": record["operator"],
            "institution": NAME,
            "submission": record["submission"],
            "price_sequence": "1",
            "outcome": "breach",
            "flag": "1",
            "flag_output": record["outputs"]["breach"],
            "top_up": "6400000",
            "top_up_usd": "100000",
            "sufficiency_proof": "01",
        }
        before = world.ledger()
        for signer in (Identity.generate(), world.sources[0]):
            signed = Answer.parse(body).signed_by(signer)
            response = httpx.post(f"{world.operator.url}/v1/runs/{run_id}/answer", json=signed.to_json())
            assert (response.status_code, response.json()["field"]) == (403, "signer")
        assert world.ledger() == before
        assert world.operator.get(f"/v1/runs/{run_id}")["state"] == "awaiting_answer"
