"""Settlements of the vault: what is rechecked, what moves, once. The verifier is a stand-in that verifies nothing."""

from typing import Any

import pytest

from .world import (
    BOOK,
    CAP,
    HOLDER,
    LOG,
    OPERATOR,
    OTHER,
    OTHER_BOOK,
    RATE,
    RUN,
    RUN_SECONDS,
    SIGNERS,
    STRANGER,
    THRESHOLD,
    WATERFALL,
    World,
    digest,
    settings,
)

# What moves


def test_a_call_moves_x_from_free_to_posted(opened: World) -> None:
    receipt = opened.settle(100)
    same = {"run": RUN, "account": HOLDER.address, "log": LOG}
    assert opened.events(receipt) == [
        ("SettlementDetermined", same | {"topUp": 100, "amount": 200}),
        ("SettlementTransferred", same | {"amount": 200}),
    ]
    assert opened.balances() == (800, 700)
    assert (opened.state(), opened.run_state(), opened.account()["run"]) == ("Settled", "Settled", bytes(32))
    assert opened.tokens(opened.vault.address) == 1500


def test_settle_says_what_it_does(opened: World) -> None:
    assert opened.settling(opened.decided(100)).call({"from": STRANGER.address}) == [200, False]
    assert opened.settling(opened.decided(501)).call({"from": STRANGER.address}) == [1002, True]


@pytest.mark.parametrize(("rate", "amount"), [(10**18, 7), (10**18 + 1, 8), (1, 1), (15 * 10**17, 11)])
def test_x_is_rounded_up_to_the_token_s_unit(opened: World, rate: int, amount: int) -> None:
    opened.send(opened.settling(opened.decided(7), opened.matrices(rate=rate)))
    assert opened.balances() == (1000 - amount, 500 + amount)


def test_all_that_is_free_may_be_called(opened: World) -> None:
    opened.settle(500)
    assert opened.balances() == (0, 1500)
    assert opened.state() == "Settled"


def test_an_account_that_cannot_meet_its_call_is_liquidated_at_once(opened: World) -> None:
    receipt = opened.settle(501)
    same = {"run": RUN, "account": HOLDER.address, "log": LOG}
    assert opened.events(receipt) == [
        ("SettlementDetermined", same | {"topUp": 501, "amount": 1002}),
        ("SettlementFailed", same | {"amount": 1002, "free": 1000}),
        ("TradeTerminated", same | {"seized": 1500}),
    ]
    assert opened.balances() == (0, 0)
    assert (opened.state(), opened.run_state()) == ("Terminated", "Terminated")
    assert (opened.tokens(WATERFALL.address), opened.tokens(opened.vault.address)) == (1500, 0)


def test_nothing_is_done_with_an_account_after_its_liquidation(opened: World) -> None:
    opened.settle(501)
    opened.fund(HOLDER, 10)
    functions = opened.vault.functions
    wanted = ("AccountTerminated", (HOLDER.address.lower(),))
    assert opened.refused(functions.deposit(HOLDER.address, 10), HOLDER) == wanted
    assert opened.refused(functions.openRun(digest("next"), HOLDER.address, 2, BOOK, 0), OPERATOR) == wanted
    released = opened.release(0)
    assert opened.refused(functions.release(released, opened.sign("ReleaseAttestation", released))) == wanted
    message = opened.portfolio()
    signed = opened.sign("PortfolioAttestation", message)
    assert opened.refused(functions.registerPortfolio(message, signed[0], signed), HOLDER) == wanted


def test_a_liquidation_takes_nothing_of_anybody_else(opened: World) -> None:
    opened.enrol(300, 200, OTHER, OTHER_BOOK)
    opened.settle(501)
    assert opened.balances(OTHER) == (300, 200)
    assert (opened.tokens(WATERFALL.address), opened.tokens(opened.vault.address)) == (1500, 500)


def test_an_empty_account_is_liquidated_too(vault: World) -> None:
    vault.enrol(0, 0)
    vault.open()
    vault.settle(1)
    assert (vault.state(), vault.tokens(WATERFALL.address)) == ("Terminated", 0)


def test_dust_between_open_and_settle_reverts_nothing(opened: World) -> None:
    attested = opened.matrices()
    opened.deposit(1, STRANGER, HOLDER)
    opened.send(opened.settling(opened.decided(100), attested))
    assert opened.balances() == (801, 700)


def test_what_arrives_before_it_settles_meets_a_call(opened: World) -> None:
    attested = opened.matrices()
    opened.deposit(2)
    opened.send(opened.settling(opened.decided(501), attested))
    assert opened.balances() == (0, 1502)
    assert opened.state() == "Settled"


def test_collateral_does_not_leave_between_open_and_settle(opened: World) -> None:
    functions = opened.vault.functions
    assert opened.refused(functions.withdraw(HOLDER.address, 1), HOLDER) == ("RunIsOpen", (RUN,))
    opened.settle(500)
    assert opened.balances() == (0, 1500)


# Once, in time


