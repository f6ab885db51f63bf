"""Row: "server or a third party fabricates a breach". The hook fires on the institution's own proven answer alone."""

import json

import pytest

from atomic_margin.service.cli.output import EXIT_PERMANENT, EXIT_USAGE
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.operator.store.tables import Account, LedgerPosting
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
    with world.stored() as session:
        # Half of what was posted goes back to free, in account and ledger: the run is duly signed and entered.
        for name, amount in ((f"{NAME}/posted", -150_000_000_000), (f"{NAME}/free", 150_000_000_000)):
            session.add(LedgerPosting(transaction_id=1, account=name, asset="USDC", amount=amount))
        account = session.get_one(Account, NAME)
        posted, free = account.public_state["posted"], account.private_state["free"]
        more = str(int(free.get("USDC", "0")) + 150_000_000_000)
        account.public_state = {**account.public_state, "posted": {**posted, "USDC": "150000000000"}}
        account.private_state = {**account.private_state, "free": {**free, "USDC": more}}
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
