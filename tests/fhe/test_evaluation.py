"""Real encryption, real evaluation in the worker process, real decryption.

A few portfolios for each function, with every outcome; tens of them are marked slow. That the circuits are right at
every boundary is shown by simulation (`tests/circuits`).
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.limbs import join
from atomic_margin.circuits.profile import SMALL, STANDARD, TINY, Profile, profile_by_name
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import KeyFile

from ..circuits.boundaries import boundary_values, comfortable, with_rows
from ..circuits.cases import Case, cases
from .conftest import write_keys

pytestmark = pytest.mark.fhe

CORNERS = ("16x16x16", "16x33x24", "64x24x20", "256x33x24", "1024x16x16", "1024x33x20", "64x64x20", "4096x64x24")
Parties = tuple[Evaluator, InstitutionKeys, KeyFile]


def parties(profile: Profile, folder: Path) -> Iterator[Parties]:
    keys = InstitutionKeys.generate(profile)
    key_file = write_keys(keys, folder / "evaluation.keys")
    with Evaluator(profile) as evaluator:
        yield evaluator, keys, key_file


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    yield from parties(STANDARD, tmp_path_factory.mktemp("standard"))


def mixed(profile: Profile, count: int, seed: int) -> Iterator[Case]:
    """Portfolios, and in turn one boundary row among comfortable ones, or boundary rows throughout."""
    rng, values = np.random.default_rng(seed), boundary_values(profile.bits)
    for number, portfolio in enumerate(cases(profile, count, seed)):
        if number % 3 == 0:
            yield portfolio
            continue
        target = comfortable(profile, profile.rows, rng)
        if number % 3 == 1:
            target[int(rng.integers(profile.rows))] = rng.choice(values)
        else:
            target = rng.choice(values, profile.rows)
        yield with_rows(profile, target, rng)


def assert_agrees(found: Parties, functions: tuple[str, ...], many: Iterator[Case], seed: int) -> set[tuple[int, ...]]:
    """Evaluate functions on one ciphertext each time and compare all of them with integers; return what was expected.

    What a caller chooses (`allowed`) is in turn the number of negative rows, one less, 0 and the most there is.
    """
    (evaluator, keys, key_file), profile = found, found[1].profile
    expected_at_all = set()
    for number, (z, A, c) in enumerate(many):
        negative = int((A @ z + c < 0).sum())
        allowed = min(max([negative, negative - 1, 0, profile.rows - 1][(number + seed) % 4], 0), profile.rows - 1)
        chosen = {"allowed": allowed} if "exceedances" in functions else None
        evaluation = evaluator.evaluate(key_file, keys.encrypt(z), A, c, functions, chosen)
        assert evaluation.outputs.keys() == set(functions)
        for function in functions:
            circuit = circuit_by_name(function)
            values = keys.decrypt(function, evaluation.outputs[function]).values
            clear = circuit.clear_inputs(profile, chosen)
            expected = circuit.integers(profile, z, A, c, *clear)
            assert np.array_equal(values, expected), f"{function}: rows {(A @ z + c).tolist()}, allowed {allowed}"
            if function == "shortfall":
                assert join(values) == reference.shortfall(z, A, c)
            expected_at_all.add((*expected.tolist(),))
    return expected_at_all


def test_tiny_flags_and_rows(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    found = evaluator, keys, key_file
    # A portfolio, and boundary rows throughout.
    many = islice(mixed(TINY, 3, seed=1), 0, 3, 2)
    assert {(0,), (1,)} < assert_agrees(found, ("surplus", "breach"), many, 1)


@pytest.mark.long
def test_tiny_exceedances(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    found = evaluator, keys, key_file
    many = islice(mixed(TINY, 3, seed=2), 0, 3, 2)
    assert assert_agrees(found, ("exceedances",), many, 0) == {(0,), (1,)}


@pytest.mark.long
def test_tiny_shortfall(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    found = evaluator, keys, key_file
    # Boundary rows throughout: the least of them is far below zero.
    ((*limbs,),) = assert_agrees(found, ("shortfall",), islice(mixed(TINY, 3, seed=5), 2, 3), 0)
    assert join(np.array(limbs)) > 0


@pytest.mark.long
def test_standard_flags_and_rows(standard: Parties) -> None:
    # A portfolio, and boundary rows throughout.
    many = islice(mixed(STANDARD, 3, seed=4), 0, 3, 2)
    assert {(0,), (1,)} < assert_agrees(standard, ("surplus", "breach"), many, 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", [TINY, SMALL], ids=lambda profile: profile.name)
def test_tens_of_everything(profile: Profile, tmp_path: Path) -> None:
    for found in parties(profile, tmp_path):
        assert_agrees(found, ("surplus", "breach", "shortfall"), mixed(profile, 30, seed=6), 0)
        assert_agrees(found, ("exceedances",), mixed(profile, 60, seed=7), 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tens_of_everything_on_standard(standard: Parties) -> None:
    assert_agrees(standard, ("surplus", "breach"), mixed(STANDARD, 30, seed=8), 0)
    assert_agrees(standard, ("exceedances",), mixed(STANDARD, 30, seed=9), 1)
    assert_agrees(standard, ("shortfall",), mixed(STANDARD, 10, seed=10), 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CORNERS)
def test_every_function_at_the_corners_of_the_grid(name: str, tmp_path: Path) -> None:
    profile = profile_by_name(name)
    for found in parties(profile, tmp_path):
        assert_agrees(found, ("surplus", "breach"), mixed(profile, 5, seed=11), 0)
        if "exceedances" in profile.functions:
            assert_agrees(found, ("exceedances",), mixed(profile, 5, seed=12), 1)
        assert_agrees(found, ("shortfall",), mixed(profile, 3, seed=13), 0)
        evaluator, keys, key_file = found
        outputs = evaluator.check_keys(key_file, ((b"a", 0), (b"b", 1)))
        assert [int(keys.decrypt("known_answer", output).values[0]) for output in outputs] == [0, 1]


def test_a_function_that_the_profile_has_not_got_is_refused_by_name(
    evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile
) -> None:
    z, A, c = next(cases(keys.profile, 1, seed=3))
    with pytest.raises(ProfileError, match="has no function 'approximate_breach', only surplus, breach"):
        evaluator.evaluate(key_file, keys.encrypt(z), A, c, ("approximate_breach",))


@pytest.mark.parametrize("function", ["breach", pytest.param("shortfall", marks=pytest.mark.slow)])
def test_one_process_gives_the_same_bytes_twice(
    evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile, function: str
) -> None:
    z, A, c = next(cases(keys.profile, 1, seed=3))
    ciphertext = keys.encrypt(z)
    first, second = (evaluator.evaluate(key_file, ciphertext, A, c, (function,)) for _ in range(2))
    assert first.outputs == second.outputs
    assert first.fingerprint == second.fingerprint


def test_encryption_is_randomised(keys: InstitutionKeys, profile: Profile) -> None:
    z = np.zeros(profile.entries, dtype=np.int64)
    assert keys.encrypt(z) != keys.encrypt(z)
    assert np.array_equal(keys.decrypt("input", keys.encrypt(z)).values, z)


@pytest.mark.parametrize("entry", [-1, 32])
def test_an_entry_that_does_not_fit_is_not_encrypted(keys: InstitutionKeys, profile: Profile, entry: int) -> None:
    z = np.zeros(profile.entries, dtype=np.int64)
    z[4] = entry
    with pytest.raises(ValueError, match="unsigned bits"):
        keys.encrypt(z)


@pytest.mark.long
def test_known_answer_flags(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    challenges = tuple((bytes([seed]), flag) for seed, flag in enumerate([1, 0, 0, 1]))
    outputs = evaluator.check_keys(key_file, challenges)
    assert [int(keys.decrypt("known_answer", output).values[0]) for output in outputs] == [1, 0, 0, 1]
