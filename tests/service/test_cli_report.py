"""`atomic-margin report`: from files and from a running operator, in every form, and what it does not make."""

import importlib.util
import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader
from typer.testing import CliRunner, Result

from atomic_margin.margin.collateral.schedule import Asset
from atomic_margin.service.cli import extras, report_sources
from atomic_margin.service.cli.main import app
from atomic_margin.service.files import write_json
from atomic_margin.service.reports import call, cdm, daily, iso20022, response, settlement
from atomic_margin.service.reports.errors import NothingToReport, ReportError
from atomic_margin.service.reports.page import Page, Table
from atomic_margin.service.reports.parts import as_object
from atomic_margin.service.reports.pdf import pdf

from .documents import FUND
from .test_cli_operator import serving
from .test_reports import CALM, CRASH, FALL, day_of, prices, released, ticks, whole
from .world import World

ROOT = Path(__file__).resolve().parents[2]
HAS_CDM = importlib.util.find_spec("finos") is not None


class Desk:
    """Whoever makes reports from files."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        write_json(folder / "history.json", released(world))
        write_json(folder / "schedule.json", world.terms.schedule.canonical())
        write_json(folder / "trust.json", world.trust())
        for name in ("ticks", "bundles"):
            (folder / name).mkdir()
        for number, tick in enumerate(ticks(world)):
            write_json(folder / "ticks" / f"{number}.json", tick)
        for run_id in world.bundles():
            write_json(folder / "bundles" / f"{run_id}.json", world.bundle(run_id))

    @property
    def given(self) -> list[object]:
        return ["--history", self.folder / "history.json", "--bundles", self.folder / "bundles"]

    def call(self, *arguments: object) -> Result:
        result = CliRunner().invoke(app, ["report", *map(str, arguments)])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def made(self, *arguments: object) -> str:
        result = self.call(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: object) -> str:
        result = self.call(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return " ".join(str(result.stderr).split())


@pytest.fixture
def desk(world_at: Callable[[str], World], tmp_path: Path) -> Desk:
    return Desk(world_at("crash-done"), tmp_path)


def test_every_report_is_made_in_every_form(desk: Desk) -> None:
    facts = whole(desk.world)
    day, (year, week, _) = day_of(facts), day_of(facts).isocalendar()
    for arguments in (
        ["call", FALL],
        ["response", CALM],
        ["settlement", CRASH],
        ["daily", "--day", day],
        ["weekly", "--week", f"{year}-W{week:02d}", "--class", f"{FUND}=futures"],
    ):
        value = json.loads(desk.made(*arguments, *desk.given, "--json"))
        assert value["format"] == f"atomic-margin/report-{arguments[0]}/1"
        for suffix in ("json", "html", "pdf"):
            desk.made(
                *arguments, *desk.given, "--trust", desk.folder / "trust.json", "--out", desk.folder / f"r.{suffix}"
            )
        assert json.loads((desk.folder / "r.json").read_text()) == value
        assert (desk.folder / "r.html").read_text().startswith("<!DOCTYPE html>")
        text = "".join(page.extract_text() for page in PdfReader(desk.folder / "r.pdf").pages)
        shown = desk.made(*arguments, *desk.given)
        for word in (value.get("institution", "futures"), value["operator"]):
            assert word in text
            assert word in shown


def test_the_same_page_is_the_same_pdf_and_hostile_names_are_texts_in_it() -> None:
    hostile = '<b>&amp;<para alignment="right">'
    page = Page(
        "T", hostile, ((hostile, hostile),), (Table("c", ("d", "e"), ((hostile, "1"),), frozenset({1})),), (hostile,)
    )
    assert pdf(page) == pdf(page)
    text = "".join(one.extract_text() for one in PdfReader(BytesIO(pdf(page))).pages)
    assert "".join(text.split()).count("".join(hostile.split())) >= 4


def test_a_long_day_has_pages_with_the_headers_of_its_table() -> None:
    rows = tuple((str(number), "x" * 64) for number in range(200))
    pages = PdfReader(BytesIO(pdf(Page("T", "s", (), (Table("c", ("Entry", "Document"), rows),))))).pages
    assert len(pages) > 2
    assert all("Document" in page.extract_text() for page in pages)


def test_a_schedule_and_ticks_do_instead_of_bundles(desk: Desk) -> None:
    given = ["--history", desk.folder / "history.json", "--tick", desk.folder / "ticks"]
    assert "--schedule" in desk.refused("call", FALL, *given)
    by_files = desk.made("call", FALL, *given, "--schedule", desk.folder / "schedule.json", "--json")
    assert by_files == desk.made("call", FALL, *desk.given, "--json")


def test_a_running_operator_is_asked(desk: Desk) -> None:
    day = day_of(whole(desk.world)).isoformat()
    with serving(desk.world) as office:
        asked = ["--operator", office.url, "--dir", desk.world.directory, "--account", FUND, "--json"]
        said = json.loads(desk.made("daily", "--day", day, *asked))
        assert said == as_object(
            daily.daily_statement(whole(desk.world), prices(desk.world), day_of(whole(desk.world)))
        )
        assert said["free_known"] == "yes"
        other = [*asked[:-2], "nobody", "--json"]
        assert desk.call("daily", "--day", day, *other).exit_code == 1


def test_an_operator_is_asked_for_the_ticks_that_are_needed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last tick of the day counts, whatever entries came after it; and a run has one tick."""
    world, today = desk.world, day_of(whole(desk.world))
    asked: list[str] = []

    def noted(command: str, method: str, url: str, **more: Any) -> Any:
        asked.append(url.partition("/v1/ticks/")[2])
        return call_over_http(command, method, url, **more)

    call_over_http = report_sources.call_over_http
    monkeypatch.setattr(report_sources, "call_over_http", noted)
    world.tick(1, sequence="5", as_of="2026-11-20T23:00:00Z")
    with serving(world) as office:
        given = ["--operator", office.url, "--dir", world.directory, "--account", FUND, "--json"]
        desk.made("call", FALL, *given)
        assert [number for number in asked if number] == ["2"]
        said = json.loads(desk.made("daily", "--day", today, *given))
    assert (said["prices"]["sequence"], whole(world).steps[-1].entry.market_sequence) == ("5", 4)


