"""What the lookups of a circuit read, before it is compiled: one that is too wide gets keys that no machine can make.

Each bit of a lookup doubles the polynomial that its table is stored in: with eight bits the evaluation keys of a
circuit take gigabytes, and beyond 16 the library compiles nothing. Compiling says neither, and making the keys never
ends. So the program is traced first, which takes a moment, and what its lookups read is told by name.
"""

from typing import Any, NamedTuple

from atomic_margin.circuits.circuit import Circuit
from atomic_margin.circuits.concrete import cfhe, prepare_thread
from atomic_margin.circuits.errors import LookupTooWide
from atomic_margin.circuits.profile import Profile

MOST_BITS = 7
"""That a lookup may read. The keys of one that reads seven take gigabytes already, and each bit doubles them."""

# They take a value apart bit by bit, so its width is none of their lookups'.
_BY_BITS = ("extract_bit_pattern", "round_bit_pattern", "truncate_bit_pattern")
_DROPPING = ("round_bit_pattern", "truncate_bit_pattern")


class Lookup(NamedTuple):
    """A table lookup of a traced program.

    Attributes:
        operation: as the tracer calls it.
        bits: that it reads of its input.
        place: file and line.
    """

    operation: str
    bits: int
    place: str


def lookups_of(circuit: Circuit, profile: Profile) -> list[Lookup]:
    """Return the lookups of a circuit on a profile's inputs, in the order of the program."""
    prepare_thread()
    traced = circuit.program(profile)
    traced.__name__ = circuit.name
    statuses = {"z": "encrypted", **dict.fromkeys(circuit.names(profile), "clear")}
    graph = cfhe.Compiler(traced, statuses).trace(circuit.inputs(profile))
    found = []
    for node in graph.query_nodes(ordered=True):
        operation = str(node.properties.get("name") or "")
        if not node.converted_to_table_lookup or operation in _BY_BITS:
            continue
        bits = max((_bits_of(one, graph) for one in graph.ordered_preds_of(node) if one.output.is_encrypted), default=0)
        found.append(Lookup(operation, bits, str(node.location)))
    return found


def require_practical(circuit: Circuit, profile: Profile) -> None:
    """Make sure that keys can be made for every lookup of a circuit.

    Raises:
        LookupTooWide: the widest one is too wide, named with what to change.
    """
    widest = max(lookups_of(circuit, profile), key=lambda lookup: lookup.bits, default=None)
    if widest is not None and widest.bits > MOST_BITS:
        raise LookupTooWide(
            f"{circuit.name}: the lookup `{widest.operation}` ({widest.place}) reads {widest.bits} bits, and keys for "
            f"more than {MOST_BITS} are too large to make: take the sign of a row by `signs`, drop bits by "
            "`cfhe.round_bit_pattern` before it, or choose a profile with narrower rows"
        )


def _bits_of(node: Any, graph: Any) -> int:
    """Return the bits that a lookup reads of a value: those that rounding left."""
    if node.properties.get("name") not in _DROPPING:
        return int(node.output.dtype.bit_width)
    (rounded,) = graph.ordered_preds_of(node)
    return int(rounded.output.dtype.bit_width) - int(node.properties["kwargs"]["lsbs_to_remove"])
