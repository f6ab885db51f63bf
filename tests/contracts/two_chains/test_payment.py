"""Payments into the vault that decide: by the payer, in full, in time; else nothing is decided. Tokens that cheat."""

from typing import Any

import pytest

from ..vault.chain import Chain
from ..vault.world import CAP, GUARDIAN, HOLDER, STRANGER, World, world
from .pair import ID, PAID, PROVIDER, Pair, Trade, exchange, over

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long


@pytest.fixture
def trade(chains: Pair) -> Trade:
    """Everything is agreed, and the payer has what it owes."""
    trade = exchange(chains).stand()
    trade.fund_payment()
    return trade


@pytest.fixture
def deciding(chains: Pair) -> Chain:
    """The deciding chain; what a test does on it is undone."""
    return chains.deciding


def paying(started: Pair, deciding: Chain, kind: str) -> Trade:
    """Return a trade that is confirmed on the deciding chain, where the vault holds a token of a kind."""
    vault = world(deciding, kind)
    vault.register()
    trade = exchange(over(started.asset, vault))
    deciding.send(trade.incepting(), HOLDER)
    deciding.send(trade.confirming(), PROVIDER)
    trade.fund_payment()
    return trade


@pytest.mark.parametrize("caller", [HOLDER, STRANGER], ids=["receiver", "stranger"])
def test_only_the_sender_pays(trade: Trade, caller: Any) -> None:
    refusal = trade.refused(trade.deciding(), caller)
    assert refusal == ("NotTheSender", (caller.address.lower(), PROVIDER.address.lower()))


def test_nothing_is_paid_after_the_time(chains: Pair, trade: Trade) -> None:
    chains.deciding.travel(trade.decide_before - chains.deciding.now() + 1)
    refusal = trade.refused(trade.deciding(), PROVIDER)
    assert (refusal.name, refusal.arguments[0]) == ("TooLate", trade.decide_before)


def test_it_is_paid_once(chains: Pair, trade: Trade) -> None:
    trade.decide()
    trade.fund_payment()
    assert trade.refused(trade.deciding(), PROVIDER) == ("NotConfirmed", (ID, 4))
    for caller in (HOLDER, PROVIDER):
        assert trade.refused(trade.canceling(), caller) == ("AlreadyDecided", (ID, 4))
    assert chains.vault.balances() == (1000 + PAID, 500)


def test_a_payment_that_reverts_decides_nothing(chains: Pair, trade: Trade) -> None:
    vault = chains.vault
    vault.send(vault.token.functions.approve(trade.decision.address, PAID - 1), PROVIDER)
    assert trade.refused(trade.deciding(), PROVIDER).name == "TransferFailed"
    vault.send(vault.token.functions.approve(trade.decision.address, PAID), PROVIDER)
    vault.send(vault.vault.functions.pause(), GUARDIAN)
    assert trade.refused(trade.deciding(), PROVIDER).name == "IsPaused"
    vault.send(vault.vault.functions.unpause(), GUARDIAN)
    assert trade.state() == "Confirmed"
    trade.decide()
    assert trade.state() == "Success"


def test_a_vault_that_is_full_takes_no_payment(chains: Pair, trade: Trade) -> None:
    chains.vault.deposit(CAP - 1500)
    assert trade.refused(trade.deciding(), PROVIDER).name == "VaultFull"


@pytest.mark.parametrize("caller", [HOLDER, PROVIDER], ids=["receiver", "sender"])
def test_either_party_ends_it_until_it_is_paid(trade: Trade, caller: Any) -> None:
    trade.cancel(caller)
    assert trade.state() == "Failure"
    assert trade.refused(trade.deciding(), PROVIDER) == ("NotConfirmed", (ID, 5))


def test_anyone_ends_it_when_it_was_not_paid_in_time(chains: Pair, trade: Trade) -> None:
    chains.deciding.travel(trade.decide_before - chains.deciding.now())
    assert trade.refused(trade.canceling()) == ("NotAParty", (STRANGER.address.lower(),))
    chains.deciding.travel(1)
    trade.cancel(STRANGER)
    assert trade.state() == "Failure"


def test_what_is_incepted_is_ended_without_a_confirmation(chains: Pair) -> None:
    trade = exchange(chains)
    chains.deciding.send(trade.incepting(), HOLDER)
    assert trade.refused(trade.canceling()) == ("NotAParty", (STRANGER.address.lower(),))
    trade.cancel(HOLDER)
    assert trade.state() == "Failure"


