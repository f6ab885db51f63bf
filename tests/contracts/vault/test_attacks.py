"""Genuine documents in a wrong order, the guardian's and the operator's worst, and calldata that is made by hand.

What is refused is tried to the end: where the money is afterwards. What cannot be prevented is shown as it is;
docs/chain.md says so under "Who can still cheat". The verifier is a stand-in that verifies nothing.
"""

from collections.abc import Callable
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from web3.exceptions import Web3Exception

from atomic_margin.contracts.deploy import TRANSACTION_GAS

from .chain import Chain
from .test_attested import attested, proposing
from .world import (
    BOOK,
    CAP,
    CHALLENGE_SECONDS,
    GUARDIAN,
    HOLDER,
    OPERATOR,
    OTHER_BOOK,
    RUN,
    RUN_SECONDS,
    SIGNERS,
    STRANGER,
    WATERFALL,
    World,
    attesting_world,
    digest,
    settings,
    world,
)

# A return that was attested before a run


def ended_covered(vault: World) -> None:
    vault.send(vault.vault.functions.endCovered(RUN), OPERATOR)


def lapsed(vault: World) -> None:
    vault.chain.travel(RUN_SECONDS + 1)
    vault.send(vault.vault.functions.lapse(RUN))


@pytest.mark.parametrize("ended", [ended_covered, lapsed])
def test_a_return_held_back_frees_nothing_after_a_later_run(vault: World, ended: Callable[[World], None]) -> None:
    """The institution does not answer, and brings what was right before: posted collateral would leave unproven."""
    vault.enrol(0, 500)
    message = vault.release(500)
    held_back = vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message))
    held_back.call({"from": HOLDER.address})
    vault.open()
    assert vault.refused(held_back) == ("RunIsOpen", (RUN,))
    ended(vault)
    assert vault.refused(held_back) == ("StaleRelease", (0, 1))
    assert vault.balances() == (0, 500)
    # Attested anew, after the run, it is free.
    message = vault.release(500)
    vault.send(vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message)))
    assert vault.balances() == (500, 0)


def test_a_return_attested_before_a_call_frees_nothing_after_it(opened: World) -> None:
    opened.settle(100)
    message = opened.release(200, runs=0)
    call = opened.vault.functions.release(message, opened.sign("ReleaseAttestation", message))
    assert opened.refused(call) == ("StaleRelease", (0, 1))


def test_a_return_attested_between_two_rounds_of_a_tick_frees_nothing_after_the_second(vault: World) -> None:
    vault.enrol(0, 500)
    vault.open()
    lapsed(vault)
    message = vault.release(500)
    held_back = vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message))
    held_back.call({"from": HOLDER.address})
    again = digest("the same tick again")
    vault.open(again)
    vault.chain.travel(RUN_SECONDS + 1)
    vault.send(vault.vault.functions.lapse(again))
    assert vault.refused(held_back) == ("StaleRelease", (1, 2))
    assert vault.balances() == (0, 500)


def test_of_two_documents_with_one_number_one_counts(vault: World) -> None:
    """A return for the book in force does not count beside another book that was attested meanwhile."""
    vault.enrol(0, 500)
    released, book = vault.release(500), vault.portfolio(HOLDER, OTHER_BOOK)
    release = vault.vault.functions.release(released, vault.sign("ReleaseAttestation", released))
    signed = vault.sign("PortfolioAttestation", book)
    register = vault.vault.functions.registerPortfolio(book, signed[0], signed)
    for call in (release, register):
        call.call({"from": HOLDER.address})
    vault.send(register, HOLDER)
    assert vault.refused(release) == ("WrongSequence", (2, 3))


# X


def test_a_proof_of_another_x_than_the_answer_s_settles_nothing(opened: World) -> None:
    """A prover can prove any X that suffices, in the same context: the answer's is the one that is signed."""
    message = opened.matrices(topUp=501)
    signed = opened.sign("MatrixAttestation", message)
    for top_up in (500, 502):
        call = opened.settling(opened.decided(top_up), message, signed)
        assert opened.refused(call) == ("WrongTopUp", (top_up, 501))
    opened.send(opened.settling(opened.decided(501), message, signed))
    assert opened.state() == "Terminated"


