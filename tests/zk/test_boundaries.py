"""What an importer gets, and what it must not get."""

import subprocess
import sys

import pytest

import atomic_margin.zk
from atomic_margin.zk import errors
from atomic_margin.zk.errors import ProofError

PROVER_ONLY = ("atomic_margin.zk.prove", "atomic_margin.zk.bits.prove", "atomic_margin.zk.bits.witness")


def test_the_public_names_are_sorted_and_complete() -> None:
    assert atomic_margin.zk.__all__ == sorted(atomic_margin.zk.__all__)
    public = {
        name
        for name, value in vars(atomic_margin.zk).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("atomic_margin.zk.")
    }
    assert public == set(atomic_margin.zk.__all__)


@pytest.mark.parametrize(
    "module",
    ["atomic_margin.zk", "atomic_margin.zk.verify.batch", "atomic_margin.zk.bits", "atomic_margin.zk.choice"],
)
def test_verifying_never_imports_the_prover(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(m for m in sys.modules if m.startswith({PROVER_ONLY!r})))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_verification_never_returns_anything() -> None:
    names = [name for name in atomic_margin.zk.__all__ if name.startswith("verify")]
    assert len(names) == 7
    for name in names:
        assert getattr(atomic_margin.zk, name).__annotations__["return"] is None


def test_every_error_is_under_the_one_root_and_drawn_in_the_tree() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(classes) > 10
    for error in classes:
        assert issubclass(error, ProofError)
        assert error.__name__ in (errors.__doc__ or "")
        assert error.__doc__
