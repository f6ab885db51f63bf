"""What the documents say about the code: snippets that run, fields, states, steps, commands, endpoints."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from atomic_margin.circuits.profile import STANDARD
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.service.cli import main as command_line
from atomic_margin.service.cli.terms import read_terms
from atomic_margin.service.cli.verify import ALL_STEPS
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.operator.faults import FAULT_POINTS
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import (
    ACCOUNTS,
    RUNS,
    SHORTFALLS,
    AccountState,
    RunState,
    ShortfallState,
    Transitions,
)

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

RULES = PriceRules.parse(
    {
        "format": "atomic-margin/price-rules/1",
        "sources": ["9f" * 32],
        "required": "1",
        "max_skew_seconds": "60",
        "outlier": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
        "move": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
    }
)


def _section(text: str, heading: str) -> str:
    return re.split(r"^#{2,3} ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_snippets_run_and_print_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "researcher.md").read_text()
    snippets = re.findall(
        r"<!-- tested -->\n```python\n(.*?)```\n\n<!-- prints -->\n```text\n(.*?)```", text, re.DOTALL
    )
    assert len(snippets) == text.count("```python")
    namespace: dict[str, Any] = {}
    for source, expected in snippets:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "docs/researcher.md", "exec"), namespace)  # noqa: S102 - our own documentation
        assert printed.getvalue() == expected


def test_the_tables_of_fields_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_field_that_the_page_does_not_have_or_explain_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import tables

    changed = PROTOCOL.replace("| `key_sequence` | integer |", "| `key_number` | integer |")
    assert changed != PROTOCOL
    with pytest.raises(tables.Missing, match=r"say what Enrolment\.key_sequence means"):
        tables.written(changed)
    # One that a docstring explains is written with that; types and order are the code's.
    lines = PROTOCOL.splitlines()
    (row,) = [line for line in lines if line.startswith("| `max_skew_seconds` |")]
    without = tables.written("\n".join(line for line in lines if line != row))
    assert "| `max_skew_seconds` | integer, 0 to 86400 | a source's time may be so far" in without
    assert tables.written(PROTOCOL.replace("| `nonce` | 32 bytes in hex |", "| `nonce` | text |")) == PROTOCOL


def test_the_protocol_lists_document_types() -> None:
    row = re.search(r"^\| `type` \| one of (.*) \|$", PROTOCOL, re.MULTILINE)
    assert row is not None
    kinds = SignedDocument.model_fields["type"].annotation
    assert set(re.findall(r"`([^`]+)`", row[1])) == set(kinds.__args__)


def test_the_protocol_lists_states() -> None:
    states = _first_cells(_section(PROTOCOL, "States"))
    assert states == [state.value for state in (*AccountState, *RunState, *ShortfallState)]


@pytest.mark.parametrize(("kind", "transitions"), [("accounts", ACCOUNTS), ("runs", RUNS), ("shortfalls", SHORTFALLS)])
def test_the_protocol_shows_the_table_of_transitions(kind: str, transitions: Transitions[Any, Any]) -> None:
    lines = ["| event | in state | makes it |", "|---|---|---|"]
    lines += [f"| {event} | `{before}` | `{after}` |" for event, before, after in transitions.rows()]
    assert _section(PROTOCOL, f"Transitions of {kind}").strip() == "\n".join(lines)


def test_the_documents_list_the_verification_steps() -> None:
    steps = re.findall(r"^\d+\. `([^`]+)`:", _section(PROTOCOL, "Verification of a bundle"), re.MULTILINE)
    assert steps == list(ALL_STEPS)
    verifier = (ROOT / "docs" / "verifier.md").read_text()
    assert _first_cells(_section(verifier, "What each step means")) == list(ALL_STEPS)
    assert re.findall(r"^✓ \(\d+\) (.*)$", verifier, re.MULTILINE) == list(ALL_STEPS)


def test_the_documents_list_the_fault_points() -> None:
    operator = (ROOT / "docs" / "operator.md").read_text()
    assert set(_first_cells(_section(operator, "Crash and recovery"))) == set(FAULT_POINTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(document: Path) -> None:
    root: Any = typer.main.get_command(command_line.__globals__["app"])
    # Continued lines are one command; what follows a redirection is not.
    text = document.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for call in re.findall(r"(?:^|[ /])atomic-margin ([^>\n]+)", "\n".join([*blocks, *inline]), re.MULTILINE):
        words = call.split()
        command = root
        while words and hasattr(command, "list_commands"):
            name = words.pop(0)
            found = command.get_command(None, name)
            assert found is not None, f"atomic-margin {call}: there is no {name}"
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}, call


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    folders = "documents|margin|circuits|fhe|zk|service|bench|tests|scripts"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", document.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Method and path of everything each of the two HTTP faces serves, by port."""
    examples = ROOT / "examples"
    names = ("model-scan.json", "universe.json", "collateral-schedule.json")
    terms = read_terms(*(examples / name for name in names), STANDARD.name)
    settings = Settings(tmp_path_factory.mktemp("operator"), RULES)
    operator = Operator(settings, terms, Evaluator(STANDARD))

    def unused(_: Any) -> Any:
        raise AssertionError("no agent is opened here")

    apps = {"8400": create_app(operator, background=False), "8401": create_agent(AgentProcess(unused), "token")}
    served = {
        port: {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
        for port, app in apps.items()
    }
    operator.close()
    return served


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_endpoints_exist(document: Path, endpoints: dict[str, set[tuple[str, str]]]) -> None:
    text = document.read_text()
    calls = [
        (method or "GET", path, endpoints[port])
        for method, port, path in re.findall(r"curl (?:-X (\w+) )?http://127\.0\.0\.1:(\d+)(/\S+)", text)
    ]
    everywhere = set().union(*endpoints.values())
    calls += [(method, path, everywhere) for method, path in re.findall(r"`(GET|POST) (/[^`]+)`", text)]
    for method, path, served in calls:
        patterns = [re.sub(r"\{\w+\}", "[^/]+", known) for known_method, known in served if known_method == method]
        assert any(re.fullmatch(pattern, path) for pattern in patterns), f"{method} {path} is not served"
