"""`atomic-margin operator` and `verify-default` on a default, against a running operator."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.operator.accounts import defaults
from atomic_margin.service.protocol.waterfall import WaterfallRules

from .documents import EXAMPLES, FUND
from .test_cli_operator import Office, Running
from .test_cli_operator import running as running
from .test_defaults import BILL, FAIR, LOSS
from .waterfalls import RULES, RULES_JSON, USDC, agreement, with_rules
from .world import World


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    world = with_rules(world_at("crash-open"))
    world.admit("harbour")
    return world


@pytest.fixture
def office(world: World, running: Running) -> Office:
    return running(world)


def test_a_default_by_the_commands(office: Office, world: World, tmp_path: Path) -> None:
    fund = ("fund", str(5_000 * USDC), "--reference")
    assert office.printed(*fund, "f-1", "--institution", "harbour") == {"result": "booked"}
    assert office.call(*fund, "f-1", "--institution", "harbour").exit_code == 1
    assert office.call(*fund, "f-2").exit_code == 2
    assert office.call(*fund, "f-2", "--capital", "--institution", "harbour").exit_code == 2
    assert office.printed(*fund, "f-3", "--capital") == {"result": "booked"}
    assert office.call("waterfall", FUND).exit_code == 1
    world.answer(f"{FUND}.4")
    sale = ("realise", FUND, BILL, "7000000")
    low = office.call(*sale, "7000000", "--reference", "t-1")
    assert low.exit_code == 1
    assert "is the least at tick 4" in json.loads(low.stdout)["detail"]
    assert office.printed(*sale, str(7_000_000 * FAIR), "--reference", "t-1")["body"]["kind"] == "collateral sold"
    assert office.call("agree-loss", FUND).exit_code == 1
    assert office.call("close-out", FUND).exit_code == 1
    document = agreement(world, LOSS)
    asked = world.client.post(f"/v1/institutions/{FUND}/loss", json=document.to_json(), auth=world.auth())
    assert asked.status_code == 202, asked.json()
    shown = office.printed("agree-loss", FUND)
    assert (shown["agreement"], shown["problem"]) == (document.body_hash(), None)
    assert office.printed("agree-loss", FUND, "--yes", shown["agreement"])["body"]["kind"] == "loss agreed"
    before = office.call("waterfall", FUND).stdout
    assert "in_default: 1 sales" in before
    assert "realised 69440.8113" in before
    assert office.printed(*sale, str(7_000_000 * FAIR), "--reference", "t-2")
    assert office.printed("close-out", FUND)["body"]["kind"] == "default closed"
    saved = tmp_path / "default.json"
    table = office.call("waterfall", FUND, "--save", str(saved)).stdout
    drawn = [line.split()[-1] for line in table.splitlines()[2:]]
    assert drawn == [
        "479146000000",
        "0",
        "1000000000",
        "1854000001",
        "0",
    ]
    assert office.printed("waterfall", FUND, "--json")["uncovered"] == "0"
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(world.trust() | {"waterfall": RULES.hash()}))
    verify = ["verify-default", str(saved), "--trust", str(trust)]
    found = CliRunner().invoke(app, verify)
    assert found.exit_code == 0, found.output
    assert "1854000001 of it by other members of the fund and 0 by nobody" in found.output.replace("\n", " ")
    value = json.loads(CliRunner().invoke(app, [*verify, "--json"]).stdout)
    assert (value["valid"], value["sales"], value["uncovered"]) == (True, "2", "0")
    file = json.loads(saved.read_text())
    file["fund"].pop(0)
    saved.write_text(json.dumps(file))
    wrong = CliRunner().invoke(app, [*verify, "--json"])
    assert (wrong.exit_code, json.loads(wrong.stdout)["failed"]) == (1, "fund")
    assert json.loads(wrong.stdout)["not_checked"] == ["waterfall"]
    assert CliRunner().invoke(app, verify).exit_code == 1


def test_only_the_operator_and_the_institution_itself_see_a_default(world: World) -> None:
    world.answer(f"{FUND}.4")
    path = f"/v1/institutions/{FUND}/default"
    assert world.client.get(path).status_code == 401
    for caller in ({"headers": world.admin}, {"auth": world.auth()}):
        assert world.client.get(path, **caller).json()["state"] == "in_default"
    for call in ("sales", "fund", "losses", "close-outs"):
        assert world.client.post(f"/v1/{call}", json={}, auth=world.auth()).status_code == 401
    assert world.client.get("/v1/terms/waterfall").json() == RULES_JSON
    assert world.client.get(f"/v1/institutions/{FUND}/loss", headers=world.admin).status_code == 404
    defaults.add_capital(world.operator, 5, "x")
    assert world.held("capital") == {"USDC": 5}


def test_a_trust_file_pins_waterfall_rules(world: World, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(world.rules.canonical()))
    example = EXAMPLES / "waterfall-rules.json"
    files = {"model": "model-scan", "universe": "universe", "schedule": "collateral-schedule"}
    options = [part for name, file in files.items() for part in (f"--{name}", str(EXAMPLES / f"{file}.json"))]
    asked = ["trust", "--operator", world.key, "--price-rules", str(rules), *options, "--waterfall", str(example)]
    printed = CliRunner().invoke(app, asked)
    assert printed.exit_code == 0, printed.output
    pinned = WaterfallRules.parse(json.loads(example.read_text())).hash()
    assert json.loads(printed.stdout)["waterfall"] == pinned
