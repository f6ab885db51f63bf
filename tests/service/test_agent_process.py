"""The agent's process: admission before keys, keys used again, one agent a directory, backoff, and what ends it."""

import dataclasses
import logging
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from atomic_margin.service.cli.output import EXIT_PERMANENT
from atomic_margin.service.errors import (
    AgentRefused,
    ConfigurationError,
    DiskTooFull,
    NotAdmitted,
    RemoteError,
    ServiceError,
)
from atomic_margin.service.http.serving import listen
from atomic_margin.service.institution import enrolment, key_sets
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.backoff import MAX_RETRY_AFTER_SECONDS, Backoff
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.institution.directory_lock import DirectoryLock
from atomic_margin.service.institution.process import AgentProcess
from atomic_margin.service.institution.store import OwnAnswer, OwnKeys
from atomic_margin.service.operator.accounts import enrolment as admission
from atomic_margin.service.protocol.account.errors import EntryForged, EntryIllegal, EntryUnsent
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import RunState

from .documents import FUND
from .resident import Resident
from .rounds import later as later
from .rounds import lose, mend
from .rounds import resident as resident
from .rounds import residents as residents
from .world import Fund, World

pytestmark = pytest.mark.long


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Resident]:
    """An institution that the operator has not admitted."""
    folder = tmp_path / "institution"
    fund = Fund(FUND, Identity.load_or_create(folder / "identity.key"))
    resident = Resident(World(tmp_path / "operator", Identity.generate(), {FUND: fund}), folder, proofs=False)
    yield resident
    resident.close()


def admit(resident: Resident, identity: str | None = None) -> None:
    world = resident.world
    key = identity or resident.agent.identity.public_key
    admission.admit(world.operator, FUND, "Larkfield", key, world.allowances)


def key_files(resident: Resident) -> list[str]:
    return sorted(path.name for path in resident.folder.glob("fhe-*"))


# Admission before keys


def test_no_keys_are_made_before_the_institution_is_admitted(stranger: Resident) -> None:
    for _ in range(3):
        with pytest.raises(NotAdmitted, match=f"has not admitted 'larkfield' under the identity key {'[0-9a-f]' * 64}"):
            stranger.agent.enrol()
    assert key_files(stranger) == []
    assert stranger.line.sent("/enrolment") == []
    admit(stranger)
    stranger.agent.enrol()
    assert key_files(stranger) == ["fhe-1.keys"]


def test_admission_under_another_key_is_none_and_nobody_learns_of_it(stranger: Resident) -> None:
    other = Identity.generate().public_key
    admit(stranger, other)
    ask = stranger.world.client.get
    said = {
        (name, key): ask(f"/v1/institutions/{name}/admission", params={"identity": key}).json()
        for name in (FUND, "nobody")
        for key in (other, stranger.agent.identity.public_key)
    }
    assert said.pop((FUND, other)) == {"admitted": True}
    assert set(map(str, said.values())) == {"{'admitted': False}"}
    assert ask(f"/v1/institutions/{FUND}/admission", params={"identity": ""}).status_code == 422
    assert ask(f"/v1/institutions/{FUND}/admission").status_code == 422
    with pytest.raises(NotAdmitted):
        stranger.agent.enrol()


# Keys that were not used


def test_keys_that_the_operator_never_got_are_brought_again(stranger: Resident) -> None:
    admit(stranger)
    lose(stranger, "/enrolment", "request")
    for _ in range(4):
        with pytest.raises(RemoteError, match="does not answer"):
            stranger.restarted().enrol()
    assert len(key_files(stranger)) == 1
    made = (stranger.folder / key_files(stranger)[0]).read_text()
    mend(stranger)
    stranger.restarted().enrol()
    assert key_files(stranger) == ["fhe-5.keys"]
    assert (stranger.folder / "fhe-5.keys").read_text() == made
    assert stranger.agent._store.note("unused_keys") == ""


def test_keys_whose_reply_was_lost_are_replaced_at_once_and_deleted(stranger: Resident) -> None:
    admit(stranger)
    lose(stranger, "/enrolment", "reply")
    with pytest.raises(RemoteError, match="does not answer"):
        stranger.agent.enrol()
    (first,) = key_files(stranger)
    made = (stranger.folder / first).read_text()
    mend(stranger)
    stranger.restarted().enrol()
    (last,) = key_files(stranger)
    assert (stranger.folder / last).read_text() != made


