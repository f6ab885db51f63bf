"""The vault that believes an agent and waits for a challenge: it verifies no proof, and says so in its name."""

from typing import Any

import pytest
from eth_utils import keccak

from .chain import Chain
from .world import (
    AGENT,
    BOOK,
    CHALLENGE_SECONDS,
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
    WATERFALL,
    World,
    attesting_world,
    digest,
    second_form,
    settings,
)


def attested(vault: World, /, **changed: Any) -> dict[str, Any]:
    message = {
        "chain": vault.chain.id,
        "vault": vault.vault.address,
        "account": HOLDER.address,
        "run": RUN,
        "tick": 1,
        "log": LOG,
        "commitments": BOOK,
        "free": 1000,
        "posted": 500,
        "topUp": 100,
        "amount": 200,
        "expiry": vault.soon(),
    }
    return message | changed


def proposing(vault: World, message: dict[str, Any] | None = None, signer: Any = AGENT) -> Any:
    message = attested(vault) if message is None else message
    (signed,) = vault.sign("AgentAttestation", message, [signer], contract=vault.vault.address)
    return vault.vault.functions.propose(message, signed)


@pytest.mark.parametrize(
    ("agent", "seconds", "name"),
    [
        (NOBODY, CHALLENGE_SECONDS, "agent"),
        (AGENT.address, 0, "challengeSeconds"),
        (AGENT.address, 7 * 86400 + 1, "challengeSeconds"),
    ],
)
def test_settings_are_looked_at(pending: World, agent: str, seconds: int, name: str) -> None:
    given = settings(pending.token.address, pending.oracle.address)
    assert pending.chain.refused_deployment("AttestedVault", given, agent, seconds) == ("BadSetting", (name,))


def test_what_nobody_challenges_settles_after_the_window(pending: World) -> None:
    receipt = pending.send(proposing(pending))
    from_ = pending.chain.now() + CHALLENGE_SECONDS
    same = {"run": RUN, "account": HOLDER.address, "log": LOG}
    assert pending.events(receipt) == [("SettlementProposed", same | {"amount": 200, "executableFrom": from_})]
    execute = pending.vault.functions.execute(RUN)
    refusal = pending.refused(execute)
    assert (refusal.name, refusal.arguments[0]) == ("StillChallengeable", from_)
    assert pending.balances() == (1000, 500)
    pending.chain.travel(CHALLENGE_SECONDS)
    receipt = pending.send(execute)
    assert pending.events(receipt) == [
        ("SettlementDetermined", same | {"topUp": 100, "amount": 200}),
        ("SettlementTransferred", same | {"amount": 200}),
    ]
    assert (pending.balances(), pending.run_state()) == ((800, 700), "Settled")
    assert pending.refused(execute) == ("RunNotOpen", (RUN,))
    assert pending.refused(pending.vault.functions.lapse(RUN)) == ("RunNotOpen", (RUN,))


def test_it_liquidates_too(pending: World) -> None:
    pending.send(proposing(pending, attested(pending, topUp=501, amount=1002)))
    pending.chain.travel(CHALLENGE_SECONDS)
    pending.send(pending.vault.functions.execute(RUN))
    assert (pending.state(), pending.tokens(WATERFALL.address)) == ("Terminated", 1500)


def test_what_arrives_in_the_window_meets_the_call(pending: World) -> None:
    pending.send(proposing(pending, attested(pending, topUp=501, amount=1002)))
    pending.deposit(2)
    pending.chain.travel(CHALLENGE_SECONDS)
    pending.send(pending.vault.functions.execute(RUN))
    assert pending.balances() == (0, 1502)


@pytest.mark.parametrize("challenger", [SIGNERS[0], SIGNERS[4], GUARDIAN], ids=["signer", "another", "guardian"])
@pytest.mark.parametrize("late", [False, True], ids=["in the window", "until it is executed"])
def test_one_signer_or_the_guardian_stops_it(pending: World, challenger: Any, late: bool) -> None:
    pending.send(proposing(pending))
    if late:
        pending.chain.travel(CHALLENGE_SECONDS)
    functions = pending.vault.functions
    receipt = pending.send(functions.challenge(RUN), challenger)
    assert pending.events(receipt) == [("RunEnded", {"run": RUN, "account": HOLDER.address, "state": 4})]
    pending.chain.travel(CHALLENGE_SECONDS)
    assert pending.refused(functions.execute(RUN)) == ("RunNotOpen", (RUN,))
    assert pending.refused(functions.challenge(RUN), challenger) == ("RunNotOpen", (RUN,))
    assert pending.refused(proposing(pending)) == ("RunNotOpen", (RUN,))
    assert (pending.balances(), pending.state(), pending.run_state()) == ((1000, 500), "Settled", "Challenged")


@pytest.mark.parametrize("caller", [HOLDER, OPERATOR, AGENT, STRANGER], ids=["holder", "operator", "agent", "stranger"])
def test_nobody_else_challenges(pending: World, caller: Any) -> None:
    pending.send(proposing(pending))
    refusal = pending.refused(pending.vault.functions.challenge(RUN), caller)
    assert refusal == ("NotAChallenger", (caller.address.lower(),))


