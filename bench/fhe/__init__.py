"""Measures and tests circuits in real FHE, with throw-away keys. It holds secret keys: the operator never imports it.

For the command line, tests and docs/researcher.md, which uses these names on a circuit of its own. It stands on `fhe`
and `circuits`. `differential_test` holds one circuit against its integers, `benchmark` measures one; `atomic-margin
bench fhe` measures many.
"""

from atomic_margin.bench.fhe.differential import Differential, differential_test
from atomic_margin.bench.fhe.run import benchmark, measure
from atomic_margin.bench.fhe.sources import load_circuits

__all__ = ["Differential", "benchmark", "differential_test", "load_circuits", "measure"]