def test_a_run_settles_once(opened: World) -> None:
    settle = opened.settling(opened.decided(100))
    opened.send(settle)
    assert opened.refused(settle) == ("RunNotOpen", (RUN,))
    # Another answer to the same run neither.
    assert opened.refused(opened.settling(opened.decided(1))) == ("RunNotOpen", (RUN,))
    assert opened.balances() == (800, 700)


def test_a_liquidation_is_not_settled_again(opened: World) -> None:
    settle = opened.settling(opened.decided(501))
    opened.send(settle)
    assert opened.refused(settle) == ("RunNotOpen", (RUN,))


def test_a_run_that_was_not_opened_does_not_settle(vault: World) -> None:
    vault.enrol(1000, 500)
    message = vault.matrices(free=1000, posted=500)
    assert vault.refused(vault.settling(vault.decided(100), message)) == ("RunNotOpen", (RUN,))


@pytest.mark.parametrize("lapsed", [False, True])
def test_a_stale_run_does_not_settle(opened: World, lapsed: bool) -> None:
    settle = opened.settling(opened.decided(100))
    deadline = opened.vault.functions.runOf(RUN).call()[2]
    opened.chain.travel(RUN_SECONDS + 1)
    if lapsed:
        opened.send(opened.vault.functions.lapse(RUN))
        assert opened.refused(settle) == ("RunNotOpen", (RUN,))
    else:
        assert opened.refused(settle) == ("RunOver", (RUN, deadline))


def test_a_covered_run_does_not_settle(opened: World) -> None:
    settle = opened.settling(opened.decided(100))
    opened.send(opened.vault.functions.endCovered(RUN), OPERATOR)
    assert opened.refused(settle) == ("RunNotOpen", (RUN,))


def test_an_earlier_run_s_attestation_does_not_settle_a_later_one(opened: World) -> None:
    earlier = opened.matrices()
    opened.send(opened.vault.functions.endCovered(RUN), OPERATOR)
    later = digest("later")
    opened.open(later, tick=2)
    assert opened.refused(opened.settling(opened.decided(100), earlier)) == ("RunNotOpen", (RUN,))
    message = earlier | {"run": later}
    assert opened.refused(opened.settling(opened.decided(100), message)) == ("WrongTick", (1, 2))


# What is rechecked

OTHER_DIGEST = digest("another")

ATTESTED: dict[str, tuple[dict[str, Any], tuple[str, tuple[Any, ...]]]] = {
    "vault": ({"vault": HOLDER.address}, ("ForeignVault", (HOLDER.address.lower(),))),
    "run": ({"run": OTHER_DIGEST}, ("RunNotOpen", (OTHER_DIGEST,))),
    "account": ({"account": OTHER.address}, ("WrongRunAccount", (OTHER.address.lower(), HOLDER.address.lower()))),
    "tick": ({"tick": 2}, ("WrongTick", (2, 1))),
    "book": ({"commitments": OTHER_BOOK}, ("WrongCommitments", (OTHER_BOOK, BOOK))),
    "free": ({"free": 1001}, ("WrongBalances", (1001, 500, 1000, 500))),
    "posted": ({"posted": 501}, ("WrongBalances", (1000, 501, 1000, 500))),
    "chain": ({"chain": 1}, ("ForeignChain", (1, None))),
    "signer set": ({"signerSet": 2}, ("WrongSignerSet", (2, 1))),
    "no rate": ({"rate": 0}, ("NoRate", ())),
    "breach matrix": (
        {"breachMatrix": OTHER_DIGEST},
        ("WrongMatrix", (digest("maintenance"), OTHER_DIGEST)),
    ),
    "top-up matrix": ({"topUpMatrix": OTHER_DIGEST}, ("WrongMatrix", (digest("initial"), OTHER_DIGEST))),
    "breach context": (
        {"breachContext": OTHER_DIGEST},
        ("WrongContext", (digest("breach context"), OTHER_DIGEST)),
    ),
    "top-up context": (
        {"topUpContext": OTHER_DIGEST},
        ("WrongContext", (digest("top-up context"), OTHER_DIGEST)),
    ),
}


@pytest.mark.parametrize("name", ATTESTED)
def test_what_is_attested_of_another_run_is_refused(opened: World, name: str) -> None:
    changed, (error, arguments) = ATTESTED[name]
    wanted = tuple(opened.chain.id if one is None else one for one in arguments)
    refusal = opened.refused(opened.settling(opened.decided(100), opened.matrices(**changed)))
    assert refusal == (error, wanted)


def test_an_expired_attestation_is_refused(opened: World) -> None:
    message = opened.matrices(expiry=opened.chain.now() + 50)
    settle = opened.settling(opened.decided(100), message)
    opened.chain.travel(60)
    refusal = opened.refused(settle)
    assert (refusal.name, refusal.arguments[0]) == ("Expired", message["expiry"])


def test_fewer_than_k_settle_nothing(opened: World) -> None:
    message = opened.matrices()
    settle = opened.settling(opened.decided(100), message, opened.sign("MatrixAttestation", message, SIGNERS[:2]))
    assert opened.refused(settle) == ("TooFewSignatures", (2, THRESHOLD))


