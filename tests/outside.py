"""Test vectors of others, which are not part of this repository: ../shared/data beside it, or ATOMIC_MARGIN_VECTORS.

Their licences differ from ours. Where they are absent the tests that want them are skipped, and every run ends by
saying so in red; with ATOMIC_MARGIN_VECTORS set they are wanted, and their absence is a failure. Each test that reads
them has companions that do not: formulas computed by hand in `tests/margin`, encodings of our own in
`tests/zk/test_proof_encoding.py` and `tests/zk/test_groups.py`.
"""

import importlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

VARIABLE = "ATOMIC_MARGIN_VECTORS"
FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")

_absent: list[str] = []
_not_installed: list[str] = []


def outside(name: str) -> Path:
    """Return a file or folder of the vectors; skip the test, loudly, where there is none."""
    path = FOLDER / name
    if path.exists():
        return path
    if VARIABLE in os.environ:
        pytest.fail(f"{VARIABLE} names {FOLDER}, where there is no {name}")
    _absent.append(name)
    pytest.skip(f"outside vectors absent: {path}")


def optional(module: str) -> Any:
    """Import what an extra brings; skip the test, loudly, where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        _not_installed.append(module)
        pytest.skip(f"not installed: {module}")


def absent(what: str) -> NoReturn:
    """Skip the test, loudly: a program is not installed, and ``what`` says how it is."""
    _not_installed.append(what)
    pytest.skip(f"not installed: {what}")


def summary() -> str | None:
    """Return what to say at the end of a run, None when nothing was absent."""
    if _not_installed:
        names = ", ".join(sorted(set(_not_installed)))
        return f"{len(_not_installed)} TESTS WERE NOT RUN: they want what is not installed ({names}); `make install`"
    if not _absent:
        return None
    return (
        f"{len(_absent)} TESTS WERE NOT RUN: they compare with vectors of others ({', '.join(sorted(set(_absent)))}), "
        f"which are not in {FOLDER}; put them there, or name their folder in {VARIABLE}"
    )
