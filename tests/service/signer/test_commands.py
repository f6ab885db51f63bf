"""`signer init`, `serve`, `register`, `status`, and `institution register-book`, as people run them, on a real node."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from typer.testing import CliRunner, Result
from web3 import Web3

from atomic_margin.contracts import local_chain
from atomic_margin.service.cli.main import app
from atomic_margin.service.log.checkpoints import witness_key
from atomic_margin.service.protocol.signing import Identity

from ... import outside
from ...contracts.vault.chain import new_chain
from ...contracts.vault.world import HOLDER, PEOPLE, SIGNERS, STRANGER, THRESHOLD, World, world
from ..documents import FUND
from ..following import served
from ..resident import Residents
from ..world import World as Operator
from .conftest import addresses_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is in the standard library from 3.11 on"),
]


@pytest.fixture(scope="module")
def node() -> Iterator[Web3]:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as web3:
        yield web3


@pytest.fixture(scope="module")
def vault(node: Web3) -> World:
    return world(new_chain(PEOPLE, node))


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Operator]]:
    """An agent's folder with a book in force, and the operator it is at."""
    root = tmp_path_factory.mktemp("registering")
    made = Residents(root)
    fund = made.copy(root / "copy", proofs=True)
    public, funds, source = fund.folder, fund.world.funds, fund.world.source
    key_commitments = fund.agent.key_commitments
    fund.close()
    operator = Operator(root / "copy" / "operator", source, funds)
    operator.pinned = [key_commitments]  # type: ignore[attr-defined]
    yield public, operator
    operator.close()


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def done(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def private(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o600)
    return path


def keystore(path: Path, key: LocalAccount) -> Path:
    return private(path, json.dumps(Account.encrypt(key.key, "secret", kdf="scrypt", iterations=2)))


def public_files(root: Path, operator: Operator) -> dict[str, Path]:
    """What owners hand out: of the operator, a witness and the institution."""
    name = witness_key("w1", Identity.generate().public_key)
    trust = operator.trust()
    said: dict[str, Any] = {
        "operator": {
            "role": "operator",
            "name": "operator",
            "address": "http://127.0.0.1:1",
            "operator": operator.key,
            "log": str(operator.operator.log_key),
            "witnesses": [],
            "prices": trust["prices"],
            **{one: trust[one] for one in ("model", "universe", "schedule", "profile", "generators")},
        },
        "witness": {"role": "witness", "name": "w1", "address": "http://127.0.0.1:1", "key": str(name)},
        "institution": {
            "role": "institution",
            "name": FUND,
            "legal_name": "Larkfield",
            "identity": trust["institutions"][FUND],
            "keys": operator.pinned,  # type: ignore[attr-defined]
        },
    }
    files = {}
    for role, body in said.items():
        files[role] = root / f"{role}.json"
        files[role].write_text(json.dumps({"format": "atomic-margin/public/1", **body}))
    return files


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """`signer serve` in a process of its own; its address."""
    command = [sys.executable, "-m", "atomic_margin", "signer", "serve", "--dir", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"signer (0x\w{40}) on (127\.0\.0\.1:\d+), for vault 0x\w{40}\n", line)
        assert found is not None, line
        yield f"http://{found[2]}"
    finally:
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.close()


def test_a_book_is_registered_by_command_with_signers_that_run(
    tmp_path: Path, node: Web3, vault: World, institution: tuple[Path, Operator]
) -> None:
    folder, operator = institution
    rpc = str(node.provider.endpoint_uri)  # type: ignore[attr-defined]
    addresses = tmp_path / "addresses.json"
    addresses.write_text(addresses_of(vault).to_json())
    password = private(tmp_path / "password", "secret\n")
    files = public_files(tmp_path, operator)
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(operator.trust()))
    folders = []
    for number, one in enumerate(SIGNERS[:THRESHOLD]):
        made = tmp_path / f"signer-{number}"
        keystore(made / "keystore.json", one)
        pins = [part for role, file in files.items() for part in (f"--{role}", file)]
        shown = done("signer", "init", made, *pins, "--addresses", addresses, "--rpc", rpc, "--password-file", password)
        assert shown.count("fingerprint") == 3
        options = made / "atomic-margin.toml"
        options.write_text(options.read_text() + "decimals = 6\n")
        folders.append(made)
    said = json.loads(done("signer", "register", "--config", folders[0] / "atomic-margin.toml"))
    assert (said["signer"], said["counted"], said["signer_set"]) == (SIGNERS[0].address, True, "1")
    assert Account.recover_message(encode_defunct(text=said["text"]), signature=said["signature"]) == said["signer"]
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(running(made)) for made in folders]
        at = stack.enter_context(served(operator)).url
        asked = (
            "institution", "register-book", "--dir", folder, "--operator", at, "--addresses", addresses,
            "--keystore", keystore(tmp_path / "holder.json", HOLDER), "--password-file", password, "--rpc", rpc,
            "--trust", trust,
        )  # fmt: skip
        few = call(*asked, "--signer", urls[0], "--signer", urls[1])
        assert (few.exit_code, "2 of 5 signers signed one PortfolioAttestation" in few.output) == (2, True)
        named = [part for url in urls for part in ("--signer", url)]
        # Those two sign once more, and say the same, whether the chain's time went on or not.
        sent = json.loads(done(*asked, *named))
        commitments = bytes.fromhex(sent["commitments"][2:])
        assert (vault.account()["commitments"], vault.account()["sequence"]) == (commitments, 1)
        # Once more there is nothing to do; somebody else's account does not get the book.
        assert json.loads(done(*asked, *named))["transaction"] is None
        other = [*asked[:9], keystore(tmp_path / "other.json", STRANGER), *asked[10:]]
        refused = call(*other, *named)
        assert (refused.exit_code, "for ever: submit the book anew" in refused.output) == (2, True)
        status = json.loads(done("signer", "status", "--signer", urls[0]))
        assert (status["signer"], status["counted"]) == (SIGNERS[0].address, True)
        assert int(status["signed"]) >= 1
        assert [one["said"] for one in status["newest"]].count("ChainDiffers") == 1
    assert "does not answer" in call("signer", "status", "--signer", urls[0]).output


def test_a_key_that_others_may_read_starts_no_signer(tmp_path: Path, node: Web3, vault: World) -> None:
    addresses = tmp_path / "addresses.json"
    addresses.write_text(addresses_of(vault).to_json())
    made = keystore(tmp_path / "keystore.json", SIGNERS[0])
    rpc = str(node.provider.endpoint_uri)  # type: ignore[attr-defined]
    asked = ("signer", "register", "--keystore", made, "--rpc", rpc, "--addresses", addresses, "--password-file")
    wrong = call(*asked, private(tmp_path / "wrong", "another"))
    assert (wrong.exit_code, "is not that of this keystore" in wrong.output) == (2, True)
    password = private(tmp_path / "password", "secret")
    assert json.loads(done(*asked, password))["counted"] is True
    made.chmod(0o644)
    open_ = call(*asked, password)
    assert (open_.exit_code, "may be read or changed by others" in open_.output) == (2, True)
