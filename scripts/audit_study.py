"""How many fresh workers an audit starts until one has the recorded FFT plan, and what equal fingerprints are worth.

    .venv/bin/python scripts/audit_study.py --profile small --workers 60 --full 8 --json audit-study.json

Every worker is a fresh process, started one after the other, as `atomic-margin audit` starts them. Each gives its two
fingerprints (`known_answer`, and `known_shortfall` with its several polynomial sizes) and then evaluates the same
ciphertext with the same matrices: `surplus`, and the two-row functions on other inputs than the fingerprints'; the
first --full workers evaluate `breach` and `shortfall` too. Audit number i takes worker i for the recorded run and draws
the workers after it, in their order and going round, until one has its fingerprint. Plans are chosen by timing at
start: run it on a machine in the state that your server is in.
"""

import argparse
import hashlib
import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile, profile_by_name
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.known_answer import known_matrix
from atomic_margin.fhe.worker import KeyFile

out, err = Console(highlight=False), Console(stderr=True, highlight=False)

SMALL_WEIGHT = 7
FULL = ("breach", "shortfall")
TWO_ROWS = {"breach": "known_answer", "shortfall": "known_shortfall"}


@dataclass(frozen=True)
class Seen:
    """What one fresh worker gave: fingerprints by the function they are for, SHA-256 of outputs by function.

    `threads` is how many an evaluation could use; 0 for every core.
    """

    threads: int
    plans: dict[str, str]
    outputs: dict[str, str]


Plan = Callable[[Seen], object]

KINDS: dict[str, Plan] = {
    "breach": lambda seen: seen.plans["breach"],
    "shortfall": lambda seen: seen.plans["shortfall"],
    "breach and shortfall in one worker": lambda seen: (seen.plans["breach"], seen.plans["shortfall"]),
}
"""What is audited, and what a worker must have in common with the recorded one."""


