"""Real encryption, real evaluation in the worker process, real decryption."""

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.profile import STANDARD, Profile
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import KeyFile

from ..circuits.cases import cases
from .conftest import write_keys

pytestmark = pytest.mark.fhe


def assert_agrees(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile, count: int, seed: int) -> None:
    for z, A, c in cases(keys.profile, count, seed):
        evaluation = evaluator.evaluate(key_file, keys.encrypt(z), A, c, ("surplus", "breach"))
        surplus = keys.decrypt("surplus", evaluation.outputs["surplus"])
        breach = keys.decrypt("breach", evaluation.outputs["breach"])
        assert np.array_equal(surplus.values, reference.surplus(z, A, c))
        assert int(breach.values[0]) == reference.breach(z, A, c)


def test_small_profile_agrees_with_integers(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    assert_agrees(evaluator, keys, key_file, count=6, seed=1)


def test_standard_profile_agrees_with_integers(tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = InstitutionKeys.generate(STANDARD)
    key_file = write_keys(keys, tmp_path_factory.mktemp("standard") / "evaluation.keys")
    with Evaluator(STANDARD) as evaluator:
        assert_agrees(evaluator, keys, key_file, count=4, seed=2)


def test_one_process_gives_the_same_bytes_twice(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    z, A, c = next(cases(keys.profile, 1, seed=3))
    ciphertext = keys.encrypt(z)
    first, second = (evaluator.evaluate(key_file, ciphertext, A, c, ("breach",)) for _ in range(2))
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


def test_known_answer_flags(evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile) -> None:
    challenges = tuple((bytes([seed]), flag) for seed, flag in enumerate([1, 0, 0, 1]))
    outputs = evaluator.check_keys(key_file, challenges)
    assert [int(keys.decrypt("known_answer", output).values[0]) for output in outputs] == [1, 0, 0, 1]
