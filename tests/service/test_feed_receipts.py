"""Receipts of sources' documents: leaves of the log before their tick, which cannot leave them out."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import Conflict, MalformedResponse
from atomic_margin.service.feed.remote import OperatorTicks
from atomic_margin.service.feed.source import price_set
from atomic_margin.service.feed.tick import verify_tick, verify_void
from atomic_margin.service.files import write_json
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.operator.store import prices as store
from atomic_margin.service.operator.store.tables import PriceRow
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.leaves import PriceLeaf, TickLeaf, price_leaf
from atomic_margin.service.protocol.messages import PriceReceipt
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import PriceTick

from .documents import Json, price_rules
from .test_log import entries, ticks_of
from .three_sources import GOOD, RULES, SOURCES, last_tick, post, prices
from .world import World

LATER = ("88212.5",) * 3


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An operator with three sources and no institutions."""
    world = World(tmp_path / "operator", Identity.generate(), {}, RULES)
    yield world
    world.close()


def push(world: World, document: Json) -> Any:
    return world.client.post("/v1/prices", json=document, auth=world.signed_by(SOURCES[0]))


def leaf_of(response: Any) -> int:
    assert response.status_code == 201, response.text
    return PriceReceipt.parse(response.json()).leaf


def signers(tick: PriceTick) -> list[str]:
    return [document.signer for document in tick.prices]


def of(*sources: int) -> list[str]:
    return [SOURCES[index].public_key for index in sources]


def void(world: World, documents: Sequence[Json], sequence: int) -> Any:
    body = price_set([SignedDocument.parse(one) for one in documents], sequence).canonical()
    return world.client.post("/v1/ticks/void", json=body, headers=world.admin)


def test_a_document_gets_a_leaf_and_the_same_one_the_same(world: World) -> None:
    first, second, _ = prices(1, *GOOD)["prices"]
    assert (leaf_of(push(world, first)), leaf_of(push(world, second)), leaf_of(push(world, first))) == (0, 1, 0)
    signed = SignedDocument.parse(first)
    leaf = PriceLeaf.parse(push(world, first).json()["header"])
    assert (leaf.source, leaf.sequence) == (SOURCES[0].public_key, 1)
    assert (leaf.price, leaf.document) == (signed.body_hash(), signed.hash())
    # What came back is the leaf, so with its inclusion it is all that a source needs.
    assert leaf.to_bytes() == entries(world)[0]
    # Somebody makes the tick of what is there; after it the receipt is the same, as long as rows are kept.
    assert post(world, {**prices(1, *GOOD), "prices": []}).status_code == 202
    assert signers(last_tick(world)) == of(0, 1)
    assert leaf_of(push(world, first)) == 0


def test_a_receipted_document_is_in_the_tick_whoever_leaves_it_out(world: World) -> None:
    """The operator, or whoever posts, would rather have the prices of two sources without the third."""
    chosen = prices(1, "96430", "", "96420.5")
    left_out = prices(1, "", "96425.5", "")["prices"][0]
    assert leaf_of(push(world, left_out)) == 0
    assert post(world, chosen).status_code == 202
    tick = last_tick(world)
    assert signers(tick) == of(1, 0, 2)
    assert tick.market is not None
    assert str(tick.market.underlyings["BTC"].spot) == "96425.5"
    verify_tick(tick, RULES, None)
    # Every document has its leaf, and all of them stand before that of the tick.
    *leaves, made = entries(world)
    assert [PriceLeaf.parse(json.loads(leaf)).source for leaf in leaves] == of(1, 0, 2)
    assert TickLeaf.parse(json.loads(made)).sequence == 1


