"""Python and the contract judge random proofs alike, genuine and broken ones."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from atomic_margin.contracts.calldata import expected
from atomic_margin.zk import BreachStatement, ProofError, load_group, verify_breach, verify_sufficiency
from atomic_margin.zk.groups import ORDER

from .cases import Case, breach, sufficiency
from .chains import Verifier

QUICK, MANY = 12, 100


def drawn_case(drawn: random.Random, seed: int) -> Case:
    rows, entries = drawn.randint(1, 6), drawn.randint(1, 8)
    if drawn.random() < 0.5:
        return breach(rows, entries, drawn.randint(1, 48), seed)
    return sufficiency(rows, entries, drawn.randint(2, 24), seed, drawn.randrange(1 << 20))


def another_scalar(case: Case, drawn: random.Random) -> Case:
    # Every proof ends by its tails.
    start = len(case.proof) - 32
    value = (int.from_bytes(case.proof[start:], "big") + drawn.randrange(1, ORDER)) % ORDER
    return replace(case, proof=case.proof[:start] + value.to_bytes(32, "big"))


def another_point(case: Case, drawn: random.Random) -> Case:
    """The first point, A or W, is another one of the group."""
    group = load_group()
    point = group.encode_point(group.hash_to_point(drawn.randbytes(8), b"test"))
    return replace(case, proof=case.proof[:1] + point + case.proof[49:])


def another_weight(case: Case, drawn: random.Random) -> Case:
    weights = case.statement.weights.copy()
    row, entry = drawn.randrange(weights.shape[0]), drawn.randrange(weights.shape[1])
    weights[row, entry] = -weights[row, entry] or 1
    return replace(case, statement=replace(case.statement, weights=weights))


def another_offset(case: Case, drawn: random.Random) -> Case:
    offsets = list(case.statement.offsets)
    offsets[drawn.randrange(len(offsets))] += drawn.choice((-1, 1))
    return replace(case, statement=replace(case.statement, offsets=tuple(offsets)))


def another_context(case: Case, drawn: random.Random) -> Case:
    context = {**case.statement.context, "run": drawn.randbytes(32).hex()}
    return replace(case, statement=replace(case.statement, context=context))


def another_commitment(case: Case, drawn: random.Random) -> Case:
    group = load_group()
    commitments = list(case.statement.commitments)
    point = group.encode_point(group.hash_to_point(drawn.randbytes(8), b"test"))
    commitments[drawn.randrange(len(commitments))] = point
    return replace(case, statement=replace(case.statement, commitments=tuple(commitments)))


def nothing(case: Case, drawn: random.Random) -> Case:
    return case


CHANGES: tuple[Callable[[Case, random.Random], Case], ...] = (
    nothing,
    another_scalar,
    nothing,
    another_point,
    nothing,
    another_weight,
    nothing,
    another_offset,
    another_context,
    another_commitment,
)


def compare(on_anvil: Verifier, count: int, first: int) -> None:
    held = 0
    for number in range(first, first + count):
        drawn = random.Random(number)
        change = CHANGES[number % len(CHANGES)]
        case = change(drawn_case(drawn, number), drawn)
        verify = verify_breach if isinstance(case.statement, BreachStatement) else verify_sufficiency
        try:
            verify(case.statement, case.proof)  # type: ignore[arg-type]  # of its own kind
            wanted: object = expected(case.statement)
            held += 1
        except ProofError as error:
            wanted = f"{type(error).__name__}()"
        assert (change is nothing) == (not isinstance(wanted, str)), number
        assert on_anvil.says(case.function, *case.calldata) == wanted, (number, change.__name__)
    assert 0 < held < count


def test_a_few_proofs_are_judged_alike(on_anvil: Verifier) -> None:
    compare(on_anvil, QUICK, 0)


@pytest.mark.slow
def test_a_hundred_proofs_are_judged_alike(on_anvil: Verifier) -> None:
    compare(on_anvil, MANY, 1000)
