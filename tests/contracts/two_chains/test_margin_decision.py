"""What decides on the vault's chain: one key is asked for, once, and nobody chooses which."""

from typing import Any

import pytest

from atomic_margin.contracts.keys import key_of, secret_of, terms

from ..vault.world import HOLDER, OPERATOR, OTHER, OTHER_BOOK, RUN, STRANGER, digest
from .pair import (
    DAY,
    FAILURE,
    ID,
    LOCKED,
    MINUTES,
    NO_CALLBACK,
    SECURED,
    SEEDS,
    SUCCESS,
    Pair,
    Trade,
    standing_behind,
    times,
)

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long


def key(trade: Trade, outcome: Any, who: Any = range(3)) -> bytes:
    """Return a key of these holders, whether it was asked for or not."""
    secrets = {number: secret_of(SEEDS[number], trade.place(outcome)) for number in who}
    return key_of(trade.reference(outcome).commitments, secrets)


@pytest.fixture
def trade(chains: Pair) -> Trade:
    """Nothing is incepted."""
    return standing_behind(chains)


@pytest.fixture
def incepted(chains: Pair, trade: Trade) -> Trade:
    """The secured party proposed."""
    chains.deciding.send(trade.incepting(), SECURED)
    return trade


@pytest.fixture
def confirmed(chains: Pair, incepted: Trade) -> Trade:
    """The holder agreed."""
    chains.deciding.send(incepted.confirming(), HOLDER)
    return incepted


# Inception and confirmation


def test_says_what_was_incepted_and_confirmed(chains: Pair, trade: Trade) -> None:
    same = {
        "id": ID,
        "amount": LOCKED,
        "from": HOLDER.address,
        "to": SECURED.address,
        "transaction": trade.transaction,
    }
    keys = {"keyEncryptedSuccess": trade.encrypted(SUCCESS), "keyEncryptedFailure": trade.encrypted(FAILURE)}
    receipt = chains.deciding.send(trade.incepting(), SECURED)
    assert chains.deciding.events(receipt, trade.decision) == [("TransferIncepted", same | keys)]
    receipt = chains.deciding.send(trade.confirming(), HOLDER)
    wanted = same | {"callback": NO_CALLBACK} | keys
    assert chains.deciding.events(receipt, trade.decision) == [("TransferConfirmed", wanted)]


@pytest.mark.parametrize("caller", [HOLDER, STRANGER], ids=["sender", "stranger"])
def test_only_the_receiver_incepts(trade: Trade, caller: Any) -> None:
    refusal = trade.refused(trade.incepting(), caller)
    assert refusal == ("NotTheReceiver", (caller.address.lower(), SECURED.address.lower()))


@pytest.mark.parametrize("caller", [SECURED, STRANGER], ids=["receiver", "stranger"])
def test_only_the_sender_confirms(incepted: Trade, caller: Any) -> None:
    refusal = incepted.refused(incepted.confirming(), caller)
    assert refusal == ("NotTheSender", (caller.address.lower(), HOLDER.address.lower()))


def test_a_number_counts_once(chains: Pair, incepted: Trade) -> None:
    assert incepted.refused(incepted.incepting(), SECURED) == ("IdUsed", (ID,))
    chains.deciding.send(incepted.canceling(), SECURED)
    assert incepted.refused(incepted.incepting(), SECURED) == ("IdUsed", (ID,))


