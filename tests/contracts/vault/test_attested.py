"""The vault that believes an agent and waits for a challenge: it verifies no proof, and says so in its name."""

from typing import Any

import pytest

from .chain import Chain
from .world import (
    AGENT,
    BOOK,
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
    WATERFALL,
    World,
    digest,
    second_form,
    settings,
)

CHALLENGE_SECONDS = 900


@pytest.fixture
def vault(chain: Chain) -> World:
    """An attested vault; there is no verifier, and the token stands in its place."""
    token = chain.deploy("test/Token")
    oracle = chain.deploy("MatrixOracle", [one.address for one in SIGNERS], THRESHOLD)
    made = chain.deploy("AttestedVault", settings(token.address, oracle.address), AGENT.address, CHALLENGE_SECONDS)
    return World(chain, token, oracle, token, made)


@pytest.fixture
def opened(vault: World) -> World:
    """A holder with 1,000 free and 500 posted, and its run."""
    vault.enrol(1000, 500)
    vault.open()
    return vault


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
def test_settings_are_looked_at(vault: World, agent: str, seconds: int, name: str) -> None:
    given = settings(vault.token.address, vault.oracle.address)
    assert vault.chain.refused_deployment("AttestedVault", given, agent, seconds) == ("BadSetting", (name,))


def test_what_nobody_challenges_settles_after_the_window(opened: World, chain: Chain) -> None:
    receipt = opened.send(proposing(opened))
    from_ = chain.now() + CHALLENGE_SECONDS
    same = {"run": RUN, "account": HOLDER.address, "log": LOG}
    assert opened.events(receipt) == [("SettlementProposed", same | {"amount": 200, "executableFrom": from_})]
    execute = opened.vault.functions.execute(RUN)
    refusal = opened.refused(execute)
    assert (refusal.name, refusal.arguments[0]) == ("StillChallengeable", from_)
    assert opened.balances() == (1000, 500)
    chain.travel(CHALLENGE_SECONDS)
    receipt = opened.send(execute)
    assert opened.events(receipt) == [
        ("SettlementDetermined", same | {"topUp": 100, "amount": 200}),
        ("SettlementTransferred", same | {"amount": 200}),
    ]
    assert (opened.balances(), opened.run_state()) == ((800, 700), "Settled")
    assert opened.refused(execute) == ("RunNotOpen", (RUN,))
    assert opened.refused(opened.vault.functions.lapse(RUN)) == ("RunNotOpen", (RUN,))


def test_it_liquidates_too(opened: World, chain: Chain) -> None:
    opened.send(proposing(opened, attested(opened, topUp=501, amount=1002)))
    chain.travel(CHALLENGE_SECONDS)
    opened.send(opened.vault.functions.execute(RUN))
    assert (opened.state(), opened.tokens(WATERFALL.address)) == ("Terminated", 1500)


def test_what_arrives_in_the_window_meets_the_call(opened: World, chain: Chain) -> None:
    opened.send(proposing(opened, attested(opened, topUp=501, amount=1002)))
    opened.deposit(2)
    chain.travel(CHALLENGE_SECONDS)
    opened.send(opened.vault.functions.execute(RUN))
    assert opened.balances() == (0, 1502)


@pytest.mark.parametrize("challenger", [SIGNERS[0], SIGNERS[4], GUARDIAN], ids=["signer", "another", "guardian"])
@pytest.mark.parametrize("late", [False, True], ids=["in the window", "until it is executed"])
def test_one_signer_or_the_guardian_stops_it(opened: World, chain: Chain, challenger: Any, late: bool) -> None:
    opened.send(proposing(opened))
    if late:
        chain.travel(CHALLENGE_SECONDS)
    functions = opened.vault.functions
    receipt = opened.send(functions.challenge(RUN), challenger)
    assert opened.events(receipt) == [("RunEnded", {"run": RUN, "account": HOLDER.address, "state": 4})]
    chain.travel(CHALLENGE_SECONDS)
    assert opened.refused(functions.execute(RUN)) == ("RunNotOpen", (RUN,))
    assert opened.refused(functions.challenge(RUN), challenger) == ("RunNotOpen", (RUN,))
    assert opened.refused(proposing(opened)) == ("RunNotOpen", (RUN,))
    assert (opened.balances(), opened.state(), opened.run_state()) == ((1000, 500), "Settled", "Challenged")


