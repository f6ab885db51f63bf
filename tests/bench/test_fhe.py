"""The bench: what it finds wrong, what its figures carry, what its page says."""

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomic_margin.bench.fhe import benchmark, differential_test, load_circuits, measure
from atomic_margin.bench.fhe.charts import charts, draw
from atomic_margin.bench.fhe.ckks import measure_ckks
from atomic_margin.bench.fhe.errors import BenchFailed, ExtraMissing, NoCircuit, NoMeasurements
from atomic_margin.bench.fhe.jobs import CKKS, Job
from atomic_margin.bench.fhe.plan import plan, profiles_named, scaled
from atomic_margin.bench.fhe.promises import verdicts
from atomic_margin.bench.fhe.report import page, read_measurements
from atomic_margin.bench.fhe.run import leveled_only, module_of
from atomic_margin.circuits import Circuit, Profile, circuit_by_name, define, extreme_inputs, profile_by_name
from atomic_margin.circuits.baselines import NAIVE_BREACH, STRAIGHTFORWARD_BREACH
from atomic_margin.circuits.cases import EITHER, Trial, trials_of
from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import GRID, SMALL

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
TINY = Profile("tiny", entries=4, rows=2, bits=8, weight_bits=4)

PROMISED = {
    "circuit", "entries", "rows", "bits", "bootstraps", "compile_s", "keygen_s", "evaluation_key_bytes", "cold_s",
    "warm_s", "p_error", "security_bits", "trials", "wrong", "machine", "libraries", "python", "git", "date", "command",
}  # fmt: skip

LINEAR = """
import numpy as np
from atomic_margin.circuits import Circuit, define, extreme_inputs

def program(profile):
    def NAME(z, A, c):
        return A @ z + c
    return NAME

define(Circuit(
    name="NAME",
    summary="rows",
    program=program,
    integers=lambda profile, z, A, c: A @ z + c + OFFSET,
    inputs=lambda profile: extreme_inputs(profile, profile.rows),
))
"""


def linear(folder: Path, name: str, offset: int = 0) -> Circuit:
    path = folder / f"{name}.py"
    path.write_text(LINEAR.replace("NAME", name).replace("OFFSET", str(offset)))
    (circuit,) = load_circuits(path)
    return circuit


@pytest.mark.parametrize("circuit", [STRAIGHTFORWARD_BREACH, NAIVE_BREACH], ids=lambda circuit: circuit.name)
def test_baselines_are_exact_and_never_enter_a_service(circuit: Circuit) -> None:
    assert differential_test(circuit, TINY, 60).failures == ()
    with pytest.raises(ProfileError, match="for research only"):
        compile_profile(module_of(circuit, TINY).profile)


def test_a_circuit_that_differs_from_its_integers_is_found() -> None:
    define(
        Circuit(
            name="off_at_zero",
            summary="surplus, held against integers that are wrong where a row is 0",
            program=circuit_by_name("surplus").program,
            integers=lambda profile, z, A, c: np.where(A @ z + c == 0, 1, A @ z + c),
            inputs=lambda profile: extreme_inputs(profile, profile.rows),
        )
    )
    found = differential_test(circuit_by_name("off_at_zero"), TINY, 60)
    assert found.trials == 60
    assert 0 < found.wrong < 30
    for trial, output in found.failures:
        assert (output == 0).any()
        assert (trial.expected != output).sum() == (output == 0).sum()


def test_trials_draw_what_a_caller_chooses() -> None:
    circuit = circuit_by_name("exceedances")
    drawn = {int(trial.clear[-1][0]) for trial in trials_of(circuit, SMALL, 200, seed=1)}
    assert drawn == set(range(SMALL.rows))


def test_either_answer_agrees_where_integers_say_so() -> None:
    nothing = np.zeros(1, dtype=np.int64)
    either = Trial(nothing, (), np.array([EITHER]))
    assert either.agrees(np.array([0]))
    assert either.agrees(np.array([1]))
    assert not Trial(nothing, (), np.array([1])).agrees(np.array([0]))
    assert not either.agrees(np.array([0, 0]))


