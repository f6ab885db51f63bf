"""The vault's own rules: collateral, books, runs, pause. Settlements are in test_settle.py.

The verifier is a stand-in (`DecidedVerifier`) that verifies nothing: these tests are about what the vault does with
its word. test_proofs.py has the real one.
"""

from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from atomic_margin.contracts.attestations import typed_data

from .chain import Chain
from .world import (
    BOOK,
    CAP,
    GUARDIAN,
    HOLDER,
    LOG,
    NOBODY,
    OPERATOR,
    OTHER,
    OTHER_BOOK,
    RUN,
    RUN_SECONDS,
    SIGNERS,
    STRANGER,
    THRESHOLD,
    World,
    digest,
    second_form,
    settings,
    signature,
)

# Deployment


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"oracle": HOLDER.address}, "oracle"),
        ({"operator": NOBODY}, "operator"),
        ({"guardian": NOBODY}, "guardian"),
        ({"waterfall": NOBODY}, "waterfall"),
        ({"blockCap": 0}, "blockCap"),
        ({"runSeconds": 0}, "runSeconds"),
        ({"runSeconds": 7 * 86400 + 1}, "runSeconds"),
    ],
)
def test_settings_are_looked_at(vault: World, changed: dict[str, Any], name: str) -> None:
    given = settings(vault.token.address, vault.oracle.address, **changed)
    refusal = vault.chain.refused_deployment("Vault", given, vault.verifier.address)
    assert refusal == ("BadSetting", (name,))


def test_token_and_verifier_are_contracts(vault: World) -> None:
    given = settings(HOLDER.address, vault.oracle.address)
    refusal = vault.chain.refused_deployment("Vault", given, vault.verifier.address)
    assert refusal == ("NotAContract", (HOLDER.address.lower(),))
    given = settings(vault.token.address, vault.oracle.address)
    assert vault.chain.refused_deployment("Vault", given, HOLDER.address) == ("BadSetting", ("verifier",))


def test_the_vault_is_not_its_own_waterfall(vault: World) -> None:
    chain = vault.chain
    given = settings(vault.token.address, vault.oracle.address, waterfall=chain.next_contract())
    assert chain.refused_deployment("Vault", given, vault.verifier.address) == ("BadSetting", ("waterfall",))


# Collateral


def test_deposits_are_free_until_they_are_posted(vault: World) -> None:
    receipt = vault.deposit(1000)
    assert vault.events(receipt) == [
        ("Deposited", {"account": HOLDER.address, "from": HOLDER.address, "arrived": 1000})
    ]
    assert vault.balances() == (1000, 0)
    receipt = vault.send(vault.vault.functions.post(400), HOLDER)
    assert vault.events(receipt) == [("Posted", {"account": HOLDER.address, "amount": 400})]
    assert vault.balances() == (600, 400)
    receipt = vault.send(vault.vault.functions.withdraw(OTHER.address, 600), HOLDER)
    assert vault.events(receipt) == [("Withdrawn", {"account": HOLDER.address, "to": OTHER.address, "amount": 600})]
    assert vault.balances() == (0, 400)
    assert (vault.tokens(OTHER.address), vault.tokens(vault.vault.address)) == (600, 400)


def test_anyone_deposits_for_an_account_and_only_its_holder_withdraws(vault: World) -> None:
    vault.deposit(1000, STRANGER, HOLDER)
    assert vault.balances() == (1000, 0)
    functions = vault.vault.functions
    assert vault.refused(functions.withdraw(STRANGER.address, 1), STRANGER) == ("InsufficientFree", (0, 1))
    vault.send(functions.withdraw(HOLDER.address, 1000), HOLDER)
    assert vault.tokens(HOLDER.address) == 1000


def test_no_more_than_is_free_leaves_or_is_posted(vault: World) -> None:
    vault.deposit(1000)
    vault.send(vault.vault.functions.post(400), HOLDER)
    functions = vault.vault.functions
    assert vault.refused(functions.withdraw(HOLDER.address, 601), HOLDER) == ("InsufficientFree", (600, 601))
    assert vault.refused(functions.post(601), HOLDER) == ("InsufficientFree", (600, 601))


def test_a_withdrawal_of_nothing_moves_nothing(vault: World) -> None:
    vault.send(vault.vault.functions.withdraw(HOLDER.address, 0), HOLDER)
    assert vault.tokens(HOLDER.address) == 0


