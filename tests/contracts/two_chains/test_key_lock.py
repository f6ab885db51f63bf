"""The lock: who incepts and confirms what, which keys move a token, and what happens if none comes."""

from typing import Any

import pytest
from eth_abi import encode

from atomic_margin.contracts.keys import key_of, secret_of, terms

from ..vault.world import HOLDER, OTHER, RUN, STRANGER
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
)

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long

MAX_LOCK = 30 * DAY


def key(trade: Trade, outcome: Any, who: Any = range(3)) -> bytes:
    """Return a key of these holders, whether it was asked for or not: what a dishonest holder can give away."""
    secrets = {number: secret_of(SEEDS[number], trade.place(outcome)) for number in who}
    return key_of(trade.reference(outcome).commitments, secrets)


@pytest.fixture
def trade(chains: Pair) -> Trade:
    """Nothing is incepted."""
    return standing_behind(chains)


@pytest.fixture
def incepted(chains: Pair, trade: Trade) -> Trade:
    """The receiver proposed, and the sender has what it is to lock."""
    trade.fund_lock()
    chains.asset.send(trade.incepting_lock(), SECURED)
    return trade


@pytest.fixture
def locked(chains: Pair, incepted: Trade) -> Trade:
    """The token is locked."""
    chains.asset.send(incepted.confirming_lock(), HOLDER)
    return incepted


# What is said


def test_says_what_was_incepted_and_confirmed(chains: Pair, trade: Trade) -> None:
    trade.fund_lock()
    receipt = chains.asset.send(trade.incepting_lock(), SECURED)
    same = {
        "id": ID,
        "amount": LOCKED,
        "from": HOLDER.address,
        "to": SECURED.address,
        "transaction": trade.transaction,
    }
    back, over = trade.reference(FAILURE), trade.reference(SUCCESS)
    assert chains.asset.events(receipt, trade.lock) == [
        (
            "TransferIncepted",
            same | {"keyHashedSeller": back.hashed(), "keyEncryptedSeller": back.encoded()},
        )
    ]
    assert chains.locked_tokens(HOLDER.address) == LOCKED
    receipt = chains.asset.send(trade.confirming_lock(), HOLDER)
    assert chains.asset.events(receipt, trade.lock) == [
        (
            "TransferConfirmed",
            same | {"keyHashedBuyer": over.hashed(), "keyEncryptedBuyer": over.encoded()},
        ),
        ("TokenLocked", {"id": ID}),
    ]
    assert (chains.locked_tokens(HOLDER.address), chains.locked_tokens(trade.lock.address)) == (0, LOCKED)


# Who


@pytest.mark.parametrize("caller", [HOLDER, STRANGER], ids=["sender", "stranger"])
def test_only_the_receiver_incepts(trade: Trade, caller: Any) -> None:
    refusal = trade.lock_refused(trade.incepting_lock(), caller)
    assert refusal == ("NotTheReceiver", (caller.address.lower(), SECURED.address.lower()))


@pytest.mark.parametrize("caller", [SECURED, STRANGER], ids=["receiver", "stranger"])
def test_only_the_sender_confirms(incepted: Trade, caller: Any) -> None:
    refusal = incepted.lock_refused(incepted.confirming_lock(), caller)
    assert refusal == ("NotTheSender", (caller.address.lower(), HOLDER.address.lower()))


@pytest.mark.parametrize("caller", [HOLDER, SECURED], ids=["sender", "receiver"])
def test_either_party_withdraws_what_is_not_confirmed(chains: Pair, incepted: Trade, caller: Any) -> None:
    assert incepted.lock_refused(incepted.canceling_lock()) == ("NotAParty", (STRANGER.address.lower(),))
    receipt = chains.asset.send(incepted.canceling_lock(), caller)
    assert chains.asset.events(receipt, incepted.lock) == [("TransferCanceled", {"id": ID})]
    assert incepted.lock_refused(incepted.confirming_lock(), HOLDER) == ("NotIncepted", (ID, 2))
    assert incepted.lock_refused(incepted.canceling_lock(), caller) == ("NotIncepted", (ID, 2))
    # Its number is used up.
    assert incepted.lock_refused(incepted.incepting_lock(), SECURED) == ("IdUsed", (ID,))


def test_a_number_counts_once(incepted: Trade) -> None:
    other = incepted.with_(lock_amount=1)
    assert other.lock_refused(other.incepting_lock(), SECURED) == ("IdUsed", (ID,))


# What