@pytest.mark.long
@pytest.mark.fhe
def test_the_example_circuit_is_measured_in_real_fhe() -> None:
    (circuit,) = load_circuits(ROOT / "examples" / "circuits" / "negative_count.py")
    figures = benchmark(circuit, TINY, runs=1, trials=4)
    assert set(figures) >= PROMISED
    assert (figures["trials"], figures["wrong"]) == (4, 0)
    assert figures["bootstraps"] > TINY.rows
    assert figures["p_error"] <= 2.0**-128
    assert figures["failure"] == pytest.approx(figures["bootstraps"] * figures["p_error"])
    assert figures["evaluation_key_bytes"] > 1_000_000
    assert figures["input_bytes"] == TINY.entries * 2049 * 8
    assert figures["peak_memory_bytes"] > figures["evaluation_key_bytes"]


@pytest.mark.fhe
def test_wrong_results_are_counted_in_real_fhe(tmp_path: Path) -> None:
    circuit = linear(tmp_path, "one_more", offset=1)
    figures = benchmark(circuit, TINY, runs=1, trials=3)
    assert (figures["trials"], figures["wrong"], figures["error_rate"]) == (3, 3, 1.0)
    assert differential_test(circuit, TINY, 2, real=True).wrong == 2


@pytest.mark.long
@pytest.mark.fhe
def test_cached_keys_are_private_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("ATOMIC_MARGIN_CACHE", str(cache))
    circuit = linear(tmp_path, "cached_rows")
    first = benchmark(circuit, TINY, runs=1, trials=1, cached_keys=True)
    again = benchmark(circuit, TINY, runs=1, trials=1, cached_keys=True)
    assert first["keygen_s"] > 0
    assert (again["keygen_s"], again["keys_cached"], again["wrong"]) == (None, True, 0)
    (kept,) = (cache / "research-keys").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    # An edited circuit, whose parameters may be others, has the profile of the one before.
    assert differential_test(circuit, TINY, 2, real=True, cached_keys=True).wrong == 0


def test_a_process_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "dies.py"
    path.write_text(
        LINEAR.replace("NAME", "dies")
        .replace("OFFSET", "0")
        .replace("    def dies", "    raise RuntimeError('not today')\n    def dies")
    )
    (circuit,) = load_circuits(path)
    (figures,) = measure(module_of(circuit, TINY), runs=1, trials=1)
    assert figures["circuit"] == "dies"
    assert "not today" in figures["failed"]
    with pytest.raises(BenchFailed, match="not today"):
        benchmark(circuit, TINY, runs=1, trials=1)
    assert "not today" in page([figures], "")


def test_a_file_without_a_circuit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    with pytest.raises(NoCircuit, match=r"empty\.py defines no circuit"):
        load_circuits(path)
    with pytest.raises(NoCircuit, match="no Python file"):
        load_circuits(tmp_path / "circuit.txt")


