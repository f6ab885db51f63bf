"""A deal without its last degree: a custodian completes it from its own shares, or is told that something is wrong."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk.errors import OtherDeal, PointEncodingError, SharingEncodingError
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.sharing.messages import Deal, Shares, shares_bytes
from atomic_margin.zk.sharing.short import complete, short_bytes, shorten
from atomic_margin.zk.sharing.statement import SharingStatement

from .shared import CONTEXT, VALUES, book, custodians, make, replaced
from .test_fuzz_proofs import POINTS

SHORT, HASH = shorten(book().deal), book().deal.hash


@pytest.mark.parametrize("threshold", [2, 3, 4])
def test_every_custodian_completes_its_deal(backend: Group, threshold: int) -> None:
    made = make(threshold, (1, 2, 9, 65_535), VALUES[:2])
    data = shorten(made.deal)
    assert len(data) == short_bytes(made.statement) == 1 + (threshold - 2) * 2 * 48
    for shares in made.shares:
        assert complete(made.statement, data, shares, shares.custodian, made.deal.hash, backend) == made.deal


def test_what_a_custodian_downloads_at_the_sizes_of_the_service() -> None:
    for threshold, count, expected in ((2, 4, 8_228), (3, 6, 14_372)):
        statement = SharingStatement((bytes(48),) * 128, threshold, custodians(*range(1, count + 1)), CONTEXT)
        assert short_bytes(statement) + shares_bytes(128) == expected


@pytest.mark.parametrize("entry", [0, 4])
def test_what_does_not_fit_is_refused(group: Group, entry: int) -> None:
    shares = book().shares[1]
    wrong = [
        replaced(shares, entry, value=1),
        replaced(shares, entry, blinding=(shares.blindings[entry] + 1) % ORDER),
        dataclasses.replace(shares, deal=bytes(32)),
        make(3, (1, 2, 5, 9, 300)).shares[1],
    ]
    for one in wrong:
        with pytest.raises(OtherDeal, match="fetch the whole deal"):
            complete(book().statement, SHORT, one, 2, HASH, group)
    for changed in (
        {"context": {**CONTEXT, "submission": "4"}},
        {"commitments": (*book().statement.commitments[:4], book().statement.commitments[0])},
        {"custodians": custodians(1, 2, 5, 9)},
    ):
        statement = dataclasses.replace(book().statement, **changed)  # type: ignore[arg-type]
        with pytest.raises(OtherDeal, match="fetch the whole deal"):
            complete(statement, SHORT, shares, 2, HASH, group)
    with pytest.raises(OtherDeal, match="fetch the whole deal"):
        complete(book().statement, SHORT, shares, 2, bytes(32), group)


def test_a_deal_made_up_to_fit_wrong_shares_has_another_hash(group: Group) -> None:
    """Any shares give some deal; only the one in the account counts, whatever hash the shares carry."""
    wrong = replaced(book().shares[1], 0, value=1)
    other = Deal(book().statement, (book().deal.coefficients[0], make(3, (1, 2, 5, 9, 300)).deal.coefficients[1]))
    for claimed in (HASH, other.hash):
        with pytest.raises(OtherDeal):
            complete(book().statement, SHORT, dataclasses.replace(wrong, deal=claimed), 2, HASH, group)


def test_shares_of_another_custodian_are_refused(group: Group) -> None:
    with pytest.raises(OtherDeal, match="the shares are of point 2, not of the custodian at 1"):
        complete(book().statement, SHORT, book().shares[1], 1, HASH, group)
    with pytest.raises(OtherDeal, match="fetch the whole deal"):
        complete(book().statement, SHORT, dataclasses.replace(book().shares[1], custodian=1), 1, HASH, group)
    for point in (0, 3):
        with pytest.raises(OtherDeal, match=f"not of the custodian at {point}"):
            complete(
                book().statement, SHORT, dataclasses.replace(book().shares[1], custodian=point), point, HASH, group
            )


def test_more_or_fewer_shares_than_entries_are_refused(group: Group) -> None:
    shares = book().shares[0]
    for values, blindings in (
        ((*shares.values, 0), (*shares.blindings, 0)),
        (shares.values[:4], shares.blindings[:4]),
        (shares.values, shares.blindings[:4]),
    ):
        with pytest.raises(SharingEncodingError, match="as many pairs"):
            complete(book().statement, SHORT, Shares(1, HASH, values, blindings), 1, HASH, group)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (SHORT[:-1], "a short deal of 5 entries with threshold 3 is 241 bytes, got 240"),
        (SHORT + b"\x00", "241 bytes, got 242"),
        (b"", "241 bytes, got 0"),
        (book().deal.to_bytes(), "241 bytes, got 481"),
        (b"\x01" + SHORT[1:], "version 1 is unknown; this release reads 2"),
        (SHORT.hex(), "is bytes, got str"),
    ],
)
def test_another_form_is_refused(group: Group, data: bytes, said: str) -> None:
    with pytest.raises(SharingEncodingError, match=said):
        complete(book().statement, data, book().shares[1], 2, HASH, group)


def test_polynomials_of_a_lower_degree_are_refused(group: Group) -> None:
    """As in a whole deal: two of these custodians would have entry 0."""
    lower = make(2, (1, 2, 5, 9, 300))
    identity = (group.encode_point(group.identity()),) * 5
    deal = Deal(dataclasses.replace(lower.statement, threshold=3), (*lower.deal.coefficients, identity))
    shares = dataclasses.replace(lower.shares[0], deal=deal.hash)
    with pytest.raises(SharingEncodingError, match="coefficients of degree 2: commitment 0: the identity"):
        complete(deal.statement, shorten(deal), shares, 1, deal.hash, group)


@pytest.mark.parametrize("entry", [0, 4])
def test_points_have_one_encoding(group: Group, entry: int) -> None:
    refused = []
    for data in POINTS:
        try:
            group.decode_point(data)
        except PointEncodingError:
            refused.append(data)
    assert len(refused) > 20
    for data in refused:
        start = 1 + 48 * entry
        changed = SHORT[:start] + data + SHORT[start + 48 :]
        with pytest.raises(SharingEncodingError, match=f"coefficients of degree 1: commitment {entry}: "):
            complete(book().statement, changed, book().shares[1], 2, HASH, group)


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, len(SHORT) - 1), change=st.integers(1, 255))
def test_changed_bytes_are_an_error_with_a_name(start: int, change: int) -> None:
    changed = SHORT[:start] + bytes([SHORT[start] ^ change]) + SHORT[start + 1 :]
    with pytest.raises((SharingEncodingError, OtherDeal)):
        complete(book().statement, changed, book().shares[1], 2, HASH)
