"""Options from the command line, the environment, a file and defaults, in that order; and what `init` writes."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from atomic_margin.service.cli import serve as serve_module
from atomic_margin.service.cli.configuration import FILE_NAME, ROLES, configured, options_of
from atomic_margin.service.cli.main import app
from atomic_margin.service.protocol.public_files import OperatorPublic, fingerprint, parse_public

from ..e2e.small import small_examples

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "options.md").read_text()
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is in the standard library from 3.11 on")


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def done(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def parties(tmp_path: Path) -> Path:
    done("init", "source", tmp_path / "source")
    done("init", "witness", tmp_path / "witness")
    taken = ("--source", tmp_path / "source", "--witness", tmp_path / "witness" / "public.json")
    done("init", "operator", tmp_path / "operator", "--small", *taken)
    pinned = ("--operator", tmp_path / "operator", "--witness", tmp_path / "witness")
    done("init", "institution", tmp_path / "institution", *pinned)
    return tmp_path


def test_the_page_lists_every_option_of_every_role() -> None:
    for role in ROLES:
        for key, option in options_of(role).items():
            assert f"| `--{key}` | `{option.variable}` |" in PAGE, f"{role} {key}: run scripts/options.py"
            assert option.variable == f"ATOMIC_MARGIN_{role.upper()}_{key.upper().replace('-', '_')}"
    known = {option.variable for role in ROLES for option in options_of(role).values()}
    assert set(re.findall(r"`(ATOMIC_MARGIN_[A-Z_]+)`", PAGE)) == known


@pytest.mark.parametrize("role", list(ROLES))
def test_every_option_of_a_command_has_its_variable(role: str) -> None:
    """Of the commands as they are run, not of the table: each reads the variable that the table says."""
    from importlib import import_module

    for path in ROLES[role]:
        command: Any = get_command(import_module(f"atomic_margin.service.cli.{path[0]}").app)
        command = command.get_command(None, path[1]) if len(path) > 1 else command
        options = [
            one for one in command.params if one.param_type_name == "option" and one.name not in ("help", "config")
        ]
        assert options
        for option in options:
            assert option.envvar == options_of(role)[max(option.opts, key=len).lstrip("-")].variable
        assert "config" in {one.name for one in command.params}


def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have `serve` say what it was given, in place of serving."""
    found: dict[str, Any] = {}
    import typer

    def told(**given: Any) -> None:
        found.update(given)

    told.__signature__ = __import__("inspect").signature(serve_module.serve)  # type: ignore[attr-defined]
    told.__annotations__ = dict(serve_module.serve.__annotations__)
    other = typer.Typer(add_completion=False)
    other.command(cls=configured("operator"))(told)
    monkeypatch.setattr(serve_module, "app", other)
    return found