def test_a_document_that_comes_while_a_tick_is_made_is_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    late, compiled = prices(1, "", "", "96425.5")["prices"][0], world.operator.compiled_ticks.compile
    made: list[SignedDocument] = []

    def compile_slowly(sequence: int, signed: SignedDocument, market: Any) -> Any:
        made.append(signed)
        assert leaf_of(push(world, late)) == 0
        return compiled(sequence, signed, market)

    monkeypatch.setattr(world.operator.compiled_ticks, "compile", compile_slowly)
    assert post(world, prices(1, "96430", "96420.5")).status_code == 202
    assert [len(signed.body["prices"]) for signed in made] == [2, 3]
    assert signers(last_tick(world)) == of(2, 0, 1)
    assert len(ticks_of(world)) == 1


def test_a_source_that_signs_two_is_receipted_twice_and_counts_as_none(world: World) -> None:
    one, other, third = (prices(1, "", spot)["prices"][0] for spot in ("96420.5", "96421.5", "96422.5"))
    assert (leaf_of(push(world, one)), leaf_of(push(world, other))) == (0, 1)
    refused = push(world, third)
    assert (refused.status_code, refused.json()["field"]) == (409, "signer")
    # The set brings the third once more: it makes no difference, and neither does who is left out of the set.
    assert post(world, {**prices(1, *GOOD), "prices": [*prices(1, *GOOD)["prices"][:1], third]}).status_code == 422
    assert post(world, {**prices(1, *GOOD), "prices": [*prices(1, "96430", "", "96430")["prices"], third]}).status_code
    tick = last_tick(world)
    assert signers(tick) == of(1, 1, 0, 2)
    assert [(dropped.source, dropped.reason) for dropped in tick.dropped] == [(SOURCES[1].public_key, "twice")]
    assert tick.market is not None
    assert str(tick.market.underlyings["BTC"].spot) == "96430"
    verify_tick(tick, RULES, None)


Named = dict[str, Any]
MISPLACED: list[tuple[Named, int, str, str]] = [
    ({"sequence": 3}, 409, "conflict", "body.market.sequence"),
    ({"sequence": 1}, 409, "conflict", "body.market.sequence"),
    ({"rules": "1a" * 32}, 422, "prices", "body.rules"),
    ({"previous": "1a" * 32}, 422, "prices", "body.previous"),
    ({"last_market": "0" * 64}, 422, "prices", "body.last_market"),
]


@pytest.mark.parametrize(("named", "status", "slug", "field"), MISPLACED, ids=str)
def test_what_is_for_another_place_gets_no_leaf(world: World, named: Named, status: int, slug: str, field: str) -> None:
    """Late ones too: what a source did not send in time was not left out by anybody."""
    post(world, prices(1, *GOOD))
    before = entries(world)
    document = prices(2, LATER[0], after=last_tick(world), named=named)["prices"][0]
    refused = push(world, document)
    assert (refused.status_code, refused.json()["type"], refused.json()["field"]) == (
        status,
        f"urn:atomic-margin:problem:{slug}",
        field,
    )
    assert entries(world) == before


def test_strangers_and_what_is_no_price_get_no_leaf(world: World) -> None:
    (document,) = prices(1, GOOD[0])["prices"]
    stranger = Identity.generate().sign("price", document["body"]).to_json()
    assert (push(world, stranger).status_code, push(world, stranger).json()["field"]) == (403, "signer")
    bent = {**document, "body": {**document["body"], "previous": "1a" * 32}}
    assert push(world, bent).status_code == 403
    other = SOURCES[0].sign("tick", document["body"]).to_json()
    assert (push(world, other).status_code, push(world, other).json()["field"]) == (400, "type")
    extra = SOURCES[0].sign("price", {**document["body"], "more": "1"}).to_json()
    assert push(world, extra).status_code == 422
    assert entries(world) == []


def test_a_void_tick_lists_what_was_receipted(world: World) -> None:
    alone, brought = prices(1, "", "96420.5")["prices"][0], prices(1, "99999")["prices"][0]
    assert leaf_of(push(world, alone)) == 0
    assert void(world, [brought], 1).status_code == 201
    tick = last_tick(world)
    assert (tick.market, signers(tick)) == (None, of(1, 0))
    assert [PriceLeaf.parse(json.loads(leaf)).source for leaf in entries(world)[:-1]] == of(1, 0)
    verify_void(tick, RULES, None)


