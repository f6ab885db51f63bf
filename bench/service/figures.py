"""Figures of a load: tick to flag and to settled, runs a second, what of a run was FHE and proofs, memory, disk."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atomic_margin.bench.service.tracing import RECORDED, TIMED

Line = Mapping[str, Any]


def percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """Return median, 95th percentile, largest and how many; None of nothing.

    >>> percentiles([3.0, 1.0, 2.0])
    {'p50': 2.0, 'p95': 3.0, 'max': 3.0, 'count': 3}
    """
    ordered = sorted(values)
    if not ordered:
        return None

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return {"p50": at(0.5), "p95": at(0.95), "max": ordered[-1], "count": len(ordered)}


def figures(
    scheduled: Mapping[str, float],
    ticks: Sequence[Line],
    trace: Sequence[Line],
    receipts: Sequence[Line],
    elapsed: float,
) -> dict[str, Any]:
    """Return what was measured.

    Args:
        scheduled: when the tick of each run was sent.
        ticks: how late each was sent, and how long it took.
        trace: of the operator's process.
        receipts: of the institutions.
        elapsed: seconds from the first tick to the last answer.
    """
    recorded = {line["run_id"]: line["at"] for line in trace if line["event"] == RECORDED}
    answered = {line["run_id"]: line["at"] for line in receipts if "entry" in line}
    timed = [line for line in trace if line["event"] == TIMED]
    return {
        "runs_scheduled": len(scheduled),
        "runs_recorded": len(recorded),
        "runs_answered": len(answered),
        "runs_silent": sum("silent" in line for line in receipts),
        "answers_refused": sorted({line["refused"] for line in receipts if "refused" in line})[:20],
        "runs_per_s": len(answered) / elapsed if elapsed else 0.0,
        "tick_took_s": percentiles(tick["took"] for tick in ticks),
        "tick_late_s": percentiles(tick["late"] for tick in ticks),
        "tick_to_flag_s": percentiles(at - _sent(scheduled, run) for run, at in recorded.items()),
        "tick_to_settled_s": percentiles(at - _sent(scheduled, run) for run, at in answered.items()),
        "recorded_to_settled_s": percentiles(at - recorded[run] for run, at in answered.items() if run in recorded),
        "institution_s": percentiles(line["at"] - line["started"] for line in receipts if "entry" in line),
        **_shares(timed, len(answered)),
    }


def _sent(scheduled: Mapping[str, float], run_id: str) -> float:
    """Return when the tick of a run was sent; one that is evaluated after no proof came has the tick of the first."""
    return scheduled[run_id] if run_id in scheduled else scheduled[run_id.rpartition(".")[0]]


def _shares(timed: Sequence[Line], answered: int) -> dict[str, Any]:
    """Return what the operator spent on a run that was answered, by kind, and each kind's share.

    Seconds include the waiting for a processor, for the database and for other threads, which is most of them where the
    machine is full; those of the processor do not.
    """
    if not answered:
        return {}
    total = sum(line["seconds"] for line in timed)
    of_kind = {kind: sum(line.get(kind, 0.0) for line in timed) for kind in ("evaluation", "proofs")}
    rest = total - sum(of_kind.values())
    by_call: dict[str, Any] = {}
    for name in sorted({line["call"] for line in timed}):
        of_call = [line for line in timed if line["call"] == name]
        by_call[name] = percentiles(
            line["seconds"] - line.get("evaluation", 0.0) - line.get("proofs", 0.0) for line in of_call
        )
    return {
        "run_s": total / answered,
        "run_evaluation_s": of_kind["evaluation"] / answered,
        "run_proofs_s": of_kind["proofs"] / answered,
        "run_rest_s": rest / answered,
        "run_rest_cpu_s": sum(map(_cpu, timed)) / answered,
        "share_evaluation": of_kind["evaluation"] / total,
        "share_proofs": of_kind["proofs"] / total,
        "share_rest": rest / total,
        "rest_by_call_s": by_call,
    }


def _cpu(line: Line) -> float:
    """Return the processor's time of a call that was neither FHE nor proofs."""
    return float(line.get("cpu", 0.0) - line.get("evaluation_cpu", 0.0) - line.get("proofs_cpu", 0.0))


def memory(operator: int, players: Sequence[int]) -> dict[str, Any]:
    """Return resident bytes now and at most, of the operator, its workers and the processes of institutions."""
    return {
        "operator": _resident(operator),
        "workers": [_resident(pid) for pid in _children(operator)],
        "institutions": [_resident(pid) for pid in players],
    }


def processor(operator: int, players: Sequence[int]) -> dict[str, float]:
    """Return the seconds that processors have worked for the operator and its workers, and for institutions, so far."""
    return {
        "operator": sum(map(_worked, [operator, *_children(operator)])),
        "institutions": sum(map(_worked, players)),
    }


def _worked(pid: int) -> float:
    try:
        # After the name, which is in brackets and may have spaces; in user mode and in the system.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in file.read_text().split()]
    return found


def _resident(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    named = {"VmRSS:": "now_bytes", "VmHWM:": "peak_bytes"}
    return {named[parts[0]]: int(parts[1]) * 1024 for parts in map(str.split, lines) if parts and parts[0] in named}


def disk_bytes(folder: Path) -> int:
    """Return what the files of a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
