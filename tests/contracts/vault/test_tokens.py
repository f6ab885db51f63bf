"""Tokens that take a fee, answer no or nothing, lie, or call back. The verifier is a stand-in that verifies nothing."""

from dataclasses import replace

import pytest

from .chain import Chain
from .parted import new_vault
from .world import (
    BOOK,
    HOLDER,
    OPERATOR,
    OTHER,
    OTHER_BOOK,
    RUN,
    RUN_SECONDS,
    STRANGER,
    WATERFALL,
    World,
    digest,
    world,
)

WORD = 32


def test_of_a_token_with_a_fee_what_arrived_counts(chain: Chain) -> None:
    vault = world(chain, "FeeToken")
    vault.register()
    receipt = vault.deposit(1000)
    assert vault.events(receipt)[0][1]["arrived"] == 990
    assert vault.balances() == (990, 0)
    assert vault.tokens(vault.vault.address) == 990
    # On the way out the receiver bears the fee, and nobody else.
    vault.send(vault.vault.functions.withdraw(HOLDER.address, 100), HOLDER)
    assert (vault.balances(), vault.tokens(HOLDER.address)) == ((890, 0), 99)
    vault.open()
    vault.settle(446)
    assert (vault.state(), vault.tokens(WATERFALL.address)) == ("Terminated", 890 - 8)
    assert vault.tokens(vault.vault.address) == 0


def test_a_token_that_charges_the_sender_on_top_does_not_charge_others(chain: Chain) -> None:
    vault = world(chain, "SurchargeToken")
    for holder in (HOLDER, OTHER):
        vault.send(vault.token.functions.mint(holder.address, 10_000))
        vault.send(vault.token.functions.approve(vault.vault.address, 10_000), holder)
        vault.send(vault.vault.functions.deposit(holder.address, 1000), holder)
    refusal = vault.refused(vault.vault.functions.withdraw(HOLDER.address, 1000), HOLDER)
    assert refusal == ("WrongAmountLeft", (2000, 990, 1000))
    assert vault.tokens(vault.vault.address) == 2000


def test_a_token_that_says_no_moves_nothing(chain: Chain) -> None:
    vault = world(chain, "FalseToken")
    vault.enrol(1000, 500)
    vault.open()
    vault.fund(OTHER, 1000)
    settle = vault.settling(vault.decided(501))
    vault.send(vault.token.functions.refuse(True))
    functions = vault.vault.functions
    assert vault.refused(functions.deposit(OTHER.address, 1000), OTHER).name == "TransferFailed"
    # A liquidation whose transfer is refused did not happen: the run is open as before.
    assert vault.refused(settle).name == "TransferFailed"
    assert (vault.run_state(), vault.balances()) == ("Valuation", (1000, 500))
    vault.send(vault.token.functions.refuse(False))
    vault.send(settle)
    assert vault.tokens(WATERFALL.address) == 1500


def test_a_call_needs_no_word_of_the_token(chain: Chain) -> None:
    vault = world(chain, "FalseToken")
    vault.enrol(1000, 500)
    vault.open()
    vault.send(vault.token.functions.refuse(True))
    vault.settle(100)
    assert vault.balances() == (800, 700)
    assert vault.refused(vault.vault.functions.withdraw(HOLDER.address, 1), HOLDER).name == "TransferFailed"


def test_a_token_that_answers_nothing_is_taken_at_its_balances(chain: Chain) -> None:
    vault = world(chain, "SilentToken")
    vault.enrol(1000, 500)
    vault.send(vault.vault.functions.withdraw(OTHER.address, 100), HOLDER)
    vault.open()
    vault.settle(451)
    assert (vault.tokens(OTHER.address), vault.tokens(WATERFALL.address)) == (100, 1400)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (b"", True),
        ((1).to_bytes(WORD, "big"), True),
        ((0).to_bytes(WORD, "big"), False),
        ((2).to_bytes(WORD, "big"), False),
        (b"\x01", False),
        ((1).to_bytes(WORD, "big") + bytes(WORD), False),
    ],
)
def test_a_token_says_yes_by_one_word_or_by_none(chain: Chain, answer: bytes, taken: bool) -> None:
    vault = world(chain, "OddToken")
    vault.deposit(1000)
    vault.send(vault.token.functions.answerWith(answer))
    withdraw = vault.vault.functions.withdraw(HOLDER.address, 10)
    if taken:
        vault.send(withdraw, HOLDER)
        assert vault.balances() == (990, 0)
    else:
        assert vault.refused(withdraw, HOLDER).name == "TransferFailed"


def test_a_token_without_enough_reverts_by_name(vault: World) -> None:
    vault.send(vault.token.functions.approve(vault.vault.address, 10), HOLDER)
    assert vault.refused(vault.vault.functions.deposit(HOLDER.address, 10), HOLDER).name == "TransferFailed"


def test_a_token_that_lies_is_not_believed(chain: Chain) -> None:
    vault = world(chain, "LyingToken")
    vault.deposit(1000)
    vault.fund(HOLDER, 10)
    functions = vault.vault.functions
    vault.send(vault.token.functions.lieBy(1))
    assert vault.refused(functions.deposit(HOLDER.address, 10), HOLDER).name == "NothingArrived"
    withdraw = functions.withdraw(HOLDER.address, 10)
    assert vault.refused(withdraw, HOLDER) == ("WrongAmountLeft", (1000, 1000, 10))
    vault.send(vault.token.functions.lieBy(2))
    assert vault.refused(withdraw, HOLDER) == ("WrongAmountLeft", (1000, 1010, 10))


