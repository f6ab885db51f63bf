"""Openings shared among custodians: each checks its own shares, any t have the book, and nothing else is taken."""

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import load_generators, load_group
from atomic_margin.zk.errors import OtherDeal, SharesInvalid, SharingEncodingError, TooFewShares, WitnessError
from atomic_margin.zk.groups import ORDER, Group, Point
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_out, deal_shares
from atomic_margin.zk.sharing.messages import Deal, Shares, deal_bytes, shares_bytes
from atomic_margin.zk.sharing.reconstruct import reconstruct
from atomic_margin.zk.sharing.statement import SharingStatement

from .shared import CONTEXT, SECRET, VALUES, book, custodians, make, replaced


def test_every_custodian_accepts_its_shares_on_either_backend(backend: Group) -> None:
    made = make(2, (1, 2, 4), VALUES[:3])
    for shares in made.shares:
        check_shares(made.deal, shares, shares.custodian, backend)
    assert reconstruct(made.deal, made.shares[1:], backend) == made.witness


def test_either_backend_deals_and_the_other_one_checks(group: Group) -> None:
    reference = load_group("reference")
    statement = dataclasses.replace(book().statement, threshold=2, commitments=book().statement.commitments[:1])
    witness = SharingWitness(VALUES[:1], book().witness.blindings[:1])
    deal, shares = deal_shares(statement, witness, reference)
    check_shares(deal, shares[0], 1, group)
    assert reconstruct(deal, shares[3:], group) == witness


def test_any_threshold_of_them_has_the_book(group: Group) -> None:
    for chosen in itertools.combinations(book().shares, 3):
        assert reconstruct(book().deal, chosen, group) == book().witness
    assert reconstruct(book().deal, book().shares[::-1], group) == book().witness


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_whatever_is_shared_comes_back(data: st.DataObject) -> None:
    points = sorted(data.draw(st.sets(st.integers(1, 65_535), min_size=2, max_size=6)))
    threshold = data.draw(st.integers(2, len(points)))
    values = tuple(data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3)))
    made = make(threshold, tuple(points), values)
    chosen = data.draw(st.permutations(made.shares))[: data.draw(st.integers(threshold, len(points)))]
    assert reconstruct(made.deal, chosen) == made.witness
    with pytest.raises(TooFewShares):
        reconstruct(made.deal, chosen[: threshold - 1])


def test_sizes() -> None:
    """A deal travels once for all custodians, shares to each."""
    statement = SharingStatement((bytes(48),) * 128, 2, custodians(1, 2, 3, 4), CONTEXT)
    assert (deal_bytes(statement), shares_bytes(128)) == (6_145, 8_227)
    assert deal_bytes(dataclasses.replace(statement, threshold=3)) == 12_289
    assert len(book().deal.to_bytes()) == deal_bytes(book().statement)
    assert {len(shares.to_bytes()) for shares in book().shares} == {shares_bytes(5)}


@pytest.mark.parametrize("entry", range(5))
@pytest.mark.parametrize("what", ["value", "blinding"])
def test_a_wrong_share_is_named(group: Group, entry: int, what: str) -> None:
    honest = book().shares[2]
    wrong = replaced(honest, entry, **{what: (getattr(honest, f"{what}s")[entry] + 1) % ORDER})
    with pytest.raises(SharesInvalid, match=rf"of entry {entry} of the custodian at point 5 ") as caught:
        check_shares(book().deal, wrong, 5, group)
    assert (caught.value.custodian, caught.value.entry, caught.value.dealer) == (5, entry, None)
    # Nothing secret is said.
    assert not any(str(share) in str(caught.value) for share in (*honest.values, *honest.blindings))


def test_the_first_of_several_wrong_shares_is_named(group: Group) -> None:
    wrong = book().shares[0]
    for entry in (4, 1, 2):
        wrong = replaced(wrong, entry, value=entry)
    with pytest.raises(SharesInvalid) as caught:
        check_shares(book().deal, wrong, 1, group)
    assert caught.value.entry == 1


def test_errors_that_cancel_are_found(group: Group) -> None:
    """Under equal weights; under those of the honest shares; and under those that would not depend on shares."""
    honest = book().shares[0]
    answered, _ = book().deal.transcript()
    answered.absorb("shares", honest.to_bytes())
    fixed, _ = book().deal.transcript()
    for factor in (1, answered.challenge("omega"), fixed.challenge("omega")):
        values = ((honest.values[0] + factor) % ORDER, (honest.values[1] - 1) % ORDER)
        wrong = replaced(replaced(honest, 0, value=values[0]), 1, value=values[1])
        with pytest.raises(SharesInvalid) as caught:
            check_shares(book().deal, wrong, 1, group)
        assert caught.value.entry == 0


def test_swapped_entries_are_refused(group: Group) -> None:
    honest = book().shares[1]
    order = (0, 3, 2, 1, 4)
    swapped = dataclasses.replace(
        honest,
        values=tuple(honest.values[i] for i in order),
        blindings=tuple(honest.blindings[i] for i in order),
    )
    with pytest.raises(SharesInvalid) as caught:
        check_shares(book().deal, swapped, 2, group)
    assert caught.value.entry == 1


