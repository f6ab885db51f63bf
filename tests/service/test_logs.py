"""What a process writes of what it does: one line an event, no secret in it, a traceback only with --debug."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from sqlalchemy.orm import Session

from atomic_margin.service import logs
from atomic_margin.service.http import serving
from atomic_margin.service.logs import LogFormat, LogLevel, LogSettings, scrubbed
from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.signing import Identity

from .documents import FUND
from .world import World

log = logging.getLogger("atomic_margin.service.tested")


@contextmanager
def written(settings: LogSettings) -> Iterator[io.StringIO]:
    """What the whole process logs in the block."""
    root, stream = logging.getLogger(), io.StringIO()
    levels = {name: logging.getLogger(name).level for name in (None, *logs.QUIET)}
    handler = logs.configure(settings, stream)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        logging.captureWarnings(False)
        logging.raiseExceptions = True
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def served(world: World) -> Iterator[httpx.Client]:
    """The operator over real HTTP."""
    listener = serving.listen("127.0.0.1", 0)
    app = create_app(world.operator, background=False)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{serving.port_of(listener)}") as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_whole_story_is_told_a_line_an_event_and_without_a_secret(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")
    fund, added, secrets = world.funds[FUND], "second", set()
    with written(LogSettings(LogFormat.JSON, LogLevel.DEBUG, debug=True)) as stream, served(world) as client:

        def post(path: str, body: object, headers: dict[str, str] | None = None) -> httpx.Response:
            return client.post(path, json=body, headers=headers, auth=world.auth() if headers is None else None)

        stranger = Identity.generate()
        admission = {"institution": added, "name": "Second", "identity": stranger.public_key}
        assert post("/v1/admissions", admission, world.admin).status_code == 201
        assert post("/v1/admissions", admission, {"Authorization": "Bearer " + "5e" * 32}).status_code == 401
        assert post("/v1/admissions", admission, {"Authorization": "Basic c2VjcmV0OnNlY3JldA=="}).status_code == 401
        arrived = {"institution": FUND, "asset": "USDC", "quantity": "5", "reference": "custodian-9"}
        assert post("/v1/deposits", arrived, world.admin).status_code == 201
        nonce = client.post(f"/v1/institutions/{FUND}/nonce", auth=world.auth()).json()["nonce"]
        sent = world.prepare_submission(FUND, (0,) * 16)
        again = client.post(f"/v1/institutions/{FUND}/submissions", json=sent.signed.to_json(), auth=world.auth())
        assert again.status_code == 201, again.text
        fund.sent[sent.submission.sequence] = sent
        for number in range(1, 2):
            assert post("/v1/ticks", world.prices(number)).status_code == 202
            while evaluation.evaluate_next(world.operator) is not None:
                pass
            run = f"{FUND}.{number}"
            answer = world.prove_answer(run)
            assert post(f"/v1/runs/{run}/answer", answer.to_json()).status_code == 200
            forged = answer.to_json() | {"signature": "ab" * 64}
            assert post(f"/v1/runs/{run}/answer", forged).status_code == 403
        with world.operator.store.unit_of_work() as session:
            seeds = {account.seed for account in session.query(Account)}
        secrets |= {world.operator.admin_token, nonce, "5e" * 32, "c2VjcmV0OnNlY3JldA", *seeds}
        secrets |= {sent.signed.signature, answer.signature, "ab" * 64}
        secrets |= {str(blinding) for blinding in sent.blindings}
        secrets |= {value for value in answer.body.values() if isinstance(value, str) and len(value) > 128}
        # Whatever an error of ours or of a library quotes.
        for secret in (
            f"Bearer {world.operator.admin_token}",
            f"admin_token={world.operator.admin_token}",
            sent.signed.to_json(),
        ):
            log.warning("refused: %s", secret)
            log.error("failed", exc_info=ValueError(secret))
            log.error("failed", extra={"headers": {"Authorization": secret}})
    text = stream.getvalue()
    assert not {secret for secret in secrets if secret in text}
    told = [line["event"] for line in lines(stream) if line["logger"] == "service.operator"]
    events = ["admitted", "deposited", "submitted", "tick taken", "run taken", "run opened", "run recorded"]
    assert [event for event in told if event in events] == [*events[:-2], "run opened", "run recorded", "run recorded"]
    assert told.count("covered") == 1
    (recorded,) = [line for line in lines(stream) if line["event"] == "run recorded" and "number" in line]
    assert (recorded["run"], recorded["institution"], recorded["level"]) == (f"{FUND}.1", FUND, "info")
    (taken,) = [line for line in lines(stream) if line["event"] == "tick taken"]
    assert taken["runs"] == 1


def test_what_is_rolled_back_is_not_told(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")

    def fail() -> None:
        with world.operator.store.unit_of_work() as session:
            tell(session, "never happened")
            _ = 1 // 0

    with written(LogSettings(LogFormat.JSON)) as stream:
        with pytest.raises(ZeroDivisionError):
            fail()
        with Session(world.operator.store.engine) as session:
            session.get_one(Account, FUND)
            tell(session, "never happened either")
            session.rollback()
            session.get_one(Account, FUND)
            session.commit()
    assert stream.getvalue() == ""


def test_a_traceback_takes_debug() -> None:
    def fail() -> None:
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            log.exception("run %s was not evaluated\nforged line", "fund.3")

    with written(LogSettings()) as stream:
        fail()
    (line,) = stream.getvalue().splitlines()
    assert r"error   run fund.3 was not evaluated\nforged line error=" in line
    assert line.endswith('error="ZeroDivisionError: integer division or modulo by zero"')
    with written(LogSettings(debug=True)) as stream:
        fail()
    assert "Traceback (most recent call last)" in stream.getvalue()
    with written(LogSettings(LogFormat.JSON, debug=True)) as stream:
        fail()
    (shown,) = lines(stream)
    assert "Traceback (most recent call last)" in str(shown["exception"])


def test_the_same_failure_is_counted_and_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: clock[0])
    with written(LogSettings(LogFormat.JSON)) as stream:
        for _ in range(500):
            log.error("background work failed", exc_info=OSError("disk full"))
        log.error("background work failed", exc_info=OSError("database is locked"))
        clock[0] += 61
        log.error("background work failed", exc_info=OSError("disk full"))
        for number in range(logs.MAX_REMEMBERED + 9):
            log.warning("witness %d does not answer", number)
    found = lines(stream)
    assert [(line["error"], line.get("repeated")) for line in found[:3]] == [
        ("OSError: disk full", None), ("OSError: database is locked", None), ("OSError: disk full", 499),
    ]  # fmt: skip
    assert len(found) == 3 + logs.MAX_REMEMBERED + 9


def test_events_with_other_fields_are_not_the_same() -> None:
    with written(LogSettings(LogFormat.JSON)) as stream:
        for run in ("fund.1", "fund.1", "fund.2", "desk.2"):
            log.warning("margin called", extra={"run": run})
    assert [line["run"] for line in lines(stream)] == ["fund.1", "fund.2", "desk.2"]


def test_an_unexpected_error_of_a_request_is_one_line(
    world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("bare")
    with written(LogSettings(LogFormat.JSON)) as stream, served(world) as client:
        monkeypatch.setattr(world.operator, "is_admin", lambda _: 1 // 0)
        assert client.get("/v1/ledger", headers=world.admin).status_code == 500
    (line,) = lines(stream)
    assert (line["event"], line["error"]) == (
        "unexpected error in GET /v1/ledger", "ZeroDivisionError: integer division or modulo by zero",
    )  # fmt: skip


def test_a_client_that_goes_away_is_one_debug_line(world_at: Callable[[str], World]) -> None:
    world = world_at("bare")
    for debug, expected in ((False, 0), (True, 1)):
        with written(LogSettings(LogFormat.JSON, debug=debug)) as stream, served(world) as client:
            with serving.socket.create_connection((client.base_url.host, client.base_url.port)) as gone:
                gone.sendall(b"POST /v1/ticks HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{")
            client.get("/healthz")
        assert len(lines(stream)) == expected, stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'authorization': 'Bearer abcdefabcdef'}", "{'authorization': '[removed]'}"),
        ("(b'Authorization', b'Basic abcdefghijk')", "(b'Authorization', b'[removed]')"),
        ("Signature: sig1=:abcDEFabcDEFabcDEF/+==:", "Signature: sig1=:[removed]:"),
        ('"signature": "' + "ab" * 64 + '"', '"signature": "[removed]"'),
        (r"{\"nonce\": \"00ff00ff\"}", r"{\"nonce\": \"[removed]\"}"),
        ("?token=abc&x=1", "?token=[removed]&x=1"),
        ("postgresql://margin:hunter2@db/margin", "postgresql://margin:[removed]@db/margin"),
        ("-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----", "[removed]"),
        # What people need to read stays: hashes, public keys, our own advice.
        ("entry " + "ab" * 32, "entry " + "ab" * 32),
        ("signature: the signature does not match", "signature: the signature does not match"),
        ("send `Authorization: Bearer` with the token in admin.token",) * 2,
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert scrubbed(text) == shown