def test_command_line_before_environment_before_file_before_default(
    parties: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = seen(monkeypatch)
    file = parties / "operator" / FILE_NAME
    file.write_text(
        file.read_text().replace("#workers = 1", "workers = 3").replace("#memory-gib = 16", "memory-gib = 5")
    )
    monkeypatch.setenv("ATOMIC_MARGIN_OPERATOR_WORKERS", "4")
    monkeypatch.setenv("ATOMIC_MARGIN_OPERATOR_PORT", "9001")
    done("serve", "--dir", parties / "operator", "--port", "9002")
    assert (found["port"], found["workers"], found["memory_gib"]) == (9002, 4, 5)
    assert found["answer_seconds"] == 900
    assert found["directory"] == parties / "operator"
    # Paths are those of the file's folder, wherever somebody stands.
    assert found["model"] == parties / "operator" / "model-scan.json"
    assert found["witness"] == [
        f"http://127.0.0.1:8410={json.loads((parties / 'witness/public.json').read_text())['key']}"
    ]


def test_the_times_of_openings_are_options_within_bounds(parties: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch)
    file = parties / "operator" / FILE_NAME
    assert "#opening-session-seconds = 120" in file.read_text()
    file.write_text(file.read_text().replace("#opening-seconds = 600", "opening-seconds = 1800"))
    monkeypatch.setenv("ATOMIC_MARGIN_OPERATOR_OPENING_SESSION_SECONDS", "300")
    done("serve", "--dir", parties / "operator")
    assert (found["opening_seconds"], found["opening_session_seconds"]) == (1800, 300)
    for option, wrong in (("opening-seconds", ("59", "86401")), ("opening-session-seconds", ("9", "3601"))):
        for value in wrong:
            refused = call("serve", "--dir", parties / "operator", f"--{option}", value)
            assert refused.exit_code == 2
            assert f"--{option}': Input should be" in refused.stderr


def test_the_file_is_found_here_or_named(parties: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch)
    monkeypatch.chdir(parties / "operator")
    done("serve")
    assert found["universe"].resolve() == parties / "operator" / "universe.json"
    monkeypatch.chdir(parties)
    found.clear()
    done("serve", "--config", "operator/atomic-margin.toml")
    assert found["universe"] == Path("operator/universe.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[operator]\nprot = 1\n", "operator.prot: there is no such option"),
        ("[operator]\nport = {}\n", "operator.port: write a text, a number"),
        ("[operator\n", "is no TOML"),
        ("[institution]\nport = 1\n", "has no table [operator]"),
        ("[elsewhere]\n", "elsewhere: there are tables for"),
        ("operator = 1\n", "write a table"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    result = call("serve", "--dir", tmp_path)
    assert result.exit_code == 2
    assert said in result.stderr
    assert str(tmp_path / FILE_NAME) in result.stderr


def test_folders_hold_what_a_party_needs_and_public_files_no_secret(parties: Path) -> None:
    for role in ("source", "witness", "operator", "institution"):
        folder = parties / role
        text = (folder / FILE_NAME).read_text()
        for key in options_of(role):
            if key not in ("dir", "json"):
                assert re.search(rf"^#?{key} = ", text, re.MULTILINE), (role, key)
        public = (folder / "public.json").read_text()
        for key_file in folder.glob("*.key"):
            assert key_file.stat().st_mode & 0o077 == 0
            assert key_file.read_bytes().hex() not in public
    operator = json.loads((parties / "operator" / "public.json").read_text())
    trust = json.loads((parties / "institution" / "trust.json").read_text())
    assert trust["operator"] == operator["operator"]
    assert trust["log"]["key"] == operator["log"]
    assert trust["log"]["witnesses"] == [json.loads((parties / "witness" / "public.json").read_text())["key"]]
    assert trust["universe"] == operator["universe"]


def test_a_fingerprint_is_printed_on_both_sides(tmp_path: Path, parties: Path) -> None:
    public = parse_public(OperatorPublic, json.loads((parties / "operator" / "public.json").read_text()))
    printed = done("init", "institution", tmp_path / "other", "--operator", parties / "operator")
    assert f"fingerprint {fingerprint(public)}" in printed
    assert "log" not in json.loads((tmp_path / "other" / "trust.json").read_text())


def test_a_folder_is_not_written_over(parties: Path) -> None:
    before = (parties / "source" / "public.json").read_bytes()
    again = call("init", "source", parties / "source")
    assert again.exit_code == 2
    assert "--force" in again.stderr
    done("init", "source", parties / "source", "--force")
    assert (parties / "source" / "public.json").read_bytes() == before


def test_another_party_s_file_is_refused(tmp_path: Path, parties: Path) -> None:
    refused = call("init", "institution", tmp_path / "x", "--operator", parties / "source")
    assert refused.exit_code == 2
    assert "this is the public file of a source, not of a operator" in refused.stderr
    early = call(
        "init", "verifier", tmp_path / "v", "--operator", parties / "operator", "--institution", parties / "institution"
    )
    assert early.exit_code == 2
    assert "handed over before the institution enrolled" in early.stderr


@pytest.mark.parametrize("name", ["universe", "model-scan", "portfolio", "collateral", "institution"])
def test_the_small_examples_are_those_of_the_tests(name: str) -> None:
    assert json.loads((ROOT / "examples" / "small" / f"{name}.json").read_text()) == small_examples()[f"{name}.json"]