def test_circuits_can_be_defined_without_the_fhe_library() -> None:
    script = (
        "import sys; sys.modules['concrete'] = None\n"
        "from atomic_margin.circuits import Circuit, Profile, circuit_by_name, define, trials_of\n"
        "from atomic_margin.circuits.errors import LibraryUnavailable\n"
        "try:\n    from atomic_margin.circuits import compile_module\n"
        "except LibraryUnavailable:\n    print('unavailable')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "unavailable\n"


def test_a_plan_measures_every_circuit_once() -> None:
    (default,) = profiles_named([])
    assert default is profile_by_name("64x16x20")
    modules = plan([default], [], scaling="entries", compare=True)
    measured = [(module.profile, circuit) for module in modules for circuit in module.circuits]
    assert len(measured) == len(set(measured))
    assert len({module.profile for module in modules}) == len(modules)
    here = [circuit for module in modules if module.sizes is default for circuit in module.circuits]
    assert here == [*default.functions, "approximate_breach", "straightforward_breach", "naive_breach"]
    entries = {module.sizes.entries for module in modules if "breach" in module.circuits}
    assert entries == {16, 64, 256, 512, 1024}
    large = profile_by_name("64x64x24")
    assert [one.entries for one in scaled(large, "entries")] == [64, 256, 1024, 4096]
    assert [one.rows for one in scaled(large, "rows")] == [16, 24, 33, 64]
    assert [one.bits for one in scaled(large, "bits")] == [20, 24]
    assert len(profiles_named(["all"])) == len(GRID)
    with pytest.raises(ProfileError, match="no circuit named"):
        plan([default], ["unknown"])


def figures(circuit: str, warm_s: float, entries: int = 64, wrong: int = 0, **others: Any) -> dict[str, Any]:
    carried = {
        "machine": {"cpu": "one", "cores": 2, "memory_bytes": 1},
        "libraries": {"concrete-python": "2.11.0", "tenseal": None},
        "python": "3.10.0",
        "git": None,
        "date": "2026-11-22T00:00:00+00:00",
        "command": "atomic-margin bench fhe",
    }
    sizes = {"profile": f"{entries}x16x20", "entries": entries, "rows": 16, "bits": 20}
    counted = {"bootstraps": 1, "trials": 6, "wrong": wrong}
    return {"circuit": circuit, "warm_s": warm_s, **sizes, **counted, **carried, **others}


@pytest.mark.parametrize(
    ("results", "promise", "met"),
    [
        ([("breach", 2.99), ("straightforward_breach", 5.0)], "60 %", True),
        ([("breach", 3.01), ("straightforward_breach", 5.0)], "60 %", False),
        ([("breach", 16 * 0.309)], "a row", True),
        ([("breach", 16 * 0.311)], "a row", False),
        ([("shortfall", 9.9), ("straightforward_breach", 5.0)], "2 times", True),
        ([("shortfall", 10.1), ("straightforward_breach", 5.0)], "2 times", False),
        ([("breach", 1.0, 16), ("breach", 1.24, 1024)], "1.25 times", True),
        ([("breach", 1.0, 16), ("breach", 1.26, 1024)], "1.25 times", False),
        ([("breach", 1.0)], "no wrong result", True),
        ([("breach", 1.0), ("surplus", 1.0, 16, 1)], "no wrong result", False),
    ],
)
def test_promises_are_judged(results: list[tuple[Any, ...]], promise: str, met: bool) -> None:
    (verdict,) = (one for one in verdicts([figures(*one) for one in results]) if promise in one.promise)
    assert verdict.met is met


@pytest.mark.parametrize(("size", "met"), [(100_000_000, True), (100_000_001, False)])
def test_the_promise_about_keys_is_about_all_three_circuits_together(size: int, met: bool) -> None:
    together = figures("breach", 1.0, evaluation_key_bytes=size, functions=["surplus", "breach", "shortfall"])
    alone = figures("shortfall", 1.0, evaluation_key_bytes=2 * size, functions=["shortfall"])
    (verdict,) = (one for one in verdicts([together, alone]) if "keys" in one.promise)
    assert verdict.met is met


def test_what_cannot_be_judged_is_not() -> None:
    assert [one.promise for one in verdicts([figures("surplus", 0.2)])] == ["no wrong result"]


def test_the_page_is_what_the_files_give() -> None:
    folder = ROOT / "docs" / "benchmarks"
    results = read_measurements(sorted(folder.glob("*.json")))
    written = (ROOT / "docs" / "benchmarks.md").read_text()
    assert written == page(results, (folder / "notes.md").read_text()), "run `atomic-margin bench report`"


def test_a_page_shows_the_last_figures_and_every_remark(tmp_path: Path) -> None:
    made = {"compile_s": 1.0, "keygen_s": 2.0, "p_error": 1e-39, "security_bits": 128, "peak_memory_bytes": 1}
    surplus = figures("surplus", 0.25, decrypt_s=0.5, cold_s=1.0, input_bytes=1, output_bytes=2, runs=1, **made)
    assert set(leveled_only(surplus)) >= PROMISED
    skipped = {key: value for key, value in figures("ckks_linear", 0).items() if key not in {"warm_s", "wrong"}}
    results = [
        figures("breach", 9.87),
        figures("breach", 1.23),
        figures("breach", 1.5, 16),
        figures("straightforward_breach", 4.56),
        surplus,
        leveled_only(surplus),
        {**skipped, "skipped": "not installed"},
    ]
    text = page(results, "See [the record](../adr/0020-zoom.md).\n")
    assert "9.87" not in text
    assert "| breach | 1 |  |  |  | 1.23 |  |  | 0 of 6 |" in text
    assert "| leveled_only | 0 | 0 | 0 | 1.50 | 0.75 |" in text
    assert "`leveled_only`: the institution alone learns" in text
    assert "`ckks_linear`: skipped: not installed." in text
    assert "takes at most 60 % of `straightforward_breach` | 27 % (1.23 s of 4.56 s) | yes |" in text
    assert "](benchmarks/scaling-entries.svg)" in text
    assert "](benchmarks/compared-64x16x20.svg)" in text
    assert text.endswith("See [the record](adr/0020-zoom.md).\n")


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"circuit": "breach"}]'])
def test_a_file_that_holds_no_measurements_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(NoMeasurements, match=r"figures\.json"):
        read_measurements([path])


