"""TLS: files that are wrong are named before anything is begun, and commands and agent check who answers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from atomic_margin.service.cli import tls as options
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.http import serving
from atomic_margin.service.http.limit_table import USUAL_LIMITS
from atomic_margin.service.http.tls import Certificate, certificate, trusting
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.operator.web.app import create_app

from .documents import FUND
from .world import World

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
RUNNER = CliRunner()


def made(
    folder: Path, name: str, begins: datetime = NOW, days: int = 3650, passphrase: bytes | None = None
) -> Certificate:
    """Write a certificate that vouches for itself, for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - timedelta(days=1))
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    files = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    files.chain.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    closed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, closed))
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made(tmp_path_factory.mktemp("tls"), "good", datetime.now(timezone.utc))


@pytest.fixture(autouse=True)
def _trusting_nobody_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_trusted", {})
    monkeypatch.delenv(options.ENVIRONMENT, raising=False)


def test_files_that_go_together_are_taken(files: Certificate) -> None:
    assert certificate(files.chain, files.key) == files
    assert certificate(None, None) is None


def test_files_that_do_not_are_named(tmp_path: Path, files: Certificate) -> None:
    other, closed = made(tmp_path, "other"), made(tmp_path, "closed", passphrase=b"secret")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    wrong: list[tuple[Path | None, Path | None, str]] = [
        (files.chain, None, "go together"),
        (None, files.key, "go together"),
        (files.chain, tmp_path / "none", f"cannot read --tls-key {tmp_path / 'none'}: No such file"),
        (tmp_path / "none", files.key, "cannot read --tls-cert"),
        (empty, files.key, "no certificate in PEM"),
        (files.key, files.key, "no certificate in PEM"),
        (files.chain, other.key, "is not the key of"),
        (files.chain, empty, "is not the key of"),
        (closed.chain, closed.key, "without a passphrase"),
    ]
    for chain, key, said in wrong:
        with pytest.raises(ConfigurationError, match=said):
            certificate(chain, key)


@pytest.mark.parametrize("days", [-2, 3651])
def test_a_certificate_that_is_not_valid_now_is_named(tmp_path: Path, days: int) -> None:
    files = made(tmp_path, "dated")
    with pytest.raises(ConfigurationError, match="is valid from 2026-11-19 to 2036-11-17, and not now"):
        certificate(files.chain, files.key, NOW + timedelta(days=days))


def test_serve_says_what_is_wrong_before_it_makes_anything(tmp_path: Path, files: Certificate) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    rules = tmp_path / "rules.json"
    source = RUNNER.invoke(app, ["feed", "key", "--key", str(tmp_path / "source.key")])
    key = json.loads(source.stdout)["source"]
    printed = RUNNER.invoke(app, ["feed", "rules", "--source", key, "--required", "1", "--max-age", "unbounded"])
    rules.write_text(printed.stdout)
    documents = {"model": "model-scan", "universe": "universe", "schedule": "collateral-schedule"}
    named = [part for option, file in documents.items() for part in (f"--{option}", str(examples / f"{file}.json"))]
    result = RUNNER.invoke(
        app,
        [
            "serve",
            "--dir",
            str(tmp_path / "operator"),
            "--price-rules",
            str(rules),
            *named,
            "--tls-cert",
            str(files.chain),
        ],
    )
    assert (result.exit_code, "go together" in result.stderr) == (2, True), result.output
    assert not (tmp_path / "operator").exists()


@contextmanager
def served(application: Any, files: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve as `serve` does, in a thread."""
    import uvicorn

    servers: list[uvicorn.Server] = []
    made_server = uvicorn.Server.__init__

    def remembered(self: uvicorn.Server, config: uvicorn.Config) -> None:
        made_server(self, config)
        servers.append(self)

    monkeypatch.setattr(uvicorn.Server, "__init__", remembered)
    monkeypatch.setattr(uvicorn.Server, "capture_signals", lambda self: _nothing())
    listener = serving.listen("127.0.0.1", 0)
    port = serving.port_of(listener)
    thread = threading.Thread(target=serving.serve, args=(application, listener, USUAL_LIMITS, files))
    thread.start()
    try:
        while not servers or not servers[0].started:
            time.sleep(0.01)
        yield f"https://127.0.0.1:{port}"
    finally:
        servers[0].should_exit = True
        thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_commands_and_agent_check_who_answers(
    world_at: Any, files: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = world_at("enrolled")
    other = made(tmp_path, "other")
    with served(create_app(world.operator, background=False), files, monkeypatch) as url:
        calls = ["ledger", "--dir", str(world.directory), "--operator", url, "--json"]
        # Nobody that this machine trusts vouches for it.
        for trust in ([], ["--ca", str(other.chain)]):
            result = RUNNER.invoke(app, ["operator", *trust, *calls])
            assert (result.exit_code, "CERTIFICATE_VERIFY_FAILED" in result.stderr) == (2, True), result.output
        result = RUNNER.invoke(app, ["operator", "--ca", str(files.chain), *calls])
        assert (result.exit_code, json.loads(result.stdout)["totals"]) == (0, {}), result.output
        by_environment = {options.ENVIRONMENT: str(files.chain)}
        assert RUNNER.invoke(app, ["operator", *calls], env=by_environment).exit_code == 0
        result = RUNNER.invoke(app, ["operator", "--ca", str(tmp_path / "none"), *calls])
        assert (result.exit_code, "cannot read --ca" in result.stderr) == (2, True)
        # The agent's own client signs for the same address, whoever ends TLS.
        agent = OperatorClient(url, FUND, world.auth(), verify=trusting(files.chain))
        assert agent.account().institution == FUND
        agent.close()
        agent = OperatorClient(url, FUND, world.auth(), verify=trusting(other.chain))
        with pytest.raises(RemoteError, match="CERTIFICATE_VERIFY_FAILED"):
            agent.account()
        agent.close()
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/healthz")