@pytest.mark.parametrize("amount", [0, -1, -(2**255)])
def test_an_amount_is_positive(trade: Trade, amount: int) -> None:
    assert trade.lock_refused(trade.incepting_lock(amount=amount), SECURED) == ("BadAmount", (amount,))


def test_parties_are_two(trade: Trade) -> None:
    for from_, to in ((NO_CALLBACK, SECURED.address), (SECURED.address, SECURED.address)):
        refusal = trade.lock_refused(trade.incepting_lock(**{"from": from_, "to": to}), SECURED)
        assert refusal == ("BadParties", (from_.lower(), to.lower()))


def test_of_what_is_confirmed_everything_is_what_was_incepted(chains: Pair, incepted: Trade) -> None:
    others: dict[str, Any] = {
        "amount": LOCKED - 1,
        "from": OTHER.address,
        "to": STRANGER.address,
        "transaction": terms(incepted.decide_before, incepted.reclaimable_from + 1, RUN),
    }
    for name, other in others.items():
        assert incepted.lock_refused(incepted.confirming_lock(**{name: other}), HOLDER) == ("OtherTransfer", (ID,))
        assert incepted.lock_refused(incepted.canceling_lock(**{name: other}), HOLDER) == ("OtherTransfer", (ID,))
    other = incepted.with_(threshold=2).encrypted(FAILURE)
    assert incepted.lock_refused(incepted.canceling_lock(encrypted=other), HOLDER) == ("OtherTransfer", (ID,))
    wrong = incepted.canceling_lock(hashed=bytes(32))
    assert incepted.lock_refused(wrong, HOLDER) == ("WrongKeyHash", ())


def test_what_was_not_incepted_is_not_confirmed(trade: Trade) -> None:
    assert trade.lock_refused(trade.confirming_lock(), HOLDER) == ("NotIncepted", (ID, 0))


# Until when


def test_there_is_time_between_the_last_decision_and_the_first_reclaim(chains: Pair, trade: Trade) -> None:
    now, before = chains.asset.now(), trade.decide_before
    for reclaimable in (before + DAY - 1, now + MAX_LOCK + 1000):
        changed = trade.incepting_lock(transaction=terms(before, reclaimable, RUN))
        refusal = trade.lock_refused(changed, SECURED)
        assert (refusal.name, refusal.arguments[:2]) == ("BadReclaimTime", (reclaimable, before + DAY))
    chains.asset.send(trade.incepting_lock(transaction=terms(before, now + MAX_LOCK, RUN)), SECURED)


def test_nothing_is_incepted_or_confirmed_after_the_decision(chains: Pair, incepted: Trade) -> None:
    chains.asset.travel(MINUTES + 100)
    refusal = incepted.lock_refused(incepted.confirming_lock(), HOLDER)
    assert (refusal.name, refusal.arguments[0]) == ("TooLate", incepted.decide_before)
    late = incepted.with_(id=ID + 1)
    assert late.lock_refused(late.incepting_lock(), SECURED).name == "TooLate"


@pytest.mark.parametrize("length", [0, 95, 97, 128])
def test_terms_have_one_form(trade: Trade, length: int) -> None:
    written = (trade.transaction + bytes(64))[:length]
    assert trade.lock_refused(trade.incepting_lock(transaction=written), SECURED) == ("TermsLength", (length,))


# References


def test_a_reference_is_of_this_lock_and_this_outcome(chains: Pair, incepted: Trade) -> None:
    place = incepted.place(FAILURE)
    assert place.lock == incepted.lock.address.lower()
    new = incepted.with_(id=ID + 1)
    second = chains.asset.deploy("KeyLock", chains.lock_token.address)
    wrong = {
        "id": incepted.encrypted(FAILURE),
        "outcome": new.encrypted(SUCCESS),
        "lock": new.with_(lock=second).encrypted(FAILURE),
    }
    for name, encrypted in wrong.items():
        refusal = new.lock_refused(new.incepting_lock(encrypted=encrypted), SECURED)
        assert refusal == ("ForeignReference", (name,))
        if name != "outcome":
            assert incepted.lock_refused(incepted.confirming_lock(encrypted=wrong["outcome"]), HOLDER) == (
                "ForeignReference",
                ("id",),
            )
    same = incepted.encrypted(FAILURE)
    assert incepted.lock_refused(incepted.confirming_lock(encrypted=same), HOLDER) == ("ForeignReference", ("outcome",))


def test_a_reference_has_one_form(trade: Trade) -> None:
    good = trade.encrypted(FAILURE)
    for bad in (b"", good[:-1], good + bytes(32), bytes(32) + good[32:]):
        assert trade.lock_refused(trade.incepting_lock(encrypted=bad), SECURED) == ("NotAReference", ())