def observe(profile: Profile, workers: int, full: int, threads: tuple[int, ...]) -> list[Seen]:
    """Start `workers` fresh workers, one after the other, under one key set; the first `full` run whole circuits.

    The workers use the numbers of `threads` in turn, 0 for every core.
    """
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        keys = InstitutionKeys.generate(profile)
        data = keys.evaluation_keys()
        path = Path(folder) / "evaluation.keys"
        path.write_bytes(data)
        file = KeyFile(path, hashlib.sha256(data).hexdigest(), keys.known_answer_input())
        ciphertext = keys.encrypt(random.integers(0, 1 << profile.entry_bits, profile.entries))
        two_rows = known_matrix(profile, b"audit-study", 1)
        A = random.integers(-SMALL_WEIGHT, SMALL_WEIGHT + 1, (profile.rows, profile.entries))
        # No row can leave its width, whatever the entries are.
        A[:, (1 << (profile.bits - 2)) // (SMALL_WEIGHT << profile.entry_bits) :] = 0
        c = random.integers(-(1 << (profile.bits - 3)), 1 << (profile.bits - 3), profile.rows)
        found = []
        for number in track(range(workers), "fresh workers", console=err, transient=True):
            used = threads[number % len(threads)]
            with Evaluator(profile, threads=used or None) as evaluator:
                plans = {name: evaluator.warm_up(file, (name,)) for name in FULL}
                outputs: dict[str, bytes] = {}
                for name in TWO_ROWS.values():
                    outputs |= evaluator.evaluate(file, file.known_answer_input, *two_rows, (name,)).outputs
                for names in (("surplus",), FULL if number < full else ()):
                    if names:
                        outputs |= evaluator.evaluate(file, ciphertext, A, c, names).outputs
            found.append(
                Seen(used, plans, {name: hashlib.sha256(words).hexdigest() for name, words in outputs.items()})
            )
    return found


def starts(seen: list[Seen], plan: Plan, audits: int) -> list[int | None]:
    """Return, for every audit, the number of workers drawn until one had the plan; None when none had."""
    counts: list[int | None] = []
    for recorded in range(audits):
        drawn = [seen[(recorded + step) % len(seen)] for step in range(1, len(seen))]
        hits = (number for number, worker in enumerate(drawn, 1) if plan(worker) == plan(seen[recorded]))
        counts.append(next(hits, None))
    return counts


def audit_figures(seen: list[Seen], plan: Plan, audits: int) -> dict[str, Any]:
    """Return the sizes of the plans' classes, and over the audits how many starts they took."""
    classes = sorted(Counter(map(plan, seen)).values(), reverse=True)
    counts = starts(seen, plan, audits)
    ended = sorted(count for count in counts if count is not None)
    shares = [size / len(seen) for size in classes]
    return {
        "plans": len(classes),
        "workers_by_plan": classes,
        "same_plan_probability": sum(share**2 for share in shares),
        "starts": counts,
        "ended": len(ended),
        "median": median(ended) if ended else None,
        "mean": mean(ended) if ended else None,
        "most": ended[-1] if ended else None,
    }


def pair_figures(seen: list[Seen], output: str, plan: Plan, *, threads_differ: bool = False) -> dict[str, int]:
    """Return over all pairs of workers, or those with other numbers of threads, how equal plans and outputs go."""
    counted = Counter(
        (plan(one) == plan(other), one.outputs[output] == other.outputs[output])
        for one, other in combinations([worker for worker in seen if output in worker.outputs], 2)
        if one.threads != other.threads or not threads_differ
    )
    return {
        "equal_plan_equal_output": counted[True, True],
        "equal_plan_other_output": counted[True, False],
        "other_plan_equal_output": counted[False, True],
        "other_plan_other_output": counted[False, False],
    }


PAIRS = {
    "surplus, whole": ("surplus", "breach"),
    "breach, two rows": ("known_answer", "breach"),
    "breach, whole": ("breach", "breach"),
    "shortfall, two rows": ("known_shortfall", "shortfall"),
    "shortfall, whole": ("shortfall", "shortfall"),
    "shortfall, two rows, told apart by known_answer": ("known_shortfall", "breach"),
    "shortfall, whole, told apart by known_answer": ("shortfall", "breach"),
    "breach, two rows, told apart by known_shortfall": ("known_answer", "shortfall"),
    "breach, whole, told apart by known_shortfall": ("breach", "shortfall"),
}
"""Outputs that are compared, and the function whose fingerprint is to tell them apart."""


def figures(profile: Profile, seen: list[Seen], audits: int) -> dict[str, Any]:
    """Return everything that was found, for JSON."""
    pairs = {name: pair_figures(seen, output, KINDS[plan]) for name, (output, plan) in PAIRS.items()}
    if len({worker.threads for worker in seen}) > 1:
        pairs |= {
            f"{name}, other number of threads": pair_figures(seen, output, KINDS[plan], threads_differ=True)
            for name, (output, plan) in PAIRS.items()
            if "told apart" not in name
        }
    return {
        "profile": profile.name,
        "workers": len(seen),
        "audits": audits,
        "cpu": cpu_name(),
        "load_average": os.getloadavg(),
        "two_rows": KNOWN_ANSWER_ROWS,
        "audit": {kind: audit_figures(seen, plan, audits) for kind, plan in KINDS.items()},
        "pairs": pairs,
        "seen": [asdict(worker) for worker in seen],
    }


def cpu_name() -> str:
    """Return the processor's name as the kernel has it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_tables(found: dict[str, Any]) -> None:
    """Print tables that are also Markdown."""
    rows = [("audited", "plans", "workers by plan", "audits ended", "starts: median", "mean", "most")]
    for kind, item in found["audit"].items():
        ended = f"{item['ended']} of {found['audits']}"
        sizes = ", ".join(map(str, item["workers_by_plan"]))
        rows.append((kind, item["plans"], sizes, ended, item["median"], round(item["mean"] or 0, 1), item["most"]))
    _print(rows)
    rows = [("outputs of pairs of workers", "equal plan: equal", "equal plan: other", "other plan: equal", "other")]
    rows += [(name, *item.values()) for name, item in found["pairs"].items()]
    _print(rows)


def _print(rows: list[Any]) -> None:
    for cells in (rows[0], ("---",) * len(rows[0]), *rows[1:]):
        out.print("| " + " | ".join(map(str, cells)) + " |", soft_wrap=True, markup=False)
    out.print()


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="small", help="FHE profile")
    parser.add_argument("--workers", type=int, default=60, help="fresh workers to start")
    parser.add_argument("--full", type=int, default=8, help="of them, how many run whole circuits too")
    parser.add_argument("--audits", type=int, default=30, help="audits, each of another worker's run")
    parser.add_argument("--threads", type=int, nargs="+", default=[0], help="of the workers, in turn; 0: every core")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if not options.audits < options.workers:
        parser.error("--workers must be more than --audits")
    profile = profile_by_name(options.profile)
    found = figures(profile, observe(profile, options.workers, options.full, tuple(options.threads)), options.audits)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print_tables(found)


if __name__ == "__main__":
    main()
