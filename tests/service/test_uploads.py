"""Uploads: in parts, on disk, resumed, bounded, and with the hash of their name or not at all."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest

from atomic_margin.service.errors import Conflict, NotFound, QuotaExceeded, Refused, RemoteError, TooLarge
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.institution import uploading
from atomic_margin.service.operator.runs import pruning
from atomic_margin.service.operator.runs.pruning import PruningRounds
from atomic_margin.service.operator.store import uploads as stored
from atomic_margin.service.operator.store.uploads import Uploads
from atomic_margin.service.protocol.upload_messages import UploadView

from .documents import FUND
from .world import World

DATA = bytes(range(256)) * 40
HASH = hashlib.sha256(DATA).hexdigest()
LONGEST = 1 << 20
PATH = f"/v1/institutions/{FUND}/uploads"
PROBLEM = "application/problem+json"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Uploads:
    return opened(tmp_path, clock)


def opened(tmp_path: Path, clock: Clock, **limits: str) -> Uploads:
    return Uploads(tmp_path / "uploads", Limits.parse(limits), LONGEST, clock)


def append(uploads: Uploads, offset: int, data: bytes, institution: str = FUND, sha256: str = HASH) -> int:
    writer = uploads.append(institution, sha256, offset)
    try:
        writer.write(data)
    finally:
        at = uploads.finish(institution, writer)
    return at.offset


def put(uploads: Uploads, data: bytes, institution: str = FUND) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    uploads.declare(institution, sha256, len(data))
    append(uploads, 0, data, institution, sha256)
    return sha256


def test_parts_make_a_whole_file(uploads: Uploads) -> None:
    assert uploads.declare(FUND, HASH, len(DATA)).offset == 0
    assert append(uploads, 0, DATA[:5000]) == 5000
    with pytest.raises(Conflict, match="5000 of 10240"):
        uploads.whole(FUND, HASH, "evaluation_keys")
    assert append(uploads, 5000, DATA[5000:]) == len(DATA)
    path = uploads.whole(FUND, HASH, "evaluation_keys")
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o077 == 0
    # Once more is the same file.
    assert uploads.declare(FUND, HASH, len(DATA)).offset == len(DATA)


@pytest.mark.parametrize("offset", [0, 4999, 5001, len(DATA)])
def test_bytes_go_to_where_the_file_is_and_nowhere_else(uploads: Uploads, offset: int) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    append(uploads, 0, DATA[:5000])
    with pytest.raises(Conflict, match="5000 of 10240") as caught:
        uploads.append(FUND, HASH, offset)
    assert caught.value.field == "offset"
    assert append(uploads, 5000, DATA[5000:]) == len(DATA)


def test_other_bytes_than_were_declared_are_refused_and_removed(uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    with pytest.raises(Refused, match="another hash"):
        append(uploads, 0, DATA[:-1] + b"\x00")
    with pytest.raises(NotFound):
        uploads.at(FUND, HASH)
    with pytest.raises(Conflict, match="is not uploaded"):
        uploads.whole(FUND, HASH, "evaluation_keys")
    put(uploads, DATA)
    assert uploads.whole(FUND, HASH, "evaluation_keys").read_bytes() == DATA


def test_more_bytes_than_were_declared_are_not_written(uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    writer = uploads.append(FUND, HASH, 0)
    with pytest.raises(TooLarge):
        writer.write(DATA + b"more")
    assert uploads.finish(FUND, writer).offset == len(DATA)
    assert uploads.whole(FUND, HASH, "f").read_bytes() == DATA


def test_a_restart_keeps_what_came(tmp_path: Path, clock: Clock, uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    append(uploads, 0, DATA[:5000])
    again = opened(tmp_path, clock)
    assert again.at(FUND, HASH).offset == 5000
    assert append(again, 5000, DATA[5000:]) == len(DATA)


def test_whoever_hangs_is_put_aside(uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    hanging = uploads.append(FUND, HASH, 0)
    hanging.write(DATA[:5000])
    assert append(uploads, 5000, DATA[5000:6000]) == 6000
    with pytest.raises(Conflict, match="another request"):
        hanging.write(DATA[5000:])
    assert uploads.finish(FUND, hanging).offset == 6000
    assert append(uploads, 6000, DATA[6000:]) == len(DATA)


def test_an_upload_is_its_institution_s_own(uploads: Uploads) -> None:
    put(uploads, DATA)
    for other in ("other", "", "..", "/etc", "a\0b", FUND.upper()):
        with pytest.raises(NotFound):
            uploads.at(other, HASH)
        with pytest.raises(Conflict):
            uploads.whole(other, HASH, "f")


def test_uploads_are_removed_after_an_hour_without_a_byte(tmp_path: Path, clock: Clock, uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    clock.now += 3599
    append(uploads, 0, DATA[:5000])
    clock.now += 3600
    assert uploads.prune() == 0
    clock.now += 1
    assert uploads.prune() == 1
    with pytest.raises(NotFound):
        uploads.at(FUND, HASH)
    put(uploads, DATA)
    clock.now += 3601
    # Also those that came before a start.
    with pytest.raises(NotFound):
        opened(tmp_path, clock).at(FUND, HASH)


def test_uploads_of_an_institution_are_bounded(tmp_path: Path, clock: Clock) -> None:
    uploads = opened(tmp_path, clock, open_uploads="3", upload_bytes="1000")
    files = [bytes([number]) * 100 for number in range(5)]
    other = put(uploads, files[0], "other")
    for file in files[:4]:
        put(uploads, file)
        clock.now += 1
    there = [uploads._find(FUND, hashlib.sha256(file).hexdigest()) is not None for file in files]
    assert there == [False, True, True, True, False]
    # By their bytes too: what is declared counts.
    uploads.declare(FUND, HASH, 950)
    assert [len(uploads._files(name)) for name in (FUND, "other")] == [1, 1]
    assert uploads.at("other", other).offset == 100
    with pytest.raises(TooLarge):
        uploads.declare(FUND, HASH[::-1], 1001)
    for size in (0, -1, LONGEST + 1):
        with pytest.raises(TooLarge):
            uploads.declare(FUND, HASH[::-1], size)


def test_another_size_is_another_file(uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, 5)
    with pytest.raises(Conflict) as caught:
        uploads.declare(FUND, HASH, 6)
    assert caught.value.field == "size"


# Over HTTP.


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    return world_at("submitted")


def declared(world: World, data: bytes = DATA) -> httpx.Response:
    body = {"sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}
    response: Any = world.client.post(PATH, json=body, auth=world.auth())
    return response  # type: ignore[no-any-return]


def sent(world: World, offset: object, data: Any, sha256: str = HASH) -> httpx.Response:
    headers = {"Upload-Offset": str(offset)}
    response: Any = world.client.patch(f"{PATH}/{sha256}", content=data, headers=headers, auth=world.auth())
    return response  # type: ignore[no-any-return]


def test_declare_append_ask_forget(world: World) -> None:
    begun = declared(world)
    assert (begun.status_code, begun.json()["offset"]) == (201, "0")
    assert begun.headers["location"] == f"{PATH}/{HASH}"
    assert sent(world, 0, DATA[:5000]).json()["offset"] == "5000"
    asked = world.client.head(f"{PATH}/{HASH}", auth=world.auth())
    assert (asked.status_code, asked.headers["upload-offset"], asked.headers["upload-length"]) == (204, "5000", "10240")
    assert declared(world).json()["offset"] == "5000"
    wrong = sent(world, 4000, DATA[4000:])
    assert (wrong.status_code, wrong.headers["content-type"]) == (409, PROBLEM)
    assert sent(world, 5000, DATA[5000:]).json()["offset"] == "10240"
    assert world.client.delete(f"{PATH}/{HASH}", auth=world.auth()).status_code == 204
    assert world.client.head(f"{PATH}/{HASH}", auth=world.auth()).status_code == 404


def test_how_far_it_is_is_never_a_kept_answer(world: World) -> None:
    body = {"sha256": HASH, "size": str(len(DATA))}
    headers = {"Idempotency-Key": "upload"}
    assert world.client.post(PATH, json=body, headers=headers, auth=world.auth()).json()["offset"] == "0"
    sent(world, 0, DATA[:7])
    assert world.client.post(PATH, json=body, headers=headers, auth=world.auth()).json()["offset"] == "7"


def test_a_body_that_breaks_leaves_what_came(world: World) -> None:
    declared(world)

    def breaks() -> Iterator[bytes]:
        yield DATA[:3000]
        yield DATA[3000:9000]
        yield DATA[9000:] + DATA  # too much

    broken = sent(world, 0, breaks())
    assert broken.status_code == 413
    assert int(declared(world).json()["offset"]) == len(DATA)


@pytest.mark.parametrize("offset", ["-1", "one", "", "1" * 30, "1e3"])
def test_a_malformed_offset_is_refused(world: World, offset: str) -> None:
    declared(world)
    assert sent(world, offset, DATA).status_code == 422


def test_strangers_names_are_no_uploads(world: World) -> None:
    for path in (f"{PATH}/..%2f..%2fetc", f"{PATH}/{HASH.upper()}", f"{PATH}/{'0' * 63}", f"{PATH}/{HASH}%00"):
        refused = world.client.patch(path, content=DATA, headers={"Upload-Offset": "0"}, auth=world.auth())
        assert refused.status_code in (400, 404, 422), path
    unknown = world.client.post("/v1/institutions/nobody/uploads", json={"sha256": HASH, "size": "5"})
    assert unknown.status_code == 401
    assert not any(path.is_file() for path in (world.directory / "uploads").rglob("*"))


def test_an_enrolment_names_what_was_uploaded(world: World) -> None:
    keys, known = b"other keys", world.known_answer_input()
    document = world.enrolment_document(FUND, keys, known, 2).to_json()
    enrol = f"/v1/institutions/{FUND}/enrolment"
    absent = world.client.post(enrol, json=document, auth=world.auth())
    assert (absent.status_code, absent.json()["field"]) == (409, "evaluation_keys")
    world.upload(FUND, keys)
    absent = world.client.post(enrol, json=document, auth=world.auth())
    assert (absent.status_code, absent.json()["field"]) == (409, "known_answer_input")
    world.upload(FUND, known)
    headers = {"Idempotency-Key": "enrol"}
    taken = world.client.post(enrol, json=document, headers=headers, auth=world.auth())
    assert taken.status_code == 201
    assert world.operator.blobs.get(hashlib.sha256(keys).hexdigest()) == keys
    # Blobs have them now.
    assert not any(path.is_file() for path in (world.directory / "uploads").rglob("*"))
    # Whoever did not get the answer sends it again, and is told the same: the known answers are not evaluated twice.
    again = world.client.post(enrol, json=document, headers=headers, auth=world.auth())
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json() == taken.json()
    assert len(again.json()["known_answers"]) == 4


def test_uploads_are_removed_on_a_timer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, uploads, moment = PruningRounds(world.operator), world.operator.uploads, time.monotonic()
    monkeypatch.setattr(pruning.time, "monotonic", lambda: moment)
    uploads.declare(FUND, HASH, len(DATA))
    written = time.time() + 1
    monkeypatch.setattr(uploads, "_clock", lambda: written + Limits().upload_seconds)
    rounds.look()
    assert uploads.at(FUND, HASH).offset == 0
    for _ in range(60):  # a look a minute, one of all an hour
        moment += pruning.WORDS_SECONDS
        rounds.look()
    with pytest.raises(NotFound):
        uploads.at(FUND, HASH)


def test_an_institution_has_so_many_sets_of_keys_at_most(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("enrolled")
    object.__setattr__(world.operator.settings, "limits", Limits.parse({"key_sets": "1"}))
    with pytest.raises(QuotaExceeded, match="1 sets of keys"):
        world.start_enrolment(FUND, b"other keys", sequence=2)


# The agent's side.


class Broken:
    """An operator that answers some calls only."""

    def __init__(self, uploads: Uploads, fails: list[bool], loses_reply: bool) -> None:
        self.uploads, self.fails, self.loses_reply = uploads, fails, loses_reply
        self.parts: list[tuple[int, int]] = []

    def declare(self, sha256: str, size: int) -> UploadView:
        at = self.uploads.declare(FUND, sha256, size)
        return UploadView(sha256=at.sha256, size=at.size, offset=at.offset)

    def append(self, sha256: str, offset: int, data: bytes) -> UploadView:
        fails = bool(self.fails) and self.fails.pop(0)
        if fails and not self.loses_reply:
            append(self.uploads, offset, data[: len(data) // 2])
            raise RemoteError("the line is cut")
        self.parts.append((offset, len(data)))
        offset = append(self.uploads, offset, data)
        if fails:
            raise RemoteError("the line is cut")
        return UploadView(sha256=sha256, size=len(DATA), offset=offset)


@pytest.mark.parametrize("loses_reply", [False, True])
def test_an_agent_goes_on_with_an_upload_that_broke(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, loses_reply: bool
) -> None:
    monkeypatch.setattr(uploading, "PART_BYTES", 1000)
    operator, waits = Broken(uploads, [False, True, True, False, True], loses_reply), list[float]()
    assert uploading.upload(DATA, operator.declare, operator.append, waits.append) == HASH
    assert uploads.whole(FUND, HASH, "f").read_bytes() == DATA
    assert len(waits) == 3
    # No byte was sent twice that had arrived.
    assert all(
        before[0] + before[1] <= after[0] for before, after in zip(operator.parts, operator.parts[1:], strict=False)
    )


def test_an_agent_gives_up_where_nothing_more_is_taken(uploads: Uploads) -> None:
    def declare(sha256: str, size: int) -> UploadView:
        raise RemoteError("the line is cut")

    waits: list[float] = []
    with pytest.raises(RemoteError):
        uploading.upload(DATA, declare, lambda *_: pytest.fail("nothing was declared"), waits.append)
    assert waits == [0.5, 1, 2, 4, 8]

    def refuse(sha256: str, size: int) -> UploadView:
        raise RemoteError("too large", 413)

    with pytest.raises(RemoteError, match="too large"):
        uploading.upload(DATA, refuse, lambda *_: pytest.fail("nothing was declared"), waits.append)
    assert len(waits) == 5


def test_appends_at_the_same_time_write_every_byte_once(uploads: Uploads) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    done = []

    def try_on() -> None:
        while True:
            at = uploads.declare(FUND, HASH, len(DATA)).offset
            if at == len(DATA):
                done.append(True)
                return
            try:
                append(uploads, at, DATA[at : at + 97])
            except (Conflict, NotFound):
                continue

    threads = [threading.Thread(target=try_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 4
    assert uploads.whole(FUND, HASH, "f").read_bytes() == DATA


def test_somebody_finishes_it_while_it_is_hashed(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    writer = uploads.append(FUND, HASH, 0)
    writer.write(DATA)
    hashed = stored._sha256

    def meanwhile(file: BinaryIO) -> str:
        monkeypatch.setattr(stored, "_sha256", hashed)
        assert uploads.finish(FUND, writer).offset == len(DATA)
        return hashed(file)

    monkeypatch.setattr(stored, "_sha256", meanwhile)
    assert uploads.finish(FUND, writer).offset == len(DATA)
    assert uploads.whole(FUND, HASH, "f").read_bytes() == DATA


def test_another_upload_begun_while_it_is_hashed_is_not_taken_for_it(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.declare(FUND, HASH, len(DATA))
    writer = uploads.append(FUND, HASH, 0)
    writer.write(DATA)
    hashed = stored._sha256

    def meanwhile(file: BinaryIO) -> str:
        uploads.remove(FUND, HASH)
        uploads.declare(FUND, HASH, len(DATA))
        other = uploads.append(FUND, HASH, 0)
        other.write(bytes(len(DATA)))
        other.end()
        return hashed(file)

    monkeypatch.setattr(stored, "_sha256", meanwhile)
    uploads.finish(FUND, writer)
    with pytest.raises(Conflict, match="is uploaded up to"):
        uploads.whole(FUND, HASH, "f")
