"""Findings that were invented are void by a proof that everybody checks, and the truth is found after them."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.margin.rows.active_pieces import Tail, certify, shape_of
from atomic_margin.margin.rows.certificate import combined_row
from atomic_margin.service.custodian import closing, voiding
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.errors import FoundOtherwise, NotProven, VoidRefused
from atomic_margin.service.custodian.folder import DATABASE
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.store import Store
from atomic_margin.service.custodian.stored import Found, Kept
from atomic_margin.service.protocol.custodian_messages import OpeningSession
from atomic_margin.service.protocol.opening_voids import OpeningVoid
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND
from .engines import Engine, rows, truthful
from .played import LISTENS, POINTS, Party, Scene, owe
from .test_openings import asked, rounds, row, standing
from .test_slack import Cases, found_of, judged_by
from .test_slack import of_model as of_model

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
LIAR = 1


def highest(scene: Scene, tick: int) -> tuple[int, int]:
    """Rows of both margins that are not negative, of whatever book."""
    found = [rows(scene, kind, tick) for kind in ("maintenance", "initial")]
    assert all(max(values) > 0 for values in found)
    return found[0].index(max(found[0])), found[1].index(max(found[1]))


def deceived(scene: Scene, tick: int, liar: int = LIAR, invented: Verdict | None = None) -> Engine:
    """One custodian invents a breach in all its sessions; others are told the truth in theirs."""
    truth, invented = truthful(scene, tick), invented or Verdict(True, *highest(scene, tick))

    def engine(task: EngineTask, identity: Identity) -> Verdict:
        return invented if any(one.point == liar for one in task.present) else truth(task, identity)

    return engine


def time_over(scene: Scene) -> None:
    scene.clock.seconds += LISTENS.seconds + LISTENS.closing_seconds + 1
    scene.publish()


def played_on(scene: Scene, parties: list[Party], tick: int, state: str, sessions: int = 5) -> None:
    for _ in range(sessions):
        rounds(parties, 4)
        if scene.world.run(f"{FUND}.{tick}").state == state:
            return
        time_over(scene)
    raise AssertionError(f"{scene.world.run(f'{FUND}.{tick}').state}, not {state}")


def silenced(party: Party, voids: int = 0, says: bool = False) -> None:
    """From so many voids of its own on it opens rows and says nothing of them, or only that nothing came of it."""
    find, give_up = party.openings._find, party.openings._give_up

    def honest(run: str) -> bool:
        return len(party.store.voided(run)) < voids

    def silent(row: Any, judged: Judged, kept: Kept, session: OpeningSession) -> Any:
        return find(row, judged, kept, session) if honest(row.run) else None

    def gives_up(request: str, number: int, error: Exception) -> None:
        run = row(party, request).run
        if says or honest(run) or party.store.found(run) is None:
            give_up(request, number, error)

    party.openings._find = silent  # type: ignore[method-assign]
    party.openings._give_up = gives_up  # type: ignore[method-assign]


def run_of(scene: Scene, tick: int) -> str:
    hash_ = scene.world.run(f"{FUND}.{tick}").record_hash
    assert hash_ is not None
    return str(hash_)


def sessions_of(scene: Scene) -> int:
    shown = standing(scene).session
    assert shown is not None
    return int(shown.number)


# Games, with real proofs


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_whoever_invents_in_every_session_is_out_in_the_end(
    scene_at: Open, stage: str, tick: int, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the closer of all of its sessions, and proves what it sees there."""
    scene = scene_at(stage)
    request = asked(scene)
    parties = [scene.party(point, deceived(scene, tick)) for point in POINTS]
    with caplog.at_level(logging.INFO):
        played_on(scene, parties, tick, state)
    run = run_of(scene, tick)
    # Each of the others is with it in two of the sets of three of four, and no more of their rows are shown.
    counts = [len(party.store.voided(run)) for party in parties[1:]]
    assert (counts[:2], counts[2] <= voiding.MAX_VOIDS) == ([voiding.MAX_VOIDS] * 2, True)
    assert all(one.found.breach and one.request == request for one in parties[1].store.voided(run))
    assert caplog.text.count("opening finding void") >= 6
    assert "FindingVoid: what was computed is void: a row that it named is not negative, by a proof" in caplog.text


