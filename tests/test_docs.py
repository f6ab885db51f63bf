"""What the documents say about the code: snippets that run, fields, states, steps, commands, endpoints."""

import ast
import contextlib
import io
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import DEFAULT, STANDARD
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.service.cli import main as command_line
from atomic_margin.service.cli.terms import read_terms
from atomic_margin.service.cli.verify import ALL_STEPS
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.institution.uploading import PART_BYTES
from atomic_margin.service.operator.faults import FAULT_POINTS
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.operator.web.body_limits import MAX_DOCUMENT_BYTES
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import IllegalEvent
from atomic_margin.service.protocol.account.events import read_event
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import (
    RUNS,
    SHORTFALLS,
    AccountState,
    RunState,
    ShortfallState,
    Transitions,
)
from atomic_margin.service.signer.web import create_app as create_signer
from atomic_margin.service.verifier.archive import ARCHIVE_STEPS
from atomic_margin.service.witness.web import create_app as create_witness
from atomic_margin.service.witness.witness import Witness

from .service.account.documents import Parties
from .service.account.story import covered

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

RULES = PriceRules.parse(
    {
        "format": "atomic-margin/price-rules/1",
        "sources": ["9a" * 32],
        "required": "1",
        "max_skew_seconds": "60",
        "max_age_seconds": "unbounded",
        "outlier": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
        "move": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
    }
)


def _section(text: str, heading: str) -> str:
    return re.split(r"^#{2,3} ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("page", ["analyst.md", "researcher.md", "default.md", "collateral.md"])
def test_snippets_run_and_print_what_is_shown(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / page).read_text()
    snippets = re.findall(
        r"<!-- tested -->\n```python\n(.*?)```\n\n<!-- prints -->\n```text\n(.*?)```", text, re.DOTALL
    )
    assert len(snippets) == text.count("```python")
    namespace: dict[str, Any] = {}
    for source, expected in snippets:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, f"docs/{page}", "exec"), namespace)  # noqa: S102 - our own documentation
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


@pytest.mark.parametrize(("kind", "transitions"), [("runs", RUNS), ("shortfalls", SHORTFALLS)])
def test_the_protocol_shows_the_table_of_transitions(kind: str, transitions: Transitions[Any, Any]) -> None:
    lines = ["| event | in state | makes it |", "|---|---|---|"]
    lines += [f"| {event} | `{before}` | `{after}` |" for event, before, after in transitions.rows()]
    assert _section(PROTOCOL, f"Transitions of {kind}").strip() == "\n".join(lines)


def _asked(parties: Parties) -> None:
    for document in (parties.run_opened, parties.record):
        parties.enter(document())


def _proven(parties: Parties) -> None:
    parties.enter(parties.answer("covered"))


def _may_withdraw(parties: Parties) -> bool:
    document = parties.instruction(parties.state.public.instructions + 1, "withdraw", 1)
    try:
        machine.apply(parties.state, read_event(document), parties.at)
    except IllegalEvent:
        return False
    return True


def test_the_machine_lets_books_wait_as_the_protocol_tells() -> None:
    parties = covered()

    def second() -> None:
        _asked(parties)
        parties.enter(parties.submission(2, "b"))

    def run() -> None:
        parties.tick()
        _asked(parties)

    def proven_at_its_tick() -> None:
        run()
        _proven(parties)

    def third() -> None:
        run()
        parties.tick()
        parties.enter(parties.submission(3, "c"))

    def once_more() -> None:
        _asked(parties)
        _proven(parties)

    def after_prices(sequence: int, name: str) -> None:
        parties.receipted = True
        parties.enter(parties.submission(sequence, name))

    def fourth() -> None:
        proven_at_its_tick()
        after_prices(4, "d")

    def fifth() -> None:
        after_prices(5, "e")
        parties.tick(void=True)

    answer = partial(_proven, parties)
    story = (lambda: None, parties.tick, second, answer, proven_at_its_tick, third, answer, once_more)
    steps = (*story, fourth, proven_at_its_tick, fifth, run)
    rows = re.findall(
        r"^\| [^|]+ \| (\d) \| (\d|-) \| (possible|refused)\b",
        _section(PROTOCOL, "A waiting book, tick by tick"),
        re.MULTILINE,
    )
    for step, (in_force, waiting, withdrawal) in zip(steps, rows, strict=True):
        step()
        public = parties.state.public
        assert public.book is not None
        assert (str(public.book.sequence), "-" if public.waiting is None else str(public.waiting.sequence)) == (
            in_force,
            waiting,
        )
        assert _may_withdraw(parties) == (withdrawal == "possible")


def test_the_documents_list_the_verification_steps() -> None:
    steps = re.findall(r"^\d+\. `([^`]+)`:", _section(PROTOCOL, "Verification of a bundle"), re.MULTILINE)
    assert steps == list(ALL_STEPS)
    verifier = (ROOT / "docs" / "verifier.md").read_text()
    assert _first_cells(_section(verifier, "What each step means")) == list(ALL_STEPS)
    assert re.findall(r"^✓ \(\d+\) (.*)$", verifier, re.MULTILINE) == [*ALL_STEPS, *ARCHIVE_STEPS]


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
        while words and hasattr(command, "list_commands") and not words[0].startswith("--"):
            name = words.pop(0)
            found = command.get_command(None, name)
            assert found is not None, f"atomic-margin {call}: there is no {name}"
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}, call


PACKAGES = ("documents", "margin", "circuits", "contracts", "fhe", "zk", "service", "bench")
FOLDERS = (*PACKAGES, "docs", "examples", "tests", "scripts", "src")
SOURCES = sorted(source for package in PACKAGES for source in (ROOT / package).rglob("*.py"))