# Books around a run


def test_a_book_registered_just_before_a_run_gets_rid_of_none(vault: World) -> None:
    """What was attested before is brought when the run is about to be opened: it is on the book it was evaluated on."""
    vault.enrol(1000, 500)
    vault.register(book=OTHER_BOOK)
    receipt = vault.open(book=BOOK)
    assert vault.events(receipt)[0][1]["commitments"] == BOOK
    other = {"commitments": OTHER_BOOK}
    proofs = vault.decided(100, breach=other, topped=other)
    assert vault.refused(vault.settling(proofs, vault.matrices(**other))) == (
        "WrongCommitments",
        (OTHER_BOOK, BOOK),
    )
    vault.settle(100)
    assert vault.balances() == (800, 700)


# Time


def test_the_last_second_is_the_settlement_s_and_the_next_one_anybody_s(opened: World) -> None:
    settle, lapse = opened.settling(opened.decided(100)), opened.vault.functions.lapse(RUN)
    deadline = opened.vault.functions.runOf(RUN).call()[2]
    opened.chain.machine.time_travel(deadline - 1)
    while opened.chain.now() < deadline:
        opened.chain.machine.mine_block()
    assert opened.chain.now() == deadline
    settle.call({"from": STRANGER.address})
    assert opened.refused(lapse) == ("RunNotOver", (RUN, deadline))
    opened.chain.machine.mine_block()
    assert opened.chain.now() == deadline + 1
    assert opened.refused(settle) == ("RunOver", (RUN, deadline))
    lapse.call({"from": STRANGER.address})


def test_a_pause_longer_than_an_attestation_takes_another_one_and_no_other_run(opened: World) -> None:
    message = opened.matrices(expiry=opened.chain.now() + RUN_SECONDS)
    settle = opened.settling(opened.decided(100), message)
    functions = opened.vault.functions
    opened.send(functions.pause(), GUARDIAN)
    opened.chain.travel(10 * RUN_SECONDS)
    opened.send(functions.unpause(), GUARDIAN)
    assert opened.refused(settle).name == "Expired"
    opened.settle(100)
    assert opened.balances() == (800, 700)


# Funds that could stay locked


def test_the_operator_s_last_tick_ends_runs_and_locks_nothing(vault: World) -> None:
    vault.enrol(1000, 500)
    vault.open(tick=2**64 - 1)
    functions = vault.vault.functions
    vault.send(functions.endCovered(RUN), OPERATOR)
    call = functions.openRun(digest("next"), HOLDER.address, 2**64 - 1, BOOK, 0)
    assert vault.refused(call, OPERATOR) == ("StaleTick", (2**64 - 1, 2**64 - 1))
    message = vault.release(500)
    vault.send(functions.release(message, vault.sign("ReleaseAttestation", message)))
    vault.send(functions.withdraw(HOLDER.address, 1500), HOLDER)
    assert vault.tokens(HOLDER.address) == 1500


def test_an_account_that_was_filled_by_somebody_is_its_holder_s_to_empty(vault: World) -> None:
    vault.register()
    vault.deposit(CAP, STRANGER, HOLDER)
    vault.fund(HOLDER, 1)
    assert vault.refused(vault.vault.functions.deposit(HOLDER.address, 1), HOLDER) == ("VaultFull", (CAP + 1, CAP))
    vault.send(vault.vault.functions.withdraw(HOLDER.address, CAP), HOLDER)
    assert vault.tokens(HOLDER.address) == CAP + 1


def test_a_call_that_would_pass_the_cap_cannot_be_met(vault: World) -> None:
    """Not to be prevented where an account holds no more than a block settles: the cap has to be far above."""
    vault.enrol(10, CAP - 10)
    vault.open()
    vault.fund(HOLDER, 10)
    assert vault.refused(vault.vault.functions.deposit(HOLDER.address, 10), HOLDER).name == "VaultFull"
    vault.settle(10)
    assert (vault.state(), vault.tokens(WATERFALL.address)) == ("Terminated", CAP)


