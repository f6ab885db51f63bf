"""Keys in Python: references are compared to the byte, and parts are what was committed to; and options' values."""

import math

import pytest

from atomic_margin.contracts.errors import KeyReferenceError
from atomic_margin.contracts.keys import (
    KeyPlace,
    KeyReference,
    Outcome,
    commitment_to,
    joined,
    key_of,
    read_reference,
    secret_of,
)
from atomic_margin.contracts.option_value import YEAR_SECONDS, free_option, walk_away

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long

PLACE = KeyPlace(1, "0x" + "11" * 20, 2, "0x" + "22" * 20, 7, Outcome.SUCCESS)
SEEDS = [bytes([number]) * 32 for number in range(3)]
SECRETS = [secret_of(seed, PLACE) for seed in SEEDS]
COMMITMENTS = tuple(commitment_to(one) for one in SECRETS)

OTHER_PLACES = {
    "lock chain": KeyPlace(3, PLACE.lock, 2, PLACE.decision, 7, Outcome.SUCCESS),
    "lock": KeyPlace(1, "0x" + "33" * 20, 2, PLACE.decision, 7, Outcome.SUCCESS),
    "decision chain": KeyPlace(1, PLACE.lock, 3, PLACE.decision, 7, Outcome.SUCCESS),
    "decision": KeyPlace(1, PLACE.lock, 2, "0x" + "33" * 20, 7, Outcome.SUCCESS),
    "id": KeyPlace(1, PLACE.lock, 2, PLACE.decision, 8, Outcome.SUCCESS),
    "outcome": KeyPlace(1, PLACE.lock, 2, PLACE.decision, 7, Outcome.FAILURE),
}


@pytest.mark.parametrize("name", OTHER_PLACES)
def test_a_holder_has_another_secret_for_every_place(name: str) -> None:
    assert secret_of(SEEDS[0], OTHER_PLACES[name]) != SECRETS[0]
    assert KeyReference(OTHER_PLACES[name], 2, COMMITMENTS).hashed() != KeyReference(PLACE, 2, COMMITMENTS).hashed()


def test_a_reference_is_read_back() -> None:
    reference = KeyReference(PLACE, 2, COMMITMENTS)
    read = read_reference(reference.encoded())
    assert (read.place, read.threshold) == (PLACE, 2)


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_is_of_the_holders(threshold: int) -> None:
    with pytest.raises(KeyReferenceError, match=f"threshold {threshold} of 3 holders"):
        KeyReference(PLACE, threshold, COMMITMENTS)


def test_a_commitment_counts_once() -> None:
    with pytest.raises(KeyReferenceError, match="two holders have the same one"):
        KeyReference(PLACE, 2, (*COMMITMENTS, COMMITMENTS[0]))


def test_what_is_no_reference_is_named() -> None:
    good = KeyReference(PLACE, 2, COMMITMENTS).encoded()
    with pytest.raises(KeyReferenceError, match="reference: "):
        read_reference(good[:-1])
    for bad in (bytes(32) + good[32:], good + bytes(32)):
        with pytest.raises(KeyReferenceError, match="another protocol or version"):
            read_reference(bad)
    with pytest.raises(KeyReferenceError, match="Outcome"):
        read_reference(good[: 6 * 32] + bytes(31) + b"\x07" + good[7 * 32 :])


@pytest.mark.parametrize("holder", [1, 3, -1])
def test_a_part_is_what_its_holder_committed_to(holder: int) -> None:
    with pytest.raises(KeyReferenceError, match=f"part {holder}: not what that holder committed to"):
        key_of(COMMITMENTS, {holder: SECRETS[0]})


def test_parts_of_one_key_are_joined_in_any_order() -> None:
    parts = [key_of(COMMITMENTS, {number: SECRETS[number]}) for number in (2, 0, 1)]
    assert joined(parts) == key_of(COMMITMENTS, dict(enumerate(SECRETS)))
    with pytest.raises(KeyReferenceError, match="parts of 2 keys"):
        joined([parts[0], key_of(COMMITMENTS[:2], {0: SECRETS[0]})])
    with pytest.raises(KeyReferenceError, match="parts of 0 keys"):
        joined([])


# What it is worth to walk away


@pytest.mark.parametrize("seconds", [60, 600, 86_400])
def test_at_the_money_the_option_is_four_tenths_of_volatility_times_the_root_of_time(seconds: int) -> None:
    rule = 0.8 * math.sqrt(seconds / YEAR_SECONDS / (2 * math.pi))
    assert free_option(volatility=0.8, seconds=seconds) == pytest.approx(rule, rel=1e-3)


def test_options_at_their_ends() -> None:
    assert free_option(volatility=0.0, seconds=600, strike=0.9) == pytest.approx(0.1)
    assert walk_away(volatility=0.0, seconds=600, haircut=0.1) == pytest.approx(0.0)
    assert free_option(volatility=0.8, seconds=0, strike=1.1) == 0.0
    # Parity: a put at the money is worth the call.
    assert walk_away(volatility=0.8, seconds=600, haircut=0.0) == pytest.approx(
        free_option(volatility=0.8, seconds=600)
    )


def test_a_price_above_the_market_and_a_haircut_each_make_it_worth_less() -> None:
    dear = [free_option(volatility=0.8, seconds=3600, strike=1 + part / 1000) for part in range(0, 50, 5)]
    cut = [walk_away(volatility=0.8, seconds=3600, haircut=part / 1000) for part in range(0, 50, 5)]
    assert dear == sorted(dear, reverse=True)
    assert cut == sorted(cut, reverse=True)
