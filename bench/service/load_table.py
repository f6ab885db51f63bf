"""The figures of a load as lines to read."""

from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Any]

_TIMES = (
    ("tick_to_flag_s", "tick to flag, s"),
    ("tick_to_settled_s", "tick to settled, s"),
    ("recorded_to_settled_s", "recorded to settled, s"),
    ("institution_s", "an institution's check and proof, s"),
    ("tick_took_s", "taking a tick, s"),
)
_SHARES = (("evaluation", "evaluation"), ("proofs", "proofs verified"), ("rest", "everything else"))


def markdown(figures: Figures) -> str:
    """Return what was measured, as a table and lines below it."""
    return "\n".join(_lines(figures))


def _lines(figures: Figures) -> Iterator[str]:
    yield f"{_load(figures)}:"
    yield ""
    yield "| | p50 | p95 | max | of |"
    yield "|---|---:|---:|---:|---:|"
    for name, said in _TIMES:
        found = figures.get(name)
        if found is not None:
            yield f"| {said} | {found['p50']:.3f} | {found['p95']:.3f} | {found['max']:.3f} | {found['count']} |"
    yield ""
    yield (
        f"Runs: {figures['runs_scheduled']} scheduled, {figures['runs_recorded']} recorded, "
        f"{figures['runs_answered']} answered, {figures['runs_per_s']:.1f} answered a second; at the end "
        + ", ".join(f"{count} {state}" for state, count in figures["outcome_states"].items())
        + "."
    )
    if "run_s" in figures:
        parts = (
            f"{said} {1000 * figures[f'run_{name}_s']:.1f} ms ({100 * figures[f'share_{name}']:.0f} %)"
            for name, said in _SHARES
        )
        cpu = 1000 * figures["run_rest_cpu_s"]
        yield f"A run at the operator: {', '.join(parts)}, of which the processor worked {cpu:.1f} ms."
        if figures["plain"]:
            yield "The evaluation was in the clear, which takes no time: only the last two figures say something."
    yield _processor(figures)
    yield _memory(figures)
    yield (
        f"Disk: {figures['disk_per_institution_bytes'] / 1000:.0f} kB an institution before the first tick, "
        f"{figures['disk_grown_bytes'] / max(1, figures['runs_recorded']) / 1000:.0f} kB a recorded run."
    )
    for what in ("lost", "doubled", "unexplained", "unfinished"):
        found = figures[f"outcome_{what}"]
        yield f"{what.capitalize()}: {len(found) or 'nothing'}" + "".join(f"\n- {one}" for one in found[:20])
    yield f"Ledger: {figures['outcome_ledger']}. Accounts replayed from their entries: {figures['outcome_replayed']}."


def _load(figures: Figures) -> str:
    kind = "plain evaluator (overhead only, nothing is encrypted)" if figures["plain"] else "real FHE"
    return (
        f"{figures['institutions']} institutions, {figures['ticks']} ticks, one every {figures['period']:g} s, profile "
        f"{figures['profile']}, policy {figures['policy']}, {kind}"
    )


def _processor(figures: Figures) -> str:
    spent, answered = figures["processor_s"], max(1, figures["runs_answered"])
    each = ", ".join(f"{name} {seconds:.0f} s, {1000 * seconds / answered:.0f} ms" for name, seconds in spent.items())
    return f"Processors worked, in all and for a run that was answered: {each}; {figures['elapsed_s']:.0f} s went by."


def _memory(figures: Figures) -> str:
    held = figures["memory"]
    workers = ", ".join(_megabytes(one) for one in held["workers"]) or "none"
    players = ", ".join(_megabytes(one) for one in held["institutions"])
    return f"Memory at most: operator {_megabytes(held['operator'])}; workers {workers}; institutions {players}."


def _megabytes(process: Mapping[str, int]) -> str:
    return f"{process.get('peak_bytes', 0) / 1e6:.0f} MB"