# Re-entrancy

REENTERED = "Reentered"


@pytest.fixture
def calling(chain: Chain) -> World:
    """A vault over a token that calls back, with two accounts; the holder's run is open."""
    vault = world(chain, "CallingToken")
    vault.enrol(1000, 500)
    vault.enrol(1000, 0, OTHER, OTHER_BOOK)
    vault.fund(OTHER, 10**6)
    return vault


def called_back(vault: World, message: str) -> str:
    """Return what became of the token's call: the name of the error that it met, or `done`."""
    if vault.token.functions.reached().call():
        return "done"
    answer = bytes(vault.token.functions.answer().call())
    assert answer[:4] == bytes.fromhex(vault.chain.w3.keccak(text=f"{REENTERED}()").hex().removeprefix("0x"))[:4], (
        f"{message} met another error: {answer.hex()}"
    )
    return REENTERED


def test_a_hostile_token_gets_in_nowhere_while_it_is_called(calling: World) -> None:
    functions = calling.vault.functions
    message = calling.portfolio()
    signed = calling.sign("PortfolioAttestation", message)
    released = calling.release(1)
    frees = calling.sign("ReleaseAttestation", released)
    calls = [
        functions.deposit(OTHER.address, 5),
        functions.withdraw(OTHER.address, 5),
        functions.post(5),
        functions.release(released, frees),
        functions.registerPortfolio(message, signed[0], signed),
        functions.openRun(RUN, HOLDER.address, 1, BOOK, 0),
        functions.endCovered(RUN),
        functions.lapse(RUN),
        calling.settling(calling.decided(1), calling.matrices(free=1000, posted=500)),
    ]
    for call in calls:
        data = calling.message(call)
        for entered in (functions.deposit(OTHER.address, 100), functions.withdraw(OTHER.address, 100)):
            calling.send(calling.token.functions.call(calling.vault.address, data))
            before = calling.balances(OTHER)[0]
            calling.send(entered, OTHER)
            change = 100 if entered.fn_name == "deposit" else -100
            assert calling.balances(OTHER)[0] == before + change
            # The operator's two calls are refused for the guard before anybody asks who calls.
            assert called_back(calling, f"{call.fn_name} in {entered.fn_name}") == REENTERED


def test_a_hostile_token_gets_into_no_part_either(calling: World, chain: Chain) -> None:
    vault = replace(calling, vault=new_vault(chain, calling, calling.verifier))
    vault.fund(OTHER, 10**6)
    message = vault.matrices()
    functions = vault.vault.functions
    for call in (
        functions.recordBreach(RUN, b"", b"", bytes(32), 0, 2),
        functions.recordTopUp(RUN, bytes(32), b"", b"", 0, 2),
        functions.settleInParts(message, vault.sign("MatrixAttestation", message), (b"", b"", b"", b""), 1, 1),
    ):
        vault.send(vault.token.functions.call(vault.vault.address, vault.message(call)))
        vault.send(functions.deposit(OTHER.address, 100), OTHER)
        assert called_back(vault, f"{call.fn_name} in deposit") == REENTERED


def test_a_hostile_token_settles_nothing_twice_in_a_liquidation(calling: World) -> None:
    calling.open()
    settle = calling.settling(calling.decided(501))
    calling.send(calling.token.functions.call(calling.vault.address, calling.message(settle)))
    calling.send(settle)
    assert called_back(calling, "settle in settle") == REENTERED
    assert calling.tokens(WATERFALL.address) == 1500
    assert calling.balances(OTHER) == (1000, 0)
    assert calling.tokens(calling.vault.address) == 1000


def test_the_guard_is_lifted_when_a_call_is_over(calling: World) -> None:
    functions = calling.vault.functions
    calls = [calling.message(functions.post(1)), calling.message(functions.post(1))]
    batch = calling.chain.deploy("test/Batch")
    calling.send(functions.deposit(batch.address, 10), OTHER)
    calling.send(batch.functions.run(calling.vault.address, calls))
    assert tuple(functions.accountOf(batch.address).call()[:2]) == (8, 2)


def test_a_token_that_calls_elsewhere_is_let(calling: World, chain: Chain) -> None:
    calling.open(digest("elsewhere"))
    chain.travel(RUN_SECONDS + 1)
    data = calling.message(calling.token.functions.mint(STRANGER.address, 5))
    calling.send(calling.token.functions.call(calling.token.address, data))
    calling.send(calling.vault.functions.deposit(OTHER.address, 100), OTHER)
    assert called_back(calling, "mint") == "done"
    assert calling.tokens(STRANGER.address) == 5


def test_nobody_but_the_operator_opens_a_run_through_a_token(calling: World) -> None:
    refusal = calling.refused(calling.vault.functions.openRun(RUN, HOLDER.address, 1, BOOK, 0), STRANGER)
    assert refusal == ("NotOperator", (STRANGER.address.lower(),))
    calling.send(calling.vault.functions.openRun(RUN, HOLDER.address, 1, BOOK, 0), OPERATOR)
