"""The generators as code of data contracts, which the verifier reads them from. For whoever deploys it.

A block is one STOP, so that calling it does nothing, and up to 255 points, x and y of 48 bytes each: as much as the
code of a contract may have. In order they are G, H, and left_i, right_i for i = 0, 1, …, so that whoever wants n of
each vector reads the first 2 + 2 n. The verifier pins the hash of each block.

>>> blocks = generator_blocks(2)
>>> len(blocks), len(blocks[0])
(1, 577)
"""

from atomic_margin.contracts.points import uncompressed
from atomic_margin.zk.bits.parameters import ONE_CHUNK_BITS
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, load_group

POINTS_EACH = 255
"""Points of one contract, whose code has at most 24,576 bytes (EIP-170)."""


def generator_points(length: int = ONE_CHUNK_BITS, group: Group | None = None) -> list[bytes]:
    """Return G, H, and the first ``length`` generators of both vectors, left and right in turn, uncompressed."""
    group = group or load_group()
    generators = load_generators(group, length)
    pairs = zip(generators.left, generators.right, strict=True)
    points = [generators.value, generators.blinding, *(point for pair in pairs for point in pair)]
    return [uncompressed(group.encode_point(point)) for point in points]


def generator_blocks(length: int = ONE_CHUNK_BITS, group: Group | None = None) -> list[bytes]:
    """Return the code of every data contract."""
    points = generator_points(length, group)
    return [b"\x00" + b"".join(points[start : start + POINTS_EACH]) for start in range(0, len(points), POINTS_EACH)]


def creation_code(code: bytes) -> bytes:
    """Return the code that creates a contract with ``code``: PUSH2 size, DUP1, PUSH1 10, 0, CODECOPY, 0, RETURN.

    >>> creation_code(b"ab").hex()
    '61000280600a3d393df36162'
    """
    return b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("80600a3d393df3") + code