# Tokens of the vault


@pytest.mark.parametrize("kind", ["SilentToken", "OddToken"])
def test_tokens_that_say_little_are_taken_at_their_balances(started_pair: Pair, deciding: Chain, kind: str) -> None:
    trade = paying(started_pair, deciding, kind)
    trade.decide()
    assert trade.pair.vault.balances() == (PAID, 0)


def test_a_token_with_a_fee_pays_nothing(started_pair: Pair, deciding: Chain) -> None:
    trade = paying(started_pair, deciding, "FeeToken")
    assert trade.refused(trade.deciding(), PROVIDER) == ("WrongAmountArrived", (PAID - 6, PAID))
    assert trade.state() == "Confirmed"


def test_a_token_that_says_no_or_lies_pays_nothing(started_pair: Pair, deciding: Chain) -> None:
    trade = paying(started_pair, deciding, "FalseToken")
    deciding.send(trade.pair.vault.token.functions.refuse(True), STRANGER)
    assert trade.refused(trade.deciding(), PROVIDER).name == "TransferFailed"
    trade = paying(started_pair, deciding, "LyingToken")
    deciding.send(trade.pair.vault.token.functions.lieBy(1), STRANGER)
    assert trade.refused(trade.deciding(), PROVIDER).name == "NothingArrived"


def test_a_token_that_refuses_an_approval_pays_nothing(started_pair: Pair, deciding: Chain) -> None:
    trade = paying(started_pair, deciding, "UnapprovingToken")
    token, one = trade.pair.vault.token.functions, (1).to_bytes(32, "big")
    for answer in (bytes(32), (2).to_bytes(32, "big"), b"\x01", one + bytes(32)):
        deciding.send(token.answerWith(answer), STRANGER)
        assert trade.refused(trade.deciding(), PROVIDER) == ("ApprovalFailed", ())
    for answer in (b"", one):
        deciding.send(token.answerWith(answer), STRANGER)
        assert deciding.refusal(trade.deciding(), PROVIDER) is None
    deciding.send(token.stop(), STRANGER)
    assert trade.refused(trade.deciding(), PROVIDER) == ("ApprovalFailed", ())


def test_a_token_whose_vault_gets_less_pays_nothing(started_pair: Pair, deciding: Chain) -> None:
    trade = paying(started_pair, deciding, "SecondFeeToken")
    assert trade.refused(trade.deciding(), PROVIDER) == ("WrongAmountArrived", (PAID - 1, PAID))


# Re-entrancy


def called_back(vault: World, message: str) -> bytes | None:
    """Return the error that the token met when it called back, None if it was let."""
    token = vault.token.functions
    answer = bytes(token.answer().call())
    return None if token.reached().call() else answer[:4]


def test_a_token_that_calls_back_ends_or_pays_nothing(started_pair: Pair, deciding: Chain) -> None:
    trade = paying(started_pair, deciding, "CallingToken")
    vault = trade.pair.vault
    token = vault.token.functions

    # The token itself is the payer of a second transfer.
    class Payer:
        address = vault.token.address

    second = trade.with_(id=ID + 1, decide_from=Payer, amount=5)
    deciding.send(second.incepting(), HOLDER)
    move = vault.token.functions.transfer(STRANGER.address, 0)
    deciding.send(token.call(trade.decision.address, vault.message(second.confirming())), STRANGER)
    deciding.send(move, STRANGER)
    assert second.state() == "Confirmed"
    named = ("Reentered()", "NotConfirmed(uint256,uint8)", "AlreadyDecided(uint256,uint8)")
    reentered, undecidable, decided = (bytes(deciding.w3.keccak(text=text)[:4]) for text in named)
    for call, wanted in (
        (second.deciding(), reentered),
        (trade.deciding(), undecidable),
        (trade.canceling(), decided),
    ):
        before = deciding.machine.take_snapshot()
        deciding.send(token.call(trade.decision.address, vault.message(call)), STRANGER)
        deciding.send(trade.deciding(), PROVIDER)
        assert called_back(vault, call.fn_name) == wanted, call.fn_name
        assert (trade.state(), vault.balances()) == ("Success", (PAID, 0))
        deciding.machine.revert_to_snapshot(before)
