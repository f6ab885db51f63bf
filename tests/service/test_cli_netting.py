"""Netting by its commands: those of the operator, of an institution, and `verify-netting`; and under a halt."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from atomic_margin.service.cli import agent_calls
from atomic_margin.service.cli.main import app
from atomic_margin.service.cli.output import EXIT_REFUSED, print_json
from atomic_margin.service.files import write_json
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.account.errors import Halted

from .client import TestClient
from .documents import FUND
from .netting import Netted as Accounts
from .netting import day
from .test_agent_log import Watched
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched
from .test_cli_operator import Office, serving


def net() -> tuple[str, ...]:
    return ("net", "--date", day())


@pytest.fixture
def office(watched: Watched) -> Iterator[Office]:
    with serving(watched.resident.world) as office:
        yield office


class Desk:
    """The institution's staff: its commands against the agent's own application."""

    def __init__(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        process = AgentProcess(lambda stage: watched.agent)
        process._opened = process._agent = watched.agent
        self.client = TestClient(create_agent(process, "token"), headers={"Authorization": "Bearer token"})
        self.folder = watched.resident.folder
        load_token(self.folder / agent_calls.TOKEN_FILE)
        monkeypatch.setattr(agent_calls, "call", self._call)

    def _call(self, _: str, method: str, url: str, *, body: Any = None, **__: Any) -> Any:
        response = self.client.request(method, url.removeprefix("http://127.0.0.1:8401"), json=body)
        if response.is_error:
            print_json(response.json())
            raise typer.Exit(EXIT_REFUSED)
        return response.json()

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(app, ["institution", *arguments, "--dir", str(self.folder)])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result


@pytest.fixture
def desk(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(watched, monkeypatch)


def promised(party: str = "lei-one", quantity: int = 300) -> tuple[str, ...]:
    said = ("--asset", "USDC", "--quantity", str(quantity), "--settles", day(), "--party", party)
    return ("promise", "delivery", *said)


def test_a_cycle_by_the_commands_of_both_sides(office: Office, desk: Desk, watched: Watched, tmp_path: Path) -> None:
    early = desk.run(*promised())
    assert (early.exit_code, "no legal party" in early.output) == (1, True), early.output
    entry = office.printed("name-party", FUND, "--party", "lei-one")
    assert entry["body"]["kind"] == "party named"
    other = desk.run(*promised("lei-two"))
    assert (other.exit_code, "you agree to lei-two" in other.output) == (1, True)
    assert desk.run(*promised()).exit_code == 0
    assert office.call("name-party", FUND, "--party", "lei-two").exit_code == 1
    shown = office.call(*net(), "--dry-run", "--arrived", "lei-one/USDC").stdout.splitlines()
    assert shown[0] == f"cycle 1 of {day()}, in smallest units"
    assert shown[2].split() == ["lei-one", "USDC", day(), "1", "300", "0", "0", "300", "0"]
    wrong = office.call(*net(), "--arrived", "lei-two/USDC")
    assert (wrong.exit_code, json.loads(wrong.stdout)["field"]) == (1, "arrived")
    missing = desk.run("netting", "1")
    assert (missing.exit_code, "in no cycle 1" in missing.output) == (1, True)
    assert office.call(*net(), "--arrived", "lei-one/USDC").stdout.splitlines() == shown
    # The same day again is the same cycle; one that has not come is refused.
    assert office.call(*net()).stdout.splitlines() == shown
    assert office.call("net", "--date", "2999-01-01").exit_code == 1
    later = desk.run(*promised())
    assert (later.exit_code, "is over" in later.output) == (1, True)
    unseen = desk.run("netting", "1")
    assert (unseen.exit_code, "Traceback" in unseen.output) == (1, False)
    watched.publish()
    file, trust = tmp_path / "cycle.json", tmp_path / "trust.json"
    saved = desk.run("netting", "1", "--save", str(file))
    assert (saved.exit_code, saved.stdout) == (0, "")
    assert json.loads(desk.run("netting", "1").stdout) == json.loads(file.read_text())
    write_json(trust, watched.agent.settings.trust.canonical())
    held = CliRunner().invoke(app, ["verify-netting", str(file), "--trust", str(trust), "--json"])
    assert held.exit_code == 0, held.output
    (cycle,) = json.loads(held.stdout)["cycles"]
    assert (cycle["cycle"], cycle["groups"][0]["arrives"], cycle["groups"][0]["whole"]) == ("1", "300", True)


def test_the_operators_calls_need_its_token(watched: Watched) -> None:
    client = TestClient(create_app(watched.resident.world.operator, background=False))
    for path, body in (
        ("/v1/netting", {"settles": day()}), ("/v1/parties", {"institution": FUND, "party": "lei-one"}),
    ):  # fmt: skip
        assert client.post(path, json=body).status_code == 401


PARTIES = {"east": "lei-one", "west": "lei-one"}


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    made = Accounts(tmp_path / "accounts", PARTIES)
    made.world.void()
    yield made
    made.world.close()


def test_a_halt_of_leaving_holds_a_cycle_whole(accounts: Accounts) -> None:
    accounts.promise("east", "delivery", 300)
    accounts.promise("west", "return", 200)
    halts.halt(accounts.world.operator, "an incident", ("leaving",))
    with pytest.raises(Halted):
        accounts.promise("west", "return", 1)
    heads = {name: accounts.world.head(name) for name in PARTIES}
    assert accounts.net(dry_run=True)[0]["returns"] == "200"
    with pytest.raises(Halted):
        accounts.net(accounts.key("lei-one"))
    assert {name: accounts.world.head(name) for name in PARTIES} == heads
    assert (accounts.outside(), accounts.cycles()) == (2000, [])
    accounts.replayed()
    halts.resume(accounts.world.operator, "over")
    accounts.net(accounts.key("lei-one"))
    assert (accounts.outside(), accounts.cycles()) == (2100, ["1"])