@pytest.mark.parametrize("caller", [HOLDER, OPERATOR, AGENT, STRANGER], ids=["holder", "operator", "agent", "stranger"])
def test_nobody_else_challenges(opened: World, caller: Any) -> None:
    opened.send(proposing(opened))
    refusal = opened.refused(opened.vault.functions.challenge(RUN), caller)
    assert refusal == ("NotAChallenger", (caller.address.lower(),))


def test_there_is_nothing_to_challenge_or_execute_without_a_proposal(opened: World) -> None:
    functions = opened.vault.functions
    assert opened.refused(functions.challenge(RUN), GUARDIAN) == ("NoProposal", (RUN,))
    assert opened.refused(functions.execute(RUN)) == ("NoProposal", (RUN,))


def test_a_proposal_keeps_the_run_open(opened: World, chain: Chain) -> None:
    opened.send(proposing(opened))
    functions = opened.vault.functions
    assert opened.refused(proposing(opened, attested(opened, amount=300))) == ("ProposalPending", (RUN,))
    assert opened.refused(functions.endCovered(RUN), OPERATOR) == ("ProposalPending", (RUN,))
    chain.travel(RUN_SECONDS + 1)
    assert opened.refused(functions.lapse(RUN)) == ("ProposalPending", (RUN,))
    assert opened.refused(functions.withdraw(HOLDER.address, 1), HOLDER) == ("RunIsOpen", (RUN,))


def test_a_run_without_a_proposal_ends_as_in_the_other_vault(opened: World, chain: Chain) -> None:
    chain.travel(RUN_SECONDS + 1)
    assert opened.refused(proposing(opened)).name == "RunOver"
    opened.send(opened.vault.functions.lapse(RUN))
    assert opened.run_state() == "Lapsed"


def test_no_time_passes_for_the_window_while_the_vault_is_paused(opened: World, chain: Chain) -> None:
    opened.send(proposing(opened))
    functions = opened.vault.functions
    opened.send(functions.pause(), GUARDIAN)
    for call, sender in (
        (functions.challenge(RUN), SIGNERS[0]),
        (functions.execute(RUN), STRANGER),
        (proposing(opened), STRANGER),
    ):
        assert opened.refused(call, sender).name == "IsPaused"
    chain.travel(2 * CHALLENGE_SECONDS)
    opened.send(functions.unpause(), GUARDIAN)
    assert opened.refused(functions.execute(RUN)).name == "StillChallengeable"


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
def test_what_is_attested_of_another_run_is_refused(opened: World, name: str) -> None:
    changed, (error, arguments) = ATTESTED[name]
    wanted = tuple(opened.chain.id if one is None else one for one in arguments)
    assert opened.refused(proposing(opened, attested(opened, **changed))) == (error, wanted)


def test_an_expired_attestation_is_refused(opened: World, chain: Chain) -> None:
    message = attested(opened, expiry=chain.now() + 50)
    chain.travel(60)
    assert opened.refused(proposing(opened, message)).name == "Expired"


def test_only_the_agent_s_word_counts_and_in_one_form(opened: World) -> None:
    refusal = opened.refused(proposing(opened, signer=STRANGER))
    assert refusal == ("NotAgent", (STRANGER.address.lower(),))
    message = attested(opened)
    (signed,) = opened.sign("AgentAttestation", message, [AGENT], contract=opened.vault.address)
    propose = opened.vault.functions.propose
    assert opened.refused(propose(message, second_form(signed))) == ("MalleableSignature", (0,))
    assert opened.refused(propose(message, (signed[0], signed[1], 0))) == ("NotAgent", (NOBODY,))
    assert opened.refused(propose(message | {"amount": 201}, signed)).name == "NotAgent"
    # For the domain of another contract it is no word of the agent's.
    (signed,) = opened.sign("AgentAttestation", message, [AGENT], contract=opened.oracle.address)
    assert opened.refused(propose(message, signed)).name == "NotAgent"
