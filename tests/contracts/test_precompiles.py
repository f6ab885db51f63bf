"""What the verifier does where a precompile is missing or fails, and on challenges that nobody meets by chance."""

from collections.abc import Callable
from typing import Any

import pytest
from eth.exceptions import OutOfGas
from eth.vm.forks.prague.computation import PragueComputation
from eth_tester.exceptions import TransactionFailed

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import deploy
from atomic_margin.contracts.errors import ContractsError
from atomic_margin.contracts.generator_blocks import generator_blocks
from atomic_margin.zk import BreachStatement, verify_breach
from atomic_margin.zk.choice import ChoiceProof, choice_bytes, choice_challenge
from atomic_margin.zk.errors import BreachProofInvalid
from atomic_margin.zk.groups import ORDER

from .cases import Case, statement_places
from .chains import Verifier

SHA256, MODEXP, G1MSM = 0x02, 0x05, 0x0C
HALF_OF_A_CHALLENGE = 34
"""Bytes that are hashed for it: a state, and which half."""

Precompile = Callable[[PragueComputation], PragueComputation]
Replace = Callable[[int, Callable[[Precompile], Precompile] | None], None]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Puts another precompile in the place of a genuine one, or none."""

    def replace(address: int, other: Callable[[Precompile], Precompile] | None) -> None:
        precompiles = dict(PragueComputation._precompiles)
        genuine: Any = precompiles.pop(address.to_bytes(20, "big"))
        if other is not None:
            precompiles[address.to_bytes(20, "big")] = other(genuine)
        monkeypatch.setattr(PragueComputation, "_precompiles", precompiles)

    return replace


@pytest.mark.parametrize("address", [MODEXP, G1MSM])
def test_a_chain_without_a_precompile_is_told_from_a_false_proof(
    on_tester: Verifier, replaced: Replace, small_breach: Case, address: int
) -> None:
    replaced(address, None)
    assert on_tester.says(small_breach.function, *small_breach.calldata) == "PrecompileMissing()"


def context(case: Case) -> bytes:
    last = list(statement_places(case.statement).values())[-1]
    return case.calldata[0][last.start + last.size :]


HASHED: dict[str, Callable[[Case, bytes], bool]] = {
    "what is absorbed": lambda case, data: len(data) != HALF_OF_A_CHALLENGE,
    "half of a challenge": lambda case, data: len(data) == HALF_OF_A_CHALLENGE,
    "the commitments": lambda case, data: data == b"".join(case.statement.commitments),
    "the context": lambda case, data: data == context(case),
}


@pytest.mark.parametrize("name", HASHED)
def test_a_hash_that_fails_is_no_hash(on_tester: Verifier, replaced: Replace, small_breach: Case, name: str) -> None:
    def failing(genuine: Precompile) -> Precompile:
        def sha256(computation: PragueComputation) -> PragueComputation:
            if HASHED[name](small_breach, bytes(computation.msg.data)):
                raise OutOfGas(name)
            return genuine(computation)

        return sha256

    replaced(SHA256, failing)
    call = on_tester.contract.functions[small_breach.function](*small_breach.calldata)
    with pytest.raises(TransactionFailed, match=r"b''$"):
        call.call()


def test_a_challenge_of_zero_is_none(on_tester: Verifier, replaced: Replace, small_breach: Case) -> None:
    def zeros(genuine: Precompile) -> Precompile:
        def sha256(computation: PragueComputation) -> PragueComputation:
            computation = genuine(computation)
            if len(computation.msg.data) == HALF_OF_A_CHALLENGE:
                computation.output = bytes(32)
            return computation

        return sha256

    replaced(SHA256, zeros)
    assert on_tester.says(small_breach.function, *small_breach.calldata) == "ChallengeIsZero()"


def test_the_last_share_is_not_zero_either(on_tester: Verifier, small_breach: Case) -> None:
    """It stands in no proof: the first shares can be chosen so that nothing is left for it."""
    statement, rows = small_breach.statement, small_breach.statement.rows
    assert isinstance(statement, BreachStatement)
    end = 1 + choice_bytes(rows)
    choice = ChoiceProof.from_bytes(small_breach.proof[1:end], rows)
    challenge = choice_challenge(statement.binding(), choice.W, choice.announcements)
    shares = (1).to_bytes(32, "big"), ((challenge - 1) % ORDER).to_bytes(32, "big")
    changed = ChoiceProof(choice.W, choice.announcements, shares, choice.responses).to_bytes()
    case = Case(statement, small_breach.proof[:1] + changed + small_breach.proof[end:])
    assert on_tester.says(case.function, *case.calldata) == f"ShareIsZero({rows - 1})"
    with pytest.raises(BreachProofInvalid, match="share of the challenge is zero"):
        verify_breach(statement, case.proof)


@pytest.mark.parametrize("more", [-1, 1])
def test_there_are_as_many_blocks_of_generators_as_are_pinned(on_tester: Verifier, more: int) -> None:
    web3, sender = on_tester.web3, on_tester.web3.eth.accounts[0]
    blocks = [on_tester.contract.functions.generatorBlocks(number).call() for number in range(len(generator_blocks()))]
    with pytest.raises(ContractsError, match="created no contract"):
        deploy(web3, sender, load_artifact("MarginVerifier"), [*blocks, sender][: len(blocks) + more])
