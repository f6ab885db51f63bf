"""What a process has imported, seen in a fresh interpreter: import-linter cannot see lazy imports."""

import pkgutil
import subprocess
import sys

import pytest

from atomic_margin.service import operator

RUNTIME = ("atomic_margin.fhe.evaluator", "atomic_margin.fhe.worker", "atomic_margin.fhe.known_answer")
OPERATOR = [module.name for module in pkgutil.walk_packages(operator.__path__, operator.__name__ + ".")]
SECRET = (
    "atomic_margin.fhe.institution",
    "atomic_margin.fhe.pin",
    "atomic_margin.service.custodian",
    "atomic_margin.service.institution",
    "atomic_margin.service.demo",
    "atomic_margin.zk.bits.prove",
    "atomic_margin.zk.bits.witness",
    "atomic_margin.zk.prove",
    "atomic_margin.zk.sharing.deal",
    "atomic_margin.zk.sharing.open_row",
    "atomic_margin.zk.sharing.pass_on",
    "atomic_margin.zk.sharing.reconstruct",
)


def imported_by(*modules: str) -> set[str]:
    code = "import sys\n" + "".join(f"import {module}\n" for module in modules) + "print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def below(names: set[str], *packages: str) -> set[str]:
    return {name for name in names for package in packages if name == package or name.startswith(package + ".")}


@pytest.mark.long
def test_the_operator_s_process_has_nothing_that_touches_a_secret() -> None:
    names = imported_by("atomic_margin.service.cli.serve", *OPERATOR)
    assert set(OPERATOR) <= names
    assert below(names, *SECRET) == set()


@pytest.mark.long
@pytest.mark.parametrize(
    "module",
    [
        "atomic_margin.service.cli.verify",
        "atomic_margin.service.cli.report",
        "atomic_margin.service.verifier.attestation",
    ],
)
def test_a_verifier_needs_neither_fhe_nor_server(module: str) -> None:
    names = imported_by("atomic_margin.service.cli", module)
    assert below(names, "concrete", "atomic_margin.circuits.concrete", *RUNTIME, *SECRET) == set()
    assert below(names, "fastapi", "sqlalchemy", "uvicorn", "httpx", "atomic_margin.service.operator") == set()
