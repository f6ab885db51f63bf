"""The commands of an institution about its collateral: what they ask the agent, and what they print."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli import agent_calls as command
from atomic_margin.service.cli.main import app
from atomic_margin.service.http.tokens import load_token

EXCESS = {"price_sequence": "7", "usd": "5000", "back": {"USDC": "50"}, "short_usd": "0", "deliver": {}}
RELEASED = {"document": "ab", "taken": {"USDC": "50"}, "given": {}, "remaining": {"USDC": "9"}, "proven": True}


class Agent:
    """Answers what it is told to, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {
            "/v1/excess": EXCESS,
            "/v1/releases": RELEASED,
            "/v1/collateral": {"state": "booked"},
        }

    def __call__(self, _: str, method: str, url: str, *, body: Any = None, **__: Any) -> Any:
        path = url.removeprefix("http://127.0.0.1:8401")
        self.asked.append((method, path, body))
        return self.answers[path.partition("?")[0]]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    found = Agent()
    monkeypatch.setattr(command, "call", found)
    return found


def run(folder: Path, *arguments: str) -> Any:
    load_token(folder / "agent.token")
    return CliRunner().invoke(app, ["institution", *arguments, "--dir", str(folder)])


def test_what_is_released_is_named_or_all_that_may_be(agent: Agent, tmp_path: Path) -> None:
    done = run(tmp_path, "release", "USDC=50", "BTC=007")
    assert (done.exit_code, agent.asked) == (0, [("POST", "/v1/releases", {"taken": {"USDC": "50", "BTC": "7"}})])
    assert done.stdout.splitlines() == ["free now: USDC=50", "remains posted: USDC=9", "with a proof of initial margin"]
    agent.asked.clear()
    done = run(tmp_path, "release", "--all", "--step", "25", "--json")
    assert json.loads(done.stdout) == RELEASED
    assert agent.asked == [
        ("GET", "/v1/excess?step=25", None),
        ("POST", "/v1/releases", {"taken": {"USDC": "50"}}),
    ]


def test_a_substitution_names_both_sides(agent: Agent, tmp_path: Path) -> None:
    agent.answers["/v1/releases"] = RELEASED | {"given": {"BTC": "2"}, "proven": False}
    done = run(tmp_path, "substitute", "--take", "USDC=50", "--give", "BTC=2")
    assert agent.asked == [("POST", "/v1/releases", {"taken": {"USDC": "50"}, "given": {"BTC": "2"}})]
    assert "posted for it: BTC=2" in done.stdout
    assert "without a proof: none was needed" in done.stdout


@pytest.mark.parametrize(("action", "said"), [("post", "posted"), ("withdraw", "withdrawn")])
def test_free_collateral_is_posted_and_withdrawn(agent: Agent, tmp_path: Path, action: str, said: str) -> None:
    done = run(tmp_path, action, "USDC", "12")
    assert agent.asked == [("POST", "/v1/collateral", {"action": action, "asset": "USDC", "quantity": "12"})]
    assert done.stdout == f"{said}: USDC=12\n"


def test_the_excess_is_shown_both_ways(agent: Agent, tmp_path: Path) -> None:
    assert run(tmp_path, "excess").stdout == "5000 USD may come back at tick 7\nrelease: USDC=50\n"
    agent.answers["/v1/excess"] = EXCESS | {"usd": "0", "back": {}, "short_usd": "3", "deliver": {"BTC": "1"}}
    assert run(tmp_path, "excess").stdout == "3 USD of initial margin are missing at tick 7\npost: BTC=1\n"
    agent.answers["/v1/excess"] = EXCESS | {"usd": "0", "back": {}}
    done = run(tmp_path, "release", "--all")
    assert (done.exit_code, "nothing may be released now" in done.output) == (2, True)


def test_a_folder_that_is_no_agents_is_named_and_stays_as_it_is(agent: Agent, tmp_path: Path) -> None:
    for command_ in (("status",), ("release", "USDC=1")):
        done = CliRunner().invoke(app, ["institution", *command_, "--dir", str(tmp_path)])
        assert (done.exit_code, agent.asked) == (2, [])
        assert "is not there; --dir is the folder of `atomic-margin institution serve --dir`" in done.output
    done = CliRunner().invoke(app, ["institution", "entries", "--dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "no directory of an agent" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("release",),
        ("release", "--all", "USDC=1"),
        ("release", "USDC"),
        ("release", "USDC=0"),
        ("release", "USDC=-1"),
        ("release", "USDC=1", "USDC=2"),
        ("substitute", "--take", "USDC=x", "--give", "BTC=1"),
        ("substitute", "--take", "USDC=1"),
        ("post", "USDC", "0"),
    ],
)
def test_what_says_nothing_is_asked_of_nobody(agent: Agent, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.exit_code == 2
    assert agent.asked == []
    assert "Traceback" not in done.output