def test_an_account_holds_at_most_what_may_settle_in_a_block(vault: World) -> None:
    vault.deposit(CAP - 10)
    vault.send(vault.vault.functions.post(5), HOLDER)
    vault.fund(HOLDER, 11)
    deposit = vault.vault.functions.deposit
    assert vault.refused(deposit(HOLDER.address, 11), HOLDER) == ("VaultFull", (CAP + 1, CAP))
    vault.send(deposit(HOLDER.address, 10), HOLDER)
    assert vault.balances() == (CAP - 5, 5)


def test_a_deposit_of_nothing_is_refused(vault: World) -> None:
    vault.fund(HOLDER, 1)
    assert vault.refused(vault.vault.functions.deposit(HOLDER.address, 0), HOLDER).name == "NothingArrived"


def test_a_withdrawal_to_the_vault_itself_is_refused(vault: World) -> None:
    vault.deposit(1000)
    refusal = vault.refused(vault.vault.functions.withdraw(vault.vault.address, 10), HOLDER)
    assert refusal == ("WrongAmountLeft", (1000, 1000, 10))


# Release


def test_posted_collateral_comes_back_when_k_of_n_say_so(vault: World) -> None:
    vault.enrol(1000, 500)
    message = vault.release(200)
    call = vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message))
    receipt = vault.send(call)
    assert vault.events(receipt) == [
        ("Released", {"account": HOLDER.address, "log": LOG, "amount": 200, "sequence": 2})
    ]
    assert vault.balances() == (1200, 300)
    assert vault.refused(call) == ("WrongSequence", (2, 3))


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"vault": HOLDER.address}, ("ForeignVault", (HOLDER.address.lower(),))),
        ({"sequence": 1}, ("WrongSequence", (1, 2))),
        ({"sequence": 3}, ("WrongSequence", (3, 2))),
        ({"posted": 499}, ("WrongBalances", (1000, 499, 1000, 500))),
        ({"amount": 501}, ("InsufficientPosted", (500, 501))),
        ({"runs": 1}, ("StaleRelease", (1, 0))),
        ({"signerSet": 2}, ("WrongSignerSet", (2, 1))),
        ({"chain": 1}, ("ForeignChain", (1, None))),
    ],
)
def test_releases_that_are_refused(vault: World, changed: dict[str, Any], refusal: tuple[str, Any]) -> None:
    vault.enrol(1000, 500)
    message = vault.release(200, **changed)
    name, arguments = vault.refused(vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message)))
    wanted = tuple(vault.chain.id if one is None else one for one in refusal[1])
    assert (name, arguments) == (refusal[0], wanted)


def test_fewer_than_k_release_nothing(vault: World) -> None:
    vault.enrol(1000, 500)
    message = vault.release(200)
    call = vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message, SIGNERS[:2]))
    assert vault.refused(call) == ("TooFewSignatures", (2, THRESHOLD))


def test_nothing_is_released_while_a_run_is_open(vault: World) -> None:
    vault.enrol(1000, 500)
    message = vault.release(200)
    vault.open()
    call = vault.vault.functions.release(message, vault.sign("ReleaseAttestation", message))
    assert vault.refused(call) == ("RunIsOpen", (RUN,))


# Books


def registration(
    vault: World, holder: LocalAccount | None = HOLDER, keys: list[LocalAccount] = SIGNERS[:3], /, **changed: Any
) -> Any:
    """Return the call that registers the holder's book, signed by whoever signs for the holder."""
    message = vault.portfolio(**changed)
    signed = vault.sign("PortfolioAttestation", message, keys)
    document = typed_data("PortfolioAttestation", message, chain=vault.chain.id, contract=vault.oracle.address)
    held = (bytes(32), bytes(32), 0) if holder is None else signature(holder, document)
    return vault.vault.functions.registerPortfolio(message, held, signed)


def test_a_book_is_registered_by_the_holder_s_signature(vault: World) -> None:
    receipt = vault.send(registration(vault), STRANGER)
    assert vault.events(receipt) == [
        ("PortfolioRegistered", {"account": HOLDER.address, "commitments": BOOK, "sequence": 1})
    ]
    assert (vault.account()["commitments"], vault.state()) == (BOOK, "Settled")
    assert vault.vault.functions.holderOf(BOOK).call() == HOLDER.address


def test_a_book_is_registered_by_the_holder_itself_without_one(vault: World) -> None:
    vault.send(registration(vault, None), HOLDER)
    assert vault.account()["commitments"] == BOOK


