"""`atomic-margin operator` against a running operator: what is printed, and the exit statuses."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.operator.accounts import disputes, giving_up
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.signing import Identity

from .test_disputes import disputed, resolution
from .test_giving_up import asking
from .world import FUND, World


class Office:
    """The operator's staff: calls with the folder and the address of a running operator."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory, self.url = directory, url

    def call(self, *arguments: str, **changes: str) -> Result:
        options = {"dir": str(self.directory), "operator": self.url, **changes}
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        result = CliRunner().invoke(app, ["operator", *arguments, *given])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def printed(self, *arguments: str) -> Any:
        result = self.call(*arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    return world_at("enrolled")


Running = Callable[[World], Office]


@pytest.fixture
def running() -> Iterator[Running]:
    """Serve a world; return the office of its staff."""
    with ExitStack() as served:
        yield lambda world: served.enter_context(serving(world))


@pytest.fixture
def office(world: World, running: Running) -> Office:
    return running(world)


@contextmanager
def serving(world: World) -> Iterator[Office]:
    port = free_port()
    application = create_app(world.operator, background=False)
    # The world closes its operator itself.
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    yield Office(world.operator.settings.directory, f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(20)


def test_an_institution_is_admitted_once(office: Office, world: World) -> None:
    key = Identity.generate().public_key
    options = ("--name", "New Fund LP", "--identity", key)
    assert office.printed("admit", "new-fund", *options) == {"state": "admitted"}
    assert world.state("new-fund") == "admitted"
    listed = {one["institution"]: one for one in office.printed("accounts", "--json")["accounts"]}
    assert (listed["new-fund"]["state"], listed["new-fund"]["name"]) == ("admitted", "New Fund LP")
    again = office.call("admit", "new-fund", "--name", "Other", "--identity", Identity.generate().public_key)
    assert again.exit_code == 1
    problem = json.loads(again.stdout)
    assert (problem["status"], problem["type"].rpartition(":")[2]) == (409, "conflict")


def test_a_deposit_is_booked_once_as_free(office: Office, world: World) -> None:
    before = office.printed("account", FUND)["collateral"]["free"].get("USDC", "0")
    deposit = ("deposit", FUND, "USDC", "1000000", "--reference", "custodian-0042")
    assert office.printed(*deposit) == {"result": "booked"}
    account = office.printed("account", FUND)
    assert int(account["collateral"]["free"]["USDC"]) - int(before) == 1_000_000
    assert account["institution"] == FUND
    ledger = office.printed("ledger", "--json")
    assert set(ledger["totals"].values()) == {"0"}
    twice = office.call("deposit", FUND, "USDC", "2000000", "--reference", "custodian-0042")
    assert twice.exit_code == 1
    assert json.loads(twice.stdout)["status"] == 409
    assert office.printed("account", FUND) == account


def test_a_book_is_given_up_once_it_was_looked_at(world_at: Callable[[str], World], running: Running) -> None:
    world = world_at("calm-open")
    office = running(world)
    nothing = office.call("give-up", FUND)
    assert (nothing.exit_code, json.loads(nothing.stdout)["status"]) == (1, 404)
    document = asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    question = office.printed("give-up", FUND)
    assert (question["document"], question["problem"]) == (document.to_json(), None)
    assert world.state() == "active"
    other = office.call("give-up", FUND, yes="4d" * 32)
    assert (other.exit_code, json.loads(other.stdout)["status"]) == (1, 409)
    agreed = office.call("give-up", FUND, yes=question["giving_up"])
    assert (agreed.exit_code, json.loads(agreed.stdout)["body"]["kind"]) == (0, "book given up")
    assert world.account().public.book is None


def test_everything_is_halted_shown_and_resumed(office: Office) -> None:
    early = office.call("resume", "--reason", "nothing was halted")
    assert (early.exit_code, json.loads(early.stdout)["field"]) == (1, "halt")
    calm = office.call("breakers")
    assert (calm.exit_code, "good" in calm.stdout, "none waits" in calm.stdout) == (0, True, True)
    halted = office.printed("halt", "--reason", "an incident", "--scope", "leaving", "--ticks", "3")
    assert (halted["type"], halted["body"]["scope"], halted["body"]["until"]) == ("halt", ["leaving"], "3")
    shown = office.call("breakers").stdout
    assert "halt 1" in shown
    assert "leaving until after tick 3" in shown
    assert office.printed("breakers", "--json")["halt"] == halted
    # Another one replaces it.
    again = office.printed("halt", "--reason", "worse [/see INC-7]")
    assert "[/see" in office.call("breakers").stdout
    assert (again["body"]["number"], len(again["body"]["scope"])) == ("2", 3)
    wrong = office.call("halt", "--reason", "worse", "--scope", "answers")
    assert wrong.exit_code == 1
    assert office.call("halt", "--reason", "x" * 65).exit_code == 1
    assert office.call("halt", "--reason", "worse", "--ticks", "2881").exit_code == 2
    assert office.printed("resume", "--reason", "over")["body"]["halt"]
    assert office.printed("breakers", "--json")["halt"] is None


def test_a_dispute_is_shown_proposed_an_end_and_agreed_to(world_at: Callable[[str], World], running: Running) -> None:
    world = world_at("calm-done")
    office = running(world)
    assert office.printed("disputes") == {"disputes": []}
    document = disputed(world)
    (shown,) = office.printed("disputes")["disputes"]
    assert (shown["dispute"], shown["document"]) == (document.body_hash(), document.to_json())
    words = ("--outcome", "rejected", "--words", "the price was right")
    for wrong in ((), ("--yes", "4d" * 32, *words), ("--yes", "4d" * 32, "--lapse", "4d" * 32)):
        assert office.call("resolve", FUND, *wrong).exit_code == 2
    proposed = office.printed("resolve", FUND, "--propose", shown["dispute"], *words)
    assert proposed["open"]["proposed"] == {"amount": None, "outcome": "rejected", "words": "the price was right"}
    early = office.call("resolve", FUND, "--lapse", shown["dispute"])
    assert (early.exit_code, json.loads(early.stdout)["status"]) == (1, 409)
    offer = resolution(world)
    disputes.offer(world.operator, FUND, offer.to_json())
    other = office.call("resolve", FUND, "--yes", "4d" * 32)
    assert (other.exit_code, json.loads(other.stdout)["status"]) == (1, 409)
    entry = office.printed("resolve", FUND, "--yes", offer.body_hash())
    assert entry["body"]["kind"] == "dispute resolved"
    history = office.printed("disputes", "--institution", FUND)
    assert (history["open"], [one["kind"] for one in history["history"]]) == (None, ["disputed", "dispute resolved"])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("deposit", FUND, "USDC", "1.5", "--reference", "r"), "quantity"),
        (("deposit", FUND, "USDC", "0", "--reference", "r"), "quantity"),
        (("deposit", FUND, "USDC", "1", "--reference", "a b"), "reference"),
        (("admit", "a/b", "--name", "x", "--identity", "1a" * 32), "institution"),
        (("admit", "new", "--name", "x", "--identity", "AB" * 32), "identity"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_in_a_problem_document(office: Office, arguments: Any, field: str) -> None:
    refused = office.call(*arguments)
    assert refused.exit_code == 1
    problem = json.loads(refused.stdout)
    assert problem["status"] == 422
    assert field in json.dumps(problem)


@pytest.mark.parametrize("name", ["nobody", "../ledger", "a?b=c", "é"])
def test_an_account_that_is_not_there_is_not_found(office: Office, name: str) -> None:
    missing = office.call("account", name)
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["status"] == 404


def test_another_s_token_opens_nothing(office: Office, tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("0" * 64)
    refused = office.call("accounts", dir=str(tmp_path))
    assert (refused.exit_code, json.loads(refused.stdout)["status"]) == (1, 401)


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff" * 64])
def test_a_folder_without_a_token_is_said_and_gets_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "admin.token").write_bytes(content)
    result = Office(tmp_path, "http://127.0.0.1:9").call("accounts")
    assert result.exit_code == 2
    assert str(tmp_path / "admin.token") in result.stderr
    assert (tmp_path / "admin.token").exists() == (content is not None)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:8400", "http://[", "nonsense"])
def test_an_operator_that_is_not_there_is_said_in_a_sentence(tmp_path: Path, address: str) -> None:
    (tmp_path / "admin.token").write_text("0" * 64)
    result = Office(tmp_path, address).call("accounts")
    assert result.exit_code == 2
    assert "the operator does not answer at" in result.stderr
    assert "atomic-margin serve" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["admit", "deposit", "accounts", "account", "ledger", "give-up"])
def test_every_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["operator", command, "--help"])
    assert result.exit_code == 0
    assert f"atomic-margin operator {command} " in result.output
