"""The HTTP face and its OpenAPI document say the same: schemathesis, with all of its checks, against a real server.

What a signature covers no generator can make, so a body that is right by its schema may be refused as what it is (401,
403, 404, 409, 413, 422), but never as malformed (400).
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.operator.web.app import create_app

from .. import postgres
from .contract_hooks import ADDRESS, IDENTITY, OPERATOR, STRANGER
from .documents import FUND
from .test_connections import served
from .world import World

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
RATES = [f"{name}_{what}" for name in ("reads", "writes", "uploads") for what in ("per_second", "burst")]
WIDE = Limits.parse(dict.fromkeys((*RATES, "connections", "connections_of_a_peer"), "1000000"))
OF_ITS_OWN = f"""
[parameters]
"path.institution" = "{FUND}"
"path.run_id" = "{FUND}.2"
"""
"""Whoever may see something asks about what there is; a stranger asks about everything."""
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422]
"""

EXAMPLES = "2" if postgres.wanted() else "4"
"""Of each call, beside those of the contract and of its limits: the same bodies come as far on both."""


def phases(caller: str) -> str:
    """What is tried; what is at its limits, of every field of every call, on PostgreSQL by staff and sources alone."""
    return "examples,fuzzing" if postgres.wanted() and caller == "institution" else "examples,coverage,fuzzing"


HOOKS = "tests.service.contract_hooks"
# What a stranger is not refused, the others are answered too: once is enough.
CALLERS = ["operator", "institution", "source", *([] if postgres.wanted() else ["stranger"])]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("caller", CALLERS)
def test_no_fault_and_no_breach_of_the_contract(world_at: Callable[[str], World], tmp_path: Path, caller: str) -> None:
    world = world_at("fall-done")
    object.__setattr__(world.operator.settings, "limits", WIDE)
    config = tmp_path / "schemathesis.toml"
    config.write_text(("" if caller == "stranger" else OF_ITS_OWN) + CONFIG)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with served(create_app(world.operator, background=False), WIDE) as port:
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{address}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES, "--seed", "14"]
        command += ["--phases", phases(caller), "--continue-on-failure", "--no-color", "--no-shrink"]
        command += ["--generation-database", "none"]
        if caller == "operator":
            command += ["--header", f"Authorization: Bearer {world.operator.admin_token}"]
        elif caller == "stranger":
            environment[STRANGER] = "1"
        else:
            key = tmp_path / "identity.key"
            identity = world.source if caller == "source" else world.funds[FUND].identity
            key.write_bytes(identity._key.private_bytes_raw())
            environment |= {IDENTITY: str(key), OPERATOR: world.key, ADDRESS: address}
            command += ["--include-path", "/v1/prices"] if caller == "source" else []
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
