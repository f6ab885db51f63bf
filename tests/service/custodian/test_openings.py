"""Openings at a real operator, with an engine that a test answers for: stored, sent, proven, verified, signed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.service.custodian import closing
from atomic_margin.service.custodian.computing import check_session
from atomic_margin.service.custodian.engine.errors import EngineStalled
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.errors import FindingRefused, SessionRefused
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.openings import PATIENCE_SECONDS
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.custody import openings, standings
from atomic_margin.service.operator.runs import findings
from atomic_margin.service.operator.store.custody_tables import OpeningBoxRow, OpeningPartRow, OpeningRow
from atomic_margin.service.protocol.account.opening_documents import finding_hash
from atomic_margin.service.protocol.custodian_messages import FindingBrought, OpeningStanding, TakesPart
from atomic_margin.service.protocol.opening_claims import check_verdicts, verify_finding
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND
from .engines import rows, saying, truthful
from .played import DELAY, LISTENS, POINTS, Party, Scene

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]


class Lost(BaseException):
    """The process ends here."""


def asked(scene: Scene) -> str:
    """Ask for the opening once it may be, with everything in a checkpoint that is cosigned now."""
    scene.publish()
    for point in POINTS:
        party = scene.party(point)
        party.reading.look()
        party.close()
    request = scene.ask()
    scene.clock.seconds += DELAY
    scene.publish()
    return request


def rounds(parties: list[Party], count: int = 3) -> None:
    """One after the other: they agree in the first, compute in the second, and the closer proves in the third."""
    for _ in range(count):
        for party in parties:
            party.openings.round()


def standing(scene: Scene) -> OpeningStanding:
    with scene.world.operator.store.reading() as session:
        request = session.query(OpeningRow).one().request
    return standings.standing(scene.world.operator, request)


def row(party: Party, request: str) -> Any:
    found = party.store.opening(request)
    assert found is not None
    return found


def counting(engine: Callable[..., Verdict], calls: list[EngineTask]) -> Callable[[EngineTask, Identity], Verdict]:
    def run(task: EngineTask, identity: Identity) -> Verdict:
        calls.append(task)
        return engine(task, identity)

    return run


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_an_opening_ends_the_run(scene_at: Open, stage: str, tick: int, state: str) -> None:
    scene = scene_at(stage)
    request = asked(scene)
    calls: list[EngineTask] = []
    parties = [scene.party(point, counting(truthful(scene, tick), calls)) for point in POINTS]
    rounds(parties)
    assert scene.world.run(f"{FUND}.{tick}").state == state
    # Three are to compute, of a threshold of two; two verdicts are enough.
    assert {task.point for task in calls} <= {1, 2, 5}
    assert {tuple(one.point for one in task.present) for task in calls} == {(1, 2, 5)}
    assert len({task.hash for task in calls}) == 1
    assert (calls[0].threshold, len(calls[0].maintenance)) == (2, len(rows(scene, "maintenance", tick)))
    assert [party.point for party in parties if row(party, request).verdict is not None] == [1, 2]
    rounds(parties, 1)
    assert {row(party, request).state for party in parties} == {"over"}
    with scene.world.operator.store.unit_of_work() as session:
        replay.check(session, scene.world.key)


def test_a_process_that_ends_before_it_settles_what_was_found_is_replayed(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_at("owed-fall")
    asked(scene)
    monkeypatch.setattr(findings, "settle_in_turn", lambda *_: None)
    rounds([scene.party(point, truthful(scene, 2)) for point in POINTS])
    assert scene.world.run(f"{FUND}.2").state == "breach_verified"
    with scene.world.operator.store.unit_of_work() as session:
        replay.check(session, scene.world.key)


def test_what_is_found_is_proven_and_signed(scene_at: Open) -> None:
    """Until the operator enters it, everything is what anybody can verify."""
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    first = parties[0]
    rounds(parties, 2)
    # Shares of the others' rows came meanwhile.
    first.openings.round()
    signed = row(first, request)
    finding = closing.Finding.parse(signed.finding)
    least = rows(scene, "initial", 2)
    assert finding.initial_row == least.index(min(least))
    assert 0 <= min(least) + finding.top_up < finding.top_up
    judged = first.openings._judged[request]
    verify_finding(finding, judged.ground, first.own.group)
    assert signed.verdict["body"]["finding"] == finding_hash(finding)
    parties[1].client.bring = lambda *_: None  # type: ignore[method-assign]
    parties[1].openings.round()
    verdicts = (signed.verdict, row(parties[1], request).verdict)
    assert check_verdicts(verdicts, finding, scene.policy) == (1, 2)


def test_a_wrong_share_of_a_row_is_named_and_the_others_do(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    for party in parties:
        # Everybody agrees; the session begins with the next round.
        party.openings._in_session = lambda *_: None  # type: ignore[method-assign]
        party.openings.round()
        del party.openings._in_session
    second = parties[1]
    second.openings.round()
    judged, sent = second.openings._judged[request], second.store.found(row(second, request).run)
    assert sent is not None
    shares = closing.own_shares(judged, closing.rows_of(judged, sent))
    wrong = shares._replace(initial=closing.RowShare(2, shares.initial.deal, 7, shares.initial.blinding))
    box = closing.seal_rows(judged, sent, wrong, 1, 1, second.folder.identity)
    with scene.world.operator.store.unit_of_work() as session:
        session.get_one(OpeningBoxRow, (request, 1, 2)).box = box
    parties[2].openings.round()
    parties[0].openings.round()
    assert "the custodian at point 2 sent no share of the row" in caplog.text
    assert row(parties[0], request).finding is not None
    # The operator is told, though the closer went on with the others.
    [accused] = standing(scene).accusations
    assert (accused.session, accused.closer, accused.point) == (1, 1, 2)
    assert accused.reason.startswith("the custodian at point 2 sent no share of the row")


def test_a_closer_without_enough_rows_names_who_sent_wrong_ones(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    send_wrong_rows(monkeypatch)
    rounds(parties, 3)
    given_up = row(parties[0], request)
    assert given_up.reason.startswith("RowShareWrong: wrong shares of rows came from points 2, 5")
    assert standing(scene).finding is None
    assert [(one.closer, one.point) for one in standing(scene).accusations] == [(1, 2), (1, 5)]


def test_a_finding_does_not_wait_for_an_accusation(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    send_wrong_rows(monkeypatch, 2)
    take_part = parties[0].client.take_part

    def refused(named: str, part: TakesPart) -> None:
        if part.accuses:
            raise RemoteError("no place for it", 409)
        take_part(named, part)

    parties[0].client.take_part = refused  # type: ignore[method-assign]
    rounds(parties, 3)
    assert "an accusation is not taken: no place for it" in caplog.text
    assert row(parties[0], request).finding is not None


def send_wrong_rows(monkeypatch: pytest.MonkeyPatch, *points: int) -> None:
    """Have custodians, by default all, sign and send what are no shares of theirs."""
    real = closing.own_shares

    def wrong(judged: Judged, rows_: closing.Rows) -> closing.Sent:
        sent = real(judged, rows_)
        if points and sent.initial.custodian not in points:
            return sent
        return sent._replace(initial=replace(sent.initial, value=7))

    monkeypatch.setattr(closing, "own_shares", wrong)


def test_a_closer_blames_nobody_for_what_nobody_signed(scene_at: Open) -> None:
    """The operator hands out boxes of its own in the names of both others."""
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    for party in parties[1:]:
        party.openings._sealed = lambda *_: bytes(310)  # type: ignore[method-assign]
    rounds(parties, 3)
    assert row(parties[0], request).reason == (
        "RowsUnsigned: shares of rows in the names of points 2, 5 came without their signatures"
    )
    assert standing(scene).accusations == ()


def test_a_closer_that_lies_is_not_followed(scene_at: Open) -> None:
    """It brings that the book is covered; others computed a breach, and sign nothing."""
    scene = scene_at("owed-fall")
    request = asked(scene)
    liar = scene.party(1, saying(Verdict(False)))
    others = [scene.party(point, truthful(scene, 2)) for point in (2, 5)]
    rounds([liar, *others], 3)
    assert row(liar, request).state == "signed"
    for party in others:
        assert row(party, request).verdict is None
        assert row(party, request).reason.startswith("FindingRefused: the finding says covered")
    assert len(standing(scene).verdicts) <= 1
    assert scene.world.run(f"{FUND}.2").state == "unproven"


@pytest.mark.parametrize("change", ["top_up", "breach_proof", "initial_row", "request"])
def test_a_finding_that_does_not_hold_is_not_signed(scene_at: Open, change: str) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    rounds(parties, 2)
    parties[0].openings.round()
    party = parties[2]
    found, judged = party.store.found(row(party, request).run), party.openings._judged[request]
    finding = closing.Finding.parse(row(parties[0], request).finding)
    assert found is not None
    closing.check_finding(judged, found, finding, party.own.group)
    values = {
        "top_up": finding.top_up + 1,
        "breach_proof": finding.lack_proof,
        "initial_row": (finding.initial_row or 0) + 1,
        "request": "1a" * 32,
    }
    changed = finding.model_copy(update={change: values[change]})
    with pytest.raises(FindingRefused):
        closing.check_finding(judged, found, changed, party.own.group)


def test_a_session_that_fails_makes_place_for_another(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    calls: list[EngineTask] = []
    truth = truthful(scene, 1)

    def once(task: EngineTask, identity: Identity) -> Verdict:
        if len(calls) <= 3:
            raise EngineStalled("the time was over", [9])
        return truth(task, identity)

    parties = [scene.party(point, counting(once, calls)) for point in POINTS]
    rounds(parties, 4)
    assert scene.world.run(f"{FUND}.1").state == "covered"
    assert len({task.hash for task in calls}) == 2
    with scene.world.operator.store.reading() as session:
        assert {part.gave_up for part in session.query(OpeningPartRow) if part.point in (1, 2, 5)} >= {1}
    assert row(parties[1], request).session == 2


def test_nothing_else_is_ever_said_of_a_run(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    """A second computation says another row: nothing of it is sent."""
    scene = scene_at("owed-fall")
    request = asked(scene)
    party = scene.party(2, saying(Verdict(True, 0, 0)))
    others = [scene.party(point, truthful(scene, 2)) for point in (1, 5)]
    run = scene.world.run(f"{FUND}.2").record_hash
    party.store.keep_found(run, "1a" * 32, Found(True, 3, 3), 0)
    rounds([*others, party], 2)
    assert row(party, request).reason.startswith("FoundOtherwise")
    assert party.store.found(run) == Found(True, 3, 3)
    boxes = openings.rows_for(scene.world.operator, others[0].folder.identity.public_key, request).boxes
    assert "2" not in boxes


def test_a_process_that_ends_while_it_computes_gives_the_session_up(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)

    def ends(task: EngineTask, identity: Identity) -> Verdict:
        raise Lost

    parties = [scene.party(point, truthful(scene, 1)) for point in (1, 2)]
    third = scene.party(5, ends)
    rounds([*parties, third], 1)
    with pytest.raises(Lost):
        third.openings.round()
    assert (row(third, request).state, row(third, request).session) == ("computing", 1)
    third.close()
    again = scene.party(5)
    again.openings.round()
    assert row(again, request).reason == "SessionOver: the process ended while it computed"
    with scene.world.operator.store.reading() as session:
        assert session.get_one(OpeningPartRow, (request, 5)).gave_up == 1


def test_what_was_found_is_sent_by_the_next_process_without_another_computation(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2)]
    third = scene.party(5, truthful(scene, 2))
    rounds(parties, 1)
    assert standing(scene).session is None

    def cut(*_: object) -> None:
        raise RemoteError("the line is cut")

    third.client.send_rows = cut  # type: ignore[method-assign]
    third.openings.round()
    assert row(third, request).state == "agreed"
    with pytest.raises(RemoteError):
        third.openings.round()
    assert row(third, request).state == "found"
    third.close()
    # This one has no engine that it could start.
    again = scene.party(5)
    again.openings.round()
    boxes = openings.rows_for(scene.world.operator, parties[0].folder.identity.public_key, request).boxes
    assert set(boxes) == {"5"}


def test_a_session_of_which_nothing_comes_is_given_up_in_time(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    others = [scene.party(point) for point in (1, 5)]
    for other in others:
        other.openings._in_session = lambda *_: None  # type: ignore[method-assign]
    party = scene.party(2, truthful(scene, 2))
    rounds([*others, party], 2)
    assert row(party, request).state == "found"
    scene.clock.seconds += LISTENS.seconds + LISTENS.closing_seconds + 1
    party.openings.round()
    assert row(party, request).reason.startswith("SessionOver: nothing came of session 1")


def test_for_how_long_a_closer_is_waited_for_is_an_option(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    others = [scene.party(point) for point in (1, 5)]
    for other in others:
        other.openings._in_session = lambda *_: None  # type: ignore[method-assign]
    listens = LISTENS._replace(closing_seconds=3)
    party = Party(scene, 2, scene.folder / "custodian-2", truthful(scene, 2), listens)
    rounds([*others, party], 2)
    scene.clock.seconds += LISTENS.seconds + 3
    party.openings.round()
    assert row(party, request).reason == ""
    scene.clock.seconds += 1
    party.openings.round()
    assert row(party, request).reason.startswith("SessionOver: nothing came of session 1")


def test_a_session_that_the_policy_does_not_allow_is_refused(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    party = scene.party(2)
    party.openings.round()
    others = [scene.party(point) for point in (1, 5)]
    for other in others:
        other.openings._in_session = lambda *_: None  # type: ignore[method-assign]
    rounds(others, 1)
    shown = party.client.openings()
    session = shown.openings[0].session
    assert session is not None
    for wrong in (
        {"present": session.present[:2]},
        {"present": tuple(reversed(session.present))},
        {"closer": 5},
    ):
        changed = session.model_copy(update=wrong)
        with pytest.raises(SessionRefused, match="session 1"):
            check_session(party.openings._judged[request], changed, 2)


def test_a_refusal_waits_for_what_comes_by_itself_and_is_then_said(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    scene.publish()
    request = scene.ask()
    scene.publish()
    party = scene.party(9)
    party.openings.round()
    assert party.store.opening(request) is None
    scene.clock.seconds += PATIENCE_SECONDS + 1
    scene.publish()
    party.openings.round()
    assert row(party, request).state == "refused"
    assert standing(scene).refusals["9"].startswith("TooEarly: that the answer is overdue was")
    # Nor does it take part later.
    scene.clock.seconds += DELAY
    scene.publish()
    party.openings.round()
    assert row(party, request).state == "refused"


def test_a_refusal_that_did_not_arrive_is_said_again(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    party = scene.party(2)
    for path in (party.folder.directory / "policies").iterdir():
        path.unlink()

    def cut(*_: object) -> None:
        raise RemoteError("the line is cut")

    with monkeypatch.context() as patched:
        patched.setattr(party.client, "refuse", cut)
        with pytest.raises(RemoteError):
            party.openings.round()
    assert row(party, request).state == "refused"
    assert standing(scene).refusals == {}
    party.close()
    scene.party(2).openings.round()
    assert standing(scene).refusals["2"].startswith("RequestInvalid: nobody agreed here")


def test_a_finding_is_brought_by_what_is_stored(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 1)) for point in (1, 2, 5)]
    brought: list[FindingBrought] = []
    parties[0].client.bring = lambda request, one: brought.append(one)  # type: ignore[method-assign]
    rounds(parties, 2)
    stored = row(parties[0], request)
    assert [(one.finding, one.verdict) for one in brought] == [(stored.finding, stored.verdict)]
    parties[0].close()
    again = scene.party(1)
    again.openings.round()
    assert standing(scene).finding == stored.finding
