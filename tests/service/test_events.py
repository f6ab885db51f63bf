"""The operator's event streams over real HTTP: order, resumption, who may read what, limits, and how they end."""

import json
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from atomic_margin.service.errors import MalformedRequest, MalformedResponse, RemoteError, TooManyStreams
from atomic_margin.service.http import events as streams
from atomic_margin.service.http.event_lines import read_events
from atomic_margin.service.http.events import Seats, place
from atomic_margin.service.institution.backoff import Backoff
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.following import EventFollower
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.web import live as lively
from atomic_margin.service.operator.web import owed
from atomic_margin.service.operator.web.live import leaves_after
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import FUND, OTHER
from .following import FOLLOW, Follower, get, served, wait_for
from .world import World

pytestmark = pytest.mark.long

MINE = f"/v1/institutions/{FUND}/events"


def shown(follower: Follower, count: int) -> list[tuple[str | None, str]]:
    return [(event.id, event.name) for event in follower.next(count)]


def expected(world: World, after: int = 0, name: str = FUND) -> list[tuple[str, str]]:
    entries = world.entries(name)[after:]
    return [(item.entry.body["number"], item.entry.body["kind"]) for item in entries]


def test_entries_arrive_as_they_are_made_in_order(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    with served(world) as server:
        before = world.operator.account(FUND).entries
        follower = Follower(server.url, MINE, world.auth())
        assert follower.nothing()
        world.play(1)
        run = follower.next(2)
        assert [(event.id, event.name) for event in run] == expected(world, before)
        recorded = json.loads(run[1].data)
        run_id = f"{FUND}.1"
        row = world.run(run_id)
        assert recorded == {
            "number": str(before + 2),
            "kind": "run recorded",
            "sha256": world.entry_of(run_id),
            "subject": row.record_hash,
            "run_id": run_id,
            "deadline": row.deadline,
        }
        world.answer(run_id)
        assert shown(follower, 1) == expected(world, before + 2)
        follower.close()


def test_all_of_it_can_be_had_and_a_request_that_does_not_follow_ends(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    with served(world) as server:
        response = get(server.url + MINE, world.auth(), after=0)
        assert response.headers["content-type"].startswith("text/event-stream")
        found = [(event.id, event.name) for event in read_events(response.text.splitlines())]
        assert found == expected(world)
        nothing = get(server.url + MINE, world.auth())
        assert list(read_events(nothing.text.splitlines())) == []


def test_a_stream_says_no_more_than_the_entries_do(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    with served(world) as server:
        said = get(server.url + MINE, world.auth(), after=0).text
        entries = get(f"{server.url}/v1/institutions/{FUND}/entries", world.auth()).json()["entries"]
        listed = {
            SignedDocument.parse(item["entry"]).body_hash(): (SignedDocument.parse(item["document"]), item)
            for item in entries
        }
        for event in read_events(said.splitlines()):
            data = json.loads(event.data)
            assert set(data) <= {"number", "kind", "sha256", "subject", "run_id", "deadline"}
            document, item = listed.pop(data["sha256"])
            assert data["subject"] == document.body_hash()
            for name in ("number", "kind", "run_id", "deadline"):
                assert data.get(name, "") in json.dumps(item)
        assert listed == {}


def test_a_stream_goes_on_after_the_last_event_and_a_restart_without_gap_or_double(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of three, and a memory of two leaves: what is missing is read from the database."""
    monkeypatch.setattr(lively, "PAGE", 3)
    monkeypatch.setattr(lively, "KEPT", 2)
    world = world_at("submitted")
    seen: list[tuple[str | None, str]] = []
    with served(world) as server:
        port = server.port
        first = Follower(server.url, MINE, world.auth(), after=0)
        seen += shown(first, len(expected(world)))
        world.play(1)
        seen += shown(first, 2)
        world.answer(f"{FUND}.1")
        server.stop()
        seen += [(event.id, event.name) for event in first.rest()]
        # It ended as a stream ends, not as a connection breaks.
        assert first.error is None
        first.close()
    again = world.restarted()
    with served(again, port) as server:
        again.play(2)
        # The place is that of the header, whatever the query says.
        second = Follower(server.url, MINE, again.auth(), {"Last-Event-ID": str(seen[-1][0])}, after=0)
        seen += shown(second, len(expected(again)) - len(seen))
        again.answer(f"{FUND}.2")
        seen += shown(second, 2)
        assert second.nothing()
        second.close()
    reopened = World(again.directory, again.source, again.funds, again.rules, again.terms)
    try:
        assert seen == expected(reopened)
    finally:
        reopened.close()


def test_many_streams_get_the_same_while_entries_are_made(world_at: Callable[[str], World]) -> None:
    world = world_at("two")
    with served(world) as server:
        followers = [Follower(server.url, MINE, world.auth(), after=number) for number in (0, 3)]
        log_before = log_size(world)
        public = Follower(server.url, "/v1/events")
        for number in (1, 2):
            world.play(number)
            world.answer(f"{FUND}.{number}")
        whole = expected(world)
        assert shown(followers[0], len(whole)) == whole
        assert shown(followers[1], len(whole) - 3) == whole[3:]
        leaves = public.next(log_size(world) - log_before)
        assert [event.id for event in leaves] == [str(at) for at in range(log_before, log_size(world))]
        for follower in (*followers, public):
            assert follower.nothing(0.1)
            follower.close()


def test_a_stream_has_the_entries_of_its_own_account_alone(world_at: Callable[[str], World]) -> None:
    """Both accounts have a run at the tick, and the other one has more entries."""
    world = world_at("two")
    with served(world) as server:
        before = world.operator.account(OTHER).entries
        assert before < world.operator.account(FUND).entries
        follower = Follower(server.url, f"/v1/institutions/{OTHER}/events", world.auth(OTHER))
        world.play(1)
        world.answer(f"{FUND}.1")
        mine = expected(world, before, OTHER)
        assert shown(follower, len(mine)) == mine
        assert follower.nothing()
        follower.close()


def test_what_was_read_from_the_database_is_not_told_again_from_memory(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that are made between the two looks are in both."""
    world = world_at("submitted")
    with served(world) as server:
        before = server.live.last
        source = lively.AccountSource(server.live, world.operator, FUND, 0)
        world.play(1)
        wait_for(lambda: server.live.last == log_size(world) - 1)
        monkeypatch.setattr(lively.Live, "last", before)
        assert source.at_hand() is None
        assert [event.id for event in source.read()] == list(range(1, len(expected(world)) + 1))
        assert source.at_hand() == []


def log_size(world: World) -> int:
    with world.operator.store.unit_of_work() as session:
        return log.size(session)


# Who may read what


@pytest.mark.parametrize("path", [MINE, f"/v1/institutions/{OTHER}/events"])
def test_no_stream_of_another_account(world_at: Callable[[str], World], path: str) -> None:
    world = world_at("two")
    other = OTHER if FUND in path else FUND
    with served(world) as server:
        for who in (world.auth(other), None, {"Authorization": "Bearer " + "0" * 64}):
            response = get(server.url + path, who, after=0)
            assert response.status_code == 401
            assert response.headers["content-type"] == "application/problem+json"
        assert get(server.url + path, world.admin, after=0).status_code == 200
        assert get(f"{server.url}/v1/institutions/nobody/events").status_code == 401


def test_the_log_is_told_to_everybody_as_it_stands_and_names_to_staff_alone(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    with served(world) as server:
        url = f"{server.url}/v1/events"
        public, staff = get(url, after=-1).text, get(url, world.admin, after=-1).text
        with world.operator.store.unit_of_work() as session:
            leaves = leaves_after(session, -1, 1000)
        told = [(event.id, event.name, json.loads(event.data)) for event in read_events(public.splitlines())]
        assert told == [
            (str(one.leaf), one.shown["kind"], {"number": str(one.leaf), "leaf": one.shown}) for one in leaves
        ]
        assert FUND not in public
        named = [json.loads(event.data) for event in read_events(staff.splitlines())]
        entries = [one for one in named if "institution" in one]
        assert [one["entry"]["number"] for one in entries] == [number for number, _ in expected(world)]
        assert {one["institution"] for one in entries} == {FUND}
        # An institution is told what everybody is.
        assert get(url, world.auth(), after=-1).text == public


# Places that are none


def test_a_place_beyond_the_newest_is_a_conflict(world_at: Callable[[str], World]) -> None:
    """An operator that was restored from an older backup: whoever saw more is told."""
    world = world_at("submitted")
    newest = world.operator.account(FUND).entries
    with served(world) as server:
        for path, beyond, who in ((MINE, newest + 1, world.auth()), ("/v1/events", log_size(world), None)):
            response = get(server.url + path, who, {"Last-Event-ID": str(beyond)})
            assert response.status_code == 409
            assert f"{beyond} w" in response.json()["detail"]
            kept = get(server.url + path, who, {"Last-Event-ID": str(beyond - 1)})
            assert kept.status_code == 200
        for text in ("x", "1.5", "", "9" * 19, "-1", "--1", "1e3"):
            response = get(server.url + MINE, world.auth(), {"Last-Event-ID": text})
            # The framework itself looks at its form.
            assert response.status_code in (400, 422), text


def test_the_place_is_the_header_then_the_query_then_now() -> None:
    assert place("7", 3, 0) == 7
    assert place(None, 3, 0) == 3
    assert place(None, None, 0) is None
    assert place("-1", None, -1) == -1
    with pytest.raises(MalformedRequest):
        place("-2", None, -1)


# Limits


def test_one_caller_has_so_many_streams_and_no_more(world_at: Callable[[str], World]) -> None:
    world = world_at("two")
    with served(world) as server:
        open_ = [Follower(server.url, MINE, world.auth()) for _ in range(4)]
        refused = get(server.url + MINE, world.auth())
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.json()["type"].endswith("too-many-streams")
        others = Follower(server.url, f"/v1/institutions/{OTHER}/events", world.auth(OTHER))
        open_.pop().close()
        wait_for(lambda: get(server.url + MINE, world.auth()).status_code == 200)
        for follower in (*open_, others):
            follower.close()


def test_seats_are_bounded_in_total_and_given_back() -> None:
    seats = Seats(each=2, total=4)
    for caller in ("a", "a", "b"):
        seats.take(caller)
    with pytest.raises(TooManyStreams, match="2 event streams of this caller"):
        seats.take("a")
    seats.take("b")
    with pytest.raises(TooManyStreams, match="as many event streams are open as there may be"):
        seats.take("c")
    seats.leave("a")
    seats.take("c")
    assert seats.taken == 4


def test_a_client_that_does_not_read_is_dropped_and_others_are_not(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.3)
    caplog.set_level("INFO", "atomic_margin.service.http.events")
    world = world_at("submitted")
    many = [streams.Event(7, "tick", {"padding": "x" * 4000})] * 100
    monkeypatch.setattr(lively.LogSource, "at_hand", lambda _: many)
    with served(world) as server:
        healthy = Follower(server.url, MINE, world.auth())
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            wait_for(lambda: "is dropped: it does not read" in caplog.text)
        world.deposit(FUND, "USDC", 1, "one more")
        assert shown(healthy, 1)[0][1] == "deposited"
        healthy.close()


def test_a_stream_ends_after_a_while_so_that_its_reader_is_looked_at_again(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAM_SECONDS", 0.5)
    world = world_at("submitted")
    with served(world) as server:
        follower = Follower(server.url, MINE, world.auth())
        assert follower.rest() == []
        assert follower.error is None


def test_what_stands_is_said_now_and_then(world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    world = world_at("submitted")
    with (
        served(world) as server,
        httpx.stream("GET", server.url + MINE, headers=FOLLOW, auth=world.auth(), timeout=10) as response,
    ):
        lines = response.iter_lines()
        assert [next(lines) for _ in range(5)] == [": open", "retry: 2000", "", ": alive", ""]


def test_streams_end_at_once_when_the_server_stops(world_at: Callable[[str], World]) -> None:
    world = world_at("submitted")
    with served(world) as server:
        followers = [Follower(server.url, MINE, world.auth()), Follower(server.url, "/v1/events")]
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 3
        for follower in followers:
            assert follower.rest() == []
            assert follower.error is None


def test_an_event_that_is_too_long_is_refused_by_its_reader() -> None:
    with pytest.raises(MalformedResponse, match="over 65536 characters"):
        list(read_events(["data: " + "x" * 70_000]))
    with pytest.raises(MalformedResponse, match="over 65536 characters"):
        list(read_events(["data: xxxx"] * 20_000))


# Reminders


def test_a_run_without_answer_is_reminded_of_at_half_and_at_ninety_per_cent(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import datetime, timedelta, timezone

    world, passed = world_at("submitted"), [0]
    monkeypatch.setattr(owed, "now", lambda: datetime.now(timezone.utc) + timedelta(seconds=passed[0]))
    with served(world) as server:
        before = log_size(world)
        mine = Follower(server.url, MINE, world.auth())
        staff = Follower(server.url, "/v1/events", world.admin)
        public = Follower(server.url, "/v1/events")
        world.play(1)
        mine.next(2)
        for follower in (public, staff):
            follower.next(log_size(world) - before)
        for seconds, percent in ((451, "50"), (811, "90")):
            passed[0] = seconds
            server.live._grew.set()
            (reminder,) = mine.next(1)
            said = json.loads(reminder.data)
            assert (reminder.id, reminder.name) == (None, "reminder")
            assert (said["run_id"], said["percent"]) == (f"{FUND}.1", percent)
            (told,) = staff.next(1)
            assert json.loads(told.data)["institution"] == FUND
        passed[0] = 10_000
        server.live._grew.set()
        # Its time is over, and what is public has no reminders.
        assert all(follower.nothing(0.2) for follower in (mine, staff, public))
        for follower in (mine, staff, public):
            follower.close()


# Who follows


def test_an_agent_is_woken_by_every_entry_and_follows_again_after_a_restart(
    world_at: Callable[[str], World], caplog: pytest.LogCaptureFixture
) -> None:
    logger = "atomic_margin.service.institution.following"
    caplog.set_level("INFO", logger)
    world = world_at("submitted")
    wakes: list[float] = []
    with served(world) as server:
        port = server.port
        client = OperatorClient(server.url, FUND, world.auth())
        follower = EventFollower(
            lambda: client.events(world.operator.account(FUND).entries),
            lambda: wakes.append(time.monotonic()),
            Backoff(0.05, 0.1),
        )
        follower.start()
        wait_for(lambda: follower.connected)
        # Once for what came before the stream stood.
        wait_for(lambda: len(wakes) == 1)
        world.play(1)
        wait_for(lambda: len(wakes) == 3)
        server.stop()
        wait_for(lambda: not follower.connected)
    time.sleep(0.5)
    # A server that stops may have taken it once more, and ended that stream too.
    before = len(wakes)
    world = world.restarted()
    with served(world, port):
        wait_for(lambda: follower.connected)
        wait_for(lambda: len(wakes) > before)
        follower.stop()
        assert not follower._thread.is_alive()
    client.close()
    # One line when it broke, however often it was tried, and one when it stood again.
    broke, stands = (record.getMessage() for record in caplog.records if record.name == logger)
    assert "the operator's event stream broke" in broke
    assert stands == "the event stream stands again"


def test_an_agent_that_may_not_read_the_stream_is_told_why(world_at: Callable[[str], World]) -> None:
    world = world_at("two")
    with served(world) as server:
        client = OperatorClient(server.url, FUND, world.auth(OTHER))
        with (
            pytest.raises(RemoteError, match="refuses GET /v1/institutions/larkfield/events") as refused,
            client.events(0),
        ):
            pass
        assert refused.value.status == 401
        client.close()
        mine = OperatorClient(server.url, FUND, world.auth())
        with pytest.raises(RemoteError, match="entries, and 1000 were seen"), mine.events(1000):
            pass
        mine.close()


def test_a_monitor_is_woken_when_the_log_grew_and_looks_until_a_checkpoint_has_it(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    from atomic_margin.service.cli import log_following

    monkeypatch.setattr(log_following, "SOON_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(log_following, "AGAIN_SECONDS", (0.1,))
    world = world_at("submitted")

    def waited(followers: log_following.LogFollowers, size: int, every: float) -> float:
        began = time.monotonic()
        followers.wait({server.url: size}, every)
        return time.monotonic() - began

    with served(world) as server:
        followers = log_following.LogFollowers([server.url])
        wait_for(lambda: bool(server.live.wakes._streams))
        size = log_size(world)
        # Nothing happened: it waits as long as it may.
        assert waited(followers, size, 0.5) >= 0.5
        world.deposit(FUND, "USDC", 1, "one more")
        assert waited(followers, size, 20) < 10
        # The newest checkpoint does not have it yet.
        assert waited(followers, size, 20) < 10
        assert waited(followers, size + 1, 0.5) >= 0.5