def test_another_vault_s_attestation_settles_nothing(opened: World) -> None:
    given = settings(opened.token.address, opened.oracle.address)
    twin = opened.chain.deploy("Vault", given, opened.verifier.address)
    there = World(opened.chain, opened.token, opened.oracle, opened.verifier, twin)
    there.enrol(1000, 500)
    there.open()
    assert there.refused(there.settling(there.decided(100), opened.matrices())) == (
        "ForeignVault",
        (opened.vault.address.lower(),),
    )


def test_a_proof_that_does_not_hold_settles_nothing(opened: World) -> None:
    for proofs in (
        opened.decided(100, breach_proof=b"sufficiency holds"),
        opened.decided(100, top_up_proof=b"breach holds"),
    ):
        assert opened.refused(opened.settling(proofs)).name == "ProofDoesNotHold"


PROVEN: dict[str, tuple[dict[str, Any], tuple[str, Any]]] = {
    "somebody else's book in the breach": (
        {"breach": {"commitments": OTHER_BOOK}},
        ("WrongCommitments", (OTHER_BOOK, BOOK)),
    ),
    "somebody else's book in the top-up": (
        {"topped": {"commitments": OTHER_BOOK}},
        ("WrongCommitments", (OTHER_BOOK, BOOK)),
    ),
    "another matrix in the breach": (
        {"breach": {"matrix": OTHER_DIGEST}},
        ("WrongMatrix", (OTHER_DIGEST, digest("maintenance"))),
    ),
    "maintenance rows in the top-up": (
        {"topped": {"matrix": digest("maintenance")}},
        ("WrongMatrix", (digest("maintenance"), digest("initial"))),
    ),
    "another run's context in the breach": (
        {"breach": {"context": OTHER_DIGEST}},
        ("WrongContext", (OTHER_DIGEST, digest("breach context"))),
    ),
    "another run's context in the top-up": (
        {"topped": {"context": OTHER_DIGEST}},
        ("WrongContext", (OTHER_DIGEST, digest("top-up context"))),
    ),
    "no top-up": ({"topped": {"top_up": 0}}, ("NoTopUp", ())),
    "a top-up of more than any proof has": ({"topped": {"top_up": 2**120}}, ("TopUpTooLarge", (2**120,))),
}


@pytest.mark.parametrize("name", PROVEN)
def test_genuine_proofs_about_something_else_are_refused(opened: World, name: str) -> None:
    changed, refusal = PROVEN[name]
    assert opened.refused(opened.settling(opened.decided(100, **changed))) == refusal


def test_the_largest_top_up_at_the_highest_rate_liquidates(opened: World) -> None:
    opened.send(opened.settling(opened.decided(2**120 - 1), opened.matrices(rate=2**128 - 1)))
    assert opened.state() == "Terminated"


# The cap of a block


def test_only_so_much_settles_in_one_block(vault: World) -> None:
    vault.enrol(CAP // 2, 0)
    vault.enrol(CAP, 0, OTHER, OTHER_BOOK)
    other_run = digest("other run")
    vault.open()
    vault.open(other_run, OTHER)
    mine = vault.settling(vault.decided(CAP // 8), vault.matrices())
    message = vault.matrices(run=other_run, account=OTHER.address, commitments=OTHER_BOOK, free=CAP, posted=0)
    book = {"commitments": OTHER_BOOK}

    def theirs(top_up: int) -> Any:
        return vault.settling(vault.decided(top_up, breach=book, topped=book), message)

    batch = vault.chain.deploy("test/Batch")

    def both(top_up: int) -> Any:
        calls = [vault.message(mine), vault.message(theirs(top_up))]
        return batch.functions.run(vault.vault.address, calls)

    fits, limit = 3 * CAP // 8, CAP // 4
    assert limit * 10**18 == RATE * (CAP // 8)
    assert vault.refused(both(fits + 1)) == ("BlockCapReached", (limit, 2 * fits + 2, CAP))
    # A liquidation counts with all that it takes.
    assert vault.refused(both(CAP)) == ("BlockCapReached", (limit, CAP, CAP))
    assert (vault.run_state(), vault.run_state(other_run)) == ("Valuation", "Valuation")
    vault.send(both(fits))
    assert (vault.balances(), vault.balances(OTHER)) == ((CAP // 4, CAP // 4), (CAP // 4, 3 * CAP // 4))


def test_the_next_block_has_its_own_cap(vault: World) -> None:
    vault.enrol(CAP, 0)
    vault.enrol(CAP, 0, OTHER, OTHER_BOOK)
    other_run = digest("other run")
    vault.open()
    vault.open(other_run, OTHER)
    message = vault.matrices(run=other_run, account=OTHER.address, commitments=OTHER_BOOK, free=CAP, posted=0)
    book = {"commitments": OTHER_BOOK}
    vault.settle(CAP // 2)
    vault.send(vault.settling(vault.decided(CAP, breach=book, topped=book), message))
    assert vault.state(OTHER) == "Terminated"
    assert vault.tokens(WATERFALL.address) == CAP