def test_what_is_incepted_is_looked_at(chains: Pair, trade: Trade) -> None:
    before, reclaimable = times(chains)
    over, back = trade.encrypted(SUCCESS), trade.encrypted(FAILURE)
    other = trade.with_(decision=chains.payment)
    second = chains.asset.deploy("KeyLock", chains.lock_token.address)
    alike = back[: 6 * 32] + int(SUCCESS).to_bytes(32, "big") + back[7 * 32 :]
    wrong: list[tuple[dict[str, Any], tuple[str, tuple[Any, ...]]]] = [
        ({"amount": 0}, ("BadAmount", (0,))),
        ({"from": SECURED.address}, ("BadParties", (SECURED.address.lower(),) * 2)),
        ({"transaction": b""}, ("TermsLength", (0,))),
        ({"success": b""}, ("NotAReference", ())),
        ({"success": back}, ("ForeignReference", ("outcome",))),
        ({"failure": over}, ("ForeignReference", ("outcome",))),
        ({"id": ID + 1}, ("ForeignReference", ("id",))),
        ({"success": other.encrypted(SUCCESS)}, ("ForeignReference", ("decision",))),
        ({"failure": other.encrypted(FAILURE)}, ("ForeignReference", ("decision",))),
        ({"failure": trade.with_(lock=second).encrypted(FAILURE)}, ("ReferencesDiffer", ())),
        ({"failure": back[:32] + bytes(32) + back[64:]}, ("ReferencesDiffer", ())),
        ({"success": alike}, ("SameKey", ())),
    ]
    for changed, wanted in wrong:
        assert trade.refused(trade.incepting(**changed), SECURED) == wanted, changed
    early = trade.incepting(transaction=terms(before, reclaimable - 1, RUN))
    assert trade.refused(early, SECURED).name == "BadReclaimTime"
    late = trade.incepting(transaction=terms(1, reclaimable, RUN))
    assert trade.refused(late, SECURED).name == "TooLate"


def test_of_what_is_confirmed_everything_is_what_was_incepted(chains: Pair, incepted: Trade) -> None:
    others: dict[str, Any] = {
        "amount": LOCKED - 1,
        "from": OTHER.address,
        "to": STRANGER.address,
        "transaction": terms(incepted.decide_before, incepted.reclaimable_from, digest("another")),
        "success": incepted.with_(threshold=2).encrypted(SUCCESS),
        "failure": incepted.with_(threshold=2).encrypted(FAILURE),
    }
    for name, other in others.items():
        assert incepted.refused(incepted.confirming(**{name: other}), HOLDER) == ("OtherTransfer", (ID,))
        assert incepted.refused(incepted.canceling(**{name: other}), SECURED) == ("OtherTransfer", (ID,))
    called = incepted.confirming(callback=STRANGER.address)
    assert incepted.refused(called, HOLDER) == ("CallbackNotSupported", ())
    called = incepted.canceling(callback=STRANGER.address)
    assert incepted.refused(called, SECURED) == ("CallbackNotSupported", ())


def test_what_was_not_incepted_is_not_confirmed_decided_or_ended(trade: Trade) -> None:
    assert trade.refused(trade.confirming(), HOLDER) == ("NotIncepted", (ID, 0))
    assert trade.refused(trade.deciding()) == ("NotConfirmed", (ID, 0))
    assert trade.refused(trade.canceling(), SECURED) == ("AlreadyDecided", (ID, 0))


def test_nothing_is_confirmed_after_the_decision(chains: Pair, incepted: Trade) -> None:
    chains.deciding.travel(MINUTES + 100)
    refusal = incepted.refused(incepted.confirming(), HOLDER)
    assert (refusal.name, refusal.arguments[0]) == ("TooLate", incepted.decide_before)


# Decision


def test_nothing_is_decided_before_it_is_confirmed(chains: Pair, incepted: Trade) -> None:
    chains.vault.open()
    chains.vault.settle(501)
    assert incepted.refused(incepted.deciding()) == ("NotConfirmed", (ID, 1))


def test_nothing_is_decided_while_the_run_is_not_over(chains: Pair, confirmed: Trade) -> None:
    assert confirmed.refused(confirmed.deciding()) == ("RunUndecided", (RUN, 0))
    chains.vault.open()
    assert confirmed.refused(confirmed.deciding()) == ("RunUndecided", (RUN, 1))


def test_it_is_decided_once(chains: Pair, confirmed: Trade) -> None:
    chains.vault.open()
    chains.vault.settle(501)
    chains.deciding.send(confirmed.deciding(), STRANGER)
    assert confirmed.refused(confirmed.deciding()) == ("NotConfirmed", (ID, 4))
    for caller in (HOLDER, SECURED):
        assert confirmed.refused(confirmed.canceling(), caller) == ("AlreadyDecided", (ID, 4))
    assert confirmed.refused(confirmed.confirming(), HOLDER) == ("NotIncepted", (ID, 4))


