"""The tree of a netting cycle: its lines and groups as leaves, and the check that what an account is shown is in it."""

from collections.abc import Sequence

from atomic_margin.service.log.errors import ProofInvalid
from atomic_margin.service.log.hashing import leaf_hash, tree_hash
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.log.tree import inclusion_proof
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.netting_documents import Group, Line, Netting, Placed, ShownGroup, ShownLine
from atomic_margin.service.protocol.netting import Netted


class CycleTree:
    """Lines and groups of a cycle, in the order of groups, each group after its lines."""

    def __init__(self, netted: Sequence[Netted]) -> None:
        """Make the tree."""
        self._leaves: list[bytes] = []
        for group, lines in netted:
            self._leaves += [*(line.to_bytes() for line in lines), group.to_bytes()]
        self._hashes = [leaf_hash(leaf) for leaf in self._leaves]
        self._at = {leaf: index for index, leaf in enumerate(self._leaves)}
        self.root = tree_hash(self._hashes).hex()
        self.size = len(self._leaves)

    def line(self, line: Line) -> ShownLine:
        """Return a line with its place."""
        return ShownLine.model_construct(line=line, place=self._place(line))

    def group(self, netted: Netted) -> ShownGroup:
        """Return a group with its place, and its lines where all are of one party."""
        shown = netted.lines if netted.group.scope == "party" else ()
        return ShownGroup.model_construct(
            group=netted.group, place=self._place(netted.group), lines=tuple(self.line(line) for line in shown)
        )

    def _place(self, leaf: Line | Group) -> Placed:
        index = self._at[leaf.to_bytes()]
        path = inclusion_proof(lambda level, first, last: self._tile(level, first, last), index, self.size)
        return Placed.model_construct(index=index, path=tuple(hash_.hex() for hash_ in path))

    def _tile(self, level: int, first: int, last: int) -> Sequence[bytes]:
        width = 256**level
        return [tree_hash(self._hashes[at * width : (at + 1) * width]) for at in range(first, last)]


def check_netting(netting: Netting) -> None:
    """Make sure that every line and group that is shown is in the cycle's tree, each at a place of its own.

    Raises:
        EntryIllegal: one is not.
    """
    leaves: dict[int, bytes] = {}
    shown: list[tuple[Line | Group, Placed]] = [(item.line, item.place) for item in netting.lines]
    for group in netting.groups:
        shown.append((group.group, group.place))
        shown += [(item.line, item.place) for item in group.lines]
    for leaf, place in shown:
        data = leaf.to_bytes()
        if leaves.setdefault(place.index, data) != data:
            raise EntryIllegal(f"cycle {netting.cycle} has two leaves at place {place.index}")
        path = [bytes.fromhex(hash_) for hash_ in place.path]
        try:
            check_inclusion(data, place.index, netting.size, path, bytes.fromhex(netting.root))
        except ProofInvalid as error:
            raise EntryIllegal(f"cycle {netting.cycle}: what it shows is not in its tree: {error}") from error
