"""Charts of figures: which there are follows from the figures; drawing them needs matplotlib, of the extra `bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.bench.fhe.errors import ExtraMissing
from atomic_margin.bench.fhe.promises import latest

Figures = dict[str, Any]
Points = tuple[tuple[int, float], ...]

DIRECTIONS = ("entries", "rows", "bits")
LEAST_POINTS = 2
COMPARED = ("breach", "straightforward_breach", "naive_breach", "shortfall", "leveled_only", "ckks_linear")


@dataclass(frozen=True)
class Chart:
    """Lines of warm seconds over one direction of size, or bars of warm seconds by circuit.

    Attributes:
        name: of the file, without its ending.
        title: says what stays fixed.
        direction: `entries`, `rows` or `bits`; None for bars.
        lines: points by circuit, ascending; a bar is a line of one point.
    """

    name: str
    title: str
    direction: str | None
    lines: dict[str, Points]


def charts(results: list[Figures]) -> list[Chart]:
    """Return the charts that figures allow: each direction in which sizes vary, and a comparison with the baselines.

    Where neither is to be had, the circuits of every size beside each other.
    """
    found = list(latest(results).values())
    drawn = [chart for direction in DIRECTIONS if (chart := _scaling(found, direction))]
    return [*drawn, *_comparison(found)] or _measured(found)


def draw(wanted: list[Chart], directory: Path, endings: tuple[str, ...]) -> list[Path]:
    """Draw charts into files, one for each ending (`svg`, `png`); returns their paths.

    Raises:
        ExtraMissing: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ExtraMissing(
            "charts need matplotlib, of the optional extra `bench`; install it from requirements.lock with "
            "`make install`"
        ) from error
    # Without a display, and the same bytes from the same figures.
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "atomic-margin"
    from matplotlib.figure import Figure

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in wanted:
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(chart.title)
        if chart.direction is None:
            names = list(chart.lines)[::-1]
            axes.barh(names, [chart.lines[name][0][1] for name in names])
            axes.set_xlabel("warm run, s")
        else:
            for circuit, points in chart.lines.items():
                axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=circuit)
            axes.set_xlabel(chart.direction)
            axes.set_ylabel("warm run, s")
            axes.set_ylim(bottom=0)
            axes.legend()
        for ending in endings:
            path = directory / f"{chart.name}.{ending}"
            figure.savefig(path, metadata={"Date": None} if ending == "svg" else None)
            paths.append(path)
    return paths


def _scaling(found: list[Figures], direction: str) -> Chart | None:
    """Return the chart of the sizes, in the other two directions, at which most points were measured."""
    fixed = [name for name in DIRECTIONS if name != direction]
    groups: dict[tuple[int, ...], dict[str, dict[int, float]]] = {}
    for figures in found:
        lines = groups.setdefault(tuple(figures[name] for name in fixed), {})
        lines.setdefault(figures["circuit"], {})[figures[direction]] = figures["warm_s"]
    best: tuple[int, Chart] | None = None
    for sizes, lines in groups.items():
        enough = {name: tuple(sorted(line.items())) for name, line in lines.items() if len(line) >= LEAST_POINTS}
        count = sum(map(len, enough.values()))
        if enough and (best is None or count > best[0]):
            at = ", ".join(f"{size} {name}" for name, size in zip(fixed, sizes, strict=True))
            best = count, Chart(f"scaling-{direction}", f"Warm run by {direction}, at {at}", direction, enough)
    return None if best is None else best[1]


def _comparison(found: list[Figures]) -> list[Chart]:
    by_size: dict[tuple[int, ...], dict[str, Figures]] = {}
    for figures in found:
        by_size.setdefault(tuple(figures[name] for name in DIRECTIONS), {})[figures["circuit"]] = figures
    return [
        Chart(
            f"compared-{'x'.join(map(str, size))}",
            f"Warm run, {size[0]} entries, {size[1]} rows, {size[2]} bits",
            None,
            {name: ((0, circuits[name]["warm_s"]),) for name in COMPARED if name in circuits},
        )
        for size, circuits in by_size.items()
        if "straightforward_breach" in circuits
    ]


def _measured(found: list[Figures]) -> list[Chart]:
    by_size: dict[tuple[int, ...], dict[str, Points]] = {}
    for figures in found:
        if "warm_s" in figures:
            bars = by_size.setdefault(tuple(figures[name] for name in DIRECTIONS), {})
            bars[figures["circuit"]] = ((0, figures["warm_s"]),)
    return [
        Chart(
            f"warm-{'x'.join(map(str, size))}",
            f"Warm run, {size[0]} entries, {size[1]} rows, {size[2]} bits",
            None,
            bars,
        )
        for size, bars in by_size.items()
    ]