def test_what_cannot_be_made_is_said_in_a_sentence(desk: Desk) -> None:
    out = desk.folder / "r"
    assert "no margin call" in desk.refused("call", CALM, *desk.given)
    assert ".json, .html or .pdf" in desk.refused("call", FALL, *desk.given, "--out", f"{out}.docx")
    assert ".json or .xml" in desk.refused("call", FALL, *desk.given, "--iso", "--out", f"{out}.pdf")
    assert "two forms" in desk.refused("call", FALL, *desk.given, "--iso", "--cdm")
    assert "give --history" in desk.refused("call", FALL)
    assert "--dir" in desk.refused("call", FALL, "--operator", "http://127.0.0.1:1")
    assert "other" in desk.refused("call", FALL, *desk.given, "--account", "other")
    assert "2026-11-28" in desk.refused("daily", "--day", "tomorrow", *desk.given)
    assert "2026-11-28" in desk.refused("daily", "--day", "0001-01-01", *desk.given)
    assert "2026-W48" in desk.refused("weekly", "--week", "9999-W52", *desk.given)
    assert "no entry by the end of 0001-01-02" in desk.refused("daily", "--day", "0001-01-02", *desk.given)
    assert "NAME=CLASS" in desk.refused("weekly", "--week", "2026-W48", *desk.given, "--class", "nobody=futures")
    write_json(desk.folder / "trust.json", desk.world.trust() | {"schedule": "00" * 32})
    assert "schedule is another" in desk.refused("call", FALL, *desk.given, "--trust", desk.folder / "trust.json")
    assert not list(desk.folder.glob("r.*"))


def test_a_pdf_without_its_library_names_the_extra(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "reports", ("no_such_module",))
    assert "atomic-margin[reports]" in desk.refused("call", FALL, *desk.given, "--out", desk.folder / "r.pdf")
    assert not (desk.folder / "r.pdf").exists()


def objects(world: World) -> list[tuple[str, dict[str, Any]]]:
    """Every object of the CDM that reports of the story have."""
    facts, at = whole(world), prices(world)
    called, answered = call.call_notice(facts, at, FALL), response.call_response(facts, at, FALL)
    settled = settlement.settlement_advice(facts, at, FALL)
    day = daily.daily_statement(facts, at, day_of(facts))
    return [
        (cdm.ISSUANCE, cdm.issuance(called)),
        (cdm.RESPONSE, cdm.response(answered, settled, at)),
        (cdm.PORTFOLIO, cdm.portfolio(settled, at)),
        (cdm.PORTFOLIO, cdm.portfolio(day, at)),
    ]


@pytest.mark.long
def test_objects_of_the_cdm_are_those_of_its_model(world_at: Callable[[str], World]) -> None:
    found = objects(world_at("fall-done"))
    assert [value["callAmountInBaseCurrency"]["unit"] for name, value in found if name == cdm.ISSUANCE] == [
        {"currency": "USD"}
    ]
    if not HAS_CDM:
        pytest.skip("NOT CHECKED against the model of the CDM: finos-cdm is not installed, it wants Python 3.11")
    for name, value in found:
        assert type(cdm.checked(name, value)).__name__.endswith(name)
    for position in (cdm._position("USD", kind, "1.50") for kind in get_args(Asset.model_fields["kind"].annotation)):
        cdm.checked(name, value | {"collateralPosition": [position]})
    with pytest.raises(ReportError, match="CASH is the code of none"):
        cdm.checked(name, value | {"collateralPosition": [cdm._position("CASH", "cash", "1.50")]})
    name, value = found[0]
    for change in (
        {"regMarginType": "none"},
        {"callAmountInBaseCurrency": None},
        {"callAmountInBaseCurrency": {"value": "1", "unit": {}}},
        {"callAgreementType": {"agreementType": "CreditSupportAgreement", "otherAgreement": "x"}},
        {"amount": "1"},
        {"party": {"partyId": [{"identifier": "x"}]}},
    ):
        changed = {key: item for key, item in (value | change).items() if item is not None}
        with pytest.raises(ReportError, match="no MarginCallIssuance"):
            cdm.checked(name, changed)


