"""One matrix, three ways: the same A and c of a `pmrm` book on plaintext, under encryption, and on commitments."""

import secrets
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pytest

from atomic_margin.circuits.profile import TINY
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.models.pmrm import PmrmCase, compile_case, pmrm_margin
from atomic_margin.margin.models.pmrm.books import pmrm_parameters
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, run_matrices
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.zk import (
    PortfolioStatement,
    SufficiencyStatement,
    load_generators,
    load_group,
    verify_portfolio,
    verify_sufficiency,
)
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness

from ..fhe.conftest import write_keys
from ..margin.pmrm_cases import UNIT, case_of

pytestmark = [pytest.mark.fhe, pytest.mark.long]

CONTEXT = {"institution": "fund", "submission": "1"}
# A short call spread and a hedge in perpetuals, in the outside format: three instruments and the vertical of the calls.
SPREAD = case_of([(604800, 1500, 1, 0.8, -9), (604800, 1700, 1, 0.9, 5)], [(604800, 1502, 0.05)], Perps=3 * UNIT)


SCENARIOS = ((Decimal("1.15"), -1), (Decimal(1), 0), (Decimal("0.85"), 1))


def book(cash: int) -> PmrmCase:
    return PmrmCase.parse(SPREAD | {"Cash": cash * UNIT})


def compiled(case: PmrmCase) -> tuple[CompiledCase, MarginMatrix]:
    """The book and its maintenance rows in the width of the tiny profile: three scenarios and the basis row."""
    parameters = pmrm_parameters()
    three = tuple(item for item in parameters.scenarios if (item.spot, item.vol) in SCENARIOS)
    assert len(three) == len(SCENARIOS)
    chosen = parameters.model_copy(update={"scenarios": three})
    compiled_case = compile_case(case, chosen, most_rows=TINY.rows)
    run = run_matrices(compiled_case, TINY.bits)
    true = pmrm_margin(case, chosen)
    matrix = run.maintenance_fhe
    assert matrix.usd(int(matrix.surplus(compiled_case.z).min())) <= true.maintenance_excess
    return compiled_case, matrix


@pytest.fixture(scope="module")
def keys(spare_keys: InstitutionKeys) -> InstitutionKeys:
    return spare_keys


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(TINY) as running:
        yield running


@pytest.mark.parametrize(("cash", "breach"), [(5000, False), (1100, True)], ids=["covered", "breach"])
def test_the_same_rows_on_plaintext_ciphertext_and_commitments(
    cash: int, breach: bool, keys: InstitutionKeys, evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case, matrix = compiled(book(cash))
    entries, z = case.entry_map, case.z
    assert np.count_nonzero(z) >= 3

    # Plaintext.
    plain: npt.NDArray[np.int64] = matrix.surplus(z)
    assert bool((plain < 0).any()) == breach

    # Ciphertext: padded to the profile, which adds columns of no weight and rows that are never short.
    A, c = matrix.padded(TINY.rows, TINY.entries, TINY.bits)
    digits = np.zeros(TINY.entries, dtype=np.int64)
    digits[: len(z)] = z
    key_file = write_keys(keys, tmp_path_factory.mktemp("keys") / "evaluation.keys")
    evaluation = evaluator.evaluate(key_file, keys.encrypt(digits), A, c, ("surplus", "breach"))
    decrypted = keys.decrypt("surplus", evaluation.outputs["surplus"]).values
    assert np.array_equal(decrypted[: matrix.rows], plain)
    assert bool(keys.decrypt("breach", evaluation.outputs["breach"]).values[0]) == breach

    # Commitments: anyone computes those of the rows from those of the entries.
    group = load_group()
    values = tuple(int(value) for value in z)
    commitments, blindings = commit_values(values, secrets.token_bytes(32), CONTEXT)
    points, bases = decode_commitments(group, commitments), load_generators(group, 0)
    for row, (weights, offset, surplus) in enumerate(zip(matrix.weights, matrix.collateral, plain, strict=True)):
        factors = [int(weight) % ORDER for weight in weights]
        computed = group.msm([*points, bases.value], group.scalars([*factors, int(offset) % ORDER]))
        blinding = sum(factor * r for factor, r in zip(factors, blindings, strict=True)) % ORDER
        opened = group.msm([bases.value, bases.blinding], group.scalars([int(surplus) % ORDER, blinding]))
        assert group.encode_point(computed) == group.encode_point(opened), matrix.labels[row]

    # And proves what the integers say: that the book is one, and that no row is short.
    ranges = PortfolioStatement(commitments, entries.widths, entries.gross_weights, case.gross_limit, CONTEXT)
    verify_portfolio(ranges, prove_portfolio(ranges, PortfolioWitness(values, blindings)))
    top_up = max(0, -int(plain.min()))
    covered = SufficiencyStatement(
        commitments=commitments,
        weights=matrix.weights,
        offsets=tuple(int(offset) for offset in matrix.collateral),
        top_up=top_up,
        bits=TINY.bits + 1,
        context={**CONTEXT, "matrix": matrix.hash()},
    )
    assert (top_up > 0) == breach
    verify_sufficiency(covered, prove_sufficiency(covered, SufficiencyWitness(values, blindings)))
