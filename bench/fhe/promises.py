"""What was promised of the circuits, and whether figures keep it.

>>> figures = {"entries": 64, "rows": 16, "bits": 20, "trials": 6, "wrong": 0}
>>> results = [
...     {"circuit": "breach", "warm_s": 1.5, **figures},
...     {"circuit": "straightforward_breach", "warm_s": 5.0, **figures},
... ]
>>> for verdict in verdicts(results):
...     print(verdict.met, "-", verdict.promise, "-", verdict.measured)
True - `breach` 64x16x20 takes at most 60 % of `straightforward_breach` - 30 % (1.50 s of 5.00 s)
True - `breach` 64x16x20 takes at most 0.31 s a row - 0.094 s
True - no wrong result - 0 of 12 trials
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]

SIZES = (64, 16, 20)
SHARE = 0.60
SECONDS_A_ROW = 0.31
SHORTFALL_FACTOR = 2.0
GROWTH, FEW_ENTRIES, MANY_ENTRIES = 1.25, 16, 1024
KEY_BYTES = 100_000_000
TOGETHER = ("surplus", "breach", "shortfall")


@dataclass(frozen=True)
class Verdict:
    """One promise, what was measured, and whether that keeps it."""

    promise: str
    measured: str
    met: bool


def latest(results: list[Figures]) -> dict[tuple[str, int, int, int], Figures]:
    """Return the last figures of each circuit and size; those that failed or were skipped are left out."""
    return {
        (figures["circuit"], figures["entries"], figures["rows"], figures["bits"]): figures
        for figures in results
        if "warm_s" in figures
    }


def verdicts(results: list[Figures]) -> list[Verdict]:
    """Return a verdict on each promise that the figures allow to check."""
    found = latest(results)
    return [*_against_straightforward(found), *_growth(found), *_keys(found), *_wrong(results)]


Found = dict[tuple[str, int, int, int], Figures]


def _against_straightforward(found: Found) -> Iterator[Verdict]:
    size = "x".join(map(str, SIZES))
    breach, base = found.get(("breach", *SIZES)), found.get(("straightforward_breach", *SIZES))
    shortfall = found.get(("shortfall", *SIZES))
    if breach and base:
        yield Verdict(
            f"`breach` {size} takes at most {SHARE:.0%} of `straightforward_breach`".replace("%", " %"),
            f"{100 * breach['warm_s'] / base['warm_s']:.0f} % ({breach['warm_s']:.2f} s of {base['warm_s']:.2f} s)",
            breach["warm_s"] <= SHARE * base["warm_s"],
        )
    if breach:
        seconds = breach["warm_s"] / breach["rows"]
        promise = f"`breach` {size} takes at most {SECONDS_A_ROW} s a row"
        yield Verdict(promise, f"{seconds:.3f} s", seconds <= SECONDS_A_ROW)
    if shortfall and base:
        factor = shortfall["warm_s"] / base["warm_s"]
        yield Verdict(
            f"`shortfall` {size} takes at most {SHORTFALL_FACTOR:g} times as long as `straightforward_breach`",
            f"{factor:.2f} times ({shortfall['warm_s']:.2f} s)",
            factor <= SHORTFALL_FACTOR,
        )


def _growth(found: Found) -> Iterator[Verdict]:
    for (circuit, entries, rows, bits), many in found.items():
        few = found.get((circuit, FEW_ENTRIES, rows, bits))
        if circuit == "breach" and entries == MANY_ENTRIES and few:
            factor = many["warm_s"] / few["warm_s"]
            yield Verdict(
                f"`breach` with {rows} rows of {bits} bits takes at {MANY_ENTRIES} entries at most {GROWTH} times as "
                f"long as at {FEW_ENTRIES}",
                f"{factor:.2f} times",
                factor <= GROWTH,
            )


def _keys(found: Found) -> Iterator[Verdict]:
    modules = {
        figures["profile"]: figures["evaluation_key_bytes"]
        for figures in found.values()
        if set(TOGETHER) <= set(figures.get("functions", ()))
    }
    if modules:
        name, size = max(modules.items(), key=lambda item: item[1])
        yield Verdict(
            f"evaluation keys for `surplus`, `breach` and `shortfall` together take at most {KEY_BYTES / 1e6:g} MB",
            f"{size / 1e6:.1f} MB ({name}{', the largest' if len(modules) > 1 else ''})",
            size <= KEY_BYTES,
        )


def _wrong(results: list[Figures]) -> Iterator[Verdict]:
    tried = [
        figures for figures in results if figures.get("wrong") is not None and figures["circuit"] != "leveled_only"
    ]
    if tried:
        wrong, trials = sum(figures["wrong"] for figures in tried), sum(figures["trials"] for figures in tried)
        yield Verdict("no wrong result", f"{wrong} of {trials} trials", wrong == 0)
