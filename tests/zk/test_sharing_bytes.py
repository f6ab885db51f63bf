"""Deals and shares as bytes: one encoding of each, a named error for all else, and limits of the statement."""

import dataclasses
import itertools
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk.errors import (
    OtherDeal,
    PointEncodingError,
    ProofError,
    SharesInvalid,
    SharingEncodingError,
    StatementError,
)
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.interpolation import evaluate, lagrange
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.statement import MAX_CUSTODIANS, Custodian, SharingStatement
from atomic_margin.zk.statements import checks

from .shared import CONTEXT, book, custodians
from .test_fuzz_proofs import POINTS, SCALARS

brief = settings(max_examples=int(os.environ.get("ATOMIC_MARGIN_FUZZ", "40")), deadline=None)
DEAL, SHARES = book().deal.to_bytes(), book().shares[1].to_bytes()
HEAD = 1 + 32 + 2


def test_both_are_read_as_they_were_written() -> None:
    assert Deal.from_bytes(DEAL, book().statement) == book().deal
    for shares in book().shares:
        assert Shares.from_bytes(shares.to_bytes(), book().statement) == shares


@pytest.mark.parametrize("data", [DEAL[:-1], DEAL + b"\x00", b"", DEAL[:1], DEAL + DEAL[1:]])
def test_a_deal_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(SharingEncodingError, match="a deal of 5 entries with threshold 3 is 481 bytes, got"):
        Deal.from_bytes(data, book().statement)


@pytest.mark.parametrize(
    "data", [SHARES[:-1], SHARES + b"\x00", b"", SHARES[:HEAD], SHARES[:-64], SHARES + SHARES[-64:]]
)
def test_shares_of_another_length_are_refused(data: bytes) -> None:
    with pytest.raises(SharingEncodingError, match="a custodian's shares of 5 entries is 355 bytes, got"):
        Shares.from_bytes(data, book().statement)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(SharingEncodingError, match=f"version {version} is unknown; this release reads 1"):
        Deal.from_bytes(bytes([version]) + DEAL[1:], book().statement)
    with pytest.raises(SharingEncodingError, match=f"version {version} is unknown; this release reads 1"):
        Shares.from_bytes(bytes([version]) + SHARES[1:], book().statement)


@pytest.mark.parametrize("data", [bytearray(SHARES), SHARES.hex(), None, [1]])
def test_only_bytes_are_read(data: Any) -> None:
    with pytest.raises(SharingEncodingError, match="is bytes, got"):
        Shares.from_bytes(data, book().statement)
    with pytest.raises(SharingEncodingError, match="is bytes, got"):
        Deal.from_bytes(data, book().statement)


@pytest.mark.parametrize("point", [0, 3, 65_535])
def test_shares_of_nobody_are_refused(point: int) -> None:
    with pytest.raises(SharingEncodingError, match=f"shares of point {point}, where the statement has no custodian"):
        Shares.from_bytes(SHARES[:33] + point.to_bytes(2, "big") + SHARES[35:], book().statement)


@pytest.mark.parametrize("scalar", [ORDER, ORDER + 1, 2**255, 2**256 - 1])
@pytest.mark.parametrize(("position", "name"), [(0, "value of entry 0"), (7, "blinding of entry 3")])
def test_scalars_have_one_encoding(scalar: int, position: int, name: str) -> None:
    start = HEAD + 32 * position
    data = SHARES[:start] + scalar.to_bytes(32, "big") + SHARES[start + 32 :]
    with pytest.raises(SharingEncodingError, match=f"the {name}: a scalar is below the group order"):
        Shares.from_bytes(data, book().statement)


@pytest.mark.parametrize("position", [0, 7])
def test_points_have_one_encoding(group: Group, encodings: list[dict[str, Any]], position: int) -> None:
    invalid = [bytes.fromhex(one["hex"]) for one in encodings if one["kind"] == "g1" and not one["valid"]]
    refused = [data for data in (*invalid, *POINTS) if len(data) == 48 and _refused(group, data)]
    assert len(refused) > 20
    degree, entry = divmod(position, 5)
    for data in refused:
        start = 1 + 48 * position
        deal = Deal.from_bytes(DEAL[:start] + data + DEAL[start + 48 :], book().statement)
        shares = dataclasses.replace(book().shares[1], deal=deal.hash)
        with pytest.raises(SharingEncodingError, match=f"coefficients of degree {degree + 1}: commitment {entry}: "):
            check_shares(deal, shares, 2, group)
        statement = dataclasses.replace(book().statement, commitments=(data, *book().statement.commitments[1:]))
        deal = Deal(statement, book().deal.coefficients)
        with pytest.raises(PointEncodingError, match="commitment 0: "):
            check_shares(deal, dataclasses.replace(shares, deal=deal.hash), 2, group)


def _refused(group: Group, data: bytes) -> bool:
    try:
        group.decode_point(data)
    except PointEncodingError:
        return True
    return False


