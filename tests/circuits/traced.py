"""What the compiler's tracer makes of a circuit: its graph, with the bounds that the input set reached."""

from typing import Any

from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.concrete import cfhe, prepare_thread
from atomic_margin.circuits.profile import Profile
from atomic_margin.circuits.zoom import GRID_BITS


def graph_of(profile: Profile, function: str) -> Any:
    """Trace one function of `profile` over its input set, without compiling it."""
    prepare_thread()
    circuit = circuit_by_name(function)
    encryption = {"z": "encrypted", **dict.fromkeys(circuit.names(profile), "clear")}
    compiler = cfhe.Compiler(circuit.program(profile), encryption)
    return compiler.trace(circuit.inputs(profile), cfhe.Configuration(show_progress=False))


def bounds_of(graph: Any) -> dict[str, tuple[int, int]]:
    """Least and greatest value that each input reached, by name."""
    return {node.properties["name"]: node.bounds for node in graph.input_nodes.values()}


def too_wide(graph: Any) -> list[str]:
    """Lookups that read more than the grid's bits, after rounding. Taking bits apart reads one bit at a time."""
    found = []
    for node in graph.query_nodes():
        if not node.converted_to_table_lookup or node.properties["name"] in (
            "round_bit_pattern",
            "extract_bit_pattern",
        ):
            continue
        for read in graph.ordered_preds_of(node):
            if not read.output.is_encrypted:
                continue
            width = read.output.dtype.bit_width
            if read.properties.get("name") == "round_bit_pattern":
                width -= read.properties["kwargs"]["lsbs_to_remove"]
            if width > GRID_BITS:
                found.append(f"{node.properties['name']} reads {width} bits, {read.bounds}")
    return found
