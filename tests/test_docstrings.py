"""Every example in a docstring is run."""

import doctest
import importlib
import pkgutil

import pytest

import atomic_margin

MODULES = sorted(m.name for m in pkgutil.walk_packages(atomic_margin.__path__, "atomic_margin."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    if name.endswith("__main__"):
        pytest.skip("importing it would run it")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