def test_amounts_of_nothing_change_nothing(vault: World) -> None:
    vault.enrol(1000, 500)
    functions = vault.vault.functions
    vault.send(functions.post(0), HOLDER)
    vault.send(functions.withdraw(HOLDER.address, 0), HOLDER)
    message = vault.release(0)
    vault.send(functions.release(message, vault.sign("ReleaseAttestation", message)))
    assert vault.balances() == (1000, 500)
    # Who has nothing gets nothing, and has no account by it.
    vault.send(functions.withdraw(STRANGER.address, 0), STRANGER)
    vault.send(functions.post(0), STRANGER)
    assert vault.state(STRANGER) == "Inactive"


# The vault that believes an agent


def test_k_signers_replace_the_others_who_then_challenge_nothing(pending: World) -> None:
    """Not to be prevented where a set replaces itself at once: one honest signer is not enough against k."""
    colluding, honest = SIGNERS[:3], SIGNERS[3]
    pending.send(proposing(pending, attested(pending, topUp=501, amount=1002)))
    document = {
        "chain": pending.chain.id,
        "signers": [one.address for one in colluding],
        "threshold": 2,
        "signerSet": 1,
        "expiry": pending.soon(),
    }
    functions = pending.vault.functions
    functions.challenge(RUN).call({"from": honest.address})
    pending.send(pending.oracle.functions.rotate(document, pending.sign("SignerRotation", document, colluding)))
    assert pending.refused(functions.challenge(RUN), honest) == ("NotAChallenger", (honest.address.lower(),))
    # The guardian is left.
    functions.challenge(RUN).call({"from": GUARDIAN.address})
    pending.chain.travel(CHALLENGE_SECONDS)
    pending.send(functions.execute(RUN))
    assert pending.tokens(WATERFALL.address) == 1500


def test_a_token_that_refuses_the_waterfall_locks_an_account_until_it_is_challenged(chain: Chain) -> None:
    vault = attesting_world(chain, "FalseToken")
    vault.enrol(1000, 500)
    vault.open()
    vault.send(proposing(vault, attested(vault, topUp=501, amount=1002)))
    vault.send(vault.token.functions.refuse(True))
    vault.chain.travel(RUN_SECONDS + CHALLENGE_SECONDS)
    functions = vault.vault.functions
    assert vault.refused(functions.execute(RUN)).name == "TransferFailed"
    assert vault.refused(functions.lapse(RUN)) == ("ProposalPending", (RUN,))
    assert (vault.state(), vault.balances()) == ("Valuation", (1000, 500))
    vault.send(functions.challenge(RUN), GUARDIAN)
    vault.send(vault.token.functions.refuse(False))
    vault.send(functions.withdraw(HOLDER.address, 1000), HOLDER)
    assert vault.balances() == (0, 500)


def test_a_proposal_in_the_last_second_locks_for_the_window_and_no_longer(pending: World) -> None:
    pending.chain.travel(RUN_SECONDS - 10)
    pending.send(proposing(pending))
    pending.chain.travel(CHALLENGE_SECONDS)
    pending.send(pending.vault.functions.execute(RUN), HOLDER)
    pending.send(pending.vault.functions.withdraw(HOLDER.address, 800), HOLDER)
    assert pending.balances() == (0, 700)


# Two vaults


def test_what_a_token_moves_between_vaults_in_the_middle_counts_once(chain: Chain) -> None:
    """While one vault takes a deposit, the token withdraws its own from another one, to the first."""
    first = world(chain, "CallingToken")
    given, token = first.vault, first.token.address
    other = chain.deploy("Vault", settings(token, first.oracle.address), first.verifier.address)
    second = World(chain, first.token, first.oracle, first.verifier, other)
    second.fund(STRANGER, 300)
    second.send(other.functions.deposit(token, 300), STRANGER)
    data = second.message(other.functions.withdraw(given.address, 100))
    first.send(first.token.functions.call(other.address, data))
    first.deposit(50)
    assert first.token.functions.reached().call()
    assert first.balances() == (150, 0)
    assert first.tokens(given.address) == 150
    assert other.functions.accountOf(token).call()[0] == first.tokens(other.address) == 200


