"""Figures as cells of tables, for the terminal and for the page: one of modules, one of circuits."""

import math
from collections.abc import Callable
from typing import Any

Figures = dict[str, Any]
Cell = Callable[[Figures], str]

MEGA, KILO = 1e6, 1e3


def _seconds(key: str) -> Cell:
    return lambda figures: "" if figures.get(key) is None else f"{figures[key]:.2f}"


def _bytes(key: str, unit: float, digits: int) -> Cell:
    return lambda figures: "" if key not in figures else f"{figures[key] / unit:.{digits}f}"


def _power(key: str) -> Cell:
    def cell(figures: Figures) -> str:
        if figures.get(key) is None:
            return ""
        return f"2^{math.log2(figures[key]):.1f}" if figures[key] > 0 else "0"

    return cell


def _module(figures: Figures) -> str:
    functions = figures.get("functions", [figures["circuit"]])
    return str(functions[0]) if len(functions) == 1 else f"all {len(functions)} of the profile"


def _keygen(figures: Figures) -> str:
    return "cached" if figures.get("keys_cached") else _seconds("keygen_s")(figures)


def _complexity(figures: Figures) -> str:
    return "" if "complexity" not in figures else f"{figures['complexity']:.2e}"


def _wrong(figures: Figures) -> str:
    return f"{figures['wrong']} of {figures['trials']}" if figures.get("wrong") is not None else ""


MODULE_COLUMNS: dict[str, Cell] = {
    "one key set for": _module,
    "complexity": _complexity,
    "compile, s": _seconds("compile_s"),
    "load, s": _seconds("load_s"),
    "keygen, s": _keygen,
    "keys, MB": _bytes("evaluation_key_bytes", MEGA, 1),
    "lookup fails": _power("p_error"),
}

CIRCUIT_COLUMNS: dict[str, Cell] = {
    "circuit": lambda figures: str(figures["circuit"]),
    "bootstraps": lambda figures: str(figures["bootstraps"]),
    "in, kB": _bytes("input_bytes", KILO, 0),
    "out, kB": _bytes("output_bytes", KILO, 0),
    "cold, s": _seconds("cold_s"),
    "warm, s": _seconds("warm_s"),
    "peak, MB": _bytes("peak_memory_bytes", MEGA, 0),
    "failure": _power("failure"),
    "wrong": _wrong,
}

LEGEND = (
    "Circuits that share one key set are compiled together. Complexity is the compiler's estimate for all of them, in "
    "its own unit; compile is without any cache, load is a compiled module from disk; keys are evaluation keys as they "
    "travel. In and out are ciphertext words. Cold is the first evaluation in a fresh process after its keys were "
    "read, warm the median of those after it, peak the memory of that process. Failure is the probability of a wrong "
    "result, at most; wrong counts the results that were not the plain integers."
)


def size_of(figures: Figures) -> str:
    """Return `entries x rows x bits`."""
    return f"{figures['entries']}x{figures['rows']}x{figures['bits']}"


def module_rows(results: list[Figures]) -> list[list[str]]:
    """Return a row of `MODULE_COLUMNS` for each key set among measured figures of one size."""
    modules = {figures.get("module", figures["circuit"]): figures for figures in _measured(results)}
    return [
        [cell(figures) for cell in MODULE_COLUMNS.values()]
        for figures in modules.values()
        if figures.get("evaluation_key_bytes")
    ]


def circuit_rows(results: list[Figures]) -> list[list[str]]:
    """Return a row of `CIRCUIT_COLUMNS` for each measured circuit."""
    return [[cell(figures) for cell in CIRCUIT_COLUMNS.values()] for figures in _measured(results)]


def remarks(results: list[Figures]) -> list[tuple[str, str]]:
    """Return what no column says, with the circuit's name: why there are no figures, what is given away, errors."""
    said = []
    for figures in results:
        said += [(figures["circuit"], f"{word}: {figures[word]}") for word in ("skipped", "failed") if word in figures]
        if "gives_away" in figures:
            said.append((figures["circuit"], figures["gives_away"]))
        if "largest_error" in figures:
            near, wrong = figures["signs_near_zero"], figures["wrong_signs_near_zero"]
            rounded = figures["wrong_signs_near_zero_rounded"]
            said.append(
                (
                    figures["circuit"],
                    f"{wrong} of {near} signs of rows at -1, 0 and 1 are wrong, {rounded} if rows are rounded first; "
                    f"the largest error is {figures['largest_error']:.2g}",
                )
            )
    return said


def _measured(results: list[Figures]) -> list[Figures]:
    return [figures for figures in results if "warm_s" in figures]
