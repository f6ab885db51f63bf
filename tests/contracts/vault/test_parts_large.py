"""Runs too large for one transaction, settled in parts on real proofs, on anvil: `make test-all`."""

from collections.abc import Iterator

import pytest

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.deploy import TRANSACTION_GAS
from atomic_margin.contracts.parts import BUDGET, Claim, Plan

from ... import outside
from .answers import prove
from .chain import new_chain
from .parted import Parted, cut, parted_world
from .parts_gas import settled
from .world import PEOPLE, RUN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vault() -> Iterator[Parted]:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as w3:
        made = parted_world(new_chain(PEOPLE, w3))
        made.enrol(100_000, 5_000)
        yield made


@pytest.mark.parametrize(
    ("number", "size", "budget", "transactions"),
    [
        # In chunks: what all transactions take together is less than the limit of one; parts are made by a low one.
        (2, (64, 33, 38), BUDGET, 1),
        (3, (64, 33, 38), 5_500_000, 2),
        # In one piece, of as many bits as there can be: breach and top-up do not fit one transaction.
        (4, (128, 32, 32), BUDGET, 2),
    ],
)
def test_large_runs_are_settled_in_parts(
    vault: Parted, number: int, size: tuple[int, int, int], budget: int, transactions: int
) -> None:
    free, posted = vault.balances()
    gas, reckoned = settled(vault, size, budget, number)
    assert vault.balances() == (free - 100, posted + 100)
    assert len(gas) == transactions
    for took, most in zip(gas, reckoned, strict=True):
        # What is reckoned is enough, and not far from what it takes.
        assert 0.6 * most < took <= most <= budget <= TRANSACTION_GAS


def test_a_large_run_is_not_settled_without_its_parts(vault: Parted) -> None:
    made = cut(prove(100, rows=33, entries=64, bits=38, owner=9), Plan(2, 3))
    vault.register(book=made.answered.breach.commitments)
    vault.open(tick=9)
    parts = list(made.plan.parts())
    for count, part in enumerate(parts):
        claim = 0 if part.claim is Claim.BREACH else 1
        assert vault.settles_nothing(made, tick=9) == ("PartMissing", (claim, part.slice, part.slices))
        vault.record(made, parts[count : count + 1])
    # On a fork with another id, which has all that was recorded, even if the signers sign for it.
    w3, own = vault.chain.w3, vault.chain.id
    w3.provider.make_request("anvil_setChainId", [own + 1])  # type: ignore[arg-type]
    # What is remembered of a chain is its id.
    del vault.chain.__dict__["id"]
    assert vault.chain.id == own + 1
    assert vault.settles_nothing(made, tick=9) == ("PartMissing", (0, 0, 2))
    w3.provider.make_request("anvil_setChainId", [own])  # type: ignore[arg-type]
    del vault.chain.__dict__["id"]
    vault.send(vault.settling_in_parts(made, tick=9))
    assert vault.run_state(RUN) == "Settled"
