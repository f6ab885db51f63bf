"""Figures, health and readiness of an operator, and what is refused while its disk is nearly full."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from atomic_margin.service.errors import OutOfSpace
from atomic_margin.service.operator import disk, health, observation
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.states import RunEvent

from .documents import FUND
from .world import World


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is a new one."""
    monkeypatch.setattr(health, "KEPT_SECONDS", -1.0)


def figures(world: World) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = world.client.get("/metrics", headers=world.admin)
    assert answer.status_code == 200
    return {
        (sample.name.removeprefix("atomic_margin_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_run_shows_in_the_figures(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    before = figures(world)
    assert before["accounts", (("state", "active"),)] == 1
    assert (before["runs_due", ()], before["tick", ()]) == (0, 0)
    world.tick(1)
    due = figures(world)
    assert (due["runs_due", ()], due["tick", ()]) == (1, 1)
    world.evaluate()
    world.answer(f"{FUND}.1")
    after = figures(world)
    assert (after["runs_due", ()], after["runs", (("state", "covered"),)]) == (0, 1)
    for step in ("plan", "evaluate", "record", "verify"):
        assert after["step_seconds_count", (("step", step),)] == 1
    assert after["step_seconds_count", (("step", "settle"),)] == 0
    assert after["tick_to_recorded_seconds_count", ()] == 1
    assert after["log_leaves", ()] > before["log_leaves", ()] > 0
    assert (after["log_published_leaves", ()], after["cosignatures_missing", ()]) == (0, 0)
    assert after["database_bytes", ()] > 10_000
    assert after["disk_free_bytes", ()] > 0
    assert after["ready", ()] == after["workers", ()] == 1


def test_requests_are_counted_by_the_template_of_their_route(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")
    for path in ("/v1/runs/a.1", "/v1/runs/b.2", "/no/such/thing", "/v1/institutions/../../x"):
        world.client.get(path, headers=world.admin)
    world.client.request("BREW", "/coffee")
    counted = {labels: value for (name, labels), value in figures(world).items() if name == "requests_total"}
    routes = {dict(labels)["route"] for labels in counted}
    assert routes <= {"/v1/runs/{run_id}", "unknown", "/metrics"}
    runs = (("method", "GET"), ("route", "/v1/runs/{run_id}"), ("status", "404"))
    assert counted[runs] == 2
    assert {dict(labels)["method"] for labels in counted} == {"GET", "unknown"}


def test_figures_are_for_the_operator_and_name_nobody(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    assert world.client.get("/metrics").status_code == 401
    assert world.client.get("/metrics", auth=world.auth()).status_code == 401
    assert FUND not in world.client.get("/metrics", headers=world.admin).text


def test_an_operator_that_can_work_is_ready(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")
    assert world.client.get("/readyz").json() == world.client.get("/healthz").json()


def test_what_keeps_it_from_its_work_is_said(world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("submitted")
    world.tick(1)
    with world.operator.store.unit_of_work() as session:
        run = session.get_one(Run, f"{FUND}.1")
        move_run(run, RunEvent.TAKEN)
        run.attempts = 1
    assert world.client.get("/readyz").status_code == 200
    clock = observation.time.monotonic()
    monkeypatch.setattr(observation.time, "monotonic", lambda: clock + observation.STUCK_SECONDS + 5)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 17 << 20))
    answer = world.client.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    detail = answer.json()["detail"]
    assert "disk: the operator's disk has 17 MiB left and keeps 1024 free" in detail
    assert "runs: 1 evaluations take longer than they may" in detail
    assert FUND not in answer.text
    shown = figures(world)
    assert (shown["ready", ()], shown["runs_stuck", ()], shown["disk_free_bytes", ()]) == (0, 1, 17 << 20)
    # Alive all the same: nobody restarts a process because its disk is full.
    assert world.client.get("/healthz").status_code == 200


def test_health_waits_for_no_writer_and_begins_no_writing(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")
    begun: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        begun.append(statement)

    event.listen(world.operator.store.engine, "before_cursor_execute", note)
    url = world.operator.store.url.render_as_string(hide_password=False)
    with closing(Store(url)) as other, other.unit_of_work():
        assert world.client.get("/readyz").status_code == 200
        assert world.client.get("/metrics", headers=world.admin).status_code == 200
    assert begun
    assert not [statement for statement in begun if "IMMEDIATE" in statement or "advisory" in statement]


def test_a_database_that_is_away_is_said(world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("bare")
    client = world.client

    def away(*_: object) -> None:
        raise health.DatabaseBusy("it does not answer")

    monkeypatch.setattr(health, "observe", away)
    assert "database: the database does not answer" in client.get("/readyz").json()["detail"]
    assert ("runs_due", ()) not in figures(world)


def test_a_disk_that_is_nearly_full_takes_no_tick_and_no_keys(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    prices, free = world.prices(1), world.operator.settings.min_free_bytes
    world.admit("second")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, free - 1))
    refused = world.client.post("/v1/ticks", json=prices)
    assert (refused.status_code, refused.json()["type"]) == (507, "urn:atomic-margin:problem:out-of-space")
    assert "nothing was stored" in refused.json()["detail"]
    keys = world.funds["second"].keys()
    with pytest.raises(OutOfSpace):
        world.start_enrolment("second", keys)
    assert world.client.get("/v1/ticks").json()["document"] is None
    # Keys are stored twice for a while: once to be tried, once to stay.
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, free + 2 * len(keys) - 1))
    with pytest.raises(OutOfSpace):
        world.start_enrolment("second", keys)
    assert not list((world.directory / "blobs").glob(".new-*"))
    assert world.client.post("/v1/ticks", json=prices).status_code == 202
    monkeypatch.setattr(disk.shutil, "disk_usage", shutil.disk_usage)
    # What is under way goes on, with however little room.
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 0))
    world.evaluate()
    world.answer(f"{FUND}.1")
    assert world.run(f"{FUND}.1").state.value == "covered"


def test_how_much_is_kept_free_is_chosen(world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(world_at("bare").operator.settings, min_free_bytes=5)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(9, 4, 5))
    disk.require_room(settings)
    with pytest.raises(OutOfSpace):
        disk.require_room(settings, 1)


def test_every_figure_is_in_the_operator_s_guide(world_at: Callable[[str], World]) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "operator.md").read_text()
    table = guide.split("figure, `atomic_margin_…`")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", table, re.MULTILINE)
    world = world_at("bare")
    text = world.client.get("/metrics", headers=world.admin).text
    shown = {family.name.removeprefix("atomic_margin_") for family in text_string_to_metric_families(text)}
    # When a counter began, which the library says too.
    shown = {name for name in shown if not name.endswith("_created")}
    assert set(re.findall(r"`([a-z_]+)`", " ".join(rows))) == shown