def test_a_value_is_not_taken_for_a_blinding(group: Group) -> None:
    honest = book().shares[1]
    swapped = dataclasses.replace(honest, values=honest.blindings, blindings=honest.values)
    with pytest.raises(SharesInvalid):
        check_shares(book().deal, swapped, 2, group)


def test_swapped_custodians_are_refused(group: Group) -> None:
    second = book().shares[1]
    with pytest.raises(OtherDeal, match="of point 2, not of 1"):
        check_shares(book().deal, second, 1, group)
    with pytest.raises(SharesInvalid):
        check_shares(book().deal, dataclasses.replace(second, custodian=1), 1, group)
    # Two identities that trade their points are other custodians.
    first, other, *rest = book().statement.custodians
    traded = (
        dataclasses.replace(first, identity=other.identity),
        dataclasses.replace(other, identity=first.identity),
        *rest,
    )
    deal = dataclasses.replace(book().deal, statement=dataclasses.replace(book().statement, custodians=traded))
    with pytest.raises(OtherDeal, match="another deal"):
        check_shares(deal, second, 2, group)


@pytest.mark.parametrize("point", [0, 3, ORDER + 1])
def test_shares_at_other_points_are_refused(group: Group, point: int) -> None:
    """At 0 they would be the openings themselves."""
    witness = book().witness
    shares = Shares(point, book().deal.hash, witness.values, witness.blindings)
    with pytest.raises(OtherDeal, match=f"the deal has no custodian at point {point}"):
        check_shares(book().deal, shares, point, group)


def test_polynomials_of_a_higher_degree_are_refused(group: Group) -> None:
    """Three would not have the book: the dealer leaves out the commitments to the last coefficient."""
    higher = make(4, (1, 2, 5, 9, 300))
    deal = Deal(book().statement, higher.deal.coefficients[:2])
    for shares in higher.shares:
        with pytest.raises(SharesInvalid):
            check_shares(deal, dataclasses.replace(shares, deal=deal.hash), shares.custodian, group)


def test_polynomials_of_a_lower_degree_are_refused(group: Group) -> None:
    """Two would have the book: the last coefficients are zero, and their commitments the identity."""
    lower = make(2, (1, 2, 5, 9, 300))
    identity = group.encode_point(group.identity())
    deal = Deal(book().statement, (*lower.deal.coefficients, (identity,) * 5))
    with pytest.raises(SharingEncodingError, match="coefficients of degree 2: commitment 0: the identity"):
        check_shares(deal, dataclasses.replace(lower.shares[0], deal=deal.hash), 1, group)


@pytest.mark.parametrize("degrees", [0, 1, 3])
def test_a_deal_has_as_many_degrees_as_the_statement_says(degrees: int) -> None:
    columns = (book().deal.coefficients * 2)[:degrees]
    with pytest.raises(SharingEncodingError, match="with threshold 3 a deal has 2 coefficients of each of 5 entries"):
        Deal(book().statement, columns)


def test_shares_are_held_against_the_commitments(group: Group) -> None:
    commitments, _ = commit_values(VALUES, SECRET, CONTEXT, group)
    deal = dataclasses.replace(book().deal, statement=dataclasses.replace(book().statement, commitments=commitments))
    shares = book().shares[0]
    with pytest.raises(OtherDeal):
        check_shares(deal, shares, 1, group)
    with pytest.raises(SharesInvalid) as caught:
        check_shares(deal, dataclasses.replace(shares, deal=deal.hash), 1, group)
    assert caught.value.entry == 0
    # One other commitment is found among those that are the same.
    mixed = (*book().statement.commitments[:3], commitments[3], book().statement.commitments[4])
    deal = dataclasses.replace(book().deal, statement=dataclasses.replace(book().statement, commitments=mixed))
    with pytest.raises(SharesInvalid) as caught:
        check_shares(deal, dataclasses.replace(shares, deal=deal.hash), 1, group)
    assert caught.value.entry == 3


def test_a_replay_from_another_submission_is_refused(group: Group) -> None:
    """Even if its commitments are the same."""
    statement = dataclasses.replace(book().statement, context={**CONTEXT, "submission": "4"})
    deal = dataclasses.replace(book().deal, statement=statement)
    with pytest.raises(OtherDeal, match="another statement"):
        check_shares(deal, book().shares[0], 1, group)


