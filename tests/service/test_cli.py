"""The commands: what they print, and their exit statuses."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli.agent_calls import TOKEN_FILE
from atomic_margin.service.cli.main import COMMANDS, app
from atomic_margin.service.cli.verify import ALL_STEPS
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import PriceSet

from ..e2e.small import write_small_examples
from .documents import EXAMPLES, FUND, example, example_terms, price_rules
from .stages import Stages
from .tick_server import Ticks, serving


def terms_in(folder: Path, profile: str) -> list[str]:
    files = (("model", "model-scan"), ("universe", "universe"), ("schedule", "collateral-schedule"))
    named = [part for name, file in files for part in (f"--{name}", str(folder / f"{file}.json"))]
    return [*named, "--profile", profile]


TERMS = terms_in(EXAMPLES, "standard")


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
        assert (said["settlement"], said["top_up_usd"], said["flag"]) == ("margin_call", "100000", "proven")


def test_verify_says_no_with_status_1_and_names_the_step(files: Any, tmp_path: Path, stages: Stages) -> None:
    files("trust.json", {**stages.trust, "prices": {**stages.trust["prices"], "sources": ["1a" * 32]}})
    arguments = ["verify", tmp_path / "fall.json", "--trust", tmp_path / "trust.json"]
    plain = call(*arguments)
    assert plain.exit_code == 1
    assert "✗ (3) price tick: " in plain.stdout
    assert "valid: " not in plain.stdout
    result = call(*arguments, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said.pop("reason")
    assert said == {
        "valid": False,
        "held": ["format", "trust anchors"],
        "failed": "price tick",
        "not_checked": list(ALL_STEPS[3:]),
    }


@pytest.mark.parametrize(
    ("bundle", "trust", "said"),
    [
        ("absent.json", "trust.json", "cannot read"),
        ("calm.json", "absent.json", "cannot read"),
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
    assert "format: " in result.stdout
    assert said in result.stdout


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
    assert text in result.stdout


@pytest.mark.parametrize("name", ["[/x].json", "[bold].json"])
def test_names_of_files_are_printed_as_text(files: Any, tmp_path: Path, name: str) -> None:
    result = call("verify", tmp_path / f"a{os.sep}{name}", "--trust", tmp_path / "trust.json")
    assert result.exit_code == 2
    assert name in result.stderr


def test_a_source_makes_its_key_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "feed.key"
    made = call("feed", "key", "--key", path)
    assert made.exit_code == 0
    key = json.loads(made.stdout)["source"]
    assert json.loads(call("feed", "key", "--key", path).stdout)["source"] == key
    assert path.stat().st_mode & 0o777 == 0o600
    ticks = Ticks(price_rules(Identity.load_or_create(path)), Identity.load_or_create(path))
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(ticks.rules.canonical()))
    first = ticks.make(0)
    with serving(ticks) as operator:
        asked = ("--key", path, "--price-rules", rules, "--operator", operator.url)
        signed = call("feed", "sign", EXAMPLES / "market-2.json", *asked)
        assert signed.exit_code == 0, signed.stderr
        price = SignedDocument.parse(json.loads(signed.stdout))
        assert price.type == "price"
        price.verify(frozenset({key}))
        assert price.body["market"] == Market.parse(example("market-2")).canonical()
        assert (price.body["rules"], price.body["previous"]) == (ticks.rules.hash(), first.body_hash())
        # The same once more is the same document; another market for the same tick is not signed.
        assert call("feed", "sign", EXAMPLES / "market-2.json", *asked).stdout == signed.stdout
        refused = call("feed", "sign", EXAMPLES / "market-3.json", *asked)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "another document is signed for tick 2" in refused.stderr


@pytest.fixture
def three(tmp_path: Path) -> tuple[list[Path], Path]:
    """Prices of three sources in files, and rules that want two of them."""
    sources = [Identity.load_or_create(tmp_path / f"{name}.key") for name in "abc"]
    keys = [part for source in sources for part in ("--source", source.public_key)]
    rules = tmp_path / "price-rules.json"
    rules.write_text(call("feed", "rules", *keys, "--required", "2", "--max-age", "unbounded").stdout)
    prices = []
    chain = Ticks(PriceRules.parse(json.loads(rules.read_text())), *sources)
    later = chain.copy()
    later.make(0)
    for name, ticks in (("a", chain), ("b", chain), ("c", later)):
        prices.append(tmp_path / f"{name}.json")
        with serving(ticks) as operator:
            asked = ("--price-rules", rules, "--operator", operator.url)
            market = EXAMPLES / "market-1.json"
            prices[-1].write_text(call("feed", "sign", market, "--key", tmp_path / f"{name}.key", *asked).stdout)
    return prices, rules


def test_signed_prices_are_tried_before_they_are_sent(three: tuple[list[Path], Path]) -> None:
    prices, rules = three
    made = call("feed", "combine", prices[0], prices[1], "--price-rules", rules)
    assert made.exit_code == 0
    assert len(PriceSet.parse(json.loads(made.stdout)).prices) == 2
    # The third is of the tick after: with one of this one it makes none.
    refused = call("feed", "combine", prices[0], prices[2], "--price-rules", rules)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "1 of 3 sources count, 2 are required" in refused.stderr
    left_out = call("feed", "combine", *prices, "--price-rules", rules)
    assert (left_out.exit_code, left_out.stdout) == (0, made.stdout)
    assert left_out.stderr.endswith("sequence\n")
    twice = call("feed", "combine", prices[0], prices[0], "--price-rules", rules)
    assert "send each once" in twice.stderr
    nowhere = call("feed", "post", prices[0], "--operator", "http://127.0.0.1:9")
    assert (nowhere.exit_code, "does not answer" in nowhere.stderr) == (2, True)


def test_price_rules_are_checked(tmp_path: Path) -> None:
    keys = ["--source", "1a" * 32, "--source", "22" * 32]
    made = call("feed", "rules", *keys, "--required", "2", "--max-age", "30", "--move", "0.1", "0.2", "0.01")
    rules = PriceRules.parse(json.loads(made.stdout))
    assert (rules.max_age_seconds, str(rules.move.volatility)) == (30, "0.2")
    aged = ["--max-age", "30"]
    # Nobody gets rules without a bound on age by saying nothing.
    silent = call("feed", "rules", *keys, "--required", "2")
    assert (silent.exit_code, "--max-age" in silent.stderr) == (2, True)
    for changes, said in (
        (["--required", "2", "--max-age", "0"], "max_age_seconds"),
        (["--required", "2", "--max-age", "never"], "max_age_seconds"),
        (["--required", "1"], "more than half"),
        (["--required", "3"], "at most all"),
        (["--required", "2", "--source", "1a" * 32], "already"),
        (["--required", "2", "--move", "0", "1", "1"], "move.price"),
        (["--required", "2", "--max-skew", "-1"], "max_skew_seconds"),
    ):
        refused = call("feed", "rules", *keys, *aged, *changes)
        assert (refused.exit_code, said in refused.stderr) == (2, True), said


def test_nobody_makes_rules_without_a_word_on_age() -> None:
    refused = call("feed", "rules", "--source", "1a" * 32, "--required", "1")
    assert (refused.exit_code, "--max-age" in refused.stderr) == (2, True)
    assert refused.stdout == ""


def test_a_source_signs_no_wrong_market(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps(price_rules(Identity.generate()).canonical()))
    asked = ("--price-rules", tmp_path / "rules.json", "--operator", "http://127.0.0.1:9")
    absent = call("feed", "sign", tmp_path / "absent.json", "--key", tmp_path / "feed.key", *asked)
    assert (absent.exit_code, "cannot read" in absent.stderr) == (2, True)
    (tmp_path / "market.json").write_text(json.dumps({**example("market-1"), "rate": "7"}))
    wrong = call("feed", "sign", tmp_path / "market.json", "--key", tmp_path / "feed.key", *asked)
    assert (wrong.exit_code, "rate" in wrong.stderr) == (2, True)
    assert wrong.stdout == ""
    nobody = call("feed", "sign", EXAMPLES / "market-1.json", "--key", tmp_path / "feed.key", *asked)
    assert (nobody.exit_code, "does not answer /v1/ticks" in nobody.stderr) == (2, True)


def test_an_institution_makes_its_identity(tmp_path: Path) -> None:
    first = call("institution", "init", "--dir", tmp_path / "fund")
    assert first.exit_code == 0
    identity = Identity.load_or_create(tmp_path / "fund" / "identity.key")
    assert json.loads(first.stdout) == {"identity": identity.public_key}
    assert json.loads(call("institution", "init", "--dir", tmp_path / "fund").stdout) == json.loads(first.stdout)
    (tmp_path / "fund" / "identity.key").write_bytes(b"x")
    damaged = call("institution", "init", "--dir", tmp_path / "fund")
    assert (damaged.exit_code, "restore it from your backup" in damaged.stderr) == (2, True)


def test_a_trust_file_is_what_its_owner_asked_for(stages: Stages, tmp_path: Path) -> None:
    rules = tmp_path / "price-rules.json"
    rules.write_text(json.dumps(stages.trust["prices"]))
    institution = stages.trust["institutions"][FUND]
    made = call(
        "trust", "--operator", stages.trust["operator"], "--price-rules", rules, "--institution",
        f"{FUND}={institution}", "--keys", f"{FUND}={stages.trust['keys'][FUND][0]}",
        *terms_in(write_small_examples(tmp_path), "tiny"),
    )  # fmt: skip
    assert made.exit_code == 0
    wanted = {**stages.trust, "institutions": {FUND: institution}}
    assert json.loads(made.stdout) == wanted
    assert json.loads(made.stdout)["model"] == example_terms().hashes["model"]


def test_a_trust_file_names_the_default_profile_where_nobody_does(stages: Stages, tmp_path: Path) -> None:
    rules = tmp_path / "price-rules.json"
    rules.write_text(json.dumps(stages.trust["prices"]))
    *documents, _, _ = TERMS
    made = call("trust", "--operator", stages.trust["operator"], "--price-rules", rules, *documents)
    assert json.loads(made.stdout)["profile"] == DEFAULT.hash()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--operator", "xyz"], "operator"),
        (["--operator", "AB" * 32], "operator"),
        (["--institution", "fund"], "NAME=KEY"),
        (["--institution", "fund=xyz"], "institutions.fund"),
        (["--keys", "fund"], "NAME=HASH"),
        (["--keys", "fund=xyz"], "keys.fund"),
        (
            [
                "--institution",
                f"fund={'d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'}",
                "--keys",
                "fnud=" + "1a" * 32,
            ],
            "--keys names 'fnud', and no --institution does; there are fund",
        ),
        (["--institution", "a/b=" + "1a" * 32], "institutions"),
        (["--price-rules", "absent.json"], "cannot read"),
        (["--price-rules", str(EXAMPLES / "universe.json")], "universe.json: format"),
        (["--profile", "unknown"], "no profile named"),
        (["--model", "absent.json"], "cannot read"),
        (["--model", str(EXAMPLES / "universe.json")], "universe.json: format"),
    ],
    ids=str,
)
def test_a_wrong_trust_file_is_not_made(changes: list[str], said: str, tmp_path: Path) -> None:
    rules = tmp_path / "price-rules.json"
    rules.write_text(json.dumps(price_rules(Identity.generate()).canonical()))
    arguments = ["trust", "--operator", "9a" * 32, "--price-rules", rules, *TERMS, *changes]
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_no_book_is_given_up_without_a_yes(tmp_path: Path) -> None:
    options = ("--dir", tmp_path, "--agent", "http://127.0.0.1:9", "--reason", "the disk was lost")
    asked = call("institution", "give-up", *options)
    assert asked.exit_code == 1
    assert "Is no backup left" in asked.output
    assert call("institution", "give-up", *options, "--yes").exit_code == 2


def test_an_agent_that_does_not_run_is_said_in_a_sentence(tmp_path: Path) -> None:
    status = ("institution", "status", "--dir", tmp_path, "--agent", "http://127.0.0.1:9")
    assert "agent.token is not there; --dir is the folder of" in call(*status).stderr
    load_token(tmp_path / TOKEN_FILE)
    result = call(*status)
    assert result.exit_code == 2
    assert "the agent does not answer" in result.stderr
