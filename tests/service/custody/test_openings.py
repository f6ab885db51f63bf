"""Openings at the operator, end to end but for the computation: what custodians find is entered, settled and shown."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import ConfigurationError, NotOpened
from atomic_margin.service.operator.custody import openings
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import answers, findings
from atomic_margin.service.operator.store.custody_tables import OpeningRow
from atomic_margin.service.protocol import verification
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.verification import VerifiedCoverage

from ..documents import FUND, example_terms, price_rules
from ..rounds import in_step
from ..world import World
from .conftest import Custody, Later
from .opening import Owed

pytestmark = pytest.mark.long

At = Callable[..., Custody]


@pytest.fixture
def owed(custody_at: At, later: Later) -> Owed:
    """A breach that nobody answered, with the opening asked for."""
    return Owed(custody_at("dealt", proofs=True), later, 2).asked()


def test_a_breach_of_a_silent_institution_is_opened_and_settled(owed: Owed) -> None:
    world, holders, request = owed.world, owed.holders, owed.request
    [shown] = holders[5].got("/openings")["openings"]
    assert (shown["institution"], shown["session"]) == (FUND, None)
    assert owed.in_session(9, 2)["session"] is None
    session = owed.in_session(1)["session"]
    assert (session["number"], session["closer"]) == ("1", "1")
    assert [one["point"] for one in session["present"]] == ["1", "2", "9"]
    assert session["present"][2]["address"] == "127.0.0.1:9009"
    for point in (2, 9):
        holders[point].posted(f"/openings/{request}/rows", {"session": "1", "box": "ab" * point})
    assert holders[1].got(f"/openings/{request}/rows") == {"boxes": {"2": "abab", "9": "ab" * 9}}
    finding = owed.breach()
    assert holders[1].bring(finding).status_code == 201
    assert world.run(owed.run_id).state is RunState.UNPROVEN
    assert holders[9].bring(finding).status_code == 201
    assert world.run(owed.run_id).state is RunState.SETTLED
    assert world.state() == AccountState.ACTIVE
    settlement = world.settlements()[owed.run_id]["body"]
    assert (settlement["flag"], settlement["top_up"]) == ("opened", str(finding.top_up))
    # The agent comes back to life: it verifies what was found, and what moved.
    owed.custody.resident.agent.answer_due()
    assert in_step(owed.custody.resident)
    assert owed.custody.resident.agent.contradiction is None
    assert world.bundles() == [owed.run_id]
    assert holders[1].got("/openings") == {"openings": []}


def test_a_book_that_is_covered_owes_nothing_any_more(custody_at: At, later: Later) -> None:
    owed = Owed(custody_at("dealt", proofs=True), later, 1).asked()
    owed.in_session(1, 2, 5)
    finding = owed.covered()
    for point in (1, 2):
        assert owed.holders[point].bring(finding).status_code == 201
    assert owed.world.run(owed.run_id).state is RunState.COVERED
    assert owed.world.state() == AccountState.ACTIVE
    assert owed.world.settlements() == {}
    owed.custody.resident.agent.answer_due()
    assert in_step(owed.custody.resident)


def test_what_was_stored_is_settled_after_a_crash(owed: Owed, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def die(name: str) -> None:
        assert name == "opening-stored"
        raise Died

    owed.in_session(1, 2, 5)
    finding = owed.breach()
    owed.holders[1].bring(finding)
    brought = {"finding": finding.canonical(), "verdict": owed.holders[2].verdict(finding).to_json()}
    body, key = findings.FindingBrought.parse(brought), owed.holders[2].identity.public_key
    monkeypatch.setattr(findings, "fault_point", die)
    with pytest.raises(Died):
        findings.take_finding(owed.world.operator, key, owed.request, body)
    assert owed.world.run(owed.run_id).state is RunState.BREACH_VERIFIED
    assert answers.settle_unfinished(owed.world.operator) == [owed.run_id]
    assert answers.settle_unfinished(owed.world.operator) == []
    assert owed.world.settlements()[owed.run_id]["body"]["flag"] == "opened"


def test_an_answer_that_comes_first_wins(owed: Owed) -> None:
    owed.in_session(1, 2, 5)
    finding = owed.breach()
    owed.holders[1].bring(finding)
    assert owed.custody.resident.agent.answer_due() == [owed.run_id]
    assert owed.world.settlements()[owed.run_id]["body"]["flag"] == "proven"
    response = owed.holders[2].bring(finding)
    assert (response.status_code, response.json()["type"]) == (409, "urn:atomic-margin:problem:opening-over")
    assert openings.sweep(owed.world.operator) == [owed.request]
    assert in_step(owed.custody.resident)


# What is not believed


def test_no_finding_is_entered_that_does_not_verify(owed: Owed) -> None:
    """Two custodians that sign anything move nothing without the proofs."""
    owed.in_session(1, 2, 5)
    finding = owed.breach()
    step = finding.model_copy(update={"top_up": 2 * finding.top_up, "top_up_usd": usd(owed, 2 * finding.top_up)})
    owed.holders[1].bring(step)
    response = owed.holders[2].bring(step)
    assert response.status_code == 422, response.text
    assert owed.world.run(owed.run_id).state is RunState.UNPROVEN
    assert owed.world.settlements() == {}


def usd(owed: Owed, top_up: int) -> str:
    return format(owed.ground.matrices.initial_proof.usd(top_up), "f")


def test_verdicts_are_of_who_computes_and_about_this_finding(owed: Owed) -> None:
    owed.in_session(1, 2, 5)
    finding, holders = owed.covered(), owed.holders
    assert "brings the finding first" in holders[2].bring(finding).json()["detail"]
    for changes in ({"finding": "00" * 32}, {"request": "00" * 32}, {"point": "2"}, {"institution": "other"}):
        assert holders[1].bring(finding, **changes).status_code == 422, changes
    forged = holders[2].verdict(finding).to_json()
    body = {"finding": finding.canonical(), "verdict": forged}
    assert holders[1].call("POST", f"/openings/{owed.request}/finding", json=body).status_code == 403
    assert holders[1].bring(finding).status_code == 201
    # Who does not compute cannot know.
    assert "does not compute in session 1" in holders[9].bring(finding).json()["detail"]
    assert (
        "brings the finding first" in holders[2].bring(finding.model_copy(update={"run": "00" * 32})).json()["detail"]
    )
    assert len(owed.standing()["verdicts"]) == 1


def test_another_account_s_custodian_learns_nothing(owed: Owed) -> None:
    stranger = Identity.generate()
    for path in ("", f"/{owed.request}", f"/{owed.request}/rows"):
        response = owed.world.client.get(f"/v1/custodian/openings{path}", auth=owed.world.signed_by(stranger))
        assert response.status_code == 401


# Sessions, refusals, lapses


def set_times(monkeypatch: pytest.MonkeyPatch, world: World, **seconds: int) -> None:
    monkeypatch.setattr(world.operator, "settings", replace(world.operator.settings, **seconds))


def test_times_of_openings_are_the_operator_s_settings(
    custody_at: At, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = custody_at("dealt")
    set_times(monkeypatch, custody.world, opening_seconds=7200)
    Owed(custody, later, 1).asked()
    with custody.world.operator.store.reading() as session:
        row = session.scalars(select(OpeningRow)).one()
    assert instant(row.lapses_at) - instant(row.asked_at) == timedelta(hours=2)


def test_a_session_that_outlasts_its_opening_is_refused(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "no", price_rules(Identity.generate()), opening_session_seconds=601)
    with pytest.raises(ConfigurationError, match="give opening_seconds room"):
        Operator(settings, example_terms())
    assert not (tmp_path / "no").exists()


def test_a_session_that_comes_to_nothing_makes_place_for_another(owed: Owed) -> None:
    owed.in_session(1, 2, 5, 9)
    holders, request = owed.holders, owed.request
    holders[1].bring(owed.covered())
    assert holders[1].takes_part(request, 1)["session"]["number"] == "1"
    session = holders[2].takes_part(request, 1)["session"]
    assert (session["number"], [one["point"] for one in session["present"]]) == ("2", ["1", "2", "9"])
    # What was found before is worth nothing any more.
    assert (owed.standing()["finding"], owed.standing()["verdicts"]) == (None, [])
    late = holders[5].call("POST", f"/openings/{request}/rows", json={"session": "1", "box": "ab"})
    assert late.json()["type"] == "urn:atomic-margin:problem:opening-over"
    assert holders[5].call("POST", f"/openings/{request}/rows", json={"session": "2", "box": "ab"}).status_code == 409
    assert holders[2].got(f"/openings/{request}/rows") == {"boxes": {}}
    assert holders[5].call("GET", f"/openings/{request}/rows").status_code == 404
    ahead = {"address": "127.0.0.1:1", "session": "7"}
    assert holders[1].call("POST", f"/openings/{request}/part", json=ahead).status_code == 409


def test_a_session_is_over_after_its_time(owed: Owed, monkeypatch: pytest.MonkeyPatch) -> None:
    owed.in_session(1, 2, 5)
    set_times(monkeypatch, owed.world, opening_session_seconds=0)
    assert openings.sweep(owed.world.operator) == []
    assert owed.standing()["session"]["number"] == "2"


def test_who_was_sent_shares_of_rows_accuses_who_sent_them(owed: Owed) -> None:
    owed.in_session(1, 2, 5, 9)
    for point in (2, 5):
        owed.holders[point].posted(f"/openings/{owed.request}/rows", {"session": "1", "box": "ab"})
    path, reason = f"/openings/{owed.request}/part", "the share does not fit"

    def accuse(by: int, point: int, session: int = 1) -> Any:
        said = {"session": str(session), "point": str(point), "reason": reason}
        body = {"address": f"127.0.0.1:{9000 + by}", "accuses": [said]}
        return owed.holders[by].call("POST", path, json=body)

    for by, point, session in ((2, 5, 1), (9, 2, 1), (1, 9, 1), (1, 1, 1), (1, 2, 2)):
        refused = accuse(by, point, session)
        assert (refused.status_code, refused.json()["field"]) == (409, "accuses"), (by, point, session)
    assert owed.standing()["accusations"] == []
    assert accuse(1, 5).status_code == 201
    # Said again: the first time counts.
    reason = "otherwise"
    assert accuse(1, 5).status_code == 201
    owed.holders[1].takes_part(owed.request, 1)
    # Of a session that another one took the place of, it is known still.
    owed.holders[2].takes_part(owed.request, 1)
    assert owed.standing()["session"]["number"] == "2"
    assert accuse(1, 2).status_code == 201
    assert owed.standing()["accusations"] == [
        {"session": "1", "closer": "1", "point": "2", "reason": "otherwise"},
        {"session": "1", "closer": "1", "point": "5", "reason": "the share does not fit"},
    ]


def test_too_many_refusals_end_an_opening(owed: Owed) -> None:
    owed.holders[1].posted(f"/openings/{owed.request}/refusal", {"reason": "TooEarly: my clock says so"})
    assert owed.standing()["refusals"] == {"1": "TooEarly: my clock says so"}
    body = {"address": "127.0.0.1:1"}
    assert owed.holders[1].call("POST", f"/openings/{owed.request}/part", json=body).status_code == 409
    owed.holders[9].posted(f"/openings/{owed.request}/refusal", {"reason": "RolledBack"})
    [entry] = [one for one in owed.world.entries() if one.document.type == "opening-lapse"]
    assert entry.document.body["reason"] == "refused"
    assert owed.ask().status_code == 201


def test_an_opening_of_which_nothing_came_lapses_and_the_account_goes_on(
    custody_at: At, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = custody_at("dealt", proofs=True)
    set_times(monkeypatch, custody.world, opening_seconds=0)
    owed = Owed(custody, later, 1).asked()
    # No run begins while it is open, and the one that is due is not lost.
    owed.world.tick(2)
    assert owed.world.evaluate() is None
    assert owed.world.run(f"{FUND}.2").state is RunState.SCHEDULED
    assert openings.sweep(owed.world.operator) == [owed.request]
    assert [one.document.body["reason"] for one in owed.world.entries() if one.document.type == "opening-lapse"] == [
        "too few custodians"
    ]
    assert owed.world.evaluate() == f"{FUND}.2"


def test_what_cannot_be_opened_is_named(custody_at: At, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = custody_at("dealt")
    world = custody.world
    nothing = world.client.post("/v1/openings", json={"institution": FUND}, headers=world.admin)
    assert (nothing.status_code, nothing.json()["detail"][:16]) == (409, "no run is owed o")
    owed = Owed(custody, later, 1)
    with monkeypatch.context() as slack:
        slack.setattr(Terms, "has_exact", property(lambda _: True))
        frozen = owed.ask()
        assert (frozen.status_code, frozen.json()["type"].rpartition(":")[2]) == (422, "not-opened")
        assert "no exact rows at this tick" in frozen.json()["detail"]
    with monkeypatch.context() as vault:
        vault.setattr(world.operator.rail, "holds", lambda institution: institution == FUND)
        with pytest.raises(NotOpened, match="vault"):
            openings.ask(world.operator, FUND)
    assert owed.ask().status_code == 201
    assert owed.ask().status_code == 409
    shown = world.client.get("/v1/openings", headers=world.admin).json()["openings"]
    assert [one["institution"] for one in shown] == [FUND]


def test_of_one_book_no_more_openings_are_asked_than_its_policy_allows(
    custody_at: At, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = custody_at("dealt")
    set_times(monkeypatch, custody.world, opening_seconds=0)
    owed = Owed(custody, later, 1)
    for _ in range(3):
        assert owed.ask().status_code == 201
        openings.sweep(owed.world.operator)
    assert "no more is allowed" in owed.ask().json()["detail"]


def test_an_operator_that_forges_what_custodians_found_is_found_out(
    owed: Owed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It enters twice the top-up without looking; the agent does, and keeps what the operator signed."""
    owed.in_session(1, 2, 5)
    found, record = owed.breach(), owed.ground.record
    forged = found.model_copy(update={"top_up": 2 * found.top_up, "top_up_usd": usd(owed, 2 * found.top_up)})
    covered = VerifiedCoverage(record, owed.ground.run_hash, "00" * 32, verification._SEAL)
    monkeypatch.setattr(findings.opened, "verify", lambda *_: covered)
    monkeypatch.setattr(findings, "attest", lambda *_: None)
    owed.holders[1].bring(forged)
    assert owed.holders[2].bring(forged).status_code == 201
    agent = owed.custody.resident.agent
    with pytest.raises(EntryIllegal, match="custodians are said to have opened the book"):
        agent.answer_due()
    assert agent.contradiction is not None
