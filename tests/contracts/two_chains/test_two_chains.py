"""The whole way over two chains: lock, decision, parts of a key, claim or reclaim. The keys are real, and so are both
chains; proofs are where the names say so.
"""

from collections.abc import Iterator

import pytest

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.deploy import deploy_verifier

from ... import outside
from ..vault.answers import answer
from ..vault.chain import new_chain
from ..vault.world import HOLDER, OPERATOR, RUN, RUN_SECONDS, STRANGER, WATERFALL, World, digest
from .conftest import undone
from .pair import (
    ASSET_CHAIN,
    DECIDING_CHAIN,
    EVERYBODY,
    FAILURE,
    LOCKED,
    PAID,
    PROVIDER,
    SECURED,
    SUCCESS,
    Pair,
    Trade,
    exchange,
    numbered,
    pair,
    standing_behind,
)

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long


def test_the_chains_are_two(chains: Pair) -> None:
    assert (chains.asset.id, chains.deciding.id) == (ASSET_CHAIN, DECIDING_CHAIN)


# Collateral that stands behind a run


def test_what_a_liquidation_decides_is_claimed_on_the_other_chain(chains: Pair) -> None:
    trade = standing_behind(chains).stand()
    assert (trade.lock_state(), trade.state()) == ("Locked", "Confirmed")
    assert chains.locked_tokens(chains.lock.address) == LOCKED
    chains.vault.open()
    chains.vault.settle(501)
    receipt = trade.decide(STRANGER)
    wanted = trade.encrypted(SUCCESS)
    assert chains.deciding.events(receipt, trade.decision) == [
        ("TransferKeyRequested", {"sender": STRANGER.address, "id": trade.id, "encryptedKey": wanted})
    ]
    trade.release(SUCCESS)
    key = trade.published()
    receipt = chains.asset.send(trade.with_key(key), STRANGER)
    assert chains.asset.events(receipt, trade.lock) == [("TokenClaimed", {"id": trade.id, "key": key})]
    assert (chains.locked_tokens(SECURED.address), chains.locked_tokens(chains.lock.address)) == (LOCKED, 0)
    assert (trade.lock_state(), trade.state()) == ("Claimed", "Success")
    assert chains.vault.tokens(WATERFALL.address) == 1500


def met(vault: World) -> None:
    """The call is met by what is free."""
    vault.settle(100)


def covered(vault: World) -> None:
    """There was no breach."""
    vault.send(vault.vault.functions.endCovered(RUN), OPERATOR)


def lapsed(vault: World) -> None:
    """Nobody answered."""
    vault.chain.travel(RUN_SECONDS + 1)
    vault.send(vault.vault.functions.lapse(RUN))


@pytest.mark.parametrize("end", [met, covered, lapsed])
def test_what_a_run_without_liquidation_decides_goes_back(chains: Pair, end: object) -> None:
    trade = standing_behind(chains).stand()
    chains.vault.open()
    assert callable(end)
    end(chains.vault)
    trade.decide(STRANGER)
    trade.release(FAILURE)
    key = trade.published()
    receipt = chains.asset.send(trade.with_key(key), STRANGER)
    assert chains.asset.events(receipt, trade.lock) == [("TokenReclaimed", {"id": trade.id, "key": key})]
    assert (chains.locked_tokens(HOLDER.address), chains.locked_tokens(SECURED.address)) == (LOCKED, 0)
    assert (trade.lock_state(), trade.state()) == ("Reclaimed", "Failure")


# Delivery against payment


def test_a_call_is_met_by_what_is_exchanged_on_the_other_chain(chains: Pair) -> None:
    vault = chains.vault
    vault.open()
    trade = exchange(chains).stand()
    trade.fund_payment()
    # Without the payment this call would liquidate the account.
    assert vault.settling(vault.decided(501)).call({"from": STRANGER.address})[1] is True
    receipt = trade.decide()
    assert vault.events(receipt) == [
        ("Deposited", {"account": HOLDER.address, "from": trade.decision.address, "arrived": PAID})
    ]
    assert (vault.balances(), vault.tokens(PROVIDER.address)) == ((1000 + PAID, 500), 0)
    trade.release(SUCCESS)
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED
    vault.settle(501)
    assert (vault.balances(), vault.run_state()) == ((1600 - 1002, 1502), "Settled")


def test_what_is_not_paid_for_goes_back(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.cancel(HOLDER)
    trade.release(FAILURE)
    chains.asset.send(trade.with_key(trade.published()), STRANGER)
    assert chains.locked_tokens(HOLDER.address) == LOCKED
    assert chains.vault.balances() == (1000, 500)


# On real proofs


@pytest.fixture(scope="module")
def proving() -> Pair:
    """Two chains, with the real verifier beside the vault."""
    deciding = numbered(DECIDING_CHAIN)
    both = pair(numbered(ASSET_CHAIN), deciding, deploy_verifier(deciding.w3, deciding.w3.eth.accounts[0]))
    both.vault.enrol(1000, 500)
    return both


@pytest.fixture
def proven(proving: Pair) -> Iterator[Pair]:
    """What a test does on them is undone."""
    yield from undone(proving)


def liquidated_on_real_proofs(chains: Pair) -> Trade:
    """From an answer to a claim on the other chain, with nothing that stands in for anything."""
    vault, answered = chains.vault, answer(100, run="two chains")
    vault.register(book=answered.breach.commitments)
    run = digest("two chains")
    trade = standing_behind(chains, run).stand()
    vault.open(run, tick=2)
    about = {"run": run, "tick": 2, "free": 1000, "posted": 500, "rate": 11 * 10**18}
    vault.send(vault.settling(answered.proofs, vault.matrices(**(answered.attested | about))))
    assert vault.state() == "Terminated"
    trade.decide(STRANGER)
    trade.release(SUCCESS)
    chains.asset.send(trade.with_key(trade.published()), STRANGER)
    return trade


def test_proofs_on_one_chain_move_collateral_on_the_other(proven: Pair) -> None:
    trade = liquidated_on_real_proofs(proven)
    assert (trade.lock_state(), proven.locked_tokens(SECURED.address)) == ("Claimed", LOCKED)


@pytest.mark.long
def test_the_same_between_two_nodes() -> None:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil(chain=ASSET_CHAIN) as first, local_chain.anvil(chain=DECIDING_CHAIN) as second:
        verifier = deploy_verifier(second, second.eth.accounts[0])
        chains = pair(new_chain(EVERYBODY, first), new_chain(EVERYBODY, second), verifier)
        assert (chains.asset.id, chains.deciding.id) == (ASSET_CHAIN, DECIDING_CHAIN)
        chains.vault.enrol(1000, 500)
        trade = liquidated_on_real_proofs(chains)
        assert (trade.lock_state(), chains.locked_tokens(SECURED.address)) == ("Claimed", LOCKED)
