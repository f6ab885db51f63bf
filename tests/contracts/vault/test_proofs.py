"""Settlements on real proofs, by the real verifier: nothing stands in for anything here."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.contracts.deploy import deploy_verifier

from .answers import Answered, answer, invented
from .chain import new_chain
from .world import HOLDER, OTHER, PEOPLE, RUN, STRANGER, WATERFALL, Proofs, World, world

TOP_UP = 100


@pytest.fixture(scope="module")
def proving() -> World:
    """A vault with the real verifier."""
    chain = new_chain(PEOPLE)
    return world(chain, verifier=deploy_verifier(chain.w3, chain.w3.eth.accounts[0]))


@pytest.fixture(scope="module")
def answered() -> Answered:
    return answer(TOP_UP)


@pytest.fixture(scope="module")
def of_another_run() -> Answered:
    return answer(TOP_UP, run="another")


@pytest.fixture(scope="module")
def of_somebody_else() -> Answered:
    return answer(TOP_UP, owner=1)


@pytest.fixture
def proven(proving: World, answered: Answered) -> Iterator[World]:
    """The holder's run on its real book, with 1,000 free and 500 posted."""
    before = proving.chain.machine.take_snapshot()
    proving.enrol(1000, 500, book=answered.breach.commitments)
    proving.open()
    yield proving
    proving.chain.machine.revert_to_snapshot(before)


def settling(vault: World, proofs: Proofs, answered: Answered, **changed: Any) -> Any:
    return vault.settling(proofs, vault.matrices(**{**answered.attested, **changed}))


def test_a_proven_breach_moves_its_proven_top_up(proven: World, answered: Answered) -> None:
    receipt = proven.send(settling(proven, answered.proofs, answered))
    assert [name for name, _ in proven.events(receipt)] == ["SettlementDetermined", "SettlementTransferred"]
    assert proven.balances() == (1000 - 2 * TOP_UP, 500 + 2 * TOP_UP)
    again = settling(proven, answered.proofs, answered)
    assert proven.refused(again) == ("RunNotOpen", (RUN,))


def test_a_proven_top_up_that_is_not_there_liquidates(proven: World, answered: Answered) -> None:
    proven.send(settling(proven, answered.proofs, answered, rate=11 * 10**18))
    assert (proven.state(), proven.tokens(WATERFALL.address)) == ("Terminated", 1500)


@pytest.mark.long
@pytest.mark.parametrize("part", ["breach_statement", "breach_proof", "top_up_statement", "top_up_proof"])
@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_no_byte_may_be_another(proven: World, answered: Answered, part: str, place: float) -> None:
    data = bytearray(getattr(answered.proofs, part))
    data[int(place * (len(data) - 1))] ^= 1
    changed = replace(answered.proofs, **{part: bytes(data)})
    # Refused by whatever looks at it first: a point, an equation, or a hash that is not what was attested.
    assert proven.refused(settling(proven, changed, answered)).name
    assert proven.run_state() == "Valuation"


def test_genuine_proofs_of_another_run_settle_nothing(
    proven: World, answered: Answered, of_another_run: Answered
) -> None:
    refusal = proven.refused(settling(proven, of_another_run.proofs, answered))
    assert refusal == ("WrongContext", (of_another_run.breach.context, answered.breach.context))
    mixed = replace(
        answered.proofs,
        top_up_statement=of_another_run.proofs.top_up_statement,
        top_up_proof=of_another_run.proofs.top_up_proof,
    )
    refusal = proven.refused(settling(proven, mixed, answered))
    assert refusal == ("WrongContext", (of_another_run.top_up.context, answered.top_up.context))


def test_genuine_proofs_of_somebody_else_settle_nothing(
    proven: World, answered: Answered, of_somebody_else: Answered
) -> None:
    theirs, mine = of_somebody_else.breach.commitments, answered.breach.commitments
    refusal = proven.refused(settling(proven, of_somebody_else.proofs, answered))
    assert refusal == ("WrongCommitments", (theirs, mine))
    # Not even if the signers are wrong about whose book it is.
    refusal = proven.refused(settling(proven, of_somebody_else.proofs, of_somebody_else))
    assert refusal == ("WrongCommitments", (theirs, mine))


def test_a_breach_proof_is_no_proof_of_a_top_up(proven: World, answered: Answered) -> None:
    proofs = answered.proofs
    swapped = Proofs(proofs.top_up_statement, proofs.top_up_proof, proofs.breach_statement, proofs.breach_proof)
    assert proven.refused(settling(proven, swapped, answered)).name
    for function in ("verifyBreach", "verifySufficiency"):
        call = proven.verifier.functions[function]
        one = (proofs.breach_statement, proofs.breach_proof)
        other = (proofs.top_up_statement, proofs.top_up_proof)
        good, bad = (one, other) if function == "verifyBreach" else (other, one)
        assert call(*good).call()
        assert proven.refused(call(*bad)).name


def test_the_holder_of_another_account_is_not_settled_by_these_proofs(proven: World, answered: Answered) -> None:
    call = settling(proven, answered.proofs, answered, account=OTHER.address)
    assert proven.refused(call, STRANGER) == (
        "WrongRunAccount",
        (OTHER.address.lower(), HOLDER.address.lower()),
    )


def test_chains_are_apart(proven: World, answered: Answered) -> None:
    call = settling(proven, answered.proofs, answered, chain=proven.chain.id + 1)
    assert proven.refused(call) == ("ForeignChain", (proven.chain.id + 1, proven.chain.id))


@pytest.mark.parametrize("said", [TOP_UP - 50, TOP_UP + 50])
def test_a_proof_of_another_x_than_its_context_s_settles_nothing(proven: World, said: int) -> None:
    """The prover may not choose between the X of its answer and another one that suffices."""
    answered = answer(TOP_UP, said=said)
    message = proven.matrices(**answered.attested, topUp=said)
    call = proven.settling(answered.proofs, message, proven.sign("MatrixAttestation", message))
    assert proven.refused(call) == ("WrongTopUp", (TOP_UP, said))


def test_k_signers_alone_liquidate_while_a_run_is_open(proven: World) -> None:
    """Not to be prevented: k of n say what A and c are, and rows of zeros are proven by whoever has V."""
    made = invented(10**6)
    proven.send(settling(proven, made.proofs, made))
    assert (proven.state(), proven.tokens(WATERFALL.address)) == ("Terminated", 1500)