def test_what_has_no_object_and_no_message_is_said(world_at: Callable[[str], World]) -> None:
    world = world_at("crash-done")
    facts, at = whole(world), prices(world)
    covered = response.call_response(facts, at, CALM)
    with pytest.raises(NothingToReport, match="covered"):
        iso20022.response(covered)
    with pytest.raises(NothingToReport, match="liquidation"):
        cdm.response(response.call_response(facts, at, CRASH), settlement.settlement_advice(facts, at, CRASH), at)


def test_an_open_call_has_no_amount_that_a_message_could_state(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-open")
    notice = call.call_notice(whole(world), prices(world), FALL)
    for form in (cdm.issuance, iso20022.request):
        with pytest.raises(NothingToReport, match="no proven amount yet"):
            form(notice)


_OF_BOTH = ["TxId", "Oblgtn", "Agrmt"]
_DETAILS = ["MrgnDtlsDueToA", "MrgnDtlsDueToB"]
_EXPECTED = ["RqrmntDtlsDueToA", "RqrmntDtlsDueToB", "XpctdCollDueToA", "XpctdCollDueToB", "MrgnCallDtls"]
REQUEST_ORDER = [*_OF_BOTH, "MrgnCallRslt", *_DETAILS, *_EXPECTED, "SplmtryData"]
RESPONSE_ORDER = [*_OF_BOTH, *_DETAILS, "AgrdAmtDueToA", "AgrdAmtDueToB", "RspnDtls", "SplmtryData"]
OBLIGATION_ORDER = ["PtyA", "SvcgPtyA", "PtyB", "SvcgPtyB", "CollAcctId", "BlckChainAdrOrWllt", "XpsrTp", "ValtnDt"]
"""Elements of colr.003.001.05 and colr.004.001.05, in the order of the schemas."""


@pytest.mark.parametrize(
    ("command", "message", "root", "order", "needed"),
    [
        ("call", iso20022.REQUEST, "MrgnCallReq", REQUEST_ORDER, {"TxId", "Oblgtn", "MrgnCallRslt"}),
        ("response", iso20022.RESPONSE, "MrgnCallRspn", RESPONSE_ORDER, {"TxId", "Oblgtn"}),
    ],
)
def test_messages_have_the_elements_of_the_schema_in_its_order(
    desk: Desk, command: str, message: str, root: str, order: list[str], needed: set[str]
) -> None:
    path = desk.folder / "m.xml"
    desk.made(command, FALL, *desk.given, "--iso", "--out", path)
    document = ElementTree.fromstring(path.read_text())  # noqa: S314  # our own
    inside = "{urn:iso:std:iso:20022:tech:xsd:" + message + "}"
    assert document.tag == f"{inside}Document"
    (content,) = document
    assert content.tag == inside + root
    names = [element.tag.removeprefix(inside) for element in content]
    assert names == [name for name in order if name in names]
    assert needed <= set(names)
    parts = [element.tag.removeprefix(inside) for element in content.find(f"{inside}Oblgtn") or ()]
    assert parts == [name for name in OBLIGATION_ORDER if name in parts]
    assert {"PtyA", "PtyB", "ValtnDt"} <= set(parts)
    for element in document.iter():
        assert len(element.text or "") <= 35
    amounts = [element.text for element in document.iter() if element.get("Ccy") == "USD"]
    facts = whole(desk.world)
    (breach,) = (step for step in facts.about_run(FALL) if step.kind == "breach proven")
    assert amounts[0] == f"{breach.body['top_up_usd']}.00"


def names_in(value: Any) -> set[str]:
    """Every name of a field or element, and every text, in what a report is said in."""
    if isinstance(value, dict):
        return set(value) | {name for item in value.values() for name in names_in(item)}
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    return {str(value)}


def test_the_table_of_names_is_what_is_filled(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    facts, at = whole(world), prices(world)
    called, answered = call.call_notice(facts, at, FALL), response.call_response(facts, at, FALL)
    in_cdm = {name for _, value in objects(world) for name in names_in(value)}
    in_iso = names_in(iso20022.request(called)) | names_in(iso20022.response(answered))
    table = (ROOT / "docs" / "reports.md").read_text().split("| in the report |")[1].split("\n\n")[0]
    empty = ("nobody knows it", "in the agreement")
    compared = 0
    for line in table.splitlines()[2:]:
        said, model, message = (cell.strip() for cell in line.strip("|").split("|"))
        for cell, filled in ((model, in_cdm), (message, in_iso)):
            for name in (part for path in re.findall(r"`([^`]+)`", cell) for part in path.split("/")):
                assert (name in filled) != said.startswith(empty), name
                compared += 1
    assert compared > 40