def test_the_truth_is_found_of_two_runs_one_after_the_other(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    asked(scene)
    played_on(scene, [scene.party(point, deceived(scene, 1)) for point in POINTS], 1, "covered")
    scene.publish()
    owe(scene, 2)
    asked(scene)
    played_on(scene, [scene.party(point, deceived(scene, 2)) for point in POINTS], 2, "settled")


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_a_closer_that_proves_nothing_is_done_without(scene_at: Open, stage: str, tick: int, state: str) -> None:
    """Others that have what it invented open that in their own session, and go on with what they computed there."""
    scene = scene_at(stage)
    asked(scene)
    parties = [scene.party(point, deceived(scene, tick)) for point in POINTS]
    silenced(parties[0])
    rounds(parties, 4)
    time_over(scene)
    rounds(parties, 6)
    assert scene.world.run(f"{FUND}.{tick}").state == state
    assert sessions_of(scene) == 2
    run = run_of(scene, tick)
    assert [len(party.store.voided(run)) for party in parties[1:]] == [1, 1, 0]
    assert {found for party in parties[1:] if (found := party.store.found(run)) is not None} == {
        parties[3].store.found(run)
    }


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_a_closer_that_only_says_that_nothing_came_of_it_is_out_in_the_end(
    scene_at: Open, stage: str, tick: int, state: str
) -> None:
    scene = scene_at(stage)
    asked(scene)
    parties = [scene.party(point, deceived(scene, tick)) for point in POINTS]
    silenced(parties[0], says=True)
    played_on(scene, parties, tick, state)
    voided = [OpeningVoid.parse(one.void) for party in parties for one in party.store.voided(run_of(scene, tick))]
    assert {void.closer for void in voided} == {2}


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_who_has_it_opens_it_where_the_closer_does_not(scene_at: Open, stage: str, tick: int, state: str) -> None:
    """The liar proves what it invented twice, and is silent the third time: the last closer never had that."""
    scene = scene_at(stage)
    asked(scene)
    parties = [scene.party(point, deceived(scene, tick)) for point in POINTS]
    silenced(parties[0], voids=2)
    played_on(scene, parties, tick, state)
    run = run_of(scene, tick)
    assert sessions_of(scene) == 4
    closers = [OpeningVoid.parse(one.void).closer for one in parties[2].store.voided(run)]
    assert closers == [1, 5]


def test_a_breach_that_was_found_before_is_proven_whatever_a_later_session_says(scene_at: Open) -> None:
    """The closer of the first session brings nothing; in the second one custodian denies it."""
    scene = scene_at("owed-fall")
    asked(scene)
    truth = truthful(scene, 2)

    def engine(task: EngineTask, identity: Identity) -> Verdict:
        return truth(task, identity) if any(one.point == LIAR for one in task.present) else Verdict(False)

    parties = [scene.party(point, engine) for point in POINTS]
    silenced(parties[0])
    rounds(parties, 4)
    time_over(scene)
    rounds(parties, 4)
    assert scene.world.run(f"{FUND}.2").state == "settled"
    assert sessions_of(scene) == 2


def test_an_initial_row_that_lacks_nothing_makes_a_finding_void_too(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    asked(scene)
    maintenance = rows(scene, "maintenance", 2)
    invented = Verdict(True, maintenance.index(min(maintenance)), highest(scene, 2)[1])
    parties = [scene.party(point, deceived(scene, 2, liar=5, invented=invented)) for point in POINTS]
    played_on(scene, parties, 2, "settled")
    [voided] = parties[0].store.voided(run_of(scene, 2))[:1]
    assert OpeningVoid.parse(voided.void).kind == "initial"


def test_what_is_negative_and_not_the_least_stands(scene_at: Open) -> None:
    """X is a lower bound then, as it says; nothing is void, and nobody has to compute again."""
    scene = scene_at("owed-fall")
    asked(scene)
    chosen = []
    for kind in ("maintenance", "initial"):
        values = rows(scene, kind, 2)
        chosen.append(values.index(max(value for value in values if value < 0)))
    parties = [scene.party(point, deceived(scene, 2, invented=Verdict(True, *chosen))) for point in POINTS]
    rounds(parties, 4)
    assert scene.world.run(f"{FUND}.2").state == "settled"
    assert sessions_of(scene) == 1


def test_what_two_have_alone_is_not_opened_to_a_third(scene_at: Open) -> None:
    """A restored custodian computes the truth beside one that still has what was invented: nothing is sent."""
    scene = scene_at("owed-calm")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 1)) for point in (1, 2, 5)]
    parties[1].store.keep_found(run_of(scene, 1), request, Found(True, 0, 0), 0, 1, (2, 9))
    rounds(parties, 2)
    assert row(parties[1], request).reason.startswith(f"{FoundOtherwise.__name__}: ")
    assert "too few of this session have that" in row(parties[1], request).reason