def test_what_is_receipted_cannot_be_made_void_by_bringing_nothing(world: World) -> None:
    for document in prices(1, *GOOD)["prices"]:
        push(world, document)
    refused = void(world, [], 1)
    assert (refused.status_code, refused.json()["field"]) == (409, "prices")
    assert len(entries(world)) == 3


def test_documents_of_a_refused_set_have_no_leaves(world: World) -> None:
    assert post(world, prices(1, GOOD[0])).status_code == 422
    assert entries(world) == []
    # What is no prices of the number counts nowhere, so it is neither in the tick nor in the log.
    post(world, prices(1, *GOOD))
    before = last_tick(world)
    old = prices(1, *GOOD)["prices"][:1]
    assert post(
        world, {**prices(2, *LATER, after=before), "prices": [*old, *prices(2, *LATER, after=before)["prices"]]}
    )
    assert (last_tick(world).sequence, signers(last_tick(world)), last_tick(world).dropped) == (2, of(0, 1, 2), ())
    assert len(entries(world)) == 8


def test_what_was_receipted_under_other_rules_is_neither_dropped_nor_mixed(world: World) -> None:
    push(world, prices(1, GOOD[0])["prices"][0])
    wider = price_rules(*SOURCES, max_skew_seconds="59")
    world.operator.settings = type(world.operator.settings)(world.directory, wider)
    for make in (ticks.take_tick, ticks.void_tick):
        with pytest.raises(Conflict, match="under other price rules"):
            make(world.operator, prices(1, *GOOD, rules=wider))
    world.operator.settings = type(world.operator.settings)(world.directory, RULES)
    ticks.take_tick(world.operator, prices(1, *GOOD))
    assert len(last_tick(world).prices) == 3


def test_rows_are_kept_for_the_newest_ticks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 2)
    for _ in range(4):
        place = world.next_place()
        push(world, prices(1, GOOD[0], named=place._asdict())["prices"][0])
        assert void(world, [], place.sequence).status_code == 201
    with world.operator.store.unit_of_work() as session:
        assert [row.sequence for row in session.query(PriceRow).order_by(PriceRow.leaf)] == [3, 4]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """An application behind a real port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_the_command_prints_the_leaf(world: World, tmp_path: Path) -> None:
    (document,), (late,) = prices(1, GOOD[0])["prices"], prices(1, GOOD[0], named={"sequence": 4})["prices"]
    write_json(tmp_path / "signed.json", document)
    write_json(tmp_path / "late.json", late)
    # The file of a key is its 32 bytes.
    (tmp_path / "source.key").write_bytes(SOURCES[0]._key.private_bytes_raw())
    with serving(create_app(world.operator, background=False)) as url:
        asked = ["--key", str(tmp_path / "source.key"), "--operator", url]
        pushed = CliRunner().invoke(app, ["feed", "push", str(tmp_path / "signed.json"), *asked])
        refused = CliRunner().invoke(app, ["feed", "push", str(tmp_path / "late.json"), *asked])
    assert (pushed.exit_code, json.loads(pushed.stdout)["leaf"]) == (0, "0")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "the next tick has number 1, this is for 4" in refused.stderr


@pytest.mark.parametrize("header", [{}, {"received_at": "2026-11-20T08:00:00Z"}, None], ids=str)
def test_another_leaf_is_no_receipt(header: Json | None) -> None:
    ours, theirs = (SignedDocument.parse(one) for one in prices(1, *GOOD)["prices"][:2])
    other = FastAPI()
    shown = price_leaf(theirs, "2026-11-20T08:00:00Z").canonical() if header is None else header

    @other.post("/v1/prices")
    def take_price() -> Any:
        return {"leaf": "7", "header": shown}

    with serving(other) as url, pytest.raises(MalformedResponse, match="leaf of"):
        OperatorTicks(url).push(ours, httpx.Auth())
