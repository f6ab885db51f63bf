"""Measure which branches of the contracts the tests take, and name those that they do not, by file and line.

The sources are compiled with a probe at every outcome of every branch (`branches.py` says what counts), and the tests
of the contracts run on them (`branch_probes.py`). Outcomes that no test can take are listed with their reasons in
`untaken.py`. Exit status 1 if another one is not taken, or if one of the list is not there, or is taken after all; 2 if
the tests do not pass; 3 if there is no compiler. Needs node, and what `make contracts` installs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from branch_probes import COMPILED, FOLDER_VARIABLE, TAKEN
from branches import Instrumented, Outcome, instrumented
from contracts import SETTINGS, asked
from untaken import UNTAKEN, Untaken

from atomic_margin.contracts.artifact import COMPILED as COMMITTED
from atomic_margin.contracts.artifact import CONTRACTS, SOURCES, load_artifact

ROOT = Path(__file__).resolve().parents[1]
FOR_TESTS = "test"
"""Folder of contracts that are not covered: tests are made of them."""
TESTS = "tests/contracts"
NOT_PROBED = ("test_artifacts.py", "test_branch_coverage.py", "test_gas.py", "test_weakened.py")
"""What runs no contract, measures gas, or compiles contracts of its own."""
MISSED, FAILED = 1, 2
NO_TESTS = 5
"""Exit status of pytest where no test has the marks."""


@dataclass(frozen=True)
class Report:
    """What was measured."""

    outcomes: Sequence[Outcome]
    taken: Set[int]
    untaken: Sequence[Untaken]

    @property
    def missed(self) -> list[Outcome]:
        """Outcomes that were not taken and are not listed."""
        listed = {one[:3] for one in self.untaken}
        return [
            one
            for number, one in enumerate(self.outcomes)
            if number not in self.taken and (one.function, one.text, one.outcome) not in listed
        ]

    @property
    def stale(self) -> list[str]:
        """What is wrong with the list."""
        found = []
        for function, text, outcome, _ in self.untaken:
            numbers = [
                number
                for number, one in enumerate(self.outcomes)
                if (one.function, one.text, one.outcome) == (function, text, outcome)
            ]
            if not numbers:
                found.append(f"{function}: `{text}` {outcome}: is not there")
            elif not self.taken.isdisjoint(numbers):
                found.append(f"{function}: `{text}` {outcome}: is taken")
        return found

    @property
    def by_source(self) -> dict[str, tuple[int, int]]:
        """How many outcomes of each source were taken, and how many there are."""
        there = Counter(one.source for one in self.outcomes)
        taken = Counter(one.source for number, one in enumerate(self.outcomes) if number in self.taken)
        return {source: (taken[source], there[source]) for source in sorted(there)}


def texts(folder: Path) -> dict[str, str]:
    """Return all sources, those of tests too, by file name."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.sol"))}


def probed(sources: dict[str, str]) -> Instrumented:
    """Return the sources with probes, those of tests as they are."""
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": {"*": {"": ["ast"]}}},
    }
    answer = _without_errors(asked(question)["output"])
    covered = {name: text for name, text in sources.items() if Path(name).parts[0] != FOR_TESTS}
    made = instrumented(covered, {name: answer["sources"][name]["ast"] for name in covered})
    return Instrumented({**sources, **made.sources}, made.outcomes)