def test_two_deals_of_one_book_do_not_mix(group: Group) -> None:
    deal, shares = deal_shares(book().statement, book().witness, group)
    assert deal.hash != book().deal.hash
    assert not {*itertools.chain(*deal.coefficients)} & {*itertools.chain(*book().deal.coefficients)}
    with pytest.raises(OtherDeal):
        reconstruct(deal, (*shares[:2], book().shares[2]), group)
    with pytest.raises(SharesInvalid) as caught:
        reconstruct(deal, (*shares[:2], dataclasses.replace(book().shares[2], deal=deal.hash)), group)
    assert caught.value.custodian == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"context": {**CONTEXT, "submission": "30"}},
        {"context": {**CONTEXT, "run": "1"}},
        {"custodians": custodians(1, 2, 5, 9, 301)},
        {"custodians": custodians(1, 2, 5, 9)},
        {"custodians": custodians(1, 2, 5, 9, 300, 301)},
        {"custodians": (*custodians(1, 2, 5, 9), dataclasses.replace(custodians(300)[0], identity=bytes(32)))},
        {"commitments": book().statement.commitments[::-1]},
    ],
    ids=["context", "label", "point", "fewer", "more", "identity", "order of entries"],
)
def test_all_of_the_statement_is_in_the_hash(changed: dict[str, Any]) -> None:
    statement = dataclasses.replace(book().statement, **changed)
    assert dataclasses.replace(book().deal, statement=statement).hash != book().deal.hash


def test_every_commitment_of_the_deal_is_in_the_hash() -> None:
    first, second = book().deal.coefficients
    for coefficients in ((second, first), (first, (*second[:4], first[4])), (second, second)):
        assert Deal(book().statement, coefficients).hash != book().deal.hash


def test_the_threshold_is_in_the_hash() -> None:
    """Its number of points gives a deal away too; the hash does not lean on that."""
    other = dataclasses.replace(book().statement, threshold=4)
    assert book().statement.binding() != other.binding()


def test_the_generators_are_in_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = book().deal.transcript()[1]
    monkeypatch.setattr("atomic_margin.zk.sharing.statement.generators_hash", lambda: "00" * 32)
    assert book().deal.transcript()[1] != before


def test_a_wrong_share_is_named_when_the_book_is_put_together(group: Group) -> None:
    first, second, *others = book().shares
    wrong = replaced(second, 3, value=7)
    with pytest.raises(SharesInvalid, match="custodian at point 2 ") as caught:
        reconstruct(book().deal, (first, wrong, *others), group)
    assert (caught.value.custodian, caught.value.entry) == (2, 3)
    assert reconstruct(book().deal, (first, *others), group) == book().witness


def test_too_few_shares_are_told_from_enough(group: Group) -> None:
    first, second, third, *_ = book().shares
    with pytest.raises(TooFewShares, match="shares of 2 custodians, it takes 3"):
        reconstruct(book().deal, (first, second), group)
    with pytest.raises(TooFewShares, match="point 1 are there twice"):
        reconstruct(book().deal, (first, second, first), group)
    with pytest.raises(TooFewShares, match="point 2 are there twice"):
        reconstruct(book().deal, (first, second, second, third), group)
    with pytest.raises(TooFewShares):
        reconstruct(book().deal, (), group)


def test_what_does_not_open_the_commitments_is_not_dealt(group: Group) -> None:
    values, blindings = book().witness.values, book().witness.blindings
    with pytest.raises(WitnessError, match="commitment 4 does not open"):
        deal_shares(book().statement, SharingWitness((*values[:4], 2), blindings), group)
    with pytest.raises(WitnessError, match="5 entries take as many"):
        deal_shares(book().statement, SharingWitness(values[:4], blindings[:4]), group)


def test_shares_of_another_book_are_refused_by_whoever_gets_them(group: Group) -> None:
    """An insolvent institution shares what is not in its commitments."""
    false = SharingWitness((*VALUES[:2], 0, *VALUES[3:]), book().witness.blindings)
    deal, shares = deal_out(book().statement, false, group)
    for one in shares:
        with pytest.raises(SharesInvalid) as caught:
            check_shares(deal, one, one.custodian, group)
        assert caught.value.entry == 2


def test_more_or_fewer_shares_than_entries_are_refused(group: Group) -> None:
    shares = book().shares[0]
    for values, blindings in (
        ((*shares.values, 0), (*shares.blindings, 0)),
        (shares.values[:4], shares.blindings[:4]),
        (shares.values, shares.blindings[:4]),
    ):
        with pytest.raises(SharingEncodingError, match="a deal of 5 entries has as many pairs"):
            check_shares(book().deal, Shares(1, book().deal.hash, values, blindings), 1, group)


def test_points_are_decoded_once(group: Group) -> None:
    known: dict[bytes, Point] = {}
    for shares in book().shares:
        check_shares(book().deal, shares, shares.custodian, group, known)
    encoded = {*book().statement.commitments, *itertools.chain(*book().deal.coefficients)}
    assert set(known) == encoded


def test_nothing_secret_is_shown() -> None:
    for secret in (book().witness, *book().shares):
        assert not any(str(number) in repr(secret) for number in (*book().shares[0].values, *book().witness.blindings))


def test_shares_are_on_polynomials_whose_commitments_everyone_has(group: Group) -> None:
    """The equation, entry by entry and without weights."""
    bases = load_generators(group, 0)
    for shares in book().shares:
        for entry in range(5):
            opened = group.msm(
                [bases.value, bases.blinding], group.scalars((shares.values[entry], shares.blindings[entry]))
            )
            encoded = (book().statement.commitments, *book().deal.coefficients)
            points = [group.decode_point(column[entry]) for column in encoded]
            assert opened == group.msm(points, group.scalars(shares.custodian**k for k in range(3)))
