"""Hostile tokens on the asset chain: what is locked is what was agreed, and one lock never pays for another."""

import pytest
from web3 import Web3

from ..vault.chain import Chain
from ..vault.world import HOLDER, OTHER, STRANGER
from .pair import (
    FAILURE,
    ID,
    LOCKED,
    SECURED,
    SUCCESS,
    Pair,
    Trade,
    over,
    standing_behind,
)
from .test_key_lock import key

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long


@pytest.fixture
def asset(chains: Pair) -> Chain:
    """The asset chain; what a test does on it is undone."""
    return chains.asset


def incepted(asset: Chain, started: Pair, kind: str) -> Trade:
    """Return a trade over a token of a kind, ready to be locked."""
    trade = standing_behind(over(asset, started.vault, kind))
    trade.fund_lock()
    asset.send(trade.incepting_lock(), SECURED)
    return trade


def test_of_a_token_with_a_fee_nothing_is_locked(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "FeeToken")
    wanted = ("WrongAmountArrived", (LOCKED - LOCKED // 100, LOCKED))
    assert trade.lock_refused(trade.confirming_lock(), HOLDER) == wanted
    assert trade.lock_state() == "Incepted"


def test_a_token_that_says_no_locks_and_moves_nothing(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "FalseToken")
    refuse = trade.pair.lock_token.functions.refuse
    asset.send(refuse(True), STRANGER)
    assert trade.lock_refused(trade.confirming_lock(), HOLDER).name == "TransferFailed"
    asset.send(refuse(False), STRANGER)
    asset.send(trade.confirming_lock(), HOLDER)
    asset.send(refuse(True), STRANGER)
    claim = trade.with_key(key(trade, SUCCESS))
    assert trade.lock_refused(claim).name == "TransferFailed"
    # It is still locked, and the key still counts.
    asset.send(refuse(False), STRANGER)
    asset.send(claim, STRANGER)
    assert trade.pair.locked_tokens(SECURED.address) == LOCKED


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
def test_a_token_that_answers_nothing_is_taken_at_its_balances(
    asset: Chain, started_pair: Pair, outcome: object
) -> None:
    trade = incepted(asset, started_pair, "SilentToken")
    asset.send(trade.confirming_lock(), HOLDER)
    asset.send(trade.with_key(key(trade, outcome)), STRANGER)
    receiver = SECURED if outcome is SUCCESS else HOLDER
    assert trade.pair.locked_tokens(receiver.address) == LOCKED


def test_a_token_that_lies_locks_nothing(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "LyingToken")
    asset.send(trade.pair.lock_token.functions.lieBy(1), STRANGER)
    assert trade.lock_refused(trade.confirming_lock(), HOLDER).name == "NothingArrived"
    asset.send(trade.pair.lock_token.functions.lieBy(0), STRANGER)
    asset.send(trade.confirming_lock(), HOLDER)
    asset.send(trade.pair.lock_token.functions.lieBy(1), STRANGER)
    assert trade.lock_refused(trade.with_key(key(trade, SUCCESS))).name == "WrongAmountLeft"


def test_a_token_that_charges_on_top_does_not_charge_other_locks(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "SurchargeToken")
    token = trade.pair.lock_token.functions
    asset.send(token.mint(HOLDER.address, LOCKED), STRANGER)
    asset.send(trade.confirming_lock(), HOLDER)
    other = trade.with_(id=ID + 1, lock_from=OTHER)
    other.fund_lock()
    asset.send(token.mint(OTHER.address, LOCKED), STRANGER)
    asset.send(other.incepting_lock(), SECURED)
    asset.send(other.confirming_lock(), OTHER)
    assert trade.lock_refused(trade.with_key(key(trade, SUCCESS))).name == "WrongAmountLeft"
    assert trade.pair.locked_tokens(trade.lock.address) == 2 * LOCKED


def test_a_token_that_calls_back_gets_in_nowhere(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "CallingToken")
    asset.send(trade.confirming_lock(), HOLDER)
    other = trade.with_(id=ID + 1)
    other.fund_lock()
    asset.send(other.incepting_lock(), SECURED)
    lock, token = trade.lock, trade.pair.lock_token.functions
    calls = [
        trade.with_key(key(trade, SUCCESS)),
        trade.with_key(key(trade, FAILURE)),
        lock.functions.announceReclaim(ID),
        lock.functions.reclaim(ID),
        trade.with_(id=ID + 2).incepting_lock(),
        other.confirming_lock(),
        other.canceling_lock(),
    ]
    wanted = bytes(Web3.keccak(text="Reentered()")[:4])
    for entered, sender in ((trade.with_key(key(trade, SUCCESS)), STRANGER), (other.confirming_lock(), HOLDER)):
        for call in calls:
            before = asset.machine.take_snapshot()
            message = lock.encode_abi(call.fn_name, call.args)
            asset.send(token.call(lock.address, message), STRANGER)
            asset.send(entered, sender)
            assert not token.reached().call(), call.fn_name
            assert bytes(token.answer().call())[:4] == wanted, call.fn_name
            asset.machine.revert_to_snapshot(before)


def test_the_guard_is_lifted_when_a_call_is_over(asset: Chain, started_pair: Pair) -> None:
    trade = incepted(asset, started_pair, "Token")
    asset.send(trade.confirming_lock(), HOLDER)
    batch = asset.deploy("test/Batch")
    claim = trade.lock.encode_abi("transferWithKey", [ID, key(trade, SUCCESS)])
    other = trade.with_(id=ID + 1)
    other.fund_lock()
    asset.send(other.incepting_lock(), SECURED)
    asset.send(other.confirming_lock(), HOLDER)
    second = trade.lock.encode_abi("transferWithKey", [ID + 1, key(other, FAILURE)])
    asset.send(batch.functions.run(trade.lock.address, [claim, second]), STRANGER)
    pair = trade.pair
    assert (pair.locked_tokens(SECURED.address), pair.locked_tokens(HOLDER.address)) == (LOCKED, LOCKED)