def compiled(sources: dict[str, str], names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return interface and code of contracts, by name."""
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {
            **SETTINGS,
            "outputSelection": {f"{name}.sol": {Path(name).name: ["abi", "evm.bytecode.object"]} for name in names},
        },
    }
    made = _without_errors(asked(question)["output"])["contracts"]
    return {name: made[f"{name}.sol"][Path(name).name] for name in names}


def write_into(folder: Path, made: dict[str, dict[str, Any]]) -> None:
    """Write contracts with probes as they are committed without."""
    for name, contract in made.items():
        # Refuses what was compiled of other sources.
        load_artifact(name)
        committed = json.loads((COMMITTED / f"{name}.json").read_text())
        if _interface(contract["abi"]) != _interface(committed["abi"]):
            sys.exit(f"{name}: with probes it has another interface")
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**committed, "bytecode": contract["evm"]["bytecode"]["object"]}))


def parts(folder: str) -> list[list[str]]:
    """Return what runs beside each other: the files of a folder of tests, and each of its folders."""
    files = [str(path) for path in sorted((ROOT / folder).glob("test_*.py")) if path.name not in NOT_PROBED]
    folders = sorted({path.parent for path in (ROOT / folder).glob("*/test_*.py")})
    return [files, *([str(path)] for path in folders)]


def run_tests(folder: Path, tests: Sequence[str], chosen: str) -> tuple[bool, set[int]]:
    """Run one part of the tests on the contracts in a folder; return whether they pass, and what was taken."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "branch_probes"]
    paths = [str(ROOT / "scripts"), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as given:
        (Path(given) / COMPILED).symlink_to(folder)
        environment = {**os.environ, FOLDER_VARIABLE: given, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(  # noqa: S603 - our interpreter
            [*command, "--timeout", "0", "-m", chosen, *tests],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        passed = done.returncode in (0, NO_TESTS)
        said = (done.stdout + done.stderr)[-20_000:] if not passed else done.stdout.splitlines()[-1]
        print(said, file=sys.stderr, flush=True)
        path = Path(given) / TAKEN
        return passed, set(json.loads(path.read_text())) if path.exists() else set()


def show(report: Report, folder: str) -> None:
    """Print a report for people."""
    for source, (taken, there) in report.by_source.items():
        print(f"{folder}/{source:24} {taken:4} of {there:4}")
    for function, text, outcome, reason in report.untaken:
        print(f"listed: {function}: `{text}` {outcome}: {reason}")
    for problem in report.stale:
        print(f"LISTED WRONGLY: {problem}; mend scripts/untaken.py")
    for one in report.missed:
        print(f"NOT TAKEN: {folder}/{one.source}:{one.line}: {one.function}: {one.kind} `{one.text}`: {one.outcome}")
    print(
        f"{len(report.outcomes)} outcomes of branches, {len(report.taken)} taken, {len(report.untaken)} listed, "
        f"{len(report.missed)} missed"
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "outcomes": len(report.outcomes),
        "taken": len(report.taken),
        "sources": {name: {"taken": taken, "outcomes": there} for name, (taken, there) in report.by_source.items()},
        "listed": [one._asdict() for one in report.untaken],
        "listed_wrongly": report.stale,
        "missed": [asdict(one) for one in report.missed],
    }


def _without_errors(output: dict[str, Any]) -> dict[str, Any]:
    problems = [one["formattedMessage"] for one in output.get("errors", ()) if one["severity"] == "error"]
    if problems:
        sys.exit("\n".join(problems))
    return output


def _interface(abi: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return an interface without the one thing that probes change."""
    return [{key: value for key, value in entry.items() if key != "stateMutability"} for entry in abi]


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", help="files or folders of tests, by default all")
    parser.add_argument("-m", dest="chosen", default="not slow", help="marks of tests, as pytest takes them")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--list", action="store_true", help="print every outcome that counts, and run nothing")
    parser.add_argument("--keep", type=Path, help="folder in which sources with probes are left, to look at")
    given = parser.parse_args()
    made = probed(texts(SOURCES))
    if given.keep:
        for name, text in made.sources.items():
            (given.keep / name).parent.mkdir(parents=True, exist_ok=True)
            (given.keep / name).write_text(text)
    if given.list:
        for one in made.outcomes:
            print(f"{one.source}:{one.line}: {one.function}: {one.kind} `{one.text}`: {one.outcome}")
        return
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_into(Path(folder), compiled(made.sources, CONTRACTS))
        chosen = [given.tests] if given.tests else parts(TESTS)
        done = list(pool.map(lambda tests: run_tests(Path(folder), tests, given.chosen), chosen))
    report = Report(made.outcomes, frozenset().union(*(taken for _, taken in done)), UNTAKEN)
    if given.json:
        print(json.dumps(as_json(report), indent=1))
    else:
        show(report, str(SOURCES.resolve().relative_to(ROOT)))
    if not all(passed for passed, _ in done):
        print("tests do not pass on contracts with probes: what they would take is not counted", file=sys.stderr)
        sys.exit(FAILED)
    sys.exit(MISSED if report.missed or report.stale else 0)


if __name__ == "__main__":
    main()
