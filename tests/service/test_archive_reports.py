"""The reports in an archive: what there is, that they are those of the history, and that no other passes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.archives import MANIFEST, ArchiveReader
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol import archive as form
from atomic_margin.service.protocol import replayed as kept
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.archive import README_FILE, ArchiveManifest
from atomic_margin.service.reports import archived as maker
from atomic_margin.service.reports import call, daily, response, settlement
from atomic_margin.service.reports.errors import PricesMissing
from atomic_margin.service.reports.facts import AccountFacts, read_entries
from atomic_margin.service.reports.parts import as_object
from atomic_margin.service.reports.prices import Prices

from .documents import FUND, Json
from .test_archive import archived, changed, cut, refused, verified
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]


def reports_in(path: Path) -> dict[str, bytes]:
    with ArchiveReader(path) as reader:
        return {name: reader.data(name) for name in reader.names() if name.startswith("reports/")}


def shown(files: dict[str, bytes], name: str) -> Json:
    found: Json = json.loads(files[f"reports/{name}.json"])
    return found


def history(world: World) -> tuple[AccountFacts, Prices]:
    """The whole account as `atomic-margin report` reads it, and every tick."""
    entries = [(stored.entry, stored.document) for stored in world.entries()]
    with world.operator.store.unit_of_work() as session:
        ticks = [row.document for row in session.query(Tick)]
    facts = read_entries(entries, Salts(world.operator.account(FUND).seed), world.key)
    return facts, Prices.of(world.terms.schedule, ticks, world.key)


def test_they_are_those_that_a_whole_history_gives(world_at: Open, tmp_path: Path) -> None:
    world = world_at("crash-done")
    path = archived(world, tmp_path / "a.zip")
    files = reports_in(path)
    facts, prices = history(world)
    days = sorted({step.day for step in facts.steps})
    wanted: dict[str, Any] = {f"daily-{day}": daily.daily_statement(facts, prices, day) for day in days}
    for run_id in (f"{FUND}.2", f"{FUND}.4"):
        wanted[f"call-{run_id}"] = call.call_notice(facts, prices, run_id)
        wanted[f"response-{run_id}"] = response.call_response(facts, prices, run_id)
        wanted[f"settlement-{run_id}"] = settlement.settlement_advice(facts, prices, run_id)
    # Of the run that was covered, `larkfield.1`, there is none.
    assert sorted(files) == sorted(f"reports/{name}.{suffix}" for name in wanted for suffix in ("json", "html"))
    assert {name: shown(files, name) for name in wanted} == {name: as_object(made) for name, made in wanted.items()}
    assert b"Margin call notice" in files[f"reports/call-{FUND}.2.html"]
    assert verified(path, world.trust()).reports == len(files)


def test_a_part_has_the_balances_that_it_opens_with(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-done")
    kinds = [stored.entry.body["kind"] for stored in world.entries()]
    first = kinds.index("covered") + 2
    path = cut(world, tmp_path / "a.zip", first)
    files = reports_in(path)
    facts, _ = history(world)
    day = str(facts.step(first).day)
    said, before = shown(files, f"daily-{day}"), facts.before(first)
    assert before is not None
    assert before.free is not None
    opening = {(line["balance"], line["asset"]): int(line["quantity"]) for line in said["opening"]}
    held = {("posted", asset): units for asset, units in before.public.posted.items()}
    held |= {("free", asset): units for asset, units in before.free.items()}
    assert opening == {key: units for key, units in held.items() if units}
    assert [int(event["number"]) for event in said["events"]] == list(range(first, len(kinds) + 1))
    assert f"reports/settlement-{FUND}.2.json" in files
    assert verified(path, world.trust()).reports == len(files)


def test_an_open_run_has_a_notice_without_an_amount(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-open")
    files = reports_in(archived(world, tmp_path / "a.zip"))
    assert {name for name in files if "daily" not in name} == {
        f"reports/call-{FUND}.2.html",
        f"reports/call-{FUND}.2.json",
    }
    said = shown(files, f"call-{FUND}.2")
    assert (said["status"], "amount_usd" in said) == ("answer due", False)


Change = Callable[[dict[str, bytes]], None]
CALL = f"reports/call-{FUND}.2"


def _other(files: dict[str, bytes]) -> None:
    before = files[f"{CALL}.json"]
    files[f"{CALL}.json"] = before.replace(b'"proven"', b'"voided"')
    assert files[f"{CALL}.json"] != before


def _invented(files: dict[str, bytes]) -> None:
    files["reports/daily-2031-01-01.html"] = b"<p>all is well</p>"


def _longer(files: dict[str, bytes]) -> None:
    files[f"{CALL}.html"] += b"<p>and nothing is owed</p>"


def _shorter(files: dict[str, bytes]) -> None:
    files[f"{CALL}.html"] = files[f"{CALL}.html"][:-1]


def _told_otherwise(files: dict[str, bytes]) -> None:
    files[README_FILE] += b"Nobody has to check this.\n"


CHANGES: dict[str, tuple[Change, str, str]] = {
    "a word": (_other, "reports", f"{CALL}.json is another one"),
    "an invented day": (_invented, "reports", "is no report that the entries of the archive give"),
    "a page with more": (_longer, "reports", f"{CALL}.html is another one"),
    "a page with less": (_shorter, "reports", f"{CALL}.html is another one"),
    "a report less": (lambda files: files.pop(f"{CALL}.json") and None, "reports", f"{CALL}.json is missing"),
    "what explains it": (_told_otherwise, "files", "README.txt is another one"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("who", ["operator", "institution"])
def test_no_other_report_passes(world_at: Open, tmp_path: Path, name: str, who: str) -> None:
    world = world_at("fall-done")
    path = archived(world, tmp_path / "a.zip")
    identity = world.operator.identity if who == "operator" else world.funds[FUND].identity
    change, step, reason = CHANGES[name]
    found = refused(changed(path, tmp_path / "b.zip", identity, change), world)
    assert found[0] == step
    assert reason in found[1]


@pytest.mark.parametrize("who", ["operator", "institution"])
def test_who_signed_it_is_said(world_at: Open, tmp_path: Path, who: str) -> None:
    world = world_at("calm-done")
    identity = world.operator.identity if who == "operator" else world.funds[FUND].identity
    path = changed(archived(world, tmp_path / "a.zip"), tmp_path / "b.zip", identity, lambda files: None)
    assert verified(path, world.trust()).signed_by == who


NAMES = [
    "reports/../../../etc/passwd",
    "/etc/passwd",
    "reports/day.html",
    "reports/daily-2026-11-20.json/../../x",
    "reports/daily-2026-11-20.JSON",
    "reports/daily-2026-11-2.json",
    "reports/daily-٢٠٢٦-11-20.json",
    "reports/call-.json",
    "reports/call-a/b.json",
    "reports/call-a\\b.json",
    "reports/call-fund.2.json\n",
    "reports/weekly-fund.2.json",
    f"reports/call-{'a' * 65}.json",
    "Reports/call-fund.2.json",
    "entries.jsonl/",
    "C:\\entries.jsonl",
    MANIFEST,
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_name_is_in_no_archive(world_at: Open, tmp_path: Path, name: str) -> None:
    world = world_at("calm-done")
    path = archived(world, tmp_path / "a.zip")
    with ArchiveReader(path) as reader:
        body = dict(reader.signed.body)
    more = {"name": name, "sha256": "00" * 32, "bytes": "0"}
    body["files"] = sorted([*body["files"], more], key=lambda file: str(file["name"]))
    with pytest.raises(MalformedDocument, match="no file of this name"):
        ArchiveManifest.parse(body)


def test_names_of_reports_are_known() -> None:
    for name in ("daily-2026-11-20.json", "call-fund.2.html", "response-a.2.exact.json", f"settlement-{'a' * 64}.html"):
        assert form.is_report_file(f"reports/{name}")


def test_there_are_no_more_than_is_said(world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("crash-done")
    monkeypatch.setattr(maker, "MAX_REPORTED_RUNS", 1)
    path = archived(world, tmp_path / "a.zip")
    assert {name.split("-", 1)[1] for name in reports_in(path) if "daily" not in name} == {
        f"{FUND}.2.json",
        f"{FUND}.2.html",
    }
    assert verified(path, world.trust()).reports == len(reports_in(path))
    monkeypatch.setattr(maker, "MAX_REPORTED_DAYS", 0)
    assert len(reports_in(archived(world, tmp_path / "b.zip"))) == 6
    monkeypatch.setattr(kept, "MAX_REPORTED_ENTRIES", 3)
    path = archived(world, tmp_path / "c.zip")
    assert reports_in(path) == {}
    assert verified(path, world.trust()).reports == 0


def test_all_files_that_an_archive_may_have_go_into_its_manifest() -> None:
    most = len(form.ARCHIVE_FILES) + 2 * form.MAX_REPORTED_DAYS + 6 * form.MAX_REPORTED_RUNS
    assert most <= form.MAX_ARCHIVE_FILES


def test_a_report_that_cannot_be_made_is_left_out(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("fall-done")

    def missing(*_: object) -> daily.DailyStatement:
        raise PricesMissing("no price of it")

    monkeypatch.setattr(daily, "daily_statement", missing)
    path = archived(world, tmp_path / "a.zip")
    assert not any("daily" in name for name in reports_in(path))
    assert verified(path, world.trust()).reports == 6
    monkeypatch.undo()
    assert refused(path, world)[0] == "reports"


def test_what_is_kept_of_a_document_has_its_hash_and_no_proof(world_at: Open) -> None:
    world = world_at("crash-done")
    for stored in world.entries():
        noted = kept.NotedDocument.of(stored.document, stored.document.body_hash())
        assert noted.body_hash() == stored.document.body_hash()
        assert len(json.dumps(noted.body)) < 20_000
