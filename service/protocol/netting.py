"""Net the obligations of a cycle: gross lines to groups of one party, asset and day. Pure.

Integers of smallest units: nothing is rounded, so what groups say sums to what lines say, to the last unit. The order
of lines is that of their keys, whatever order they came in.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from atomic_margin.service.protocol.account.netting import group_key, sums
from atomic_margin.service.protocol.account.netting_documents import Group, Line

GroupKey = tuple[str, str, str, str]
"""Scope, party, asset, day."""


class Netted(NamedTuple):
    """A group with its lines, in order."""

    group: Group
    lines: Sequence[Line]


def net(
    lines: Iterable[Line], operator: str, arrived: Collection[GroupKey], salt_of: Callable[[str], str]
) -> list[Netted]:
    """Return the groups of a cycle.

    Args:
        lines: gross, each as if it arrived.
        operator: public key of the operator, which stands for all parties where it is principal.
        arrived: groups whose net delivery came, whole. Where it did not, every delivery of the group is undone and
            every return is paid in full: which of several deliveries failed would be the operator's choice.
        salt_of: returns the salt of a group's leaf, by what names it. No two may have one.

    Raises:
        ValueError: a line is there twice, or a group that arrived is not there.
    """
    ordered = sorted(lines, key=lambda line: (group_key(line, operator), line.institution, line.sequence))
    if len({(line.institution, line.sequence) for line in ordered}) != len(ordered):
        raise ValueError("a line is there twice")
    groups: dict[GroupKey, list[Line]] = {}
    for line in ordered:
        groups.setdefault(group_key(line, operator), []).append(line)
    unknown = set(arrived) - groups.keys()
    if unknown:
        raise ValueError(f"there is no group {sorted(unknown)[0]} in this cycle")
    return [_netted(key, own, key in arrived, salt_of("/".join(key))) for key, own in groups.items()]


def _netted(key: GroupKey, lines: list[Line], arrived: bool, salt: str) -> Netted:
    deliveries, returns, _ = sums(lines)
    late = deliveries > returns and not arrived
    counted = [line.changed({"arrived": False}) if late and line.direction == "delivery" else line for line in lines]
    deliveries, returns, undone = sums(counted)
    scope, party, asset, settles = key
    group = Group.parse(
        {
            "salt": salt,
            "party": party,
            "scope": scope,
            "asset": asset,
            "settles": settles,
            "deliveries": str(deliveries),
            "returns": str(returns),
            "undone": str(undone),
            "arrives": str(max(deliveries - returns, 0)),
            "leaves": str(max(returns - deliveries, 0)),
            "lines": str(len(counted)),
        }
    )
    return Netted(group, counted)
