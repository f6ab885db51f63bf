"""Ports are taken first, and what goes wrong before anything is served is one line that says what to do."""

import errno
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli import output
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http import serving
from atomic_margin.service.http.serving import listen, port_of, warn_exposed

from .documents import EXAMPLES


def serve_arguments(tmp_path: Path, *options: str) -> list[str]:
    files = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}
    named = [part for name, file in files.items() for part in (f"--{name}", str(EXAMPLES / file))]
    rules = tmp_path / "price-rules.json"
    if not rules.exists():
        made = subprocess.run(
            [
                sys.executable, "-m", "atomic_margin", "feed", "rules", "--source", "9a" * 32, "--required", "1",
                "--max-age", "unbounded", "--outlier", "0.1", "0.1", "0.1", "--move", "0.5", "1", "0.05",
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rules.write_text(made.stdout)
    return ["serve", "--dir", str(tmp_path / "data"), "--price-rules", str(rules), *named, *options]


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 80000, "ports are 0 to 65535"),
        ("127.0.0.1", -1, "ports are 0 to 65535"),
        ("192.0.2.1", 0, "is no address of this machine"),
        ("no such host", 0, "is no host name or address"),
    ],
)
def test_a_port_that_cannot_be_had_is_named_with_what_to_do(host: str, port: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        listen(host, port)


def test_a_port_in_use_or_of_the_privileged_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        listen("127.0.0.1", 0) as first,
        pytest.raises(ConfigurationError, match=f"port {port_of(first)} on 127.0.0.1 is in use: stop what listens"),
    ):
        listen("127.0.0.1", port_of(first))

    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serving.socket.socket, "bind", refuse)
    with pytest.raises(ConfigurationError, match="port 80 needs privileges: choose one above 1023"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "tls", "warned"),
    [("127.0.0.1", False, False), ("::1", False, False), ("0.0.0.0", False, True), ("0.0.0.0", True, False)],  # noqa: S104
)
def test_others_that_can_read_along_are_warned_of(
    host: str, tls: bool, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert warn_exposed(host, tls) is warned
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned


def test_a_port_is_taken_before_the_data_directory(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        arguments = serve_arguments(tmp_path, "--port", str(port_of(taken)))
        done = subprocess.run(
            [sys.executable, "-m", "atomic_margin", *arguments], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "is in use: stop what listens there" in line
    assert not (tmp_path / "data").exists()


def test_an_error_nobody_foresaw_is_one_line_and_a_traceback_with_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic_margin.service.cli import info

    def broken() -> None:
        raise LookupError("a thing\nof two lines")

    monkeypatch.setattr(info, "missing_modules", lambda _: broken())
    monkeypatch.setattr(output, "debugging", False)
    plain = CliRunner().invoke(app, ["info"])
    assert (plain.exit_code, len(plain.stderr.splitlines())) == (output.EXIT_UNEXPECTED, 1)
    assert "LookupError: a thing of two lines; `atomic-margin --debug` before the command shows where" in plain.stderr
    assert isinstance(CliRunner().invoke(app, ["--debug", "info"]).exception, LookupError)