def _prose(source: Path) -> str:
    """Docstrings and comments of a module."""
    text = source.read_text()
    tree = ast.parse(text)
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, owners)]
    return "\n".join([*docstrings, *re.findall(r"#.*$", text, re.MULTILINE)])


def _is_named(dotted: str) -> bool:
    """Whether a dotted name that begins with a package leads to a module, or to something a module defines."""
    place = ROOT
    for part in dotted.removeprefix("atomic_margin.").split("."):
        module = place / f"{part}.py"
        if (place / part).is_dir():
            place = place / part
        elif module.is_file():
            return True
        else:
            return re.search(rf"\b{part}\b", (place / "__init__.py").read_text()) is not None
    return True


@pytest.mark.parametrize(
    "named_in",
    [*DOCUMENTS, *PACKAGES],
    ids=lambda named: named if isinstance(named, str) else str(named.relative_to(ROOT)),
)
def test_files_that_are_named_exist(named_in: Path | str) -> None:
    """As paths from the root, and as dotted names in backticks; of a package, in docstrings and comments."""
    if isinstance(named_in, Path):
        text = named_in.read_text()
    else:
        text = "\n".join(_prose(source) for source in (ROOT / named_in).rglob("*.py"))
    paths = re.findall(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./-]*\w)", text)
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists()] == []
    dotted = re.findall(rf"`((?:atomic_margin\.)?(?:{'|'.join(PACKAGES)})(?:\.\w+)+)[`(]", text)
    assert [name for name in dotted if not _is_named(name)] == []


def test_the_architecture_lists_every_room() -> None:
    rooms = {str(source.parent.relative_to(ROOT)) for source in SOURCES if source.name == "__init__.py"}
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    listed = _first_cells(_section(architecture, "Rooms"))
    assert len(listed) == len(set(listed))
    assert set(listed) == rooms


def test_every_room_says_what_it_is_and_who_may_enter() -> None:
    for package in (source for source in SOURCES if source.name == "__init__.py"):
        docstring = ast.get_docstring(ast.parse(package.read_text())) or ""
        assert len(docstring.splitlines()) > 1, package


def test_a_proxy_that_is_set_up_as_documented_takes_every_body() -> None:
    serve = " ".join(_section((ROOT / "docs" / "operator.md").read_text(), "2. Serve").split())
    told = re.search(r"let it take bodies of (\d+) MB", serve)
    assert told is not None
    largest = max(PART_BYTES, MAX_DOCUMENT_BYTES)
    assert largest <= int(told[1]) * 1_000_000 <= 1.1 * largest
    assert f"in parts of {PART_BYTES >> 20} MiB" in serve
    assert f"documents have at most {MAX_DOCUMENT_BYTES >> 20} MiB" in serve


def test_the_documents_list_every_limit() -> None:
    operator = (ROOT / "docs" / "operator.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \| .+ \|$", _section(operator, "Limits"), re.MULTILINE)
    fields = {name: field for name, field in Limits.model_fields.items() if name != "format"}
    assert rows == [(name, str(one.default), str(one.description).rstrip(".")) for name, one in fields.items()]


def test_the_documents_say_how_large_evaluation_keys_are() -> None:
    size = f"{round(layout_of(DEFAULT).evaluation_key_bytes / 1_000_000)} MB"
    said = [
        (document.name, amount)
        for document in DOCUMENTS
        for amount in re.findall(
            r"evaluation keys?\b[^.|]{0,120}?\b(?:some|of) (\d+ MB)",
            " ".join(document.read_text().split()),
            re.IGNORECASE,
        )
        if document.name not in ("benchmarks.md", "notes.md", "0020-zoom.md")
    ]
    assert len(said) >= 5
    assert {amount for _, amount in said} == {size}, said


RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
STATUS = r"(Accepted|Accepted, changed by \S+(?:,\s\S+)*(?:\sand\s\S+)?|Superseded by \S+)\."


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_every_decision_record_has_a_status(record: Path) -> None:
    number, text = record.name[:4], record.read_text()
    status = re.search(rf"^# {number} .*\n\n\*\*Status\.\*\* {STATUS}\n", text)
    assert status is not None
    plain = re.sub(r"\[(\d+)\]\([^)]+\)", r"\1", status[1]).replace("\n", " ")
    table = (record.parent / "README.md").read_text()
    rows = re.findall(rf"^\| \[{number}\]\({record.name}\) \| .* \| (.*) \|$", table, re.MULTILINE)
    assert rows == [plain[0].lower() + plain[1:]]
    for later in re.findall(r"\]\(([^)]+)\)", status[1]):
        assert later > record.name
        assert record.name in (record.parent / later).read_text(), f"{later} does not name {number}"


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Method and path of everything each of the HTTP faces serves, by port."""
    examples = ROOT / "examples"
    names = ("model-scan.json", "universe.json", "collateral-schedule.json")
    terms = read_terms(*(examples / name for name in names), STANDARD.name)
    settings = Settings(tmp_path_factory.mktemp("operator"), RULES)
    operator = Operator(settings, terms, Evaluator(STANDARD))

    def unused(_: Any) -> Any:
        raise AssertionError("no agent is opened here")

    watcher = Witness(tmp_path_factory.mktemp("witness"), "w", {}, lambda: 0)
    apps = {
        "8400": create_app(operator, background=False),
        "8401": create_agent(AgentProcess(unused), "token"),
        "8410": create_witness(watcher),
        "8420": create_signer(
            SimpleNamespace(address="0x", place=SimpleNamespace(addresses=SimpleNamespace(vault="0x", chain=1)))
        ),
    }
    served = {
        port: {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
        for port, app in apps.items()
    }
    operator.close()
    watcher.close()
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
