"""The mutants of netting: what may be promised, and how a cycle clears it."""

from mutant import Mutant, Node, condition

_TESTS = "tests/service/test_netting.py"
_PLACE = "service.protocol.account.netting"
_OTHERWISE = "an_operator_cannot_net_otherwise"


def _netting(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"netting: {name}", f"{_PLACE}:{function}", node, new, (f"{_TESTS}::test_{test}",))


NETTING_MUTANTS = (
    _netting("another name while pending", "party_named", condition("pending"), "nobody_is_netted_by_one_sides_word"),
    _netting("party and scope", "_require_own", condition("scope"), "nobody_is_netted_by_one_sides_word"),
    _netting("the day has come", "netted", condition("netted_at"), _OTHERWISE),
    _netting("all lines, each once", "netted", condition("due", "lines"), _OTHERWISE),
    _netting("returns are never undone", "netted", condition("arrived", "direction"), _OTHERWISE),
    _netting("one moment", "_require_head", condition("entry"), "a_cycle_is_about_one_moment"),
    _netting("groups of the lines", "_check_groups", condition("keys"), _OTHERWISE),
    _netting("lines of another party", "_check_whole", condition("any"), _OTHERWISE),
    _netting("a line twice", "_check_whole", condition("sequence"), _OTHERWISE),
    _netting("own lines in the group", "_check_whole", condition("own"), _OTHERWISE),
    _netting("sums", "_check_whole", condition("sums"), _OTHERWISE),
)
