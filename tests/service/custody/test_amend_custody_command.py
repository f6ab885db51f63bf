"""`institution amend-custody` against a running agent, and `operator amend` against a running operator."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.institution.app import AgentProcess, create_app
from atomic_margin.service.protocol.custody import CustodyPolicy

from ..documents import FUND
from ..resident import Resident
from ..test_cli_operator import serving
from .conftest import Custody
from .test_amending import other, pin, policy_of

pytestmark = pytest.mark.long

At = Callable[..., Custody]
Desk = Callable[..., Result]


@contextmanager
def desk(resident: Resident) -> Iterator[Desk]:
    """Serve an agent; yield what calls the command with its folder and address."""
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = process._agent = resident.agent
    port, token = free_port(), load_token(resident.folder / "agent.token")
    # Its rounds are the test's.
    server = uvicorn.Server(uvicorn.Config(create_app(process, token), port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started

    def call(*arguments: str | Path) -> Result:
        given = [*map(str, arguments), "--dir", str(resident.folder), "--agent", f"http://127.0.0.1:{port}"]
        result = CliRunner().invoke(app, ["institution", "amend-custody", *given])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    yield call
    server.should_exit = True
    thread.join(20)


def written(folder: Path, policy: CustodyPolicy) -> Path:
    path = folder / "policy.json"
    path.write_text(json.dumps(policy.canonical()))
    return path


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_institution_asks_for_other_custodians_and_the_operator_agrees(custody_at: At, tmp_path: Path) -> None:
    at = custody_at("dealt")
    new = other(at)
    pin(at, at.holders.policy, new)
    with desk(at.resident) as call, serving(at.world) as office:
        asked = printed(call(written(tmp_path, new), "--ticks", "7"))["amendment"]
        shown = office.printed("amend", FUND)
        assert (shown["amendment"], shown["problem"]) == (asked, None)
        body = shown["document"]["body"]
        assert (body["custody"], body["until"]) == (new.canonical(), "7")
        # Nothing is amended before the operator's people agree to just that.
        assert office.call("amend", FUND, "--yes", "1a" * 32).exit_code == 1
        at.resident.agent.answer_due()
        assert policy_of(at) == at.holders.policy.hash()
        office.printed("amend", FUND, "--yes", asked)
    at.resident.agent.answer_due()
    assert policy_of(at) == new.hash()


def test_an_institution_asks_for_none(custody_at: At) -> None:
    at = custody_at("dealt")
    with desk(at.resident) as call, serving(at.world) as office:
        asked = printed(call("--none"))["amendment"]
        assert "custody" not in office.printed("amend", FUND)["document"]["body"]
        office.printed("amend", FUND, "--yes", asked)
    at.resident.agent.answer_due()
    assert policy_of(at) is None


def test_what_is_not_asked_is_named(custody_at: At, tmp_path: Path) -> None:
    at = custody_at("dealt")
    new = other(at)
    path = written(tmp_path, new)
    with desk(at.resident) as call, serving(at.world) as office:
        for arguments in ((), (path, "--none")):
            neither = call(*arguments)
            assert (neither.exit_code, "say which policy is to hold, or --none" in neither.output) == (2, True)
        unpinned = call(path)
        assert (unpinned.exit_code, "does not pin the custody policy" in unpinned.output) == (1, True)
        same = call(written(tmp_path, at.holders.policy))
        assert (same.exit_code, "already" in same.output) == (1, True)
        bent = tmp_path / "bent.json"
        bent.write_text(json.dumps({**new.canonical(), "absent": "9"}))  # type: ignore[dict-item]
        wrong = call(bent)
        assert (wrong.exit_code, "custodians" in wrong.output) == (2, True)
        assert office.call("amend", FUND).exit_code != 0