def test_nobody_registers_a_book_for_somebody_else(vault: World) -> None:
    refusal = vault.refused(registration(vault, STRANGER))
    assert refusal == ("NotTheHolder", (STRANGER.address.lower(), HOLDER.address.lower()))


def test_a_broken_signature_is_nobody_s_not_even_the_zero_address_s(vault: World) -> None:
    assert vault.refused(registration(vault, None)) == ("NotTheHolder", (NOBODY, HOLDER.address.lower()))
    message = vault.portfolio(account=NOBODY, sequence=1)
    signed = vault.sign("PortfolioAttestation", message)
    call = vault.vault.functions.registerPortfolio(message, (bytes(32), bytes(32), 0), signed)
    assert vault.refused(call) == ("NotTheHolder", (NOBODY, NOBODY))


def test_the_holder_s_signature_has_one_form(vault: World) -> None:
    message = vault.portfolio()
    document = typed_data("PortfolioAttestation", message, chain=vault.chain.id, contract=vault.oracle.address)
    held = second_form(signature(HOLDER, document))
    signed = vault.sign("PortfolioAttestation", message)
    assert vault.refused(vault.vault.functions.registerPortfolio(message, held, signed)).name == "MalleableSignature"


def test_a_holder_registers_no_book_that_k_of_n_did_not_verify(vault: World) -> None:
    refusal = vault.refused(registration(vault, HOLDER, SIGNERS[:2]), HOLDER)
    assert refusal == ("TooFewSignatures", (2, THRESHOLD))


def test_somebody_else_s_book_is_refused(vault: World) -> None:
    vault.enrol(1000, 500)
    message = vault.portfolio(OTHER, BOOK)
    signed = vault.sign("PortfolioAttestation", message)
    call = vault.vault.functions.registerPortfolio(message, signed[0], signed)
    assert vault.refused(call, OTHER) == ("CommitmentsTaken", (HOLDER.address.lower(),))


def test_no_book_is_none(vault: World) -> None:
    assert vault.refused(registration(vault, commitments=bytes(32))).name == "NoCommitments"


def test_books_follow_each_other_and_none_comes_back_by_an_old_document(vault: World) -> None:
    first = registration(vault)
    vault.send(first)
    vault.register(book=OTHER_BOOK)
    assert vault.refused(first) == ("WrongSequence", (1, 3))
    # The account's own earlier book may come back, by a new document.
    vault.register(book=BOOK)
    assert vault.account()["commitments"] == BOOK


def test_a_book_for_another_vault_is_refused(vault: World) -> None:
    refusal = vault.refused(registration(vault, vault=STRANGER.address))
    assert refusal == ("ForeignVault", (STRANGER.address.lower(),))


def test_no_book_is_registered_while_a_run_is_open(vault: World) -> None:
    vault.enrol(1000, 500)
    later = registration(vault, commitments=OTHER_BOOK)
    vault.open()
    assert vault.refused(later) == ("RunIsOpen", (RUN,))


# Runs


def test_a_run_takes_a_picture_and_locks_it(vault: World, chain: Chain) -> None:
    vault.enrol(1000, 500)
    receipt = vault.open()
    deadline = chain.now() + RUN_SECONDS
    assert vault.events(receipt) == [
        (
            "SettlementRequested",
            {
                "run": RUN,
                "account": HOLDER.address,
                "tick": 1,
                "commitments": BOOK,
                "free": 1000,
                "posted": 500,
                "deadline": deadline,
            },
        )
    ]
    assert (vault.state(), vault.run_state(), vault.account()["run"]) == ("Valuation", "Valuation", RUN)
    functions = vault.vault.functions
    assert vault.refused(functions.withdraw(HOLDER.address, 1), HOLDER) == ("RunIsOpen", (RUN,))
    assert vault.refused(functions.post(1), HOLDER) == ("RunIsOpen", (RUN,))
    # What arrives meanwhile is the account's and does not enter the picture.
    vault.deposit(7, STRANGER, HOLDER)
    assert vault.balances() == (1007, 500)
    assert tuple(functions.runOf(RUN).call()[5:]) == (1000, 500)
    assert vault.refused(functions.withdraw(HOLDER.address, 1), HOLDER) == ("RunIsOpen", (RUN,))


def test_only_the_operator_opens_and_ends_runs(vault: World) -> None:
    vault.enrol(1000, 500)
    functions = vault.vault.functions
    wanted = ("NotOperator", (HOLDER.address.lower(),))
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 1, BOOK, 0), HOLDER) == wanted
    vault.open()
    assert vault.refused(functions.endCovered(RUN), HOLDER) == wanted


