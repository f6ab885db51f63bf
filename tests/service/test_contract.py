"""The HTTP face and its OpenAPI document say the same: schemathesis, with all of its checks, against a real server.

What a signature covers no generator can make, so a body that is right by its schema may be refused as what it is (401,
403, 404, 409, 413, 422), but never as malformed (400).
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.operator.web.app import create_app

from .documents import FUND
from .test_connections import served
from .world import World

pytestmark = pytest.mark.long

RATES = [f"{name}_{what}" for name in ("reads", "writes", "uploads") for what in ("per_second", "burst")]
WIDE = Limits.parse(dict.fromkeys((*RATES, "connections", "connections_of_a_peer"), "1000000"))
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422]
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("caller", ["operator", "institution", pytest.param("stranger", marks=pytest.mark.slow)])
def test_no_fault_and_no_breach_of_the_contract(world_at: Callable[[str], World], tmp_path: Path, caller: str) -> None:
    world = world_at("fall-done")
    object.__setattr__(world.operator.settings, "limits", WIDE)
    token = {"operator": world.operator.admin_token, "institution": world.funds[FUND].token, "stranger": None}[caller]
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with served(create_app(world.operator, background=False), WIDE) as port:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--max-examples", "8", "--seed", "14"]
        command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color", "--no-shrink"]
        command += ["--generation-database", "none"]
        command += [] if token is None else ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
