"""Time the proofs: ``python -m atomic_margin.zk.prove.benchmark [arkworks|reference]``. Prover only.

Prints one line per statement: the median of five runs to prove and to verify, in seconds, and the size of the proof.
Generators are derived and decoded before the clock starts.

>>> name, prove, verify, size = measure_sufficiency(rows=1, bits=8, entries=2, group=load_group(), runs=1)
>>> name, size
('sufficiency 1 x 8 bits, 2 entries', 801)
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from atomic_margin.zk.bits.statement import BitStatement
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

Measurement: TypeAlias = "tuple[str, float, float, int]"
_CONTEXT = {"institution": "benchmark"}


def measure_sufficiency(rows: int, bits: int, entries: int, group: Group, runs: int = 5) -> Measurement:
    """Return (name, seconds to prove, seconds to verify, bytes) of a sufficiency proof."""
    values = tuple(index % 32 for index in range(entries))
    commitments, blindings = commit_values(values, bytes(32), _CONTEXT, group)
    weights = np.arange(rows * entries, dtype=np.int64).reshape(rows, entries) % 7 - 3
    offset = 1 << (bits - 1)
    statement = SufficiencyStatement(commitments, weights, (offset,) * rows, 0, bits, _CONTEXT)
    witness = SufficiencyWitness(values, blindings)
    return _measure(
        f"sufficiency {rows} x {bits} bits, {entries} entries",
        statement.bit_statement(),
        lambda: prove_sufficiency(statement, witness, group),
        lambda proof: verify_sufficiency(statement, proof, group),
        group,
        runs,
    )


def measure_portfolio(entries: int, width: int, group: Group, runs: int = 5) -> Measurement:
    """Return (name, seconds to prove, seconds to verify, bytes) of a portfolio proof under a 30-bit gross limit."""
    values = tuple(index % (1 << width) for index in range(entries))
    commitments, blindings = commit_values(values, bytes(32), _CONTEXT, group)
    statement = PortfolioStatement(commitments, (width,) * entries, (1,) * entries, 2**30 - 1, _CONTEXT)
    witness = PortfolioWitness(values, blindings)
    return _measure(
        f"portfolio {entries} x {width} bits",
        statement.bit_statement(),
        lambda: prove_portfolio(statement, witness, group),
        lambda proof: verify_portfolio(statement, proof, group),
        group,
        runs,
    )


def _measure(
    name: str,
    bits: BitStatement,
    prove: Callable[[], bytes],
    verify: Callable[[bytes], None],
    group: Group,
    runs: int,
) -> Measurement:
    load_generators(group, bits.parameters.padded)
    proofs: list[bytes] = []
    proving = statistics.median(_seconds(lambda: proofs.append(prove())) for _ in range(runs))
    verifying = statistics.median(_seconds(lambda: verify(proofs[0])) for _ in range(runs))
    return name, proving, verifying, len(proofs[0])


def _seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Measure the sizes the service uses."""
    group = load_group(sys.argv[1] if len(sys.argv) > 1 else "auto")
    start = time.perf_counter()
    load_generators(group, 2048)
    print(f"{group.name}: 2 x 2048 generators loaded in {time.perf_counter() - start:.3f} s")
    for name, prove, verify, size in (
        measure_sufficiency(16, 20, 64, group),
        measure_sufficiency(33, 20, 64, group),
        measure_sufficiency(24, 32, 128, group),
        measure_sufficiency(64, 32, 256, group),
        measure_portfolio(64, 5, group),
        measure_portfolio(128, 5, group),
        measure_portfolio(256, 5, group),
    ):
        print(f"{name:45} prove {prove:.3f} s   verify {verify:.3f} s   {size} bytes")


if __name__ == "__main__":
    main()
