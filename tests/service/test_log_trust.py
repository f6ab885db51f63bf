"""`atomic-margin trust` writes which log is believed, and with whose cosignatures."""

import json
from pathlib import Path

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

from .documents import price_rules
from .test_cli import TERMS, call

OPERATOR, WITNESS = Identity.generate(), Identity.generate()
LOG = str(log_key("margin.example/log", OPERATOR.public_key))
KEY = str(witness_key("w1.example", WITNESS.public_key))


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    rules = tmp_path / "price-rules.json"
    rules.write_text(json.dumps(price_rules(Identity.generate()).canonical()))
    return ["trust", "--operator", OPERATOR.public_key, "--price-rules", str(rules), *TERMS]


def test_a_trust_file_names_its_log(arguments: list[str]) -> None:
    named = ["--log", LOG, "--witness", KEY, "--threshold", "1", "--max-age", "300"]
    made = call(*arguments, *named)
    assert made.exit_code == 0
    found = json.loads(made.stdout)
    assert found["log"] == {"key": LOG, "witnesses": [KEY], "threshold": "1", "max_age_seconds": "300"}
    assert TrustFile.parse(found).log is not None
    without = json.loads(call(*arguments).stdout)
    assert "log" not in without
    assert {**without, "log": found["log"]} == found


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["--log", LOG], "go together"),
        (["--log", LOG, "--witness", KEY, "--threshold", "1"], "go together"),
        (["--witness", KEY, "--threshold", "1", "--max-age", "60"], "go together"),
        (["--log", LOG, "--witness", KEY, "--threshold", "2", "--max-age", "60"], "threshold"),
        (["--log", KEY, "--witness", KEY, "--threshold", "1", "--max-age", "60"], "no key of a log"),
        (["--log", LOG, "--witness", LOG, "--threshold", "1", "--max-age", "60"], "no key of a witness"),
    ],
    ids=str,
)
def test_half_of_it_is_refused(arguments: list[str], named: list[str], said: str) -> None:
    refused = call(*arguments, *named)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert said in refused.stderr


def test_the_log_is_the_operator_s(arguments: list[str]) -> None:
    other = str(log_key("margin.example/log", WITNESS.public_key))
    refused = call(*arguments, "--log", other, "--witness", KEY, "--threshold", "1", "--max-age", "60")
    assert refused.exit_code == 2
    assert "not a key of the operator" in refused.stderr
    said = json.loads(call(*arguments).stdout)
    log = {"key": other, "witnesses": [KEY], "threshold": "1", "max_age_seconds": "60"}
    with pytest.raises(MalformedDocument, match=r"log\.key"):
        TrustFile.parse({**said, "log": log})
