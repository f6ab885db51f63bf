"""What goes wrong between two chains: replays, races, late parties, halted chains, reorganisations, dishonest holders.

Where somebody loses, the test says who: these are the limits that docs/two-chains.md names.
"""

import pytest

from atomic_margin.contracts.errors import KeyReferenceError
from atomic_margin.contracts.keys import reveal

from ..vault.world import GUARDIAN, HOLDER, RUN, STRANGER, digest
from .pair import (
    DAY,
    FAILURE,
    ID,
    LOCKED,
    MINUTES,
    PAID,
    PROVIDER,
    SECURED,
    SEEDS,
    SUCCESS,
    THRESHOLD,
    Pair,
    exchange,
    standing_behind,
    times,
)
from .test_key_lock import key

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long

# Replays


def test_a_reference_of_one_chain_is_refused_on_the_other(chains: Pair) -> None:
    trade = exchange(chains)
    there = chains.deciding.deploy("KeyLock", chains.vault.token.address)
    # The same number and the same parties; the lock stands on the chain that decides.
    refusal = chains.deciding.refused(there.functions.inceptTransfer(*trade.lock_arguments(FAILURE)), PROVIDER)
    assert refusal == ("ForeignReference", ("lockChain",))


def test_a_decision_of_another_chain_is_refused(chains: Pair) -> None:
    trade = exchange(chains)
    good = trade.encrypted(SUCCESS)
    place = 3 * 32
    foreign = good[:place] + chains.asset.id.to_bytes(32, "big") + good[place + 32 :]
    assert trade.refused(trade.incepting(success=foreign), HOLDER) == ("ForeignReference", ("decisionChain",))