def test_keys_with_wrong_known_answers_are_deleted(stranger: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    admit(stranger)

    def wrong(*_: Any) -> None:
        raise AgentRefused("the known answers are wrong")

    with monkeypatch.context() as other:
        other.setattr(enrolment, "_check_known_answers", wrong)
        with pytest.raises(AgentRefused, match="known answers are wrong"):
            stranger.agent.enrol()
    assert key_files(stranger) == []
    stranger.agent.enrol()
    assert len(key_files(stranger)) == 1


def test_no_keys_are_made_without_room_for_them(stranger: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    admit(stranger)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as full:
        full.setattr(key_sets.shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 5 << 20))
        with pytest.raises(DiskTooFull, match=r"has 5 MB free, and new FHE keys take \d+ MB; make room there"):
            stranger.agent.enrol()
    assert key_files(stranger) == []
    stranger.agent.enrol()


def test_files_of_old_keys_are_deleted_and_those_in_use_are_not(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "KEPT_SETS", 2)
    for _ in range(3):
        resident.agent.rotate_keys()
    # The rows stay: they say which keys were this institution's.
    assert len(resident.rows(OwnKeys)) == 4
    public = resident.state.public
    in_use = {row.sequence for row in resident.rows(OwnKeys) if row.evaluation_keys == public.keys}
    assert in_use == {4}
    assert key_files(resident) == ["fhe-3.keys", "fhe-4.keys"]


# One agent


def test_a_second_agent_on_a_directory_is_refused_in_one_line(resident: Resident) -> None:
    assert resident.agent
    with pytest.raises(ConfigurationError) as refused:
        resident.started()
    assert str(refused.value).startswith(f"another agent runs on {resident.folder};")
    resident.agent.close()
    lock = DirectoryLock(resident.folder)
    with pytest.raises(ConfigurationError, match="another agent runs on"):
        resident.started()
    lock.release()
    resident.restarted()


def test_a_directory_of_another_institution_is_refused(resident: Resident) -> None:
    resident.agent.close()
    settings = dataclasses.replace(resident.agent.settings, institution="harbour")
    with pytest.raises(ConfigurationError, match="its institution is larkfield, and harbour is asked for"):
        Agent(settings)
    # What was refused let go of the directory.
    resident.restarted()


def test_errors_of_the_database_name_no_values(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    (row,) = resident.answers
    with pytest.raises(IntegrityError) as refused, resident.agent._store.unit_of_work() as session:
        session.add(
            OwnAnswer(
                run_id=row.run_id, price_sequence=9, run_hash="aa", figures={"surplus_true": "31337"}, stored_at="-"
            )
        )
    assert "UNIQUE constraint failed: answers.run_id" in str(refused.value)
    assert "31337" not in str(refused.value)


def test_a_port_that_is_taken_is_named_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} on 127\.0\.0\.1 is in use: stop what listens"):
            listen("127.0.0.1", port)
    listen("127.0.0.1", port).close()


# Backoff


def test_waits_double_up_to_a_bound_and_are_drawn_from_their_upper_half() -> None:
    backoff = Backoff(first=1, bound=8)
    waits = [backoff.next() for _ in range(6)]
    for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= wait <= most
    backoff.reset()
    assert backoff.next() <= 1
    assert backoff.next(at_least=30) == 30
    assert backoff.next(at_least=10**9) == MAX_RETRY_AFTER_SECONDS


class Scripted:
    """An agent whose rounds go as written; the last part of the script stays."""

    def __init__(self, *script: Exception | None) -> None:
        self.script, self.rounds = list(script), 0
        self.reached = threading.Event()
        self.closed = False

    def enrol(self) -> None:
        pass

    def answer_due(self) -> list[str]:
        self.rounds += 1
        if len(self.script) == 1:
            self.reached.set()
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if step is not None:
            raise step
        return []

    def unfinished(self) -> bool:
        return False

    def standing(self) -> Any:
        return namedtuple("standing", "reminders reminded_in")((), None)

    def close(self) -> None:
        self.closed = True


def started(agent: Scripted, **options: Any) -> AgentProcess:
    process = AgentProcess(lambda stage: agent, backoff=Backoff(0.01, 0.02), **options)  # type: ignore[arg-type,return-value]
    process.start()
    return process


def away() -> RemoteError:
    return RemoteError("the operator does not answer GET /v1/x: [Errno 111] Connection refused; is it running?")


def test_an_operator_that_is_away_is_said_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "atomic_margin.service.institution.process")
    busy = RemoteError("the operator refuses POST /v1/x (503): no reason given", 503)
    agent = Scripted(*(away() for _ in range(4)), busy, busy, None)
    process = started(agent)
    assert agent.reached.wait(10)
    process.stop()
    assert [record.getMessage() for record in caplog.records] == [
        f"RemoteError: {away()}; trying again",
        f"RemoteError: {busy}; trying again",
        "the agent goes on",
    ]
    assert all(record.exc_info is None for record in caplog.records)
    assert (process.problem, process.ended, agent.closed) == (None, None, True)


def test_what_the_operator_asks_to_wait_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = RemoteError("the operator refuses POST /v1/x (429): later", 429)
    busy.retry_after = 30.0
    agent = Scripted(busy, None)
    process = started(agent)
    process.wake()
    assert not agent.reached.wait(0.5)
    assert agent.rounds == 1
    process.stop()


