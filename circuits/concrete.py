"""The one place that imports concrete-python; everything else takes `cfhe` from here.

concrete-python imports `torch` for two extensions that are not used here. Where torch is not installed, a placeholder
stands in for it during the import and is removed again at once, so that no other library finds it; where torch is
installed, the real one is used.
"""

import atexit
import importlib.util
import sys
import types
import warnings
from dataclasses import dataclass
from typing import Any

from atomic_margin.circuits.errors import LibraryUnavailable
from atomic_margin.circuits.signals import kept_signal_handlers


class _Placeholder(types.ModuleType):
    """Answers every attribute look-up made while concrete's unused extensions are imported."""

    def __getattr__(self, name: str) -> "_Placeholder":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Placeholder(f"{self.__name__}.{name}")


def _import_concrete() -> Any:
    stand_in = "torch" not in sys.modules and importlib.util.find_spec("torch") is None
    if stand_in:
        sys.modules["torch"] = _Placeholder("torch")
    try:
        with warnings.catch_warnings(), kept_signal_handlers():
            # It is written for an older setuptools (pinned) and an older NumPy; none of that is ours to mend.
            warnings.simplefilter("ignore")
            from concrete import compiler, fhe
        # It would end every process that has evaluated or simulated with status 0, a failed test run included. Nothing
        # needs it: no program here uses the dataflow scheduler that it stops.
        atexit.unregister(compiler._terminate_df_parallelization)
    except ImportError as error:
        raise LibraryUnavailable(
            f"concrete-python cannot be imported ({error}); install the extra `fhe` from requirements.lock "
            "with `make install`"
        ) from error
    finally:
        if stand_in:
            del sys.modules["torch"]
    return fhe


cfhe: Any = _import_concrete()


def prepare_thread() -> None:
    """Make the compiler usable in the calling thread: it sets up its thread-local state for the importing one only."""
    from concrete.fhe.extensions.tag import tag_context

    if not hasattr(tag_context, "stack"):
        tag_context.stack = []


@dataclass(frozen=True)
class ParameterRanges:
    """What the compiler's search for bootstrap parameters may choose from; empty means anything."""

    log2_polynomial_sizes: tuple[int, ...]
    glwe_dimensions: tuple[int, ...]
    decomposition_levels: tuple[int, ...] = ()

    def restriction(self) -> Any:
        """Return the library's form of it."""
        from concrete.compiler import RangeRestriction

        ranges = RangeRestriction()
        for size in self.log2_polynomial_sizes:
            ranges.add_available_glwe_log_polynomial_size(size)
        for dimension in self.glwe_dimensions:
            ranges.add_available_glwe_dimension(dimension)
        for levels in self.decomposition_levels:
            ranges.add_available_pbs_level_count(levels)
        return ranges