@pytest.mark.parametrize("threshold", [0, 17])
def test_a_threshold_is_of_some_holders(trade: Trade, threshold: int) -> None:
    good = trade.encrypted(FAILURE)
    bad = good[: 7 * 32] + threshold.to_bytes(32, "big") + good[8 * 32 :]
    assert trade.lock_refused(trade.incepting_lock(encrypted=bad), SECURED) == ("BadThreshold", (threshold,))


def test_a_hash_is_of_its_reference_and_no_longer(trade: Trade) -> None:
    good = trade.reference(FAILURE).hashed()
    for bad in (b"", bytes(32), good[:-1], good + bytes(1), trade.reference(SUCCESS).hashed()):
        assert trade.lock_refused(trade.incepting_lock(hashed=bad), SECURED) == ("WrongKeyHash", ())


def test_both_references_are_of_one_decision_and_of_two_keys(chains: Pair, incepted: Trade) -> None:
    other = incepted.with_(decision=chains.payment).encrypted(SUCCESS)
    assert incepted.lock_refused(incepted.confirming_lock(encrypted=other), HOLDER) == ("ReferencesDiffer", ())
    back = incepted.encrypted(FAILURE)
    same = back[: 6 * 32] + int(SUCCESS).to_bytes(32, "big") + back[7 * 32 :]
    assert incepted.lock_refused(incepted.confirming_lock(encrypted=same), HOLDER) == ("SameKey", ())


# Keys


def test_k_parts_open_and_more_do(chains: Pair, locked: Trade) -> None:
    for number, who in enumerate(((0, 1, 2), (2, 3, 4), (0, 1, 2, 3, 4))):
        assert chains.asset.refusal(locked.with_key(key(locked, SUCCESS, who)), STRANGER) is None, number
        assert chains.asset.refusal(locked.with_key(key(locked, FAILURE, who)), STRANGER) is None, number


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
@pytest.mark.parametrize("who", [(), (0,), (1, 4)])
def test_fewer_open_nothing(locked: Trade, outcome: Any, who: tuple[int, ...]) -> None:
    assert locked.lock_refused(locked.with_key(key(locked, outcome, who))) == ("TooFewParts", (len(who), 3))


@pytest.mark.parametrize(("first", "second", "who"), [(SUCCESS, FAILURE, SECURED), (FAILURE, SUCCESS, HOLDER)])
def test_a_token_is_moved_by_one_key_once(chains: Pair, locked: Trade, first: Any, second: Any, who: Any) -> None:
    chains.asset.send(locked.with_key(key(locked, first)), STRANGER)
    state = {"Claimed": 4, "Reclaimed": 5}[locked.lock_state()]
    for outcome in (first, second):
        assert locked.lock_refused(locked.with_key(key(locked, outcome))) == ("NotLocked", (ID, state))
    assert locked.lock_refused(locked.lock.functions.announceReclaim(ID), HOLDER) == ("NotLocked", (ID, state))
    assert locked.lock_refused(locked.lock.functions.reclaim(ID)) == ("NotLocked", (ID, state))
    assert chains.locked_tokens(who.address) == LOCKED


def test_no_key_moves_what_is_not_locked(incepted: Trade) -> None:
    assert incepted.lock_refused(incepted.with_key(key(incepted, SUCCESS))) == ("NotLocked", (ID, 1))


def test_a_key_of_another_transfer_opens_nothing(chains: Pair, locked: Trade) -> None:
    other = locked.with_(id=ID + 1)
    assert locked.lock_refused(locked.with_key(key(other, SUCCESS))) == ("WrongKey", (ID,))
    # Nor do its parts under this transfer's commitments.
    commitments = locked.reference(SUCCESS).commitments
    foreign = [(number, secret_of(SEEDS[number], other.place(SUCCESS))) for number in range(3)]
    written = encode(["bytes32[]", "(uint256,bytes32)[]"], [commitments, foreign])
    assert locked.lock_refused(locked.with_key(written)) == ("WrongSecret", (0,))


def test_a_key_of_the_same_number_on_another_lock_opens_nothing(chains: Pair, locked: Trade) -> None:
    second = chains.asset.deploy("KeyLock", chains.lock_token.address)
    there = locked.with_(lock=second)
    assert there.place(SUCCESS).id == ID
    assert locked.lock_refused(locked.with_key(key(there, SUCCESS))) == ("WrongKey", (ID,))


