"""The life of collateral, by commands over real processes: in, called, back with a proof, exchanged, out, and archived.

Operator, agent and witness are processes of the command line, runs are evaluated under encryption, and whoever does
something runs a command.
"""

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.institution import releases
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.trust import TrustFile

from .. import postgres
from .commands import CommandedWorld
from .harness import problem
from .preloaded import Nursery
from .small import GROSS_LIMIT, PORTFOLIO

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(900)]

USDC, BILL = "USDC", "TBILL-2027-02"
AGREEMENT = {
    "format": "atomic-margin/collateral-agreement/1",
    "name": "CSA of the small world",
    "threshold": "20000",
    "minimum_transfer_amount": "5000",
    "minimum_return_amount": "10000",
    "independent_amount": "10000",
    "rounding": "1000",
    "notification_time": "13:00",
    "settlement_time": "17:00",
    "settlement_days": "0",
    "eligible": [USDC, BILL],
}


def usdc(amount: int) -> int:
    """Whole USDC in smallest units."""
    return amount * 10**6


def test_collateral_lives_from_deposit_to_archive(tmp_path: Path, nursery: Nursery) -> None:
    there = CommandedWorld(tmp_path / "world", nursery, AGREEMENT)
    there.introduce()
    with there.witnessed():
        with there.serving():
            opened(there)
            with there.world.answering():
                posted(there)
                called(there)
                released(there)
                exchanged(there)
                withdrawn(there)
                stale = signed_before(there, tmp_path / "copy", usdc(15_000))
                run_id = there.tick(1, 4)
                # While the run is evaluated the server dies, as if the power had gone.
                there.world.operator_process.signal(9)
        with there.serving(), there.world.answering():
            assert there.ended(run_id) is RunState.COVERED
            assert_refused(there, stale, "entry", "the account went on since it was made")
            disputed(there)
            halted(there)
            reported(there)
            archived = written(there)
            there.assert_conserved()
            account = there.operators("account", NAME)
            keys = json.loads(there.institution("status", "--json"))["key_commitments"]
        verified(there, archived, account, keys)


def opened(there: CommandedWorld) -> None:
    """Admit the institution under the agreement, and book what arrived."""
    there.operators(
        "admit", NAME, "--name", "Larkfield Fund LP", "--identity", there.identity,
        "--agreement", str(there.agreement),
    )  # fmt: skip
    there.pin()
    for asset, quantity in ((USDC, usdc(900_000)), (BILL, 20_000_000), ("BTC", 10**8)):
        there.deposit(asset, quantity)
    there.assert_conserved()


def posted(there: CommandedWorld) -> None:
    """Post, submit, and be covered at the first tick."""
    there.institution("post", USDC, str(usdc(300_000)))
    book = there.world.root / "examples" / "portfolio.json"
    assert json.loads(book.read_text()) == PORTFOLIO
    assert json.loads(there.institution("submit", str(book)))["submission_sequence"] == "1"
    assert there.ended(there.tick(1, 1)) is RunState.COVERED
    there.assert_conserved()


def called(there: CommandedWorld) -> None:
    """Prices fall: the agent proves the breach, and what its top-up calls for moves with that."""
    run_id = there.tick(2, 2)
    assert there.ended(run_id) is RunState.SETTLED
    there.assert_conserved()
    assert there.ended(there.tick(1, 3)) is RunState.COVERED


def released(there: CommandedWorld) -> None:
    """Have excess back with a proof of initial margin; not twice, and not more than there is."""
    before = there.held()
    shown = json.loads(there.institution("excess", "--json"))
    assert int(shown["usd"]) >= 60_000
    said = there.institution("release", f"{USDC}={usdc(50_000)}")
    assert "with a proof of initial margin" in said
    after = there.assert_conserved()
    assert int(after["posted"][USDC]) == int(before["posted"][USDC]) - usdc(50_000)
    assert int(after["free"][USDC]) == int(before["free"][USDC]) + usdc(50_000)
    # The same document again is the same entry, and what remains is not enough for as much again.
    sent = newest(there, "release")
    there.world.post(f"/v1/institutions/{NAME}/releases", sent.to_json())
    assert "has no initial margin with what remains" in there.refused("release", f"{USDC}={usdc(50_000)}")["detail"]
    assert there.assert_conserved() == after


def exchanged(there: CommandedWorld) -> None:
    """Put dollars in the place of the bill, as one event."""
    bill = int(there.held()["posted"][BILL])
    take = ("--take", f"{BILL}={bill}")
    outside = there.refused("substitute", *take, "--give", "BTC=90000000")
    assert "BTC" in outside["detail"]
    said = there.institution("substitute", *take, "--give", f"{USDC}={usdc(90_000)}")
    assert "without a proof: none was needed" in said
    held = there.assert_conserved()
    assert BILL not in held["posted"]
    assert int(held["free"][BILL]) == 20_000_000


def withdrawn(there: CommandedWorld) -> None:
    """Let free collateral leave the operator; posted collateral does not."""
    there.withdraw(USDC, usdc(400_000))
    held = there.assert_conserved()
    assert "free" in there.refused("withdraw", USDC, str(int(held["free"][USDC]) + 1))["detail"]


