"""The command of a worker, and what `serve` and it refuse about a scheduler in one line."""

import subprocess
import sys
from pathlib import Path

import pytest


def refused(*arguments: str) -> str:
    command = [sys.executable, "-m", "atomic_margin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scheduler", "10.0.0.1:8786"), "--scheduler: the scheduler's address is tcp://HOST:PORT"),
        (("--scheduler", "tls://10.0.0.1:8786"), "a tls:// address takes certificates"),
        (("--scheduler", "tcp://10.0.0.1:8786", "--scheduler-tls-ca", "ca.pem"), "TLS takes all three"),
    ],
)
def test_a_worker_needs_an_address_and_certificates_that_fit_it(options: tuple[str, ...], message: str) -> None:
    assert message in refused("worker", *options)


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    files = [f"{tmp_path}/{name}" for name in ("ca.pem", "cert.pem", "key.pem")]
    names = ("--scheduler-tls-ca", "--scheduler-tls-cert", "--scheduler-tls-key")
    options = [part for pair in zip(names, files, strict=True) for part in pair]
    assert f"{files[0]}: there is no such file" in refused("worker", "--scheduler", "tls://10.0.0.1:8786", *options)