def test_the_liquidation_of_another_account_decides_nothing_against_this_one(chains: Pair) -> None:
    vault, run = chains.vault, digest("other's run")
    vault.enrol(1000, 500, OTHER, OTHER_BOOK)
    trade = standing_behind(chains, run)
    chains.deciding.send(trade.incepting(), SECURED)
    chains.deciding.send(trade.confirming(), HOLDER)
    vault.open(run, OTHER)
    about = {"run": run, "account": OTHER.address, "commitments": OTHER_BOOK, "free": 1000, "posted": 500}
    proofs = vault.decided(501, breach={"commitments": OTHER_BOOK}, topped={"commitments": OTHER_BOOK})
    vault.send(vault.settling(proofs, vault.matrices(**about)))
    assert vault.state(OTHER) == "Terminated"
    trade.decide(STRANGER)
    assert trade.state() == "Failure"


# Ends without a decision


def test_the_receiver_may_give_up_at_any_time(chains: Pair, confirmed: Trade) -> None:
    chains.vault.open()
    receipt = confirmed.cancel(SECURED)
    wanted = {"sender": SECURED.address, "id": ID, "encryptedKey": confirmed.encrypted(FAILURE)}
    assert chains.deciding.events(receipt, confirmed.decision) == [("TransferKeyRequested", wanted)]
    assert confirmed.refused(confirmed.canceling(), SECURED) == ("AlreadyDecided", (ID, 5))


@pytest.mark.parametrize("caller", [HOLDER, STRANGER], ids=["sender", "stranger"])
def test_others_end_it_only_when_the_run_was_never_opened_in_time(chains: Pair, confirmed: Trade, caller: Any) -> None:
    assert confirmed.refused(confirmed.canceling(), caller) == ("NotCancelable", (RUN, 0))
    chains.deciding.travel(MINUTES + 100)
    chains.deciding.send(confirmed.canceling(), caller)
    assert confirmed.state() == "Failure"


def test_nobody_else_ends_it_while_the_run_is_open_however_late(chains: Pair, confirmed: Trade) -> None:
    chains.vault.open()
    chains.deciding.travel(DAY)
    assert confirmed.refused(confirmed.canceling(), HOLDER) == ("NotCancelable", (RUN, 1))


def test_nobody_else_ends_it_once_the_account_is_liquidated(chains: Pair, confirmed: Trade) -> None:
    chains.vault.open()
    chains.vault.settle(501)
    chains.deciding.travel(DAY)
    assert confirmed.refused(confirmed.canceling(), HOLDER) == ("NotCancelable", (RUN, 6))
    confirmed.decide(STRANGER)
    assert confirmed.state() == "Success"


def test_what_the_sender_never_confirmed_ends_with_the_run(chains: Pair, incepted: Trade) -> None:
    chains.vault.open()
    chains.vault.send(chains.vault.vault.functions.endCovered(RUN), OPERATOR)
    chains.deciding.send(incepted.canceling(), HOLDER)
    assert incepted.state() == "Failure"


# Release


def test_only_the_key_that_was_asked_for_is_released(chains: Pair, confirmed: Trade) -> None:
    release = confirmed.decision.functions.releaseKey
    assert confirmed.refused(release(ID, key(confirmed, SUCCESS))) == ("NotRequested", (ID, 2))
    confirmed.cancel(SECURED)
    assert confirmed.refused(release(ID, key(confirmed, SUCCESS))) == ("OtherKey", (ID,))
    assert confirmed.refused(release(ID, key(confirmed, FAILURE, []))) == ("NoParts", ())
    part = key(confirmed, FAILURE, [1])
    receipt = chains.deciding.send(release(ID, part), STRANGER)
    wanted = {"sender": STRANGER.address, "id": ID, "success": False, "key": part}
    assert chains.deciding.events(receipt, confirmed.decision) == [("TransferKeyReleased", wanted)]


def test_a_success_is_released_as_one(chains: Pair, confirmed: Trade) -> None:
    chains.vault.open()
    chains.vault.settle(501)
    confirmed.decide(STRANGER)
    release = confirmed.decision.functions.releaseKey
    assert confirmed.refused(release(ID, key(confirmed, FAILURE))) == ("OtherKey", (ID,))
    receipt = chains.deciding.send(release(ID, key(confirmed, SUCCESS)), STRANGER)
    assert chains.deciding.events(receipt, confirmed.decision)[0][1]["success"] is True


def test_a_decision_is_by_a_contract(chains: Pair) -> None:
    refusal = chains.deciding.refused_deployment("MarginDecision", STRANGER.address)
    assert refusal == ("NotAVault", (STRANGER.address.lower(),))
