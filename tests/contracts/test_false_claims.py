"""Proofs that a prover makes of what is not so, by the genuine argument: the contract refuses them as Python does."""

import random
from dataclasses import replace

import pytest

from atomic_margin.zk import BreachStatement, SufficiencyStatement, load_group, verify_breach, verify_sufficiency
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import BreachProofInvalid, SufficiencyProofInvalid
from atomic_margin.zk.prove.breach import argue_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.witness import BreachWitness

from .cases import CONTEXT, SECRET, Case, book
from .chains import Verifier

ROWS, ENTRIES, BITS = 3, 4, 11


@pytest.mark.parametrize("missing", [1, 1 << 10])
def test_an_uncovered_row_is_not_sufficient(on_anvil: Verifier, missing: int) -> None:
    values, weights = book(ROWS, ENTRIES, random.Random(5))
    numbers = tuple(map(int, values))
    commitments, blindings = commit_values(numbers, SECRET, CONTEXT)
    surpluses = (5, -missing, 0)
    offsets = tuple(surplus - int(row @ values) for surplus, row in zip(surpluses, weights, strict=True))
    statement = SufficiencyStatement(commitments, weights, offsets, 0, BITS, CONTEXT)
    # The bits of what the row would be modulo 2^bits.
    bits = tuple((surplus >> exponent) & 1 for surplus in surpluses for exponent in range(BITS))
    proof = argue(statement.bit_statement(), BitWitness(bits, numbers, blindings), load_group())
    with pytest.raises(SufficiencyProofInvalid):
        verify_sufficiency(statement, proof)
    case = Case(statement, proof)
    assert on_anvil.says(case.function, *case.calldata) == "SufficiencyProofInvalid()"
    # The prover's argument is the genuine one: with what is missing as a top-up it holds.
    covered = replace(statement, top_up=missing)
    bits = tuple(((surplus + missing) >> exponent) & 1 for surplus in surpluses for exponent in range(BITS))
    case = Case(covered, argue(covered.bit_statement(), BitWitness(bits, numbers, blindings), load_group()))
    assert not isinstance(on_anvil.says(case.function, *case.calldata), str)


@pytest.mark.parametrize("surplus", [0, 1, (1 << BITS) - 1])
def test_a_covered_account_is_not_in_breach(on_anvil: Verifier, surplus: int) -> None:
    values, weights = book(ROWS, ENTRIES, random.Random(6))
    numbers = tuple(map(int, values))
    commitments, blindings = commit_values(numbers, SECRET, CONTEXT)
    surpluses = (surplus, surplus, surplus)
    offsets = tuple(each - int(row @ values) for each, row in zip(surpluses, weights, strict=True))
    statement = BreachStatement(commitments, weights, offsets, BITS, CONTEXT)
    witness = BreachWitness(numbers, blindings)
    proof = argue_breach(statement, witness, surpluses, 1, load_group())
    with pytest.raises(BreachProofInvalid):
        verify_breach(statement, proof)
    case = Case(statement, proof)
    assert on_anvil.says(case.function, *case.calldata) == "BreachProofInvalid()"
    # The choice among the rows, by a prover that lies about the row instead.
    lying = argue_breach(statement, witness, (surplus, -1, surplus), 1, load_group())
    assert on_anvil.says(case.function, case.calldata[0], Case(statement, lying).calldata[1]) == "BreachProofInvalid()"