def test_retry_after_is_read_from_the_answer(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic_margin.service.institution import client

    for text, seconds in (("7", 7.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("9" * 40, 0.0), ("-3", 0.0)):
        assert client._remote_error("GET", "/", 429, b"{}", text).retry_after == seconds


def test_a_round_begins_when_somebody_asks_and_not_before_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Scripted(None, None, None)
    process = started(agent, interval=600)
    for rounds in (1, 2):
        wait_for(lambda rounds=rounds: agent.rounds == rounds)  # type: ignore[misc]
        process.wake()
    wait_for(lambda: agent.rounds == 3)
    process.stop()
    assert agent.rounds == 3


def wait_for(good: Callable[[], bool], seconds: float = 10) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if good():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


# What ends it

PERMANENT: list[ServiceError] = [
    ConfigurationError("the operator's model is not the pinned one; agree on it and pin its hash"),
    EntryIllegal("entry 7: no legal event"),
    OperatorContradicts("tick 7: two of one number"),
]
TRANSIENT: list[Exception] = [
    away(),
    NotAdmitted("not admitted"),
    DiskTooFull("no room"),
    EntryForged("the operator answers with no entry of its own"),
    EntryUnsent("entry 7 has an answer that is not in its database"),
    RemoteError("the operator refuses (403)", 403),
    OSError("disk"),
]


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_what_no_waiting_mends_ends_the_agent_with_one_line(
    error: ServiceError, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    agent = Scripted(error)
    process = started(agent, on_end=ended.set)
    assert ended.wait(10)
    process.stop()
    assert agent.rounds == 1
    assert process.ended is not None
    assert str(error) in process.ended
    assert "start the agent again" in process.ended
    assert "\n" not in process.ended
    assert process.problem == process.ended
    assert [record.getMessage() for record in caplog.records] == [f"the agent ends: {process.ended}"]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_what_may_be_mended_does_not_end_it(error: Exception) -> None:
    agent = Scripted(error, error, error, None)
    process = started(agent)
    assert agent.reached.wait(10)
    process.stop()
    assert process.ended is None


def test_a_signature_that_is_refused_before_enrolment_ends_it() -> None:
    class Refused(Scripted):
        def enrol(self) -> None:
            raise RemoteError("the operator refuses POST /enrolment (403): another key", 403)

    process = started(Refused(None))
    wait_for(lambda: process.ended is not None)
    process.stop()
    assert "have the operator admit the key" in str(process.ended)


def test_the_command_ends_with_a_status_of_its_own() -> None:
    # 1 is "refused", 2 is "wrong use": a service manager must not start this one again.
    assert EXIT_PERMANENT == 3


# Receipts and settlements


def test_a_breach_answer_sent_twice_at_once_keeps_its_receipt_and_settlement(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is lost while the operator settles, and what is sent again meets a run that is over."""
    run_id = resident.world.play(2)
    agent, client = resident.agent, resident.agent._client
    honest = client.answer
    conflict = RemoteError("the operator refuses (409): the run takes no answer", 409, {"field": "run_id"})

    def twice(run: str, document: dict[str, Any]) -> Any:
        honest(run, document)
        raise conflict

    monkeypatch.setattr(client, "answer", twice)
    assert agent.answer_due() == [run_id]
    (row,) = resident.answers
    assert (row.superseded, row.entry is not None) == (None, True)
    assert resident.world.states() == {run_id: RunState.SETTLED}
    standing = agent.standing()
    assert standing.last_run is not None
    assert standing.last_run.settlement is not None
    assert standing.last_run.settlement.kind == "margin_call"


# An older copy


def test_an_older_copy_names_what_it_lacks_and_takes_the_settlement_over(resident: Resident, tmp_path: Path) -> None:
    agent = resident.agent
    agent.close()
    shutil.copytree(resident.folder, tmp_path / "older")
    run_id = resident.world.play(2)
    resident.restarted().answer_due()
    agent.close()
    resident.agent.close()
    shutil.rmtree(resident.folder)
    shutil.copytree(tmp_path / "older", resident.folder)
    restored = resident.restarted()
    with pytest.raises(EntryUnsent) as missing:
        restored.answer_due()
    assert f"a breach answer to run {run_id} with this institution's signature" in str(missing.value)
    assert f"`atomic-margin institution adopt --dir {resident.folder}`" in str(missing.value)
    assert "the settlement that followed it is taken over" in str(missing.value)
    assert restored.adopt() == 1
    last = restored.standing().last_run
    assert last is not None
    assert (last.run_id, last.state) == (run_id, "margin called")
    assert last.settlement is not None
    assert restored.history.state == resident.state


def test_an_older_copy_names_the_submission_that_it_lacks(resident: Resident, tmp_path: Path) -> None:
    from .rounds import flat

    resident.agent.close()
    shutil.copytree(resident.folder, tmp_path / "older")
    number = resident.restarted().submit(flat())
    resident.agent.close()
    shutil.rmtree(resident.folder)
    shutil.copytree(tmp_path / "older", resident.folder)
    with pytest.raises(EntryUnsent) as missing:
        resident.restarted().answer_due()
    assert f"submission {number} with this institution's signature" in str(missing.value)
    assert f"`atomic-margin institution submit PORTFOLIO --dir {resident.folder}`" in str(missing.value)