def disputed(there: CommandedWorld) -> None:
    """Dispute the call: nothing leaves until both signed the end of it, and that moves nothing."""
    before = there.held()
    listed = there.commands.asked("institution", "entries", "--dir", there.world.root / "institution", "--json")
    (subject,) = (
        one["entry"] for one in listed["entries"] if one["document"] == newest(there, "settlement").body_hash()
    )
    there.institution(
        "dispute", subject, "--kind", "amount", "--amount", "1200", "--undisputed", "400", "--reason", "too much"
    )
    assert "dispute" in there.refused("withdraw", BILL, "100")["detail"]
    assert "dispute" in there.refused("release", f"{USDC}={usdc(15_000)}")["detail"]
    (opened,) = there.operators("disputes")["disputes"]
    assert (opened["institution"], opened["offered"]) == (NAME, None)
    there.operators(
        "resolve", NAME, "--propose", opened["dispute"], "--outcome", "agreed", "--amount", "800", "--words", "half"
    )
    there.institution("resolve")
    (offered,) = there.operators("disputes")["disputes"]
    there.operators("resolve", NAME, "--yes", offered["offered"]["resolution"])
    assert there.operators("disputes")["disputes"] == []
    assert there.assert_conserved() == before
    there.withdraw(BILL, 100)


def halted(there: CommandedWorld) -> None:
    """Halt: nothing leaves and no run begins; resume: both go on."""
    there.operators("halt", "--reason", "custodian unreachable")
    assert "the operator has halted leaving" in there.refused("withdraw", BILL, "100")["detail"]
    run_id = there.tick(3, 5)
    assert there.operators("breakers", "--json")["halt"]["body"]["reason"] == "custodian unreachable"
    assert there.world.wait_run(run_id, tuple(RunState)).state is RunState.SCHEDULED
    there.operators("resume", "--reason", "custodian answers again")
    assert there.ended(run_id) is RunState.COVERED
    there.withdraw(BILL, 100)


def reported(there: CommandedWorld) -> None:
    """File the notice of the call and the statement of the day, as JSON and as pages."""
    pages = there.world.root / "reports"
    pages.mkdir()
    day = datetime.now(timezone.utc).date().isoformat()
    for name, arguments in (("call", ("call", f"{NAME}.2")), ("daily", ("daily", "--day", day))):
        for form in ("json", "html"):
            report = ("report", *arguments, *there.operator, "--account", NAME, "--out", pages / f"{name}.{form}")
            there.commands.run(*report)
        assert "<html" in (pages / f"{name}.html").read_text()
    call, daily = (json.loads((pages / f"{name}.json").read_text()) for name in ("call", "daily"))
    settlement = newest(there, "settlement").body
    assert (call["run_id"], call["status"], call["amount_usd"]) == (f"{NAME}.2", "proven", settlement["top_up_usd"])
    assert call["settles_by"].endswith("T17:00:00Z")
    assert f"{int(call['amount_usd']):,} USD" in (pages / "call.html").read_text()
    held = there.held()
    closing = {(one["balance"], one["asset"]): one["quantity"] for one in daily["closing"]}
    assert closing == {(place, asset): quantity for place in held for asset, quantity in held[place].items()}
    assert {one["run_id"] for one in daily["runs"]} >= {call["run_id"]}
    assert daily["owed"] == {"status": "active"}


def written(there: CommandedWorld) -> Path:
    """Write the examiner's archive."""
    path = there.world.root / "larkfield.archive.zip"
    directory = there.world.root / "operator"
    there.commands.run("archive", "--account", NAME, "--dir", directory, "--out", path, *postgres.options(directory))
    return path


def verified(there: CommandedWorld, archived: Path, account: dict[str, Any], keys: str) -> None:
    """Replay the archive offline, with nothing but it and the trust file: the same balances, the same state."""
    unpinned = there.commands.asked("verify", archived, "--trust", there.world.trust, "--json", status=1)
    assert "pins no such keys" in unpinned["reason"]
    there.pin("--keys", f"{NAME}={keys}")
    folder = archived.parent / "examiner"
    folder.mkdir()
    for path in (archived, there.world.trust):
        shutil.copy(path, folder)
    said = there.commands.asked("verify", folder / archived.name, "--trust", folder / there.world.trust.name, "--json")
    assert said["valid"]
    assert {name: said[name] for name in ("free", "posted")} == account["collateral"]
    assert said["status"] == account["state"] == "active"
    happened = {kind: int(count) for kind, count in said["happened"].items()}
    assert happened["released"] == happened["substituted"] == happened["disputed"] == happened["halted"] == 1


def newest(there: CommandedWorld, kind: str) -> SignedDocument:
    """The newest document of a type in the account's history, as the institution can hand it out."""
    history = there.commands.asked("institution", "history", "--dir", there.world.root / "institution")
    documents = [SignedDocument.parse(one["document"]) for one in history["entries"] if one.get("document")]
    return [one for one in documents if one.type == kind][-1]


def signed_before(there: CommandedWorld, copy: Path, quantity: int) -> SignedDocument:
    """Sign a release in a copy of the agent's folder, and do not send it: it is about the entry that is last now."""
    shutil.copytree(there.world.root / "institution", copy)
    operator = there.world.operator
    assert operator is not None
    pins = TrustFile.parse(read_json(there.world.trust))
    agent = Agent(AgentSettings(copy, NAME, operator.url, pins, GROSS_LIMIT, None))
    try:
        with agent.signing() as (party, _):
            return releases.make(party, agent.history.state, {USDC: quantity}, None)
    finally:
        agent.close()


def assert_refused(there: CommandedWorld, signed: SignedDocument, field: str, words: str) -> None:
    """See that the operator refuses a release, by a field and in words, and that nothing moves."""
    before = there.world.account()
    assert there.world.operator is not None
    with pytest.raises(RemoteError, match=words) as refused:
        there.world.post(f"/v1/institutions/{NAME}/releases", signed.to_json())
    assert (refused.value.status, problem(str(refused.value))["field"]) == (409, field)
    assert there.world.account() == before
