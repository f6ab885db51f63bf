"""Signers as processes run them, on a chain: k of n sign over HTTP what the oracle takes, and nothing else."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from eth_account.signers.local import LocalAccount

from atomic_margin.contracts.attestations import Kind
from atomic_margin.contracts.collect import SignerSet, collect
from atomic_margin.contracts.errors import TooFewSignatures
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.signer import journal as journals
from atomic_margin.service.signer import signer as signers
from atomic_margin.service.signer.errors import RunNotOpen, SignedOtherwise, SigningRefused
from atomic_margin.service.signer.matrices import SettlementRequest
from atomic_margin.service.signer.signer import Signer
from atomic_margin.service.signer.vault import VaultReader
from atomic_margin.service.signer.web import LIMITS, create_app

from ...contracts.vault.world import HOLDER, SIGNERS, THRESHOLD, World, key
from ..world import TestClient
from .conftest import addresses_of
from .played import FREE, POSTED, Json, Played

MATRICES: Kind = "MatrixAttestation"
Make = Callable[..., Signer]


@pytest.fixture
def make(tmp_path: Path, deployed: World, played: Played) -> Iterator[Make]:
    """Makes signers of the vault, each with a folder of its own."""
    made: list[Signer] = []

    def one(account: LocalAccount = SIGNERS[0], **changed: Any) -> Signer:
        reader = VaultReader(deployed.chain.w3, changed.pop("addresses", addresses_of(deployed)))
        arguments: dict[str, Any] = {"trust": played.trust_file, "decimals": 6, **changed}
        made.append(Signer(tmp_path / account.address, account, vault=reader, **arguments))
        return made[-1]

    yield one
    for signer in made:
        signer.close()


@contextlib.contextmanager
def serving(signer: Signer) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(signer), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def request(played: Played, expiry: int, **changed: Any) -> Json:
    said = {
        "format": "atomic-margin/settlement-request/1",
        "bundle": played.unsettled,
        "round": "0",
        "expiry": str(expiry),
    }
    return {**said, **changed}


def asked(played: Played, expiry: int, **changed: Any) -> SettlementRequest:
    return SettlementRequest.parse(request(played, expiry, **changed))


def test_k_of_n_sign_what_the_oracle_takes(played: Played, opened: World, make: Make) -> None:
    signer_set = SignerSet.read(opened.chain.w3, opened.oracle.address)
    assert (signer_set.version, signer_set.threshold) == (1, THRESHOLD)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serving(make(one))) for one in SIGNERS[:THRESHOLD]]
        soon = opened.chain.now() + 3600
        message, signatures = collect(urls, request(played, soon), THRESHOLD, signer_set)
        assert (message["run"], message["account"]) == (played.run, HOLDER.address)
        assert (message["free"], message["posted"], message["expiry"]) == (FREE, POSTED, soon)
        assert opened.chain.refusal(opened.oracle.functions.checkMatrices(message, signatures), HOLDER) is None
        # One more digit of anything, and it is refused.
        other = {**message, "rate": message["rate"] + 1}
        refusal = opened.refused(opened.oracle.functions.checkMatrices(other, signatures))
        assert refusal.name in ("NotASigner", "SignersNotAscending")
        # The same again gives the same, to the byte.
        assert collect(urls, request(played, soon), THRESHOLD, signer_set) == (message, signatures)
        status = httpx.get(f"{urls[0]}/status").json()
        assert (status["signer"], status["counted"], status["signer_set"]) == (SIGNERS[0].address, True, "1")
        assert (status["signed"], status["refused"]) == ("1", "0")
        assert [(one["kind"], one["subject"], one["said"]) for one in status["newest"]] == [
            (MATRICES, "0x" + played.run.hex(), "signed")
        ]
        assert httpx.get(f"{urls[0]}/healthz").json()["status"] == "ok"
        # Asked again later, it may count longer, and by a newer checkpoint.
        later, signatures = collect(urls, request(played, soon + 1), THRESHOLD, signer_set)
        assert {name for name in message if message[name] != later[name]} == {"expiry"}
        assert opened.chain.refusal(opened.oracle.functions.checkMatrices(later, signatures), HOLDER) is None
        # Of another answer to the same run nobody says anything while the first one counts.
        other = request(played, soon, bundle=played.answered_otherwise)
        with pytest.raises(TooFewSignatures, match="0 of 5 signers") as few:
            collect(urls, other, THRESHOLD, signer_set)
        assert all("status 409: another " in said for said in few.value.answers.values())


def test_a_run_that_is_not_open_is_refused_before_anything_is_verified(
    played: Played, vault: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = make()

    def unwanted(*_: Any) -> Any:
        raise AssertionError("it was verified")

    monkeypatch.setattr(signers, "verified_run", unwanted)
    soon = vault.chain.now() + 3600
    with pytest.raises(RunNotOpen, match="open it by that name"):
        signer.sign_matrices(asked(played, soon))
    vault.open(run=played.run, tick=2)
    with pytest.raises(AssertionError, match="it was verified"):
        signer.sign_matrices(asked(played, soon))
    vault.chain.travel(601)
    with pytest.raises(RunNotOpen, match="ask in time"):
        signer.sign_matrices(asked(played, soon))
    assert [row.said for row in signer.journal.newest()] == ["RunNotOpen", "RunNotOpen"]
    assert signer.journal.counts() == {"signed": 0, "refused": 2}


def otherwise(played: Played, expiry: int) -> SettlementRequest:
    """About another answer to the same run: as genuine, with a larger top-up."""
    return asked(played, expiry, bundle=played.answered_otherwise)


def test_another_answer_is_attested_only_once_the_first_is_over(played: Played, opened: World, make: Make) -> None:
    # By itself it is as good as the other one.
    other = make(SIGNERS[1]).sign_matrices(otherwise(played, opened.chain.now() + 60)).message
    signer, soon = make(), opened.chain.now() + 60
    first = signer.sign_matrices(asked(played, soon))
    assert {name for name in other if other[name] != first.message[name]} >= {"topUpContext", "breachContext"}
    assert signer.sign_matrices(asked(played, soon)) == first
    longer = signer.sign_matrices(asked(played, soon + 100))
    shorter = signer.sign_matrices(asked(played, soon - 1))
    assert {one.message["expiry"] for one in (longer, shorter)} == {str(soon + 100), str(soon - 1)}
    until = soon + 100 + journals.REARRANGED_SECONDS
    with pytest.raises(SignedOtherwise, match=f"counts until {until} by") as refused:
        signer.sign_matrices(otherwise(played, soon))
    assert refused.value.field == "breachContext"
    # All that was signed is over by its own time, and the chain's may go back a little.
    opened.chain.travel(200)
    with pytest.raises(SignedOtherwise):
        signer.sign_matrices(otherwise(played, opened.chain.now() + 60))


def test_a_restart_forgets_nothing(played: Played, opened: World, make: Make) -> None:
    signer = make()
    soon = opened.chain.now() + 500
    first = signer.sign_matrices(asked(played, soon))
    signer.close()
    again = make()
    with pytest.raises(SignedOtherwise):
        again.sign_matrices(otherwise(played, soon))
    assert again.sign_matrices(asked(played, soon)) == first


def test_a_chain_that_was_rearranged_may_have_it_otherwise(played: Played, vault: World, make: Make) -> None:
    signer = make()
    before = vault.chain.machine.take_snapshot()
    vault.open(run=played.run, tick=2)
    soon = vault.chain.now() + 600
    first = signer.sign_matrices(asked(played, soon))
    vault.chain.machine.revert_to_snapshot(before)
    with pytest.raises(RunNotOpen):
        signer.sign_matrices(asked(played, soon))
    # In the other history more was brought before the run was opened.
    vault.deposit(5, HOLDER)
    vault.open(run=played.run, tick=2)
    second = signer.sign_matrices(asked(played, soon))
    assert int(second.message["free"]) == int(first.message["free"]) + 5
    assert {name for name in first.message if first.message[name] != second.message[name]} == {"free"}
    with pytest.raises(SignedOtherwise):
        signer.sign_matrices(otherwise(played, soon))


def test_it_is_stored_before_it_is_signed(
    played: Played, opened: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = make()
    soon = opened.chain.now() + 600

    def crash(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(signers, "sign_message", crash)
    with pytest.raises(KeyboardInterrupt):
        signer.sign_matrices(asked(played, soon))
    monkeypatch.undo()
    with pytest.raises(SignedOtherwise):
        signer.sign_matrices(otherwise(played, soon))
    # A disk that fails signs nothing.
    signer.journal._database.execute("PRAGMA query_only=ON")
    with pytest.raises(Exception, match="readonly"):
        signer.sign_matrices(asked(played, soon + 1))


def test_a_balance_that_the_ledger_does_not_mirror_is_refused(played: Played, vault: World, make: Make) -> None:
    vault.send(vault.vault.functions.post(1), HOLDER)
    vault.open(run=played.run, tick=2)
    with pytest.raises(SigningRefused, match=f"the vault has {POSTED + 1}"):
        make().sign_matrices(asked(played, vault.chain.now() + 600))


def test_a_signer_of_no_set_signs_nothing(played: Played, opened: World, make: Make) -> None:
    with pytest.raises(SigningRefused, match="set 1, which is in force, does not have this signer"):
        make(key("nobody")).sign_matrices(asked(played, opened.chain.now() + 600))


def test_what_it_begins_with_has_to_fit(played: Played, deployed: World, make: Make) -> None:
    addresses = addresses_of(deployed)
    for changed, said in (
        ({"chain": 5}, "the node is of chain"),
        ({"token": addresses.vault}, "token: the vault"),
        ({"oracle": addresses.vault}, "oracle: the vault"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            make(addresses=type(addresses)(**{**vars(addresses), **changed}))
    with pytest.raises(ConfigurationError, match="give them by --decimals"):
        make(decimals=None)
    without = {name: value for name, value in played.trust.items() if name != "log"}
    with pytest.raises(ConfigurationError, match="names the operator's log"):
        make(trust=TrustFile.parse(without))
    make()
    with pytest.raises(ConfigurationError, match="used by another signer"):
        make()


def test_what_is_asked_has_one_form(played: Played, opened: World, make: Make) -> None:
    signer = make()
    soon = opened.chain.now() + 600
    with TestClient(create_app(signer), raise_server_exceptions=False) as client:
        good = request(played, soon)
        for wrong, status in (
            ({**good, "expiry": soon}, 400),
            ({**good, "expiry": "-1"}, 422),
            ({**good, "expiry": str(soon + 10**6)}, 422),
            ({**good, "format": "atomic-margin/settlement-request/2"}, 422),
            ({**good, "rate": "1"}, 422),
            ({"bundle": good["bundle"]}, 422),
            ([good], 422),
            ({**good, "bundle": {}}, 422),
            ({**good, "bundle": played.settled}, 422),
            ({**good, "bundle": played.covered}, 409),
        ):
            response = client.post("/sign-matrices", json=wrong)
            assert response.status_code == status, (response.text, status)
            assert response.headers["content-type"] == "application/problem+json"
        assert client.post("/sign-matrices", content=b"{").status_code == 400
        assert client.post("/sign-matrices", content=b" " * ((16 << 20) + 1)).status_code == 413
        assert client.post("/sign-matrices", json=good).status_code == 200
        assert client.get("/status").json()["signed"] == "1"


def test_one_address_asks_so_often(make: Make) -> None:
    limits = Limits.parse({**LIMITS.canonical(), "writes_burst": "3", "writes_per_second": "1"})
    with TestClient(create_app(make(), limits), raise_server_exceptions=False) as client:
        statuses = [client.post("/sign-matrices", json={}).status_code for _ in range(5)]
        assert statuses[:3] == [422] * 3
        assert 429 in statuses
        assert client.get("/healthz").status_code == 200


def test_the_journal_keeps_what_counts_and_so_much_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "KEPT", 3)
    journal = journals.Journal(tmp_path / "journal.db")
    for number in range(20):
        journal.remember("x", {"run": str(number)}, {"run": str(number), "expiry": "100"}, 50, number)
    rows = "SELECT count(*) FROM messages"
    assert journal._database.execute(rows).fetchone() == (20,)
    later = 101 + journals.REARRANGED_SECONDS
    journal.remember("x", {"run": "20"}, {"run": "20", "expiry": str(later)}, later, 20)
    assert journal._database.execute(rows).fetchone() == (3,)
    for number in range(10):
        journal.refuse("x", str(number), ValueError("r" * 10_000), number)
    assert journal._database.execute("SELECT count(*), max(length(reason)) FROM refusals").fetchone() == (3, 500)
    assert journal.counts() == {"signed": 21, "refused": 10}
    for number in range(40):
        text = {"run": "20", "expiry": str(later + 100 - number)}
        journal.remember("x", {"run": "20"}, text, later, number)
    (kept,) = journal._database.execute("SELECT count(*) FROM messages WHERE until >= ?", (later,)).fetchone()
    assert kept == journals.KEPT_OF_ONE
    # It counts as long as the one that counts longest, which is not there any more.
    with pytest.raises(SignedOtherwise, match=f"another run.* until {later + 100 + journals.REARRANGED_SECONDS}"):
        journal.remember("x", {"run": "20"}, {"run": "x", "expiry": str(later)}, later + 90, 20)
    monkeypatch.setattr(journals, "MAX_IN_FORCE", journals.KEPT_OF_ONE)
    with pytest.raises(SigningRefused, match="16 messages count still"):
        journal.remember("x", {"run": "21"}, {"run": "21", "expiry": str(later)}, later, 21)
    journal.close()


def test_the_description_is_whole(make: Make) -> None:
    with TestClient(create_app(make())) as client:
        api = client.get("/openapi.json").json()
        assert set(api["paths"]) == {"/sign-matrices", "/sign-portfolio", "/healthz", "/status"}
        assert "SignedAttestation" in json.dumps(api)
        assert client.get("/docs").status_code == 200
