"""One set of real keys and one running worker for the whole folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import KeyFile


def write_keys(keys: InstitutionKeys, path: Path) -> KeyFile:
    data = keys.evaluation_keys()
    path.write_bytes(data)
    return KeyFile(path, hashlib.sha256(data).hexdigest(), keys.known_answer_input())


@pytest.fixture(scope="session")
def profile() -> Profile:
    return TINY


@pytest.fixture(scope="session")
def keys(profile: Profile) -> InstitutionKeys:
    return InstitutionKeys.generate(profile)


@pytest.fixture(scope="session")
def key_file(keys: InstitutionKeys, tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return write_keys(keys, tmp_path_factory.mktemp("keys") / "evaluation.keys")


@pytest.fixture(scope="session")
def evaluator(profile: Profile) -> Iterator[Evaluator]:
    with Evaluator(profile) as running:
        yield running