def test_there_is_nothing_to_challenge_or_execute_without_a_proposal(pending: World) -> None:
    functions = pending.vault.functions
    assert pending.refused(functions.challenge(RUN), GUARDIAN) == ("NoProposal", (RUN,))
    assert pending.refused(functions.execute(RUN)) == ("NoProposal", (RUN,))


def test_a_proposal_keeps_the_run_open(pending: World) -> None:
    pending.send(proposing(pending))
    functions = pending.vault.functions
    assert pending.refused(proposing(pending, attested(pending, amount=300))) == ("ProposalPending", (RUN,))
    assert pending.refused(functions.endCovered(RUN), OPERATOR) == ("ProposalPending", (RUN,))
    pending.chain.travel(RUN_SECONDS + 1)
    assert pending.refused(functions.lapse(RUN)) == ("ProposalPending", (RUN,))
    assert pending.refused(functions.withdraw(HOLDER.address, 1), HOLDER) == ("RunIsOpen", (RUN,))


def test_a_run_without_a_proposal_ends_as_in_the_other_vault(pending: World) -> None:
    pending.chain.travel(RUN_SECONDS + 1)
    assert pending.refused(proposing(pending)).name == "RunOver"
    pending.send(pending.vault.functions.lapse(RUN))
    assert pending.run_state() == "Lapsed"


def test_no_time_passes_for_the_window_while_the_vault_is_paused(pending: World) -> None:
    pending.send(proposing(pending))
    functions = pending.vault.functions
    pending.send(functions.pause(), GUARDIAN)
    for call, sender in (
        (functions.challenge(RUN), SIGNERS[0]),
        (functions.execute(RUN), STRANGER),
        (proposing(pending), STRANGER),
    ):
        assert pending.refused(call, sender).name == "IsPaused"
    pending.chain.travel(2 * CHALLENGE_SECONDS)
    pending.send(functions.unpause(), GUARDIAN)
    assert pending.refused(functions.execute(RUN)).name == "StillChallengeable"


ATTESTED: dict[str, tuple[dict[str, Any], tuple[str, tuple[Any, ...]]]] = {
    "vault": ({"vault": HOLDER.address}, ("ForeignVault", (HOLDER.address.lower(),))),
    "run": ({"run": digest("another")}, ("RunNotOpen", (digest("another"),))),
    "account": ({"account": OTHER.address}, ("OtherRun", (RUN,))),
    "tick": ({"tick": 2}, ("OtherRun", (RUN,))),
    "book": ({"commitments": OTHER_BOOK}, ("OtherRun", (RUN,))),
    "free": ({"free": 999}, ("WrongBalances", (999, 500, 1000, 500))),
    "posted": ({"posted": 499}, ("WrongBalances", (1000, 499, 1000, 500))),
    "no top-up": ({"topUp": 0}, ("NoTopUp", ())),
    "nothing to move": ({"amount": 0}, ("NoTopUp", ())),
    "chain": ({"chain": 1}, ("ForeignChain", (1, None))),
}


@pytest.mark.parametrize("name", ATTESTED)
def test_what_is_attested_of_another_run_is_refused(pending: World, name: str) -> None:
    changed, (error, arguments) = ATTESTED[name]
    wanted = tuple(pending.chain.id if one is None else one for one in arguments)
    assert pending.refused(proposing(pending, attested(pending, **changed))) == (error, wanted)


def test_an_expired_attestation_is_refused(pending: World) -> None:
    message = attested(pending, expiry=pending.chain.now() + 50)
    pending.chain.travel(60)
    assert pending.refused(proposing(pending, message)).name == "Expired"


def test_only_the_agent_s_word_counts_and_in_one_form(pending: World) -> None:
    refusal = pending.refused(proposing(pending, signer=STRANGER))
    assert refusal == ("NotAgent", (STRANGER.address.lower(),))
    message = attested(pending)
    (signed,) = pending.sign("AgentAttestation", message, [AGENT], contract=pending.vault.address)
    propose = pending.vault.functions.propose
    assert pending.refused(propose(message, second_form(signed))) == ("MalleableSignature", (0,))
    assert pending.refused(propose(message, (signed[0], signed[1], 0))) == ("NotAgent", (NOBODY,))
    assert pending.refused(propose(message | {"amount": 201}, signed)).name == "NotAgent"
    # For the domain of another contract it is no word of the agent's.
    (signed,) = pending.sign("AgentAttestation", message, [AGENT], contract=pending.oracle.address)
    assert pending.refused(propose(message, signed)).name == "NotAgent"


def test_a_hostile_token_gets_in_nowhere_while_it_is_called(chain: Chain) -> None:
    vault = attesting_world(chain, "CallingToken")
    vault.enrol(1000, 500)
    vault.open()
    vault.fund(OTHER, 1000)
    functions = vault.vault.functions
    for call in (proposing(vault), functions.challenge(RUN), functions.execute(RUN)):
        vault.send(vault.token.functions.call(vault.vault.address, vault.message(call)))
        vault.send(functions.deposit(OTHER.address, 10), OTHER)
        assert not vault.token.functions.reached().call()
        assert bytes(vault.token.functions.answer().call()) == keccak(text="Reentered()")[:4]