@brief
@given(data=st.data())
def test_changed_bytes_are_an_error_with_a_name_or_no_change(data: st.DataObject) -> None:
    which = data.draw(st.sampled_from(["deal", "shares"]))
    honest = DEAL if which == "deal" else SHARES
    start = data.draw(st.integers(0, len(honest) - 1))
    size = data.draw(st.sampled_from([1, 32, 48]))
    known = st.sampled_from(POINTS + SCALARS) | st.binary(min_size=size, max_size=size)
    changed = honest[:start] + data.draw(known) + honest[start + size :]
    try:
        deal = Deal.from_bytes(changed if which == "deal" else DEAL, book().statement)
        shares = Shares.from_bytes(changed if which == "shares" else SHARES, book().statement)
        check_shares(deal, shares, 2)
    except (SharingEncodingError, OtherDeal, SharesInvalid):
        assert changed != honest
    else:
        assert changed == honest


@brief
@given(data=st.binary(max_size=600))
def test_any_bytes_are_an_error_with_a_name(data: bytes) -> None:
    for read in (Deal.from_bytes, Shares.from_bytes):
        with pytest.raises(ProofError):
            read(data, book().statement)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"threshold": 1}, "threshold is 1, allowed is 2 to 5"),
        ({"threshold": 6}, "threshold is 6, allowed is 2 to 5"),
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": True}, "threshold is an int here"),
        ({"custodians": custodians(1)}, "among 2 to 16 custodians, got 1"),
        ({"custodians": ()}, "among 2 to 16 custodians, got 0"),
        ({"custodians": custodians(*range(1, 18))}, "among 2 to 16 custodians, got 17"),
        ({"custodians": custodians(1, 2, 2, 3)}, r"custodians\[2\] has the point 2 after 2"),
        ({"custodians": custodians(1, 3, 2)}, r"custodians\[2\] has the point 2 after 3"),
        ({"custodians": (Custodian(1, bytes(32)), Custodian(2, bytes(32)))}, "two custodians have one identity"),
        ({"custodians": ("1", "2", "3")}, "custodians are a tuple of Custodian"),
        ({"custodians": None}, "custodians are a tuple of Custodian"),
        ({"commitments": ()}, "1 to 4096 entries, got 0"),
        ({"commitments": (bytes(48),) * 4097}, "1 to 4096 entries, got 4097"),
        ({"commitments": (bytes(47),)}, r"commitments\[0\] is not 48 bytes"),
        ({"context": {}}, "context names what the proof belongs to"),
        ({"context": {"run": 1}}, "labels and values are strings"),
        ({"context": {"run": "1" * 65_536}}, "context takes 65546 bytes"),
    ],
)
def test_limits_of_a_statement(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(StatementError, match=said):
        dataclasses.replace(book().statement, **changed)


@pytest.mark.parametrize(
    ("point", "identity", "said"),
    [
        (0, bytes(32), "point of a custodian is 0, allowed is 1 to 65535"),
        (-1, bytes(32), "point of a custodian is -1"),
        (65_536, bytes(32), "point of a custodian is 65536"),
        (ORDER, bytes(32), "allowed is 1 to 65535"),
        ("1", bytes(32), "point of a custodian is an int here"),
        (7, bytes(31), "identity of the custodian at point 7 is not 32 bytes"),
        (7, "a" * 32, "identity of the custodian at point 7 is not 32 bytes"),
    ],
)
def test_limits_of_a_custodian(point: Any, identity: Any, said: str) -> None:
    with pytest.raises(StatementError, match=said):
        Custodian(point, identity)


def test_the_largest_statement_is_one() -> None:
    points = range(65_536 - MAX_CUSTODIANS, 65_536)
    statement = SharingStatement((bytes(48),) * checks.MAX_ENTRIES, 16, custodians(*points), CONTEXT)
    assert (statement.points, statement.entries) == (tuple(points), 4096)


@pytest.mark.parametrize("deal", [(), ((b"",),), ((bytes(48),) * 5, (bytes(48),) * 4), ((bytes(47),) * 5,) * 2])
def test_a_deal_has_the_form_of_its_statement(deal: Any) -> None:
    with pytest.raises(SharingEncodingError, match="a deal has 2 coefficients of each of 5 entries"):
        Deal(book().statement, deal)


@brief
@given(
    coefficients=st.lists(st.integers(0, ORDER - 1), min_size=1, max_size=5),
    points=st.lists(st.integers(1, 65_535), min_size=5, max_size=6, unique=True),
    at=st.integers(0, 65_535),
)
def test_interpolation(coefficients: list[int], points: list[int], at: int) -> None:
    shares = [evaluate(coefficients, point) for point in points]
    found = sum(factor * share for factor, share in zip(lagrange(points, at), shares, strict=True)) % ORDER
    assert found == evaluate(coefficients, at) == sum(c * at**k for k, c in enumerate(coefficients)) % ORDER


@pytest.mark.parametrize("points", [(1, 1), (2, 1, 2), (1, 1 + ORDER)])
def test_a_point_that_occurs_twice_is_refused(points: tuple[int, ...]) -> None:
    with pytest.raises(StatementError, match="occurs twice"):
        lagrange(points)


def test_every_field_of_shares_has_its_place() -> None:
    """Written down once more."""
    shares = book().shares[4]
    pairs = itertools.chain(*zip(shares.values, shares.blindings, strict=True))
    numbers = b"".join(number.to_bytes(32, "big") for number in pairs)
    assert shares.to_bytes() == b"\x01" + book().deal.hash + (300).to_bytes(2, "big") + numbers
    assert b"\x01" + b"".join(itertools.chain(*book().deal.coefficients)) == DEAL
