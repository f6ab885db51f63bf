"""Shares of one row: what a custodian says of it is checked against the deal, and t of them open it."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import (
    BreachStatement,
    SufficiencyStatement,
    load_generators,
    load_group,
    verify_breach,
    verify_sufficiency,
)
from atomic_margin.zk.errors import (
    OtherDeal,
    SharesInvalid,
    SharingEncodingError,
    StatementError,
    TooFewShares,
    WitnessError,
)
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, SufficiencyWitness
from atomic_margin.zk.sharing.open_row import open_row, share_row
from atomic_margin.zk.sharing.rows import Row, RowShare, check_row_share

from .shared import CONTEXT, VALUES, book, make

WEIGHTS, OFFSET = (-10, 4, -1, 0, 3), 20
ROW = Row(book().deal, WEIGHTS, OFFSET)
SHARES = tuple(share_row(ROW, shares) for shares in book().shares)


def test_a_row_is_opened_and_nothing_else(backend: Group) -> None:
    opening = open_row(ROW, SHARES[1:4], backend)
    assert opening.value == -30 - 31 + 3 + 20
    bases = load_generators(backend, 0)
    opened = backend.msm([bases.value, bases.blinding], backend.scalars((opening.value, opening.blinding)))
    assert opened == ROW.points(backend)[0]
    expected = sum(w * b for w, b in zip(WEIGHTS, book().witness.blindings, strict=True)) % ORDER
    assert opening.blinding == expected


def test_whoever_closes_an_opening_proves_with_one_row_alone(group: Group) -> None:
    """That it is negative, and that X restores it to within 2^bits: about its commitment, which everyone computes."""
    opening = open_row(ROW, SHARES[:3], group)
    row = (group.encode_point(ROW.points(group)[0]),)
    values, blindings = (opening.value,), (opening.blinding,)
    breach = BreachStatement(row, np.array([[1]]), (0,), 20, CONTEXT)
    verify_breach(breach, prove_breach(breach, BreachWitness(values, blindings), group), group)
    # -38 + 40 is in [0, 2^2): X says that up to 40 are missing, and more than 36.
    restored = SufficiencyStatement(row, np.array([[1]]), (0,), 40, 2, CONTEXT)
    proof = prove_sufficiency(restored, SufficiencyWitness(values, blindings), group)
    verify_sufficiency(restored, proof, group)
    for top_up in (37, 42):
        other = dataclasses.replace(restored, top_up=top_up)
        with pytest.raises(WitnessError):
            prove_sufficiency(other, SufficiencyWitness(values, blindings), group)


@settings(max_examples=15, deadline=None)
@given(
    weights=st.lists(st.integers(1 - 2**48, 2**48 - 1), min_size=5, max_size=5),
    offset=st.integers(1 - 2**48, 2**48 - 1),
)
def test_any_three_open_any_row(weights: list[int], offset: int) -> None:
    row = Row(book().deal, tuple(weights), offset)
    shares = [share_row(row, one) for one in book().shares]
    for chosen in itertools.combinations(shares, 3):
        assert open_row(row, chosen).value == sum(w * z for w, z in zip(weights, VALUES, strict=True)) + offset


@pytest.mark.parametrize("field", ["value", "blinding"])
def test_a_wrong_share_is_named_and_no_breach_invented(group: Group, field: str) -> None:
    wrong = dataclasses.replace(SHARES[3], **{field: (getattr(SHARES[3], field) - 10**6) % ORDER})
    with pytest.raises(SharesInvalid, match="the share of the row of the custodian at point 9 ") as caught:
        open_row(ROW, (*SHARES[:3], wrong), group)
    assert (caught.value.custodian, caught.value.entry) == (9, None)
    assert open_row(ROW, (*SHARES[:3], SHARES[4]), group).value == -38


def test_a_share_is_of_one_row_one_deal_and_one_custodian(group: Group) -> None:
    points = ROW.points(group)
    check_row_share(ROW, points, SHARES[0], 1, group)
    for row in (Row(book().deal, WEIGHTS, OFFSET + 1), Row(book().deal, (-10, 4, -1, 1, 3), OFFSET)):
        with pytest.raises(SharesInvalid):
            check_row_share(row, row.points(group), SHARES[0], 1, group)
    with pytest.raises(OtherDeal):
        check_row_share(ROW, points, SHARES[1], 1, group)
    with pytest.raises(SharesInvalid):
        check_row_share(ROW, points, dataclasses.replace(SHARES[1], custodian=1), 1, group)
    other = make(3, (1, 2, 5, 9, 300))
    row = Row(other.deal, WEIGHTS, OFFSET)
    with pytest.raises(OtherDeal):
        check_row_share(row, row.points(group), SHARES[0], 1, group)
    with pytest.raises(OtherDeal):
        share_row(row, book().shares[0])


def test_too_few_shares_open_nothing(group: Group) -> None:
    with pytest.raises(TooFewShares):
        open_row(ROW, SHARES[:2], group)
    with pytest.raises(TooFewShares, match="twice"):
        open_row(ROW, (SHARES[0], SHARES[1], SHARES[1]), group)


@pytest.mark.parametrize(
    ("weights", "offset", "said"),
    [
        (WEIGHTS[:4], 0, "4 weights for 5 entries"),
        ((*WEIGHTS, 0), 0, "6 weights for 5 entries"),
        ((2**48, 0, 0, 0, 0), 0, r"weights\[0\] is 281474976710656"),
        ((0, 0, 0, 0, -(2**48)), 0, r"weights\[4\] is -281474976710656"),
        (WEIGHTS, 2**48, "offset is 281474976710656"),
        ((0.5, 0, 0, 0, 0), 0, r"weights\[0\] is an int here"),
    ],
)
def test_limits_of_a_row(weights: Any, offset: int, said: str) -> None:
    with pytest.raises(StatementError, match=said):
        Row(book().deal, weights, offset)


def test_a_share_has_one_encoding() -> None:
    for share in SHARES:
        data = share.to_bytes()
        assert len(data) == 99
        assert RowShare.from_bytes(data, book().deal) == share
        assert not any(str(number) in repr(share) for number in (share.value, share.blinding))
    for changed, said in (
        (data[:-1], "99 bytes, got 98"),
        (data + b"\x00", "99 bytes, got 100"),
        (b"\x02" + data[1:], "version 2"),
        (data[:33] + b"\x00\x00" + data[35:], "no custodian"),
        (data[:35] + ORDER.to_bytes(32, "big") + data[67:], "below the group order"),
    ):
        with pytest.raises(SharingEncodingError, match=said):
            RowShare.from_bytes(changed, book().deal)


def test_the_reference_computes_the_same_points() -> None:
    reference, native = load_group("reference"), load_group("arkworks")
    assert list(map(reference.encode_point, ROW.points(reference))) == list(
        map(native.encode_point, ROW.points(native))
    )
