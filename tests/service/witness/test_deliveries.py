"""A witness's receipt shows that a document was there: the first time, whoever asks, and after a restart too."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import MalformedResponse, Refused, RemoteError, RequestError, SignatureInvalid
from atomic_margin.service.institution.deliveries import deliver
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.delivery import DeliveryReceipt, DeliveryRequest, read_receipt
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.witness import deliveries
from atomic_margin.service.witness.errors import LogUnknown, TooManyDeliveries
from atomic_margin.service.witness.web import create_app
from atomic_margin.service.witness.witness import Witness

from ..test_log import serving
from ..world import TestClient
from .test_witness import KEEPER, ORIGIN, asked

FUND = Identity.generate()
HASH = "4d" * 32


class Clock:
    """Seconds of the epoch, one more each time."""

    def __init__(self) -> None:
        self.seconds = 1795780800

    def __call__(self) -> int:
        self.seconds += 1
        return self.seconds


def opened(directory: Path, clock: Clock) -> Witness:
    return Witness(directory, "w1.example", {ORIGIN: log_key(ORIGIN, KEEPER.public_key)}, clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def witness(tmp_path: Path, clock: Clock) -> Iterator[Witness]:
    made = opened(tmp_path / "w1", clock)
    yield made
    made.close()


def document(number: int = 1) -> str:
    return FUND.sign("submission", {"sequence": str(number)}).body_hash()


def test_a_receipt_is_of_the_first_time(witness: Witness, clock: Clock) -> None:
    key = str(witness.key)
    with serving(witness) as url:
        signed, receipt = deliver(url, key, ORIGIN, document(1))
        assert (receipt.log, receipt.document) == (ORIGIN, document(1))
        assert (receipt.received_at, receipt.moment) == ("2026-11-27T12:00:01Z", 1795780801)
        other = deliver(url, key, ORIGIN, document(2))[1]
        assert other.moment == 1795780802
        clock.seconds += 1000
        assert deliver(url, key, ORIGIN, document(1))[0] == signed
        with pytest.raises(RemoteError, match="404") as refused:
            deliver(url, key, "other.example", document())
        assert refused.value.status == 404
        with pytest.raises(MalformedResponse, match="no receipt of its own"):
            deliver(url, str(witness_key("w1.example", KEEPER.public_key)), ORIGIN, document())
    with pytest.raises(RemoteError, match="ask another one"):
        deliver(url, key, ORIGIN, document(1))


def test_a_restart_changes_no_receipt(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(tmp_path / "w", clock)
    request = DeliveryRequest(log=ORIGIN, document=HASH)
    before = first.deliveries.receipt(request, "a")

    def crash(*_: Any) -> SignedDocument:
        raise KeyboardInterrupt

    # It is stored before it is signed: who asks again gets the time at which it was there.
    other = DeliveryRequest(log=ORIGIN, document="5e" * 32)
    monkeypatch.setattr(Identity, "sign", crash)
    with pytest.raises(KeyboardInterrupt):
        first.deliveries.receipt(other, "a")
    crashed = clock.seconds
    monkeypatch.undo()
    first.close()
    clock.seconds += 1000
    again = opened(tmp_path / "w", clock)
    assert again.deliveries.receipt(request, "b") == before
    assert DeliveryReceipt.parse(again.deliveries.receipt(other, "b").body).moment == crashed
    again.close()


def test_a_disk_that_fails_gives_no_receipt(witness: Witness, clock: Clock) -> None:
    witness.deliveries._database.execute("PRAGMA query_only=ON")
    request = DeliveryRequest(log=ORIGIN, document=HASH)
    with pytest.raises(Exception, match="readonly"):
        witness.deliveries.receipt(request, "a")
    witness.deliveries._database.execute("PRAGMA query_only=OFF")
    clock.seconds += 10
    assert DeliveryReceipt.parse(witness.deliveries.receipt(request, "a").body).moment == clock.seconds


def hashes(first: int, count: int) -> list[DeliveryRequest]:
    return [DeliveryRequest(log=ORIGIN, document=f"{number:064x}") for number in range(first, first + count)]


def test_one_address_brings_so_many_a_minute(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [6000.0]
    monkeypatch.setattr(deliveries.time, "monotonic", lambda: seconds[0])
    requests = hashes(0, deliveries.PER_MINUTE)
    for request in requests:
        witness.deliveries.receipt(request, "a")
    (more,) = hashes(1000, 1)
    with pytest.raises(TooManyDeliveries):
        witness.deliveries.receipt(more, "a")
    # What it has a receipt for it may ask again, and others are not kept from asking.
    witness.deliveries.receipt(requests[0], "a")
    witness.deliveries.receipt(more, "b")
    monkeypatch.setattr(deliveries, "ADDRESSES", 2)
    (last,) = hashes(2000, 1)
    with pytest.raises(TooManyDeliveries):
        witness.deliveries.receipt(last, "c")
    seconds[0] += deliveries.MINUTE_SECONDS
    witness.deliveries.receipt(last, "c")


def test_the_oldest_are_forgotten_and_get_a_later_receipt(
    witness: Witness, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "KEPT", 5)
    requests = hashes(0, 8)
    made = [witness.deliveries.receipt(request, "a") for request in requests]
    assert [witness.deliveries.receipt(request, "a") for request in requests[3:]] == made[3:]
    later = DeliveryReceipt.parse(witness.deliveries.receipt(requests[0], "a").body)
    assert later.moment > DeliveryReceipt.parse(made[7].body).moment
    assert witness.deliveries._database.execute("SELECT count(*) FROM deliveries").fetchone() == (5,)


def test_what_is_asked_has_one_form(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    # However long it takes here: this is within one minute.
    monkeypatch.setattr(deliveries, "MINUTE_SECONDS", 10**6)
    with TestClient(create_app(witness), raise_server_exceptions=False) as client:
        good = {"log": ORIGIN, "document": HASH}
        assert client.post("/add-delivery", json=good).status_code == 200
        for wrong in (
            {**good, "document": "4D" * 32},
            {**good, "document": "4d" * 31},
            {**good, "log": ""},
            {**good, "time": "2026-01-01T00:00:00Z"},
            {"document": HASH},
            [good],
        ):
            response = client.post("/add-delivery", json=wrong)
            assert response.status_code == 422, wrong
            assert response.headers["content-type"] == "application/problem+json"
        assert client.post("/add-delivery", content=b"{").status_code == 400
        assert client.post("/add-delivery", json={**good, "log": "other.example"}).status_code == 404
        for _ in range(deliveries.PER_MINUTE + 1):
            last = client.post("/add-delivery", json={**good, "document": Identity.generate().public_key})
        assert last.status_code == 429


def test_a_receipt_is_believed_from_a_trusted_witness_about_this_document(witness: Witness) -> None:
    signed = witness.deliveries.receipt(DeliveryRequest(log=ORIGIN, document=HASH), "a")
    trusted = frozenset({witness.identity.public_key})
    assert read_receipt(signed.to_json(), trusted, ORIGIN, HASH)[1].witness == witness.identity.public_key
    with pytest.raises(SignatureInvalid):
        read_receipt(signed.to_json(), frozenset({FUND.public_key}), ORIGIN, HASH)
    with pytest.raises(Refused, match="another log"):
        read_receipt(signed.to_json(), trusted, "other.example", HASH)
    with pytest.raises(Refused, match="another document"):
        read_receipt(signed.to_json(), trusted, ORIGIN, "5e" * 32)
    body = {**signed.body, "received_at": "2020-01-01T00:00:00Z"}
    with pytest.raises(SignatureInvalid):
        read_receipt({**signed.to_json(), "body": body}, trusted, ORIGIN, HASH)
    # One trusted witness may not sign in the name of another.
    for_other = DeliveryReceipt.parse({**signed.body, "witness": FUND.public_key}).signed_by(witness.identity)
    with pytest.raises(Refused, match="another witness"):
        read_receipt(for_other.to_json(), trusted | {FUND.public_key}, ORIGIN, HASH)
    for value in ({}, None, {**signed.to_json(), "type": "tick"}, {**signed.to_json(), "body": {}}):
        with pytest.raises((RequestError, DocumentError)):
            read_receipt(value, trusted, ORIGIN, HASH)


def test_a_witness_knows_its_logs_only(witness: Witness) -> None:
    with pytest.raises(LogUnknown):
        witness.deliveries.receipt(DeliveryRequest(log="other.example", document=HASH), "a")


def test_others_are_answered_while_the_disk_is_slow(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(witness) as url:
        assert httpx.post(f"{url}/add-checkpoint", content=asked(0, 100)).status_code == 200
        slow, go_on = threading.Event(), threading.Event()

        def fsync(_: int) -> None:
            slow.set()
            assert go_on.wait(30)

        monkeypatch.setattr("atomic_margin.service.witness.witness.os.fsync", fsync)
        answers: list[int] = []
        body = asked(100, 200)
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/add-checkpoint", content=body, timeout=30).status_code)
        )
        thread.start()
        try:
            assert slow.wait(10)
            assert httpx.get(f"{url}/checkpoint", params={"origin": ORIGIN}, timeout=5).status_code == 200
            deliver(url, str(witness.key), ORIGIN, document(), timeout=5)
            assert answers == []
        finally:
            go_on.set()
            thread.join()
        assert answers == [200]