def test_an_account_without_a_book_has_no_runs(vault: World) -> None:
    vault.deposit(1000)
    call = vault.vault.functions.openRun(RUN, HOLDER.address, 1, BOOK, 0)
    assert vault.refused(call, OPERATOR) == ("UnknownAccount", (HOLDER.address.lower(),))


def test_a_run_is_opened_once(vault: World) -> None:
    vault.enrol(1000, 500)
    vault.enrol(0, 0, OTHER, OTHER_BOOK)
    vault.open()
    functions = vault.vault.functions
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 2, BOOK, 0), OPERATOR) == ("RunIsOpen", (RUN,))
    assert vault.refused(functions.openRun(digest("next"), HOLDER.address, 2, BOOK, 0), OPERATOR) == (
        "RunIsOpen",
        (RUN,),
    )
    assert vault.refused(functions.openRun(RUN, OTHER.address, 2, OTHER_BOOK, 0), OPERATOR) == ("RunKnown", (RUN,))
    vault.send(functions.endCovered(RUN), OPERATOR)
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 2, BOOK, 0), OPERATOR) == ("RunKnown", (RUN,))
    assert vault.refused(functions.openRun(bytes(32), HOLDER.address, 2, BOOK, 0), OPERATOR) == (
        "RunKnown",
        (bytes(32),),
    )


def test_runs_are_at_later_and_later_ticks(vault: World) -> None:
    vault.enrol(1000, 500)
    functions = vault.vault.functions
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 0, BOOK, 0), OPERATOR) == ("StaleTick", (0, 0))
    vault.open(tick=3)
    vault.send(functions.endCovered(RUN), OPERATOR)
    for tick in (2, 3):
        call = functions.openRun(digest("next"), HOLDER.address, tick, BOOK, 0)
        assert vault.refused(call, OPERATOR) == ("StaleTick", (tick, 3))
    vault.open(digest("next"), tick=4)


def test_a_run_that_lapsed_is_opened_again_at_its_tick(vault: World) -> None:
    vault.enrol(1000, 500)
    functions = vault.vault.functions
    vault.open(tick=3)
    vault.chain.travel(RUN_SECONDS + 1)
    vault.send(functions.lapse(RUN))
    assert vault.account()["lapsed"]
    earlier = functions.openRun(digest("next"), HOLDER.address, 2, BOOK, 0)
    assert vault.refused(earlier, OPERATOR) == ("StaleTick", (2, 3))
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 3, BOOK, 0), OPERATOR) == ("RunKnown", (RUN,))
    vault.open(digest("next"), tick=3)
    assert not vault.account()["lapsed"]
    vault.send(functions.endCovered(digest("next")), OPERATOR)
    again = functions.openRun(digest("third"), HOLDER.address, 3, BOOK, 0)
    assert vault.refused(again, OPERATOR) == ("StaleTick", (3, 3))


def test_a_run_is_on_any_book_that_the_account_registered_and_on_no_other(vault: World) -> None:
    vault.enrol(1000, 500)
    vault.enrol(0, 0, OTHER, OTHER_BOOK)
    functions = vault.vault.functions
    nobody = functions.openRun(RUN, HOLDER.address, 1, digest("unregistered"), 0)
    assert vault.refused(nobody, OPERATOR) == ("NotTheBook", (digest("unregistered"), NOBODY))
    assert vault.refused(functions.openRun(RUN, HOLDER.address, 1, bytes(32), 0), OPERATOR).name == "NotTheBook"
    others = functions.openRun(RUN, HOLDER.address, 1, OTHER_BOOK, 0)
    assert vault.refused(others, OPERATOR) == ("NotTheBook", (OTHER_BOOK, OTHER.address.lower()))
    vault.register(HOLDER, digest("another book"))
    vault.open(book=BOOK)
    assert functions.runOf(RUN).call()[4] == BOOK
    # What was proven of the book that was replaced settles.
    vault.settle(100)
    assert vault.balances() == (800, 700)
    assert vault.account()["commitments"] == digest("another book")


def test_a_run_counts_what_its_operator_says_of_what_is_posted(vault: World) -> None:
    vault.enrol(1000, 500)
    functions = vault.vault.functions
    more = functions.openRun(RUN, HOLDER.address, 1, BOOK, 501)
    assert vault.refused(more, OPERATOR) == ("InsufficientPosted", (500, 501))
    # Whoever posts a little more just before does not keep what was proven of 500 from being settled.
    vault.send(functions.post(1), HOLDER)
    vault.open(posted=500)
    assert tuple(functions.runOf(RUN).call()[5:]) == (999, 500)
    vault.settle(100)
    assert vault.balances() == (799, 701)


