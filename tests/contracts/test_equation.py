"""The contract multiplies exactly what Python multiplies: every point with its scalar, of proofs that hold or do not.

A term that vanishes for honest proofs could be missing, and all honest proofs would hold; here it is seen.
"""

from collections.abc import Callable

import pytest
from eth.vm.forks.prague.computation import PragueComputation

from atomic_margin.contracts.points import uncompressed
from atomic_margin.zk import SufficiencyStatement, load_group
from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.verify.breach import gather_breach
from atomic_margin.zk.verify.sufficiency import gather_sufficiency

from .cases import Case, breach, sufficiency
from .chains import Verifier

MULTIPLICATION = b"\x00" * 19 + b"\x0c"
PAIR = 160


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the precompile is given; it does its work all the same."""
    given: list[bytes] = []
    precompiles = dict(PragueComputation._precompiles)
    genuine = precompiles[MULTIPLICATION]

    def watched(computation: PragueComputation) -> PragueComputation:
        given.append(bytes(computation.msg.data))
        return genuine(computation)

    precompiles[MULTIPLICATION] = watched
    monkeypatch.setattr(PragueComputation, "_precompiles", precompiles)
    return given


def by_the_contract(given: bytes) -> dict[bytes, int]:
    terms: dict[bytes, int] = {}
    for start in range(0, len(given), PAIR):
        pair = given[start : start + PAIR]
        point = pair[16:64] + pair[80:128]
        terms[point] = (terms.get(point, 0) + int.from_bytes(pair[128:], "big")) % ORDER
    return terms


def by_python(case: Case) -> dict[bytes, int]:
    group = load_group()
    check: FinalCheck
    if isinstance(case.statement, SufficiencyStatement):
        check = gather_sufficiency(case.statement, case.proof, group)
    else:
        check = gather_breach(case.statement, case.proof, group)
    generators = load_generators(group, len(check.left))
    points = [generators.value, generators.blinding, *generators.left, *generators.right, *check.points]
    scalars = [check.value, check.blinding, *check.left, *check.right, *check.scalars]
    terms: dict[bytes, int] = {}
    for point, scalar in zip(points, scalars, strict=True):
        name = uncompressed(group.encode_point(point))
        terms[name] = (terms.get(name, 0) + group.integer(scalar)) % ORDER
    return terms


def changed_scalar(proof: bytes, end: int) -> bytes:
    """Another scalar in the place of the one that ends so many bytes before the end."""
    start = len(proof) - end - 32
    value = (int.from_bytes(proof[start : start + 32], "big") + 5) % ORDER
    return proof[:start] + value.to_bytes(32, "big") + proof[start + 32 :]


@pytest.mark.parametrize(
    ("make", "bits"), [pytest.param(sufficiency, 6, marks=pytest.mark.long), pytest.param(breach, 17)]
)
def test_every_point_has_the_same_scalar(
    on_tester: Verifier, multiplied: list[bytes], make: Callable[[int, int, int], Case], bits: int
) -> None:
    honest = make(3, 2, bits)
    # One round: before both tails of nine scalars come L and R, and before them mu, tau_x and t_hat.
    tails, fold = 18 * 32, 2 * 48
    ends = (0, tails // 2, tails + fold, tails + fold + 32, tails + fold + 64)
    for proof in (honest.proof, *(changed_scalar(honest.proof, end) for end in ends)):
        case = Case(honest.statement, proof)
        multiplied.clear()
        said = on_tester.says(case.function, *case.calldata)
        assert isinstance(said, str) == (proof is not honest.proof)
        (given,) = multiplied
        assert by_the_contract(given) == by_python(case)