def test_charts_are_drawn_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    wanted = charts([figures("breach", 1.0, 16), figures("breach", 1.2), figures("straightforward_breach", 3.0)])
    assert [chart.name for chart in wanted] == ["scaling-entries", "compared-64x16x20"]
    first, again = (draw(wanted, tmp_path / name, ("svg", "png")) for name in ("first", "again"))
    assert [path.name for path in first] == [
        "scaling-entries.svg", "scaling-entries.png", "compared-64x16x20.svg", "compared-64x16x20.png",
    ]  # fmt: skip
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_there_is_a_chart_whenever_something_was_measured() -> None:
    assert [(chart.name, chart.lines) for chart in charts([figures("breach", 1.0), figures("surplus", 0.2)])] == [
        ("warm-64x16x20", {"breach": ((0, 1.0),), "surplus": ((0, 0.2),)})
    ]
    assert charts([{**figures("breach", 1.0), "warm_s": 0.5}])[0].lines == {"breach": ((0, 0.5),)}
    assert charts([]) == []


WIDE = LINEAR.replace("return A @ z + c\n", "return np.sum(((A @ z + c) < 0).astype(np.int64), keepdims=True)\n")


def test_a_lookup_that_is_too_wide_is_told_by_name_and_never_compiled(tmp_path: Path) -> None:
    path = tmp_path / "wide.py"
    path.write_text(WIDE.replace("NAME", "counted_below_zero").replace(" + OFFSET", ""))
    (circuit,) = load_circuits(path)
    stages: list[str] = []
    (found,) = measure(module_of(circuit, SMALL), runs=1, trials=1, say=stages.append)
    assert found["failed"].startswith(f"counted_below_zero: the lookup `less` ({path}:")
    assert "reads 16 bits, and keys for more than 7 are too large to make: take the sign" in found["failed"]
    assert not any("compiling" in stage for stage in stages)


def test_compiling_that_takes_too_long_is_stopped_and_said_in_its_row() -> None:
    breach = module_of(circuit_by_name("breach"), profile_by_name("64x16x20"))
    (found,) = measure(breach, runs=1, trials=1, compile_timeout=0.01)
    assert found["failed"] == (
        "compiling breach was stopped after 0.01 s (--compile-timeout): make its lookups narrower, or allow more time"
    )
    assert "warm_s" not in found


def test_missing_extras_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(ExtraMissing, match="extra `bench`"):
        draw([], tmp_path, ("svg",))
    job = Job(CKKS, SMALL, ("ckks_linear",), tmp_path, None, 1, 2, 1, False)
    assert "extra `bench`" in measure_ckks(job, lambda stage: None)["skipped"]


def test_ckks_has_an_error_and_loses_signs_at_zero(tmp_path: Path) -> None:
    pytest.importorskip("tenseal")
    job = Job(CKKS, SMALL, ("ckks_linear",), tmp_path, None, 1, 8, 1, False)
    found = measure_ckks(job, lambda stage: None)
    assert {*found, *figures("ckks_linear", 0)} >= PROMISED
    assert found["p_error"] is found["wrong"] is None, "an error is certain, and small"
    assert 0 < found["largest_error"] < 0.1
    assert found["signs_near_zero"] >= 4 * SMALL.rows
    assert 0 < found["wrong_signs_near_zero"] < found["signs_near_zero"]
    assert found["wrong_signs_near_zero_rounded"] == 0
