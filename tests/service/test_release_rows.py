"""Rows of releases: initial margin with what remains, and without what a book says that it gained; both forms."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gained
from atomic_margin.service.institution.sufficient import Position
from atomic_margin.service.protocol.release_rows import ReleaseRows, in_unit
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.zk.errors import ProofError, WitnessError
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

from .documents import GROSS_LIMIT, example, example_terms
from .test_exact_answers import document, terms_under

CONTEXT = {"document": "release"}
MARKET = Market.parse(example("market-1"))
FORMS = pytest.mark.parametrize(
    ("terms", "form"),
    [(example_terms(), "conservative"), (terms_under(document()), "conservative"), (terms_under(document()), "exact")],
    ids=["scan", "expected shortfall", "expected shortfall exact"],
)


class Book:
    """A book with what a release of it is about."""

    def __init__(self, terms: Terms, form: str, usdc: int, **changes: str) -> None:
        account = AccountColumns(terms.universe.hash(), GROSS_LIMIT)
        self.z = terms.encode(Portfolio.parse({**example("portfolio"), **changes}), account)
        posted = {"USDC": usdc}
        position = Position(terms, MARKET, posted, account, terms.compile(MARKET, posted, account), self.z)
        self.shown = next(one for one in position.rows("initial") if one.form == form)
        self.weights = gains(account, terms, MARKET)
        self.rows = ReleaseRows.of(self.shown.rows, self.weights)
        self.bits = terms.profile.bits + 12

    @property
    def usd(self) -> Fraction:
        """What it gained."""
        return gained(self.weights, self.z.tolist()) * Fraction(2) ** UNIT_EXPONENT

    def proof(self, u: int | None = None) -> tuple[Any, bytes]:
        values = tuple(int(value) for value in self.z)
        points, blindings = commit_values(values, bytes(32), CONTEXT)
        statement = self.rows.statement(points, self.bits, CONTEXT)
        slack = (*(int(value) for value in self.shown.slack), self.rows.gained(self.z) if u is None else u)
        return statement, prove_sufficiency(statement, SufficiencyWitness(values, blindings, slack))


@FORMS
def test_margin_with_gains_counted_as_zero_is_proven(terms: Terms, form: str) -> None:
    book = Book(terms, form, 2_000_000 * 10**6, cash="1000000")
    assert book.usd > 900_000
    statement, proof = book.proof()
    verify_sufficiency(statement, proof)
    assert statement.rows == book.shown.rows.matrix.rows + 1
    assert len(statement.slack_widths) == len(book.shown.slack) + 1


@FORMS
def test_margin_that_rests_on_gains_is_not(terms: Terms, form: str) -> None:
    book = Book(terms, form, 1_000 * 10**6, cash="1000000")
    assert book.shown.least > 0
    with pytest.raises(WitnessError, match="negative surplus"):
        book.proof()
    # Nor with less for u than was gained: the row of u says so.
    with pytest.raises(WitnessError, match=f"row {book.shown.rows.matrix.rows} has a negative surplus"):
        book.proof(0)


@FORMS
def test_losses_count_in_full(terms: Terms, form: str) -> None:
    book = Book(terms, form, 2_000_000 * 10**6, cash="-100000")
    assert book.usd < 0
    assert book.rows.gained(book.z) == 0
    statement, proof = book.proof()
    verify_sufficiency(statement, proof)
    poor = Book(terms, form, 50_000 * 10**6, cash="-500000")
    with pytest.raises(WitnessError, match="negative surplus"):
        poor.proof()


@FORMS
def test_a_proof_with_other_gains_is_none(terms: Terms, form: str) -> None:
    book = Book(terms, form, 2_000_000 * 10**6)
    statement, proof = book.proof()
    other = ReleaseRows.of(book.shown.rows, [0] * len(book.weights))
    assert other.hash() != book.rows.hash() != book.shown.rows.hash()
    with pytest.raises(ProofError):
        verify_sufficiency(other.statement(statement.commitments, book.bits, CONTEXT), proof)


@given(weight=st.integers(-(2**46), 2**46), exponent=st.integers(-30, 10))
def test_a_gain_is_rounded_up_to_a_unit(weight: int, exponent: int) -> None:
    units, exact = in_unit(weight, exponent), weight * Fraction(2) ** (UNIT_EXPONENT - exponent)
    assert exact <= units < exact + 1


def test_rows_that_bound_slack_are_not_lowered() -> None:
    """With u there, slack could be smaller than the losses that it stands for."""
    book = Book(terms_under(document()), "exact", 2_000_000 * 10**6)
    exact = book.shown.rows.exact
    assert exact is not None
    points, _ = commit_values(tuple(int(value) for value in book.z), bytes(32), CONTEXT)
    slack = book.rows.statement(points, book.bits, CONTEXT).slack
    assert slack is not None
    assert np.array_equal(slack[:-1, -1], np.where(exact.validity, 0, -1))
    assert np.array_equal(slack[:-1, :-1], exact.slack)
    assert slack[-1].tolist() == [0] * exact.slack.shape[1] + [1]
