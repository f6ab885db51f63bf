"""Random obligations over accounts: what netting makes of them conserves value, and happens once, crashes or not."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.service.errors import InsufficientFunds
from atomic_margin.service.operator.store import entries
from atomic_margin.service.protocol.account.netting_documents import Line
from atomic_margin.service.protocol.netting import net

from .netting import Netted, day

PARTIES = {"east": "lei-one", "west": "lei-one", "other": "lei-two"}
promises = st.tuples(
    st.sampled_from(sorted(PARTIES)), st.sampled_from(["delivery", "return"]), st.integers(1, 700)
)  # fmt: skip


def line(number: int, name: str, direction: Any, quantity: int) -> Line:
    return Line.model_construct(
        salt="00" * 32, institution=name, sequence=number, obligation="11" * 32, party=PARTIES[name], scope="party",
        direction=direction, asset="USDC", quantity=quantity, settles="2026-11-27", arrived=True,
    )  # fmt: skip


@given(st.lists(promises, max_size=20), st.booleans(), st.randoms())
def test_gross_sums_to_net_in_whatever_order(made: list[tuple[str, str, int]], come: bool, random: Any) -> None:
    lines = [line(number, *promise) for number, promise in enumerate(made)]
    keys = {("party", one.party, "USDC", "2026-11-27") for one in lines} if come else set()
    netted = net(lines, "operator", keys, lambda name: "22" * 32)
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert net(shuffled, "operator", keys, lambda name: "22" * 32) == netted
    assert sum(len(one.lines) for one in netted) == len(lines)
    for group, own in netted:
        assert group.deliveries + group.undone == sum(one.quantity for one in own if one.direction == "delivery")
        assert group.returns == sum(one.quantity for one in own if one.direction == "return")
        assert group.arrives + group.returns == group.deliveries + group.leaves
        assert not (group.arrives and group.leaves)
        assert not (come and group.undone)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(promises, min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from(["party", "principal"]),
)
def test_a_cycle_conserves_value_and_happens_once(
    made: list[tuple[str, str, int]], come: bool, dies_at: int, scope: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        netted = Netted(Path(folder), PARTIES, scope)
        try:
            _played(netted, made, come, dies_at)
        finally:
            netted.world.close()


def _played(netted: Netted, made: list[tuple[str, str, int]], come: bool, dies_at: int) -> None:
    wanted, promised = dict.fromkeys(PARTIES, 1000), []
    for name, direction, quantity in made:
        if direction == "return" and quantity > wanted[name]:
            with pytest.raises(InsufficientFunds):
                netted.promise(name, direction, quantity)
            continue
        netted.promise(name, direction, quantity)
        promised.append((name, direction, quantity))
        wanted[name] -= quantity if direction == "return" else 0
    shown = netted.net(dry_run=True)
    arrived = [(row["scope"], row["party"], "USDC", day()) for row in shown] if come else []
    calls, real = 0, entries.enter

    def enter(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise KeyboardInterrupt
        return real(*arguments)

    before = netted.outside()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "enter", enter)
        try:
            netted.net(*arrived)
        except KeyboardInterrupt:
            assert netted.outside() == before
    rows = netted.net(*arrived)
    assert netted.net(*arrived) == rows
    keys = {row["party"] for row in rows if row["undone"] == "0"}
    for name, direction, quantity in promised:
        group = PARTIES[name] if netted.scope == "party" else netted.world.key
        wanted[name] += quantity if direction == "delivery" and group in keys else 0
    assert {name: netted.free(name) for name in PARTIES} == wanted
    assert netted.outside() == sum(wanted.values())
    netted.replayed()
