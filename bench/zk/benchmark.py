"""Time the proofs: ``python -m atomic_margin.bench.zk.benchmark [BACKEND] [--json FILE]``. Prover only.

Prints one line per statement: seconds to prove and to verify, the fastest of several runs because other processes only
ever add to them, and the size of the proof, next to what is promised where something is. Generators are derived and
decoded before the clock starts. With the reference backend only the small statements are measured, once.

>>> one = measure(Size("sufficiency", entries=2, rows=1, bits=8), load_group(), runs=1)
>>> one.statement, one.bits, one.bytes
('sufficiency', 8, 801)
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from atomic_margin.bench.zk.examples import CASES, Example
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.verify.batch import Claim, verify_batch

Progress: TypeAlias = Callable[["Measurement"], None]


@dataclass(frozen=True)
class Size:
    """What to measure, and what is promised for it on two idle cores, if anything.

    ``bits`` is the width of a row, an entry or a value; ``dimension`` that of the key, for ciphertexts;
    ``copies`` proofs are verified as one batch.
    """

    statement: str
    entries: int
    rows: int
    bits: int
    dimension: int = 0
    copies: int = 1
    prove_s: float | None = None
    verify_s: float | None = None
    proof_bytes: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One line of the benchmark; ``bits`` is the number of committed bits, with padding left out."""

    statement: str
    entries: int
    rows: int
    bits: int
    backend: str
    prove_s: float
    verify_s: float
    bytes: int


SIZES = (
    Size("portfolio", 64, 0, 5),
    Size("portfolio", 128, 0, 5, prove_s=0.25, verify_s=0.05),
    Size("portfolio", 256, 0, 5),
    Size("sufficiency", 64, 16, 20),
    Size("sufficiency", 64, 33, 20, prove_s=0.2, verify_s=0.04, proof_bytes=2_200),
    Size("sufficiency", 128, 24, 32, prove_s=0.3, verify_s=0.05),
    Size("sufficiency", 256, 64, 32),
    Size("sufficiency with slack", 64, 33, 32),
    Size("breach", 128, 24, 32),
    Size("encryption", 64, 0, 5, 2048, prove_s=1.5, verify_s=0.25, proof_bytes=7_000),
    Size("encryption", 256, 0, 5, 2048, prove_s=3.0, verify_s=0.5, proof_bytes=16_000),
    Size("decryption", 1, 0, 1, 2048, prove_s=0.6, verify_s=0.12),
    Size("decryption", 24, 0, 1, 2048),
    Size("decryption", 1, 0, 1, 8192),
    Size("sufficiency", 64, 33, 20, copies=32),
    Size("sharing 2 of 4", 128, 0, 5, prove_s=0.5, verify_s=0.2, proof_bytes=20_000),
    Size("sharing 3 of 6", 128, 0, 5, prove_s=0.5, verify_s=0.2),
    Size("portfolio", 1024, 0, 5),
    Size("portfolio", 4096, 0, 5),
    Size("encryption", 1024, 0, 5, 2048),
    Size("encryption", 4096, 0, 5, 2048),
    Size("sufficiency", 4096, 64, 24),
    Size("sufficiency", 8192, 1, 48),
    Size("submission", 256, 0, 5, 2048),
    Size("submission", 1024, 0, 5, 2048),
    Size("submission", 4096, 0, 5, 2048, prove_s=20.0, verify_s=3.0),
)
LONG_BITS, LONG_RUNS = 1 << 15, 2
"""More bits than that are measured so many times at most: each takes seconds."""
SMALL = (Size("portfolio", 16, 0, 5), Size("sufficiency", 16, 4, 20), Size("breach", 16, 4, 20))


def run_benchmark(
    backend: str = "auto", sizes: Sequence[Size] | None = None, runs: int = 5, progress: Progress | None = None
) -> list[Measurement]:
    """Measure every size and return the measurements in order; ``progress`` is called with each as it is made.

    Raises:
        BackendUnavailable: there is no such backend.
    """
    group = load_group(backend)
    reference = group.name == "reference"
    results = []
    for size in sizes or (SMALL if reference else SIZES):
        results.append(measure(size, group, 1 if reference else runs))
        if progress is not None:
            progress(results[-1])
    return results


def measure(size: Size, group: Group, runs: int = 5) -> Measurement:
    """Prove and verify a made-up example of ``size``; keep the fastest of ``runs`` runs, or `LONG_RUNS`.

    A submission is both of its proofs, one after the other; a sharing the deal for all custodians and one's shares.

    A batch takes its copies from as many runs of one account, as an auditor would find them: proving is timed for
    one copy, verifying and bytes for all together.
    """
    make = CASES[size.statement]
    examples: list[Example] = make(size.entries, size.rows, size.bits, size.dimension, size.copies, group)
    bits = examples[0].bits
    runs = min(runs, LONG_RUNS) if bits > LONG_BITS else runs
    load_generators(group, 0 if examples[0].parameters is None else examples[0].parameters.length)
    claims = [Claim(example.statement, example.prove(group)) for example in examples]
    proving = min(_seconds(lambda: examples[0].prove(group)) for _ in range(runs))
    if size.copies > 1:
        verifying = min(_seconds(lambda: verify_batch(claims, group)) for _ in range(runs))
    else:
        verifying = min(_seconds(lambda: examples[0].verify(claims[0].proof, group)) for _ in range(runs))
    name = size.statement if size.copies == 1 else f"batch of {size.copies} {size.statement}"
    total = sum(len(claim.proof) for claim in claims)
    return Measurement(name, size.entries, size.rows, bits, group.name, proving, verifying, total)


def write_json(results: Sequence[Measurement], path: Path) -> None:
    """Write a list of objects with statement, entries, rows, bits, backend, prove_s, verify_s and bytes."""
    path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def line(result: Measurement, size: Size | None = None) -> str:
    """Return one line of the table; what is promised stands in brackets."""

    def promised(value: float | None) -> str:
        return "" if value is None else f"({value:g})"

    what = f"{result.statement}, {result.entries} entries"
    what += f", {result.rows} rows" if result.rows else ""
    prove, verify, size_limit = (size.prove_s, size.verify_s, size.proof_bytes) if size else (None, None, None)
    return (
        f"{what:48} {result.bits:6} bits   prove {result.prove_s:6.3f} s {promised(prove):6}   "
        f"verify {result.verify_s:6.3f} s {promised(verify):6}   {result.bytes} bytes {promised(size_limit)}".rstrip()
    )


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes the service uses, print a line for each and write them to a file if asked to."""
    parser = argparse.ArgumentParser(prog="python -m atomic_margin.bench.zk.benchmark", description="Time the proofs.")
    parser.add_argument("backend", nargs="?", default="auto", help="auto, arkworks or reference")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write a list of objects")
    parser.add_argument("--runs", type=int, default=5, help="keep the fastest of so many (arkworks)")
    given = parser.parse_args(arguments)
    group = load_group(given.backend)
    sizes = SMALL if group.name == "reference" else SIZES
    count = 1024 if group.name == "reference" else 16384
    print(f"{group.name}: 2 x {count} generators loaded in {_seconds(lambda: load_generators(group, count)):.3f} s")
    promises = iter(sizes)
    results = run_benchmark(
        given.backend, sizes, given.runs, lambda result: print(line(result, next(promises)), flush=True)
    )
    if given.json is not None:
        write_json(results, given.json)


if __name__ == "__main__":
    main()
