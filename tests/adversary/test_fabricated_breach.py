"""Row: "server or a third party fabricates a breach". The hook fires on the institution's own proven answer alone."""

import json
import sqlite3
from contextlib import closing

import pytest

from atomic_margin.service.cli.output import EXIT_PERMANENT, EXIT_USAGE
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import RunState

from ..e2e.commands import Commands
from ..e2e.harness import World
from .attacks import Stage, signed_again

pytestmark = pytest.mark.fhe


@pytest.mark.long
def test_a_server_that_leaves_out_posted_collateral_gets_no_answer(plain_world: World) -> None:
    """The record would show a breach; the agent replays what was entered, and keeps what contradicts it."""
    world = plain_world
    with closing(sqlite3.connect(world.root / "operator" / "operator.db")) as database, database:
        # Half of what was posted goes back to free, in account and ledger: the run is duly signed and entered.
        for account, sign in ((f"{NAME}/posted", -1), (f"{NAME}/free", 1)):
            database.execute(
                "insert into ledger_postings (transaction_id, account, asset, amount) values (1, ?, 'USDC', ?)",
                (account, sign * 150_000_000_000),
            )
        public, private = database.execute("select public_state, private_state from accounts").fetchone()
        state = {"public": json.loads(public), "private": json.loads(private)}
        state["public"]["posted"]["USDC"] = "150000000000"
        free = int(state["private"]["free"].get("USDC", "0"))
        state["private"]["free"]["USDC"] = str(free + 150_000_000_000)
        rows = (json.dumps(state["public"]), json.dumps(state["private"]))
        database.execute("update accounts set public_state = ?, private_state = ?", rows)
    commands = Commands(world.nursery, world.root)
    with world.serving():
        with world.answering():
            run_id = world.tick(1, 1)
            assert world.agent_process is not None
            # No waiting mends it: the process ends with the status for that.
            assert world.agent_process.wait(60) == EXIT_PERMANENT
        assert "error: EntryIllegal: " in (world.root / "agent.log").read_text()
        # Started again it answers nothing either.
        said = commands.run(*world.agent_arguments(free_port()), status=EXIT_PERMANENT)
        assert "error: EntryIllegal: " in said
        assert "Traceback" not in said
        assert world.wait_run(run_id, (RunState.AWAITING_ANSWER,)).settlement is None
        assert world.account().collateral.posted == {"USDC": 150_000_000_000}
    # What the operator signed is shown without an agent, and so is the account as it was followed before.
    directory = ("--dir", world.root / "institution")
    refused = commands.run("institution", "status", *directory, "--agent", "http://127.0.0.1:9", status=EXIT_USAGE)
    assert "the agent does not answer" in refused
    assert "what the operator signed contradicts itself: entry-" in refused
    assert "run-opened" not in commands.run("institution", "entries", *directory)
    (contradiction,) = (world.root / "institution" / "contradictions").glob("*.json")
    document = json.loads(contradiction.read_text())["document"]
    assert (document["type"], document["body"]["posted"]) == ("run-opened", {"USDC": "150000000000"})


def test_a_stranger_cannot_answer_for_the_institution(stage: Stage, unmoved: None) -> None:
    """With every proof right, as a server that was shown them could have them."""
    for signer in (Identity.generate(), stage.server, stage.world.sources[0]):
        assert stage.reply(signed_again(stage.answer, signer)) == (403, "signer")


def test_a_breach_without_one_of_its_proofs_is_none(stage: Stage, unmoved: None) -> None:
    for proof in ("decryption_proof", "breach_proof"):
        assert stage.reply(signed_again(stage.answer, stage.agent.identity, **{proof: None})) == (422, proof)
    more = {"top_up": str(2 * int(stage.answer["body"]["top_up"]))}
    assert stage.reply(signed_again(stage.answer, stage.agent.identity, **more)) == (422, "top_up_usd")