def test_a_part_counts_once(locked: Trade) -> None:
    commitments = locked.reference(SUCCESS).commitments
    parts = [(number, secret_of(SEEDS[number], locked.place(SUCCESS))) for number in range(3)]
    wrong = {
        ("PartsNotAscending", (1,)): [parts[0], parts[1], parts[1]],
        ("PartsNotAscending", (0,)): [parts[1], parts[0], parts[2]],
        ("NoSuchHolder", (5,)): [parts[0], parts[1], (5, parts[2][1])],
        ("WrongSecret", (2,)): [parts[0], parts[1], (2, parts[1][1])],
    }
    for wanted, given in wrong.items():
        written = encode(["bytes32[]", "(uint256,bytes32)[]"], [commitments, given])
        assert locked.lock_refused(locked.with_key(written)) == wanted


def test_a_key_has_an_end(locked: Trade) -> None:
    long = key(locked, SUCCESS) + bytes(32 * 60)
    assert locked.lock_refused(locked.with_key(long)) == ("KeyTooLong", (len(long),))
    crowd = encode(["bytes32[]", "(uint256,bytes32)[]"], [[bytes(32)] * 17, []])
    assert locked.lock_refused(locked.with_key(crowd)) == ("TooManyHolders", (17,))


def test_sixteen_holders_are_taken(chains: Pair, trade: Trade) -> None:
    seeds = tuple(bytes([number]) * 32 for number in range(16))
    many = trade.with_(seeds=seeds, threshold=16)
    many.fund_lock()
    chains.asset.send(many.incepting_lock(), SECURED)
    chains.asset.send(many.confirming_lock(), HOLDER)
    place = many.place(SUCCESS)
    secrets = {number: secret_of(seeds[number], place) for number in range(16)}
    chains.asset.send(many.with_key(key_of(many.reference(SUCCESS).commitments, secrets)), STRANGER)
    assert chains.locked_tokens(SECURED.address) == LOCKED


# No key


def test_without_a_key_the_sender_gets_it_back_in_two_steps(chains: Pair, locked: Trade) -> None:
    functions = locked.lock.functions
    refusal = locked.lock_refused(functions.announceReclaim(ID), HOLDER)
    assert (refusal.name, refusal.arguments[0]) == ("TooEarly", locked.reclaimable_from)
    assert locked.lock_refused(functions.reclaim(ID)) == ("NotAnnounced", (ID,))
    chains.asset.travel(locked.reclaimable_from - chains.asset.now())
    assert locked.lock_refused(functions.reclaim(ID), HOLDER) == ("NotAnnounced", (ID,))
    refusal = locked.lock_refused(functions.announceReclaim(ID), SECURED)
    assert refusal == ("NotTheSender", (SECURED.address.lower(), HOLDER.address.lower()))
    receipt = chains.asset.send(functions.announceReclaim(ID), HOLDER)
    takeable = chains.asset.now() + DAY
    assert chains.asset.events(receipt, locked.lock) == [("ReclaimAnnounced", {"id": ID, "takeableFrom": takeable})]
    assert locked.lock_refused(functions.announceReclaim(ID), HOLDER) == ("AlreadyAnnounced", (takeable,))
    refusal = locked.lock_refused(functions.reclaim(ID), HOLDER)
    assert (refusal.name, refusal.arguments[0]) == ("TooEarly", takeable)
    chains.asset.travel(DAY)
    receipt = chains.asset.send(functions.reclaim(ID), STRANGER)
    assert chains.asset.events(receipt, locked.lock) == [("TokenReclaimed", {"id": ID, "key": b""})]
    assert (chains.locked_tokens(HOLDER.address), locked.lock_state()) == (LOCKED, "Reclaimed")
    assert locked.lock_refused(locked.with_key(key(locked, SUCCESS))) == ("NotLocked", (ID, 5))


def test_a_key_counts_until_the_token_is_back(chains: Pair, locked: Trade) -> None:
    functions = locked.lock.functions
    chains.asset.travel(locked.reclaimable_from - chains.asset.now())
    chains.asset.send(functions.announceReclaim(ID), HOLDER)
    chains.asset.travel(2 * DAY)
    chains.asset.send(locked.with_key(key(locked, SUCCESS)), STRANGER)
    assert chains.locked_tokens(SECURED.address) == LOCKED
    assert locked.lock_refused(functions.reclaim(ID)) == ("NotLocked", (ID, 4))


def test_a_lock_is_over_a_contract(chains: Pair) -> None:
    refusal = chains.asset.refused_deployment("KeyLock", STRANGER.address)
    assert refusal == ("NotAContract", (STRANGER.address.lower(),))
