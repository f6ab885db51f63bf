"""The commands: what they print, and their exit statuses."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.margin.market import Market
from atomic_margin.service.cli.main import COMMANDS, app
from atomic_margin.service.cli.verify import ALL_STEPS
from atomic_margin.service.signing import Identity, SignedDocument

from .world import EXAMPLES, FUND, Stages, example, example_terms

TERMS = [
    part
    for name, file in (("model", "model-scan"), ("universe", "universe"), ("schedule", "collateral-schedule"))
    for part in (f"--{name}", str(EXAMPLES / f"{file}.json"))
]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.fixture
def files(stages: Stages, tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return path

    write("trust.json", stages.trust)
    for name, bundle in stages.bundles.items():
        write(f"{name}.json", bundle)
    return write


def test_every_command_is_listed_and_has_help() -> None:
    listed = call("--help")
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert name in listed.output
        assert call(name, "--help").exit_code == 0
    assert call("unknown").exit_code == 2


@pytest.mark.parametrize(("name", "outcome"), [("calm", "covered"), ("fall", "breach"), ("crash", "breach")])
def test_verify_says_yes_with_status_0(files: Any, tmp_path: Path, name: str, outcome: str) -> None:
    arguments = ["verify", tmp_path / f"{name}.json", "--trust", tmp_path / "trust.json"]
    plain = call(*arguments)
    assert plain.exit_code == 0
    assert plain.stdout.count("✓") == len(ALL_STEPS)
    assert "valid: " in plain.stdout
    said = json.loads(call(*arguments, "--json").stdout)
    assert (said["valid"], said["held"], said["outcome"]) == (True, list(ALL_STEPS), outcome)
    assert said["institution"] == FUND
    if name == "fall":
        assert (said["settlement"], said["top_up_usd"], said["flag"]) == ("margin_call", "1250000", "attested")


def test_verify_says_no_with_status_1_and_names_the_step(files: Any, tmp_path: Path, stages: Stages) -> None:
    files("trust.json", {**stages.trust, "feeds": ["1a" * 32]})
    arguments = ["verify", tmp_path / "fall.json", "--trust", tmp_path / "trust.json"]
    plain = call(*arguments)
    assert plain.exit_code == 1
    assert "price tick" in plain.stderr
    assert "valid" not in plain.stdout
    result = call(*arguments, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said.pop("reason")
    assert said == {"valid": False, "held": ["format", "trust anchors"], "failed": "price tick"}


@pytest.mark.parametrize(
    ("bundle", "trust", "said"),
    [
        ("absent.json", "trust.json", "cannot read"),
        ("calm.json", "absent.json", "cannot read"),
        (".", "trust.json", "cannot read"),
        ("calm.json", "broken.json", "not JSON"),
        ("calm.json", "calm.json", "format"),
    ],
)
def test_verify_gives_status_2_for_files_it_cannot_read(
    files: Any, tmp_path: Path, bundle: str, trust: str, said: str
) -> None:
    files("broken.json", b"{")
    result = call("verify", tmp_path / bundle, "--trust", tmp_path / trust)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not JSON"), (b'{"a": 1}', "decimal strings"), (b"[" * 100_000, "not JSON")]
)
def test_a_bundle_that_is_no_json_of_ours_fails_in_format(
    files: Any, tmp_path: Path, content: bytes, said: str
) -> None:
    files("odd.json", content)
    result = call("verify", tmp_path / "odd.json", "--trust", tmp_path / "trust.json")
    assert result.exit_code == 1
    assert "format: " in result.stderr
    assert said in result.stderr


def test_verify_refuses_huge_files_and_unknown_backends(files: Any, tmp_path: Path) -> None:
    files("huge.json", b'"' + b"x" * (16 << 20) + b'"')
    result = call("verify", tmp_path / "huge.json", "--trust", tmp_path / "trust.json")
    assert (result.exit_code, "larger than" in result.stderr) == (2, True)
    other = call("verify", tmp_path / "calm.json", "--trust", tmp_path / "trust.json", "--backend", "none")
    assert other.exit_code == 2


@pytest.mark.parametrize("text", ["[/x]", "[bold]x", "[/]", "[red]✓ valid[/red]", "[link=http://x]y"])
def test_text_of_a_bundle_is_printed_as_text(files: Any, tmp_path: Path, stages: Stages, text: str) -> None:
    """Whoever wrote the bundle must neither crash the verifier nor colour what it says."""
    files("bad.json", {**stages.bundles["calm"], text: "1"})
    result = call("verify", tmp_path / "bad.json", "--trust", tmp_path / "trust.json")
    assert result.exit_code == 1
    assert text in result.stderr


@pytest.mark.parametrize("name", ["[/x].json", "[bold].json"])
def test_names_of_files_are_printed_as_text(files: Any, tmp_path: Path, name: str) -> None:
    result = call("verify", tmp_path / f"a{os.sep}{name}", "--trust", tmp_path / "trust.json")
    assert result.exit_code == 2
    assert name in result.stderr


def test_a_feed_makes_its_key_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "feed.key"
    made = call("feed", "key", "--key", path)
    assert made.exit_code == 0
    key = json.loads(made.stdout)["feed"]
    assert json.loads(call("feed", "key", "--key", path).stdout)["feed"] == key
    assert path.stat().st_mode & 0o777 == 0o600
    signed = call("feed", "sign", EXAMPLES / "market-2.json", "--key", path)
    assert signed.exit_code == 0
    tick = SignedDocument.parse(json.loads(signed.stdout))
    tick.verify(frozenset({key}))
    assert Market.parse(tick.body) == Market.parse(example("market-2"))


def test_a_feed_signs_no_wrong_market(tmp_path: Path) -> None:
    absent = call("feed", "sign", tmp_path / "absent.json", "--key", tmp_path / "feed.key")
    assert (absent.exit_code, "cannot read" in absent.stderr) == (2, True)
    (tmp_path / "market.json").write_text(json.dumps({**example("market-1"), "rate": "7"}))
    wrong = call("feed", "sign", tmp_path / "market.json", "--key", tmp_path / "feed.key")
    assert (wrong.exit_code, "rate" in wrong.stderr) == (2, True)
    assert wrong.stdout == ""


def test_an_institution_makes_its_identity(tmp_path: Path) -> None:
    first = call("institution", "init", "--dir", tmp_path / "fund")
    assert first.exit_code == 0
    identity = Identity.load_or_create(tmp_path / "fund" / "identity.key")
    assert json.loads(first.stdout) == {"identity": identity.public_key}
    assert json.loads(call("institution", "init", "--dir", tmp_path / "fund").stdout) == json.loads(first.stdout)
    (tmp_path / "fund" / "identity.key").write_bytes(b"x")
    damaged = call("institution", "init", "--dir", tmp_path / "fund")
    assert (damaged.exit_code, "restore it from your backup" in damaged.stderr) == (2, True)


def test_a_trust_file_is_what_its_owner_asked_for(stages: Stages) -> None:
    institution = stages.trust["institutions"][FUND]
    made = call(
        "trust", "--operator", stages.trust["operator"], "--feed", stages.feed.public_key, "--institution",
        f"{FUND}={institution}", *TERMS,
    )  # fmt: skip
    assert made.exit_code == 0
    wanted = {**stages.trust, "institutions": {FUND: institution}}
    assert json.loads(made.stdout) == wanted
    assert json.loads(made.stdout)["model"] == example_terms().hashes["model"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--operator", "xyz"], "operator"),
        (["--operator", "AB" * 32], "operator"),
        (["--institution", "fund"], "NAME=KEY"),
        (["--institution", "fund=xyz"], "institutions.fund"),
        (["--institution", "a/b=" + "1a" * 32], "institutions"),
        (["--profile", "unknown"], "no profile named"),
        (["--model", "absent.json"], "cannot read"),
        (["--model", str(EXAMPLES / "universe.json")], "format"),
    ],
    ids=str,
)
def test_a_wrong_trust_file_is_not_made(changes: list[str], said: str) -> None:
    arguments = ["trust", "--operator", "9f" * 32, "--feed", "9f" * 32, *TERMS, *changes]
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_an_agent_that_does_not_run_is_said_in_a_sentence(tmp_path: Path) -> None:
    result = call("institution", "status", "--dir", tmp_path, "--agent", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "the agent does not answer" in result.stderr
