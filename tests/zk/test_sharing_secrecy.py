"""What t - 1 custodians and the operator see together says nothing about the book: exactly, and counted.

The argument is in docs/proofs.md. The first test carries it out on a real deal, with a trapdoor nobody has; the others
count shares of many deals, and count those of broken dealers too, to show that they would have noticed.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from scipy.stats import chi2

from atomic_margin.zk import Group, load_generators, load_group
from atomic_margin.zk.bits import witness as openings
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.prove import openings as tables
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.sharing import check
from atomic_margin.zk.sharing import deal as dealing
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.interpolation import evaluate, lagrange, weighted
from atomic_margin.zk.sharing.messages import Shares
from atomic_margin.zk.sharing.statement import SharingStatement

from .shared import CONTEXT, SECRET, custodians

POINTS, COALITION = (1, 2, 3, 4), (1, 2)
CELLS = 8
FALSE_ALARM = 1e-9


def test_every_other_book_fits_what_they_see(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knew h with H = h G could open the whole view to any book; so the view does not tell books apart."""
    trapdoor = 0x1234567 * 2**200 + 89
    real = load_generators(group, 0)
    known = dataclasses.replace(real, blinding=group.multiply(real.value, group.scalar(trapdoor)))
    for module in (openings, tables, check):
        monkeypatch.setattr(module, "load_generators", lambda *_: known)
    values, blindings = (3, 0, 31), (11, 12, 13)
    statement = SharingStatement(tables.commit_all(group, values, blindings), 3, custodians(*POINTS), CONTEXT)
    deal, shares = deal_shares(statement, SharingWitness(values, blindings), group)

    # The polynomials, by what all custodians have.
    on_values = [_coefficients([one.values[entry] for one in shares[:3]]) for entry in range(3)]
    on_blindings = [_coefficients([one.blindings[entry] for one in shares[:3]]) for entry in range(3)]
    assert [polynomial[0] for polynomial in on_values] == list(values)

    # Another book: the same shares at both points of the coalition, another value at 0, blindings that make up for it.
    other_values, other_blindings = [], []
    for f, g, value in zip(on_values, on_blindings, (8, 2**31, 5), strict=True):
        # A multiple of (X - 1)(X - 2).
        vanishing = [(value - f[0]) * pow(2, -1, ORDER) * c % ORDER for c in (2, -3, 1)]
        other_values.append([(a + v) % ORDER for a, v in zip(f, vanishing, strict=True)])
        shift = pow(trapdoor, -1, ORDER)
        other_blindings.append([(b - v * shift) % ORDER for b, v in zip(g, vanishing, strict=True)])
    assert [polynomial[0] for polynomial in other_values] == [8, 2**31, 5]
    columns = [
        tables.commit_all(group, [f[k] for f in other_values], [g[k] for g in other_blindings]) for k in range(3)
    ]
    assert (statement.commitments, *deal.coefficients) == tuple(columns)
    for one in shares:
        other = Shares(
            one.custodian,
            deal.hash,
            tuple(evaluate(polynomial, one.custodian) for polynomial in other_values),
            tuple(evaluate(polynomial, one.custodian) for polynomial in other_blindings),
        )
        assert (other == one) is (one.custodian in COALITION)
        check_shares(deal, other, one.custodian, group)


def _coefficients(shares: Sequence[int]) -> list[int]:
    """The quadratic through shares at 1, 2 and 3."""
    at = [evaluate_at(shares, point) for point in (0, 1, 2)]
    second = (at[2] - 2 * at[1] + at[0]) * pow(2, -1, ORDER) % ORDER
    return [at[0], (at[1] - at[0] - second) % ORDER, second]


def evaluate_at(shares: Sequence[int], point: int) -> int:
    return weighted(lagrange((1, 2, 3), point), [(share,) for share in shares])[0]


Views = list[tuple[int, int]]


def views(value: int, deals: int = 25, entries: int = 64) -> Views:
    """What the coalition has of entries that are all ``value``, over fresh deals: pairs of shares."""
    group = load_group("arkworks")
    commitments, blindings = commit_values((value,) * entries, SECRET, CONTEXT, group)
    statement = SharingStatement(commitments, 3, custodians(*POINTS), CONTEXT)
    witness = SharingWitness((value,) * entries, blindings)
    seen: Views = []
    for _ in range(deals):
        _, shares = deal_shares(statement, witness, group)
        seen += zip(shares[0].values, shares[1].values, strict=True)
        seen += zip(shares[0].blindings, shares[1].blindings, strict=True)
    return seen


def statistics(seen: Views) -> Iterator[float]:
    """Chi-square of pairs of shares in CELLS times CELLS cells: lowest bits, highest, and after combinations."""
    features: list[Callable[[int], int]] = [lambda x: x % CELLS, lambda x: x * CELLS // ORDER]
    combined = [lagrange(COALITION), (1, 1), (1, -1), (3, 5)]
    for feature in features:
        yield _chi_square([(feature(first), feature(second)) for first, second in seen])
        for a, b in combined:
            yield _chi_square([(feature((a * x + b * y) % ORDER), feature(x)) for x, y in seen])


def _chi_square(cells: Sequence[tuple[int, int]]) -> float:
    counted = np.zeros((CELLS, CELLS))
    np.add.at(counted, tuple(np.array(cells).T), 1)
    expected = len(cells) / CELLS**2
    return float(((counted - expected) ** 2).sum() / expected)


BOUND = float(chi2.isf(FALSE_ALARM, CELLS**2 - 1))


@pytest.mark.parametrize("value", [0, 31, 2**32 - 1])
def test_shares_of_two_of_three_look_the_same_for_every_book(value: int) -> None:
    assert max(statistics(views(value))) < BOUND


@pytest.mark.parametrize("broken", ["lower degree", "short", "same for all entries"])
def test_the_count_would_notice_a_broken_dealer(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    class Weak(dealing.NonceStream):
        calls = 0

        def integers(self, count: int) -> list[int]:
            self.calls += 1
            if broken == "lower degree" and self.calls > 2:
                return [0] * count
            if broken == "short":
                return [number >> 10 for number in super().integers(count)]
            return super().integers(1) * count if broken == "same for all entries" else super().integers(count)

    monkeypatch.setattr(dealing, "NonceStream", Weak)
    assert max(statistics(views(7, deals=10))) > BOUND
