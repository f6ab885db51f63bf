"""`custodian init`, `agree`, `status` and `serve`, as people run them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.service.cli.main import app
from atomic_margin.service.custodian.folder import DATABASE, Folder
from atomic_margin.service.custodian.store import Store
from atomic_margin.service.custodian.stored import OpeningRow
from atomic_margin.service.files import read_json
from atomic_margin.service.log.checkpoints import witness_key
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

from ..documents import FUND
from .played import Scene
from .test_folder import policy

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is in the standard library from 3.11 on")

Open = Callable[[str], Scene]
Json = dict[str, Any]


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def made(scene: Scene, tmp_path: Path) -> tuple[Path, Json]:
    """What owners hand out, and the folder that `init` makes of it."""
    trust, name = scene.world.trust(), str(witness_key("w1", Identity.generate().public_key))
    terms = {one: trust[one] for one in ("model", "universe", "schedule", "profile", "generators")}
    said: Json = {
        "operator": {
            "name": "operator", "address": "http://127.0.0.1:9", "operator": scene.world.key, "witnesses": [],
            "log": str(scene.world.operator.log_key), "prices": trust["prices"], **terms,
        },
        "witness": {"name": "w1", "address": "http://127.0.0.1:9", "key": name},
        "institution": {
            "name": FUND, "legal_name": "Larkfield", "identity": trust["institutions"][FUND],
            "keys": trust["keys"][FUND],
        },
    }  # fmt: skip
    arguments: list[str | Path] = ["--name", "custodian-1"]
    for role, body in said.items():
        path = tmp_path / f"{role}.json"
        path.write_text(json.dumps({"format": "atomic-margin/public/1", "role": role, **body}))
        arguments += [f"--{role}", path]
    result = call("custodian", "init", tmp_path / "c", *arguments)
    assert result.exit_code == 0, result.output
    return tmp_path / "c", json.loads(result.stdout)


def test_a_folder_is_made_and_its_line_printed(scene_at: Open, tmp_path: Path) -> None:
    scene = scene_at("dealt")
    folder, line = made(scene, tmp_path)
    own = Folder(folder)
    assert line == {
        "name": "custodian-1",
        "identity": own.identity.public_key,
        "encryption_key": own.encryption_key,
    }
    trust = TrustFile.parse(read_json(folder / "trust.json"))
    assert (trust.operator, list(trust.institutions)) == (scene.world.key, [FUND])
    assert trust.log is not None
    options = (folder / "atomic-margin.toml").read_text()
    assert 'operator = "http://127.0.0.1:9"' in options
    assert "engine-port = 8430" in options


def test_policies_are_agreed_to_and_shown(scene_at: Open, tmp_path: Path) -> None:
    folder, _ = made(scene_at("dealt"), tmp_path)
    own = Folder(folder)
    agreed, file = policy(own), tmp_path / "custody.json"
    file.write_text(json.dumps(agreed.canonical()))
    result = call("custodian", "agree", file, "--dir", folder)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["policy"] == agreed.hash()
    Store(folder / DATABASE).close()
    shown = json.loads(call("custodian", "status", "--dir", folder, "--json").stdout)
    assert (shown["policies"], shown["deals"]) == ([agreed.hash()], {})
    other = Folder.make(tmp_path / "other")
    file.write_text(json.dumps(policy(other).canonical()))
    refused = call("custodian", "agree", file, "--dir", folder)
    assert refused.exit_code == 2
    assert "does not have the keys of this custodian" in refused.stderr


def test_the_status_is_read_beside_the_process(scene_at: Open) -> None:
    scene = scene_at("receipted")
    party = scene.party(2)
    row = OpeningRow("1c" * 32, FUND, "", "", "refused", "TooEarly: not yet", 0, 0, None, None, scene.clock.seconds)
    party.store.keep_opening(row)
    directory = party.folder.directory
    shown = json.loads(call("custodian", "status", "--dir", directory, "--json").stdout)
    assert (shown["deals"], shown["openings"]) == ({"held": "1"}, {"refused": "1"})
    assert shown["newest"][0]["reason"] == "TooEarly: not yet"
    text = call("custodian", "status", "--dir", directory).stdout
    assert "deals: 1 held" in text
    assert f"{FUND}: opening {'1c' * 8} refused, TooEarly: not yet" in text
    secrets = [(directory / name).read_bytes().hex() for name in ("custodian.key", "storage.key", "encryption.key")]
    assert not any(secret in text + json.dumps(shown) for secret in secrets)


def test_it_does_not_begin_without_keys_or_beside_another(scene_at: Open, tmp_path: Path) -> None:
    scene = scene_at("dealt")
    folder, _ = made(scene, tmp_path)
    (tmp_path / "empty").mkdir()
    trust: list[str | Path] = ["--trust", folder / "trust.json", "--operator", "http://127.0.0.1:9"]
    absent = call("custodian", "serve", "--dir", tmp_path / "empty", *trust)
    assert (absent.exit_code, "custodian init" in absent.stderr) == (2, True)
    wrong = call("custodian", "serve", "--dir", folder, *trust, "--engine-address", "nowhere")
    assert (wrong.exit_code, "HOST:PORT" in wrong.stderr) == (2, True)


@pytest.mark.long
def test_a_process_ends_when_it_is_asked_to(scene_at: Open, tmp_path: Path) -> None:
    """The operator does not answer; that is said, and waited for."""
    folder, _ = made(scene_at("dealt"), tmp_path)
    command = [sys.executable, "-m", "atomic_margin", "custodian", "serve", "--dir", str(folder), "--interval", "0.2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    assert process.stdout.readline().startswith("custodian ")
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (second.returncode, "is used by another custodian" in second.stderr) == (2, True)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "the operator does not answer" in errors
