"""A list of figures from modules: for each, one process that prepares, then one for each of its circuits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from atomic_margin.bench.environment import command_line, environment
from atomic_margin.bench.fhe.differential import SEED
from atomic_margin.bench.fhe.errors import BenchFailed
from atomic_margin.bench.fhe.jobs import CKKS, EVALUATE, PREPARE, Job
from atomic_margin.bench.fhe.processes import in_a_process
from atomic_margin.bench.fhe.sources import file_of, module_profile
from atomic_margin.circuits.circuit import Circuit
from atomic_margin.circuits.profile import Profile

Figures = dict[str, Any]
Say = Callable[[str], None]

RUNS = 5
TRIALS = 6

LEVELED_ONLY, CKKS_LINEAR = "leveled_only", "ckks_linear"


@dataclass(frozen=True)
class Module:
    """What is measured under one key set.

    Attributes:
        sizes: the profile whose name and sizes the figures carry.
        profile: of the module; `sizes` itself for the service's circuits.
        circuits: those to measure.
        circuit_file: a researcher's, when a circuit comes from one.
    """

    sizes: Profile
    profile: Profile
    circuits: tuple[str, ...]
    circuit_file: Path | None = None

    @property
    def steps(self) -> int:
        """Processes that measuring it takes."""
        return 1 + len(self.circuits)


def module_of(circuit: Circuit, profile: Profile) -> Module:
    """Return the module in which `circuit` alone is measured."""
    return Module(profile, module_profile(circuit, profile), (circuit.name,), file_of(circuit))


def measure(
    module: Module,
    *,
    runs: int = RUNS,
    trials: int = TRIALS,
    cached_keys: bool = False,
    compile_timeout: float | None = None,
    say: Say = lambda stage: None,
    done: Callable[[], None] = lambda: None,
) -> Iterator[Figures]:
    """Yield the figures of each circuit of `module` as they come; one that fails has `failed` instead of them.

    Args:
        module: what to measure.
        runs: timed evaluations after the first, of which the median is taken.
        trials: evaluations compared with integers; each timed one is compared too.
        cached_keys: keep the throw-away keys on disk for the next time.
        compile_timeout: seconds that compiling and making keys may take; None for any time.
        say: called with what is being done.
        done: called after each process.
    """
    carried = environment(command_line())
    with TemporaryDirectory(prefix="atomic-margin-bench-") as directory:
        job = Job(
            PREPARE,
            module.profile,
            module.circuits,
            Path(directory),
            module.circuit_file,
            runs,
            trials,
            SEED,
            cached_keys,
        )
        name = module.sizes.name

        def saying(what: str) -> Say:
            return lambda stage: say(f"{name} {what}: {stage}")

        def named(circuit: str) -> Figures:
            return {
                **_named(circuit, module.sizes),
                "module": module.profile.name,
                "functions": list(module.profile.functions),
            }

        try:
            what = "module" if len(module.circuits) > 1 else module.circuits[0]
            prepared = in_a_process(job, saying(what), compile_timeout)
        except BenchFailed as error:
            for circuit in module.circuits:
                done()
                yield {**named(circuit), "failed": str(error), **carried}
            return
        done()
        by_circuit = {key: prepared.pop(key) for key in ("bootstraps", "failure", "encrypt_s")}
        for circuit in module.circuits:
            try:
                job = replace(job, kind=EVALUATE, circuits=(circuit,))
                evaluated = in_a_process(job, saying(circuit))
            except BenchFailed as error:
                yield {**named(circuit), "failed": str(error), **carried}
            else:
                yield {
                    **named(circuit),
                    **{key: values[circuit] for key, values in by_circuit.items()},
                    **prepared,
                    **evaluated,
                    "error_rate": evaluated["wrong"] / evaluated["trials"],
                    "keys_cached": prepared["keygen_s"] is None,
                    "runs": runs,
                    **carried,
                }
            done()


def benchmark(
    circuit: Circuit, profile: Profile, *, runs: int = RUNS, trials: int = TRIALS, cached_keys: bool = False
) -> Figures:
    """Measure one circuit at a profile's sizes, in processes of its own.

    Raises:
        NoCircuit: the circuit does not come from a file.
        BenchFailed: a measuring process ended without a result.
    """
    (figures,) = measure(module_of(circuit, profile), runs=runs, trials=trials, cached_keys=cached_keys)
    if "failed" in figures:
        raise BenchFailed(figures["failed"])
    return figures


def leveled_only(surplus: Figures) -> Figures:
    """Return the figures of a pipeline in which the institution takes all signs, from those of `surplus`."""
    taken = ("profile", "entries", "rows", "bits", "input_bytes", "output_bytes", "runs", "trials", "wrong")
    made = ("compile_s", "keygen_s", "p_error", "security_bits", "peak_memory_bytes")
    carried = ("machine", "libraries", "python", "git", "date", "command")
    return {
        "circuit": LEVELED_ONLY,
        **{key: surplus[key] for key in (*taken, *made)},
        "bootstraps": 0,
        "evaluation_key_bytes": 0,
        "cold_s": surplus["cold_s"] + surplus["decrypt_s"],
        "warm_s": surplus["warm_s"] + surplus["decrypt_s"],
        "decrypt_s": surplus["decrypt_s"],
        "gives_away": "the institution alone learns whether it is in breach, and every row; the operator must trust it",
        **{key: surplus[key] for key in carried},
    }


def ckks(profile: Profile, *, runs: int = RUNS, trials: int = TRIALS, say: Say = lambda stage: None) -> Figures:
    """Return TenSEAL's figures for A z + c at a profile's sizes, or `skipped` or `failed` with the reason."""
    carried = environment(command_line())
    with TemporaryDirectory(prefix="atomic-margin-bench-") as directory:
        job = Job(CKKS, profile, (CKKS_LINEAR,), Path(directory), None, runs, trials, SEED, False)
        try:
            measured = in_a_process(job, lambda stage: say(f"{profile.name} {CKKS_LINEAR}: {stage}"))
        except BenchFailed as error:
            measured = {"failed": str(error)}
    return {**_named(CKKS_LINEAR, profile), **measured, **carried}


def _named(circuit: str, profile: Profile) -> Figures:
    return {
        "circuit": circuit,
        "profile": profile.name,
        "entries": profile.entries,
        "rows": profile.rows,
        "bits": profile.bits,
    }