def test_a_key_opens_no_lock_with_the_same_number_on_another_chain(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    trade.decide()
    released = trade.revealed(SUCCESS)
    assert released is not None
    chains.asset.send(trade.with_key(released), STRANGER)
    # What was revealed for one transfer is no part of the next between the same parties.
    again = trade.with_(id=ID + 1)
    again.fund_lock()
    again.incept_both()
    chains.asset.send(again.confirming_lock(), HOLDER)
    assert again.lock_refused(again.with_key(released)) == ("WrongKey", (ID + 1,))


def test_a_holder_reveals_nothing_for_another_contract(chains: Pair) -> None:
    trade = exchange(chains)
    asked = trade.encrypted(SUCCESS)
    chain, contract = chains.deciding.id, trade.decision.address
    assert len(reveal(SEEDS[0], asked, chain=chain, contract=contract)) == 32
    for where, who in ((chains.asset.id, contract), (chain, chains.margin.address)):
        with pytest.raises(KeyReferenceError, match="reveal nothing"):
            reveal(SEEDS[0], asked, chain=where, contract=who)


# Races


def test_of_payment_and_end_the_first_in_the_block_counts(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    for first, second, wanted in (
        ((trade.deciding(), PROVIDER), (trade.canceling(), HOLDER), "Success"),
        ((trade.canceling(), HOLDER), (trade.deciding(), PROVIDER), "Failure"),
    ):
        before = chains.deciding.machine.take_snapshot()
        chains.deciding.send(*first)
        assert trade.refused(*second).name in ("AlreadyDecided", "NotConfirmed")
        assert trade.state() == wanted
        assert chains.vault.balances()[0] == (1000 + PAID if wanted == "Success" else 1000)
        chains.deciding.machine.revert_to_snapshot(before)


def test_holders_answer_one_outcome_only(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.cancel(HOLDER)
    assert trade.revealed(SUCCESS, range(5)) is None
    assert trade.revealed(FAILURE, range(5)) is not None


# Late parties


def test_whoever_locks_too_late_does_not_lock(chains: Pair) -> None:
    trade = exchange(chains)
    trade.fund_lock()
    trade.incept_both()
    chains.asset.travel(trade.decide_before - chains.asset.now() + 1)
    assert trade.lock_refused(trade.confirming_lock(), HOLDER).name == "TooLate"
    assert chains.locked_tokens(HOLDER.address) == LOCKED


def test_a_key_that_comes_a_month_late_still_counts_while_nobody_asked(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    trade.decide()
    trade.release(SUCCESS)
    chains.asset.travel(30 * DAY)
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED


def test_a_payer_that_sleeps_through_both_times_loses_what_it_paid_for(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    trade.decide()
    trade.release(SUCCESS)
    chains.asset.travel(trade.reclaimable_from - chains.asset.now())
    chains.asset.send(trade.lock.functions.announceReclaim(ID), HOLDER)
    chains.asset.travel(DAY)
    chains.asset.send(trade.lock.functions.reclaim(ID), HOLDER)
    assert trade.lock_refused(trade.with_key(trade.published()), PROVIDER) == ("NotLocked", (ID, 5))
    assert (chains.locked_tokens(HOLDER.address), chains.vault.balances()[0]) == (LOCKED, 1000 + PAID)


# Halted chains


def test_when_the_deciding_chain_halts_the_sender_gets_its_token_back(chains: Pair) -> None:
    trade = exchange(chains).stand()
    chains.asset.travel(trade.reclaimable_from - chains.asset.now())
    chains.asset.send(trade.lock.functions.announceReclaim(ID), HOLDER)
    chains.asset.travel(DAY)
    chains.asset.send(trade.lock.functions.reclaim(ID), HOLDER)
    assert chains.locked_tokens(HOLDER.address) == LOCKED
    # Its clock stood still, so after the halt the payment is still in time: a payer looks at the lock first.
    trade.fund_payment()
    assert chains.deciding.refusal(trade.deciding(), PROVIDER) is None


def test_when_the_asset_chain_halts_the_key_still_comes_first_afterwards(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    trade.decide()
    trade.release(SUCCESS)
    # The first block after a week of none: the sender is quicker.
    chains.asset.travel(7 * DAY)
    chains.asset.send(trade.lock.functions.announceReclaim(ID), HOLDER)
    assert trade.lock_refused(trade.lock.functions.reclaim(ID), HOLDER).name == "TooEarly"
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED


def test_a_vault_that_is_paused_past_the_grace_frees_what_stands_behind_its_run(chains: Pair) -> None:
    trade = standing_behind(chains).stand()
    chains.vault.open()
    chains.vault.send(chains.vault.vault.functions.pause(), GUARDIAN)
    chains.deciding.travel(3 * DAY)
    assert trade.refused(trade.canceling(), HOLDER) == ("NotCancelable", (RUN, 1))
    chains.asset.travel(trade.reclaimable_from - chains.asset.now())
    chains.asset.send(trade.lock.functions.announceReclaim(ID), HOLDER)
    chains.asset.travel(DAY)
    chains.asset.send(trade.lock.functions.reclaim(ID), HOLDER)
    assert chains.locked_tokens(HOLDER.address) == LOCKED


# Reorganisations


def test_a_payment_that_is_reorganised_away_releases_nothing(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    before = chains.deciding.machine.take_snapshot()
    chains.deciding.send(trade.deciding(), PROVIDER)
    assert trade.revealed(SUCCESS) is None
    chains.deciding.machine.revert_to_snapshot(before)
    trade.cancel(HOLDER)
    assert (trade.revealed(SUCCESS), chains.vault.balances()) == (None, (1000, 500))
    trade.release(FAILURE)
    chains.asset.send(trade.with_key(trade.published()), STRANGER)
    assert chains.locked_tokens(HOLDER.address) == LOCKED


def test_holders_that_do_not_wait_give_both_keys_away(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    before = chains.deciding.machine.take_snapshot()
    chains.deciding.send(trade.deciding(), PROVIDER)
    success = trade.revealed(SUCCESS, confirmations=0)
    chains.deciding.machine.revert_to_snapshot(before)
    trade.cancel(HOLDER)
    failure = trade.revealed(FAILURE, confirmations=0)
    assert success is not None
    assert failure is not None
    # The first one counts, and the token moves once: here to a provider that has paid nothing.
    chains.asset.send(trade.with_key(success), PROVIDER)
    assert trade.lock_refused(trade.with_key(failure), HOLDER) == ("NotLocked", (ID, 4))
    assert (chains.locked_tokens(PROVIDER.address), chains.vault.balances()) == (LOCKED, (1000, 500))


def test_a_lock_that_is_reorganised_away_can_be_locked_again(chains: Pair) -> None:
    trade = exchange(chains)
    trade.fund_lock()
    trade.incept_both()
    chains.deciding.send(trade.confirming(), PROVIDER)
    before = chains.asset.machine.take_snapshot()
    chains.asset.send(trade.confirming_lock(), HOLDER)
    chains.asset.machine.revert_to_snapshot(before)
    # A payer that did not wait has paid, and the other party may choose not to lock again.
    trade.fund_payment()
    trade.decide()
    assert trade.lock_state() == "Incepted"
    chains.asset.send(trade.confirming_lock(), HOLDER)
    trade.release(SUCCESS)
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED


# Holders


def test_k_dishonest_holders_give_a_token_away(chains: Pair) -> None:
    trade = exchange(chains).stand()
    chains.asset.send(trade.with_key(key(trade, SUCCESS)), PROVIDER)
    assert (chains.locked_tokens(PROVIDER.address), chains.vault.balances()) == (LOCKED, (1000, 500))


def test_fewer_give_nothing_away(chains: Pair) -> None:
    trade = exchange(chains).stand()
    few = key(trade, SUCCESS, range(THRESHOLD - 1))
    assert trade.lock_refused(trade.with_key(few), PROVIDER) == ("TooFewParts", (THRESHOLD - 1, THRESHOLD))


def test_n_minus_k_silent_holders_keep_nobody_from_a_key(chains: Pair) -> None:
    trade = exchange(chains).stand()
    trade.fund_payment()
    trade.decide()
    trade.release(SUCCESS, [1, 3, 4])
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED


def test_one_operator_may_be_the_only_holder(chains: Pair) -> None:
    trade = exchange(chains, seeds=SEEDS[:1], threshold=1).stand()
    trade.fund_payment()
    trade.decide()
    trade.release(SUCCESS, [0])
    chains.asset.send(trade.with_key(trade.published()), PROVIDER)
    assert chains.locked_tokens(PROVIDER.address) == LOCKED


def test_a_holder_goes_on_where_it_was(chains: Pair) -> None:
    trade = exchange(chains).stand()
    holder = trade.holders()[0]
    answers, following = holder.answers(trade.first_block)
    assert answers == []
    trade.cancel(HOLDER)
    answers, last = holder.answers(following)
    assert [one.place for one in answers] == [trade.place(FAILURE)]
    assert holder.answers(last) == ([], last)


# Collateral behind one run only


def test_what_stands_behind_one_run_is_untouched_by_another(chains: Pair) -> None:
    trade = standing_behind(chains, digest("run that never comes")).stand()
    chains.vault.open()
    chains.vault.settle(501)
    assert chains.vault.state() == "Terminated"
    assert trade.refused(trade.deciding())[0] == "RunUndecided"
    chains.deciding.travel(MINUTES + 100)
    trade.cancel(STRANGER)
    trade.release(FAILURE)
    chains.asset.send(trade.with_key(trade.published()), STRANGER)
    assert chains.locked_tokens(HOLDER.address) == LOCKED
    assert chains.locked_tokens(SECURED.address) == 0


def test_clocks_that_differ_are_each_their_own(chains: Pair) -> None:
    chains.deciding.travel(MINUTES)
    trade = exchange(chains)
    assert times(chains)[0] - chains.asset.now() > MINUTES
    trade.stand()
    trade.fund_payment()
    chains.asset.travel(DAY)
    # The lock's clock is a day ahead: the payment is still in time by its own, and the grace is spent by the lock's.
    trade.decide()
    assert trade.lock_refused(trade.lock.functions.announceReclaim(ID), HOLDER).name == "TooEarly"
