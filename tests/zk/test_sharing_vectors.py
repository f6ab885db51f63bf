"""Deals made once and kept: what they say must not change, and other languages can compare with them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.zk import generators_hash
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.open_row import open_row
from atomic_margin.zk.sharing.pass_on import add_up
from atomic_margin.zk.sharing.reconstruct import reconstruct
from atomic_margin.zk.sharing.resharing import Resharing
from atomic_margin.zk.sharing.rows import Row, RowShare
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement

from .test_transcript import put

FROZEN: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "sharing.json").read_text())
RECORDS: list[dict[str, Any]] = FROZEN["records"]
PASSED_ON = RECORDS[0]["passed on"]
TOLD = [*RECORDS, *PASSED_ON["deals"], PASSED_ON["result"]]


def custodians(record: dict[str, Any]) -> tuple[Custodian, ...]:
    return tuple(Custodian(one["point"], bytes.fromhex(one["identity"])) for one in record["custodians"])


def read(record: dict[str, Any]) -> tuple[Deal, list[Shares]]:
    commitments = tuple(bytes.fromhex(point) for point in record["commitments"])
    statement = SharingStatement(commitments, record["threshold"], custodians(record), record["context"])
    deal = Deal.from_bytes(bytes.fromhex(record["deal"]), statement)
    return deal, [Shares.from_bytes(bytes.fromhex(data), statement) for data in record["shares"]]


def test_they_speak_of_the_same_generators() -> None:
    assert FROZEN["generators"] == generators_hash()


@pytest.mark.parametrize("record", TOLD, ids=lambda record: f"{record['threshold']} of {len(record['custodians'])}")
def test_frozen_shares_are_accepted(backend: Group, record: dict[str, Any]) -> None:
    deal, shares = read(record)
    assert deal.hash.hex() == record["hash"]
    for one, data in zip(shares, record["shares"], strict=True):
        check_shares(deal, one, one.custodian, backend)
        assert one.to_bytes().hex() == data
    assert deal.to_bytes().hex() == record["deal"]


@pytest.mark.parametrize("record", TOLD, ids=lambda record: record["hash"][:8])
def test_the_transcript_is_what_the_page_says(record: dict[str, Any]) -> None:
    """Written down once more: statement, deal, hash, shares, omega."""
    deal, _ = read(record)
    assert [[label, data.hex()] for label, data in deal.statement.binding()] == record["binding"]
    state = put(bytes(32), 1, "atomic-margin/v2/zk/transcript", b"sharing")
    for label, data in record["binding"]:
        state = put(state, 1, label, bytes.fromhex(data))
    state = put(state, 1, "statement parts", (3).to_bytes(4, "big"))
    points, size = bytes.fromhex(record["deal"])[1:], 48 * len(record["commitments"])
    for start in range(0, len(points), size):
        state = put(state, 1, "C", points[start : start + size])
    state = put(state, 2, "deal", b"")
    assert f"{number(state):064x}" == record["hash"]
    state = put(state, 1, "shares", bytes.fromhex(record["shares"][0]))
    assert f"{number(put(state, 2, 'omega', b'')):064x}" == record["omega of the first shares"]


def number(state: bytes) -> int:
    wide = b"".join(hashlib.sha256(state + bytes([3, half])).digest() for half in (0, 1))
    return int.from_bytes(wide, "big") % ORDER


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["threshold"])
def test_frozen_books_come_back(backend: Group, record: dict[str, Any]) -> None:
    deal, shares = read(record)
    witness = reconstruct(deal, shares[-record["threshold"] :], backend)
    assert list(witness.values) == record["values"]
    assert [f"{blinding:064x}" for blinding in witness.blindings] == record["blindings"]


def test_a_frozen_row_is_opened(backend: Group) -> None:
    (record,) = (one for one in RECORDS if "row" in one)
    deal, _ = read(record)
    row = Row(deal, tuple(record["row"]["weights"]), record["row"]["offset"])
    assert [backend.encode_point(point).hex() for point in row.points(backend)] == record["row"]["points"]
    shares = [RowShare.from_bytes(bytes.fromhex(data), deal) for data in record["row"]["shares"]]
    assert open_row(row, shares, backend).value == -3 * (2**32 - 1) + 2**40 * 4 + 17


def test_a_frozen_book_was_passed_on(backend: Group) -> None:
    old, _ = read(RECORDS[0])
    dealers, result = tuple(PASSED_ON["dealers"]), PASSED_ON["result"]
    resharing = Resharing(old, dealers, result["threshold"], custodians(result), PASSED_ON["context"])
    dealt = [read(record) for record in PASSED_ON["deals"]]
    deals = dict(zip(dealers, (deal for deal, _ in dealt), strict=True))
    new, shares = read(result)
    for place, one in enumerate(shares):
        received = dict(zip(dealers, (parts[place] for _, parts in dealt), strict=True))
        assert add_up(resharing, deals, received, one.custodian, backend) == (new, one)
    assert list(reconstruct(new, shares, backend).values) == RECORDS[0]["values"]