def test_more_than_may_be_void_stays(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    monkeypatch.setattr(voiding, "MAX_VOIDS", 0)
    parties = [scene.party(point, deceived(scene, 1)) for point in POINTS]
    rounds(parties, 4)
    assert row(parties[0], request).reason.startswith("TooManyVoids: 0 findings of this run were void before")
    assert all(party.store.voided(run_of(scene, 1)) == [] for party in parties)
    assert standing(scene).voids == ()


# What is stored, sent and shown


def void_in(scene: Scene) -> tuple[list[Party], str, Judged, Kept, OpeningSession, dict[str, Any]]:
    """The closer's proof of what was invented in the first session, and what the others have then."""
    request = asked(scene)
    parties = [scene.party(point, deceived(scene, 1)) for point in (1, 2, 5)]
    rounds(parties, 2)
    kept, judged = parties[2].store.kept(run_of(scene, 1)), parties[2].openings._judged[request]
    assert kept is not None
    rounds(parties[:1], 1)
    session, [void] = standing(scene).session, standing(scene).voids
    assert session is not None
    return parties, request, judged, kept, session, void


def test_it_is_stored_before_it_is_sent_and_sent_by_the_next_process(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    request = asked(scene)
    parties = [scene.party(point, deceived(scene, 1)) for point in (1, 2, 5)]

    class Lost(BaseException):
        pass

    def lost(*_: object) -> None:
        raise Lost

    parties[0].client.bring_void = lost  # type: ignore[method-assign]
    rounds(parties, 2)
    with pytest.raises(Lost):
        parties[0].openings.round()
    assert len(parties[0].store.voided(run_of(scene, 1))) == 1
    assert standing(scene).voids == ()
    parties[0].close()
    again = scene.party(1)
    again.openings.round()
    assert len(standing(scene).voids) == 1
    assert row(again, request).reason.startswith("FindingVoid: ")


def test_no_value_is_in_it_and_the_status_counts_it(scene_at: Open) -> None:
    from .test_commands import call

    scene = scene_at("owed-calm")
    parties, _, _, _, _, void = void_in(scene)
    assert set(void) == {*voiding.VoidClaim.model_fields, "proof"}
    assert len(bytes.fromhex(void["proof"])) < 2000
    parties[1].openings.round()
    directory = parties[1].folder.directory
    shown = json.loads(call("custodian", "status", "--dir", directory, "--json").stdout)
    assert shown["newest"][0]["void"] == "1"
    assert "1 finding void" in call("custodian", "status", "--dir", directory).stdout


# What is refused


def test_what_holds_is_taken(scene_at: Open) -> None:
    parties, _, judged, kept, session, void = void_in(scene_at("owed-calm"))
    assert voiding.check_void(judged, kept, void, session, parties[2].own.group).row == kept.found.maintenance_row


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"request": "1a" * 32}, "about another request"),
        ({"run": "1a" * 32}, "about another run"),
        ({"submission": "1a" * 32}, "about another submission"),
        ({"institution": "harbour"}, "about another institution"),
        ({"operator": "1a" * 32}, "of no such form|about another operator"),
        ({"row": "1"}, "about maintenance row 1, which was not found here"),
        ({"kind": "initial"}, "was not found here|does not hold"),
        ({"session": "2"}, "of session 2"),
        ({"session": "0"}, "of session 0"),
        ({"closer": "9"}, "at point 9 does not compute in session 1"),
        ({"closer": "2"}, "does not hold"),
        ({"proof": "00" * 8}, "does not hold"),
        ({"proof": ""}, "does not hold|of no such form"),
        ({"more": "1"}, "of no such form"),
        ({"kind": "gain"}, "of no such form"),
        ({"row": 0}, "of no such form"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_is_about_something_else_is_refused(scene_at: Open, changed: dict[str, Any], said: str) -> None:
    parties, _, judged, kept, session, void = void_in(scene_at("owed-calm"))
    # Every row of the least number was invented, so only what is changed is wrong.
    with pytest.raises(VoidRefused, match=said):
        voiding.check_void(judged, kept, {**void, **changed}, session, parties[2].own.group)


def test_a_proof_of_another_row_session_or_matrix_is_refused(scene_at: Open) -> None:
    """Each is a proof that holds, of what it is about."""
    scene = scene_at("owed-calm")
    parties, request, judged, kept, session, void = void_in(scene)
    group = parties[2].own.group
    other = kept._replace(found=kept.found._replace(maintenance_row=(kept.found.maintenance_row or 0) ^ 1))
    of_other = proven(parties, request, judged, other, session)
    assert voiding.check_void(judged, other, of_other, session, group).row == other.found.maintenance_row
    for wrong in ({**of_other, "row": void["row"]}, {**void, "proof": of_other["proof"]}):
        with pytest.raises(VoidRefused, match="does not hold"):
            voiding.check_void(judged, kept, wrong, session, group)
    later = session.model_copy(update={"number": 2})
    replayed = {**void, "session": "2"}
    with pytest.raises(VoidRefused, match="does not hold"):
        voiding.check_void(judged, kept, replayed, later, group)
    # What was found in the second session is not void by what was opened in the first.
    with pytest.raises(VoidRefused, match="of session 1, and this was found in session 2"):
        voiding.check_void(judged, kept._replace(session=2), void, later, group)
    # Who missed it takes it later, and after another request too.
    assert voiding.check_void(judged, kept, void, later, group)
    assert voiding.check_void(judged, kept._replace(request="1a" * 32, session=5), void, session, group)


def proven(parties: list[Party], request: str, judged: Judged, kept: Kept, session: OpeningSession) -> dict[str, Any]:
    """What a closer proves of other rows, with everybody's help."""
    sent, group = {}, parties[0].own.group
    first = parties[0].openings._judged[request]
    for party in parties[:2]:
        own = party.openings._judged[request]
        sent[party.point] = closing.own_shares(own, closing.rows_of(own, kept.found))
    opened = closing.open_both(judged, kept.found, sent, group)
    void: Any = voiding.prove_void(first, kept.found, opened, session, group).canonical()
    return dict(void)


def test_nothing_else_than_a_breach_is_void(scene_at: Open) -> None:
    parties, _, judged, kept, session, void = void_in(scene_at("owed-calm"))
    group = parties[2].own.group
    with pytest.raises(VoidRefused, match="that the book is covered"):
        voiding.check_void(judged, kept._replace(found=Found(False)), void, session, group)
    with pytest.raises(VoidRefused, match="nothing is found here"):
        voiding.check_void(judged, None, void, session, group)


def test_a_row_that_is_negative_is_never_void(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    request = asked(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in (1, 2, 5)]
    rounds(parties, 2)
    judged, kept = parties[2].openings._judged[request], parties[2].store.kept(run_of(scene, 2))
    session = standing(scene).session
    assert kept is not None
    assert session is not None
    with pytest.raises(NotProven, match="both rows are negative"):
        proven(parties, request, judged, kept, session)
    # Nor by a closer that says that the row is another one.
    sent = {
        party.point: closing.own_shares(own, closing.rows_of(own, kept.found))
        for party in parties[:2]
        if (own := party.openings._judged[request])
    }
    opened = closing.open_both(judged, kept.found, sent, parties[0].own.group)
    lied = opened._replace(maintenance=closing.RowOpening(-opened.maintenance.value, opened.maintenance.blinding))
    with pytest.raises(NotProven, match="cannot be proven"):
        voiding.prove_void(judged, kept.found, lied, session, parties[0].own.group)


def test_a_custodian_restored_from_an_older_backup_takes_none(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    """It found nothing, as far as it knows: it has nothing to give up, and computes in the next session."""
    scene = scene_at("owed-calm")
    request = asked(scene)
    parties = [scene.party(point, deceived(scene, 1)) for point in (1, 2, 5)]
    third = parties[2]
    third.store.close()
    path = third.folder.directory / DATABASE
    shutil.copy(path, path.with_suffix(".old"))
    third.close()
    parties[2] = scene.party(5, deceived(scene, 1))
    rounds(parties, 2)
    parties[2].close()
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    shutil.copy(path.with_suffix(".old"), path)
    parties[0].openings.round()
    assert len(standing(scene).voids) == 1
    restored = scene.party(5, deceived(scene, 1))
    restored.openings.round()
    assert "VoidRefused: nothing is found here of this run that could be void" in caplog.text
    assert restored.store.voided(run_of(scene, 1)) == []
    assert row(restored, request).session in (0, 1)


@pytest.mark.parametrize("name", ["pmrm", "expected_shortfall"])
def test_a_combined_row_that_certifies_no_breach_is_void(of_model: Cases, name: str) -> None:
    """Of models with slack a custodian that deviates chooses pieces too: the row that they make is what counts."""
    case = of_model(name)
    present = [{"point": str(point), "address": f"127.0.0.1:{point}"} for point in (2, 9)]
    session = OpeningSession.parse({"number": "1", "closer": "2", "present": present})
    right, shape = found_of(case), shape_of(case.exact("maintenance"))
    if isinstance(shape, Tail):
        best = sorted(shape.moves, key=lambda move: -int(case.exact("maintenance").matrix.surplus(case.z)[move]))
        found = right._replace(maintenance_chosen=tuple(best[: len(right.maintenance_chosen or ())]))
    else:
        found = right._replace(**harmless(case))
    judged = {point: with_submission(judged_by(case, point)) for point in (2, 9)}
    sent = {point: closing.own_shares(one, closing.rows_of(one, found)) for point, one in judged.items()}
    opened = closing.open_both(judged[2], found, sent, case.group)
    assert opened.not_negative == "maintenance"
    void: Any = voiding.prove_void(judged[2], found, opened, session, case.group).canonical()
    kept = Kept(found, judged[9].request, 1, (2, 9))
    assert voiding.check_void(judged[9], kept, void, session, case.group).kind == "maintenance"
    # The same row under other pieces is another one.
    chosen = right.maintenance_chosen if isinstance(shape, Tail) else (found.maintenance_chosen or ())[:-1]
    other = kept._replace(found=found._replace(maintenance_chosen=chosen))
    with pytest.raises(VoidRefused, match="does not hold"):
        voiding.check_void(judged[9], other, void, session, case.group)


def with_submission(judged: Judged) -> Judged:
    body = judged.body.model_copy(update={"submission": judged.ground.record.submission})
    return replace(judged, body=body)


def harmless(case: Any) -> dict[str, Any]:
    """A margin row that is not negative with the pieces that say most of it."""
    exact = case.exact("maintenance")
    for index in map(int, exact.margin_rows):
        certificate = certify(exact, case.z, index)
        if certificate.multipliers and combined_row(exact, certificate).value(case.z) >= 0:
            chosen = tuple(row for row, _ in certificate.multipliers)
            return {"maintenance_row": index, "maintenance_chosen": chosen}
    raise AssertionError("every row is negative")


def test_the_store_reads_what_is_void_beside_the_process(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    parties, *_ = void_in(scene)
    beside = Store(parties[0].folder.directory / DATABASE, read_only=True)
    assert [one.found.breach for one in beside.voided(run_of(scene, 1))] == [True]
    beside.close()