# Documents and calldata

WORD = 32


@pytest.mark.parametrize("name", ["account", "commitments", "sequence", "signerSet", "expiry", "vault", "chain"])
def test_signatures_of_a_book_are_over_every_field(vault: World, name: str) -> None:
    message = vault.portfolio()
    signed = vault.sign("PortfolioAttestation", message)
    changed = message | {name: another(message[name])}
    refusal = vault.refused(vault.oracle.functions.checkPortfolio(changed, signed))
    assert refusal.name == {"chain": "ForeignChain", "signerSet": "WrongSignerSet"}.get(name, "NotASigner")


@pytest.mark.parametrize("name", ["account", "amount", "posted", "runs", "log", "sequence", "expiry", "vault"])
def test_signatures_of_a_return_are_over_every_field(vault: World, name: str) -> None:
    message = vault.release(5)
    signed = vault.sign("ReleaseAttestation", message)
    changed = message | {name: another(message[name])}
    assert vault.refused(vault.oracle.functions.checkRelease(changed, signed)).name == "NotASigner"


def another(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return STRANGER.address if isinstance(value, str) else digest("another")


def raw(vault: World, data: bytes) -> bool:
    """Whether the vault takes bytes as a call."""
    sent = {"from": STRANGER.address, "to": vault.vault.address, "data": data, "gas": TRANSACTION_GAS}
    try:
        vault.chain.w3.eth.call(sent)  # type: ignore[arg-type]  # as web3 takes them
    except (TransactionFailed, Web3Exception):
        return False
    return True


@pytest.mark.parametrize("field", [1, 2, 4, 14, 15, 16])
def test_numbers_are_no_longer_than_their_types(opened: World, field: int) -> None:
    """Bits above an address or a counter, that a comparison or a hash could lose, are refused."""
    data = bytes.fromhex(opened.message(opened.settling(opened.decided(100)))[2:])
    assert raw(opened, data)
    start = 4 + WORD * field
    assert data[start] == 0
    assert not raw(opened, data[:start] + b"\x01" + data[start + 1 :])


def test_offsets_that_overlap_say_no_more_than_apart(opened: World) -> None:
    """Dynamic arguments may share bytes: what is hashed, verified and compared is the same bytes each time."""
    call = opened.settling(opened.decided(100))
    data = bytes.fromhex(opened.message(call)[2:])
    fields = len(opened.matrices())
    # Behind the attestation's fields: where signatures, both statements and both proofs begin.
    heads = [4 + WORD * (fields + number) for number in range(5)]
    places = [int.from_bytes(data[head : head + WORD], "big") for head in heads]

    def pointing(number: int, place: int) -> bytes:
        return data[: heads[number]] + place.to_bytes(WORD, "big") + data[heads[number] + WORD :]

    # One argument in another's place.
    for number in range(1, 5):
        for other in range(5):
            assert raw(opened, pointing(number, places[other])) == (number == other)
    # Into the attestation itself, behind the end, and far behind it.
    for number in range(5):
        for place in (0, WORD, len(data), 2**64, 2**256 - 4, 2**256 - WORD):
            assert not raw(opened, pointing(number, place))
    # Bytes behind everything say nothing.
    assert raw(opened, data + b"anything")
    assert not raw(opened, data[:-WORD])
    # A copy elsewhere says the same.
    length = int.from_bytes(data[4 + places[2] : 4 + places[2] + WORD], "big")
    copy = data[4 + places[2] : 4 + places[2] + WORD + (length + 31) // 32 * 32]
    assert raw(opened, pointing(2, len(data) - 4) + copy)


def test_a_length_that_wraps_around_is_refused(opened: World) -> None:
    data = bytes.fromhex(opened.message(opened.settling(opened.decided(100)))[2:])
    for head in range(5):
        start = 4 + WORD * (len(opened.matrices()) + head)
        place = 4 + int.from_bytes(data[start : start + WORD], "big")
        for length in (2**64, 2**251, 2**256 - 1, len(data)):
            assert not raw(opened, data[:place] + length.to_bytes(WORD, "big") + data[place + WORD :])