def test_a_covered_run_ends_and_unlocks(vault: World) -> None:
    vault.enrol(1000, 500)
    vault.open()
    functions = vault.vault.functions
    receipt = vault.send(functions.endCovered(RUN), OPERATOR)
    assert vault.events(receipt) == [("RunEnded", {"run": RUN, "account": HOLDER.address, "state": 2})]
    assert (vault.state(), vault.run_state(), vault.account()["run"]) == ("Settled", "Covered", bytes(32))
    assert vault.refused(functions.endCovered(RUN), OPERATOR) == ("RunNotOpen", (RUN,))
    vault.send(functions.withdraw(HOLDER.address, 1000), HOLDER)
    assert vault.balances() == (0, 500)


def test_a_run_lapses_when_its_time_is_over_and_not_before(vault: World, chain: Chain) -> None:
    vault.enrol(1000, 500)
    vault.open()
    deadline = chain.now() + RUN_SECONDS
    lapse = vault.vault.functions.lapse(RUN)
    chain.travel(RUN_SECONDS - 5)
    assert vault.refused(lapse) == ("RunNotOver", (RUN, deadline))
    chain.travel(10)
    receipt = vault.send(lapse, STRANGER)
    assert vault.events(receipt) == [("RunEnded", {"run": RUN, "account": HOLDER.address, "state": 3})]
    assert (vault.state(), vault.run_state()) == ("Settled", "Lapsed")
    assert vault.refused(lapse) == ("RunNotOpen", (RUN,))


def test_an_unknown_run_neither_ends_nor_lapses(vault: World) -> None:
    unknown = digest("unknown")
    assert vault.refused(vault.vault.functions.endCovered(unknown), OPERATOR) == ("RunNotOpen", (unknown,))
    assert vault.refused(vault.vault.functions.lapse(unknown)) == ("RunNotOpen", (unknown,))


# Pause


def test_the_guardian_stops_everything_and_nothing_else_can(vault: World) -> None:
    vault.enrol(1000, 500)
    vault.open()
    functions = vault.vault.functions
    settle = vault.settling(vault.decided(10))
    released = vault.release(1)
    wanted = ("NotGuardian", (OPERATOR.address.lower(),))
    assert vault.refused(functions.pause(), OPERATOR) == wanted
    assert vault.refused(functions.unpause(), OPERATOR) == wanted
    assert vault.refused(functions.unpause(), GUARDIAN).name == "NotPaused"
    assert vault.events(vault.send(functions.pause(), GUARDIAN)) == [("Paused", {})]
    for call, sender in [
        (functions.deposit(HOLDER.address, 1), HOLDER),
        (functions.withdraw(HOLDER.address, 1), HOLDER),
        (functions.post(1), HOLDER),
        (functions.release(released, vault.sign("ReleaseAttestation", released)), HOLDER),
        (registration(vault), HOLDER),
        (functions.openRun(digest("next"), HOLDER.address, 2, BOOK, 0), OPERATOR),
        (functions.endCovered(RUN), OPERATOR),
        (functions.lapse(RUN), HOLDER),
        (settle, OPERATOR),
        (functions.pause(), GUARDIAN),
    ]:
        assert vault.refused(call, sender).name == "IsPaused", call.fn_name
    assert vault.events(vault.send(functions.unpause(), GUARDIAN)) == [("Unpaused", {})]
    vault.send(settle)
    assert vault.balances() == (980, 520)


def test_no_time_passes_for_a_run_while_the_vault_is_paused(vault: World, chain: Chain) -> None:
    vault.enrol(1000, 500)
    vault.open()
    functions = vault.vault.functions
    settle = vault.settling(vault.decided(10))
    for _ in range(2):
        vault.send(functions.pause(), GUARDIAN)
        stopped = functions.clock().call()
        chain.travel(10 * RUN_SECONDS)
        assert functions.clock().call() == stopped
        vault.send(functions.unpause(), GUARDIAN)
    assert vault.refused(functions.lapse(RUN)).name == "RunNotOver"
    settle.call({"from": STRANGER.address})
    chain.travel(RUN_SECONDS)
    assert vault.refused(settle).name == "RunOver"
    vault.send(functions.lapse(RUN))
