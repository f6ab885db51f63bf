"""The oracle: k of n signatures over one document, for one chain, one contract, one set, until they expire."""

from typing import Any

import pytest

from .chain import Chain, Refusal
from .world import (
    BOOK,
    HOLDER,
    NOBODY,
    RUN,
    SIGNERS,
    STRANGER,
    THRESHOLD,
    Signed,
    World,
    ascending,
    digest,
    key,
    second_form,
    world,
)


@pytest.fixture
def message(vault: World) -> dict[str, Any]:
    return vault.matrices()


def check(vault: World, message: dict[str, Any], signed: list[Signed]) -> Refusal | None:
    """Return how the oracle refuses signatures, None if it takes them."""
    return vault.chain.refusal(vault.oracle.functions.checkMatrices(message, signed), STRANGER)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_takes_k_signatures_and_more(vault: World, message: dict[str, Any], count: int) -> None:
    assert check(vault, message, vault.sign("MatrixAttestation", message, SIGNERS[:count])) is None


def test_takes_any_k_of_them(vault: World, message: dict[str, Any]) -> None:
    assert check(vault, message, vault.sign("MatrixAttestation", message, SIGNERS[2:])) is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_refuses_fewer_than_k(vault: World, message: dict[str, Any], count: int) -> None:
    signed = vault.sign("MatrixAttestation", message, SIGNERS[:count])
    assert check(vault, message, signed) == ("TooFewSignatures", (count, THRESHOLD))


def test_refuses_one_signer_twice(vault: World, message: dict[str, Any]) -> None:
    a, b, _ = vault.sign("MatrixAttestation", message)
    assert check(vault, message, [a, b, b]) == ("SignersNotAscending", (SIGNERS[1].address.lower(),))


def test_refuses_signers_in_another_order(vault: World, message: dict[str, Any]) -> None:
    a, b, c = vault.sign("MatrixAttestation", message)
    assert check(vault, message, [b, a, c]) == ("SignersNotAscending", (SIGNERS[0].address.lower(),))


def test_refuses_a_stranger_among_them(vault: World, message: dict[str, Any]) -> None:
    signed = vault.sign("MatrixAttestation", message, ascending([*SIGNERS[:2], STRANGER]))
    assert check(vault, message, signed) == ("NotASigner", (STRANGER.address.lower(),))


def test_refuses_the_second_form_of_a_signature(vault: World, message: dict[str, Any]) -> None:
    a, b, c = vault.sign("MatrixAttestation", message)
    assert check(vault, message, [a, second_form(b), c]) == ("MalleableSignature", (1,))


def test_refuses_a_signature_that_is_nobodys(vault: World, message: dict[str, Any]) -> None:
    a, b, c = vault.sign("MatrixAttestation", message)
    assert check(vault, message, [(a[0], a[1], 0), b, c]) == ("NotASigner", (NOBODY,))


def test_takes_a_document_in_its_last_second_and_not_after(vault: World, chain: Chain) -> None:
    message = vault.matrices(expiry=chain.now() + 100)
    signed = vault.sign("MatrixAttestation", message)
    assert check(vault, message, signed) is None
    chain.travel(101)
    refusal = check(vault, message, signed)
    assert refusal is not None
    assert (refusal.name, refusal.arguments[0]) == ("Expired", message["expiry"])


def test_refuses_a_document_for_another_chain(vault: World) -> None:
    message = vault.matrices(chain=vault.chain.id + 1)
    signed = vault.sign("MatrixAttestation", message, chain=vault.chain.id + 1)
    assert check(vault, message, signed) == ("ForeignChain", (vault.chain.id + 1, vault.chain.id))


def test_refuses_signatures_made_for_another_chain_s_domain(vault: World, message: dict[str, Any]) -> None:
    refusal = check(vault, message, vault.sign("MatrixAttestation", message, chain=vault.chain.id + 1))
    assert refusal is not None
    assert refusal.name == "NotASigner"


def test_refuses_signatures_made_for_another_oracle(vault: World, message: dict[str, Any]) -> None:
    other = vault.chain.deploy("MatrixOracle", [one.address for one in SIGNERS], THRESHOLD)
    refusal = check(vault, message, vault.sign("MatrixAttestation", message, contract=other.address))
    assert refusal is not None
    assert refusal.name == "NotASigner"


FIELDS = {
    "vault": HOLDER.address,
    "account": STRANGER.address,
    "run": digest("another run"),
    "tick": 2,
    "log": digest("another log"),
    "commitments": digest("another book"),
    "breachMatrix": digest("another matrix"),
    "topUpMatrix": digest("another matrix"),
    "breachContext": digest("another context"),
    "topUpContext": digest("another context"),
    "topUp": 5,
    "free": 5,
    "posted": 5,
    "rate": 5,
    "expiry": 2**63,
}


@pytest.mark.parametrize("name", FIELDS)
def test_signatures_are_over_every_field(vault: World, message: dict[str, Any], name: str) -> None:
    signed = vault.sign("MatrixAttestation", message)
    assert check(vault, message, signed) is None
    refusal = check(vault, message | {name: FIELDS[name]}, signed)
    assert refusal is not None
    assert refusal.name == "NotASigner"


def test_a_document_of_one_kind_is_none_of_another(vault: World) -> None:
    portfolio = vault.portfolio(HOLDER, BOOK)
    release = vault.release(5)
    functions = vault.oracle.functions
    signed = vault.sign("PortfolioAttestation", portfolio)
    functions.checkPortfolio(portfolio, signed).call()
    assert vault.refused(functions.checkRelease(release, signed)).name == "NotASigner"
    signed = vault.sign("ReleaseAttestation", release)
    functions.checkRelease(release, signed).call()
    assert vault.refused(functions.checkPortfolio(portfolio, signed)).name == "NotASigner"


# Rotation

NEXT = ascending([SIGNERS[0], SIGNERS[3], key("newcomer")])


def rotation(vault: World, **changed: Any) -> dict[str, Any]:
    message = {
        "chain": vault.chain.id,
        "signers": [one.address for one in NEXT],
        "threshold": 2,
        "signerSet": 1,
        "expiry": vault.soon(),
    }
    return message | changed


def test_a_set_replaces_itself(vault: World, message: dict[str, Any]) -> None:
    document = rotation(vault)
    receipt = vault.send(vault.oracle.functions.rotate(document, vault.sign("SignerRotation", document)))
    assert vault.events(receipt, vault.oracle) == [
        ("SignersRotated", {"signerSet": 2, "signers": [one.address for one in NEXT], "threshold": 2})
    ]
    functions = vault.oracle.functions
    assert (functions.signerSet().call(), functions.threshold().call()) == (2, 2)
    assert functions.signers().call() == [one.address for one in NEXT]
    assert [functions.isSigner(one.address).call() for one in SIGNERS] == [one in NEXT for one in SIGNERS]
    assert not functions.isSigner(NOBODY).call()
    # What the set before signed counts no more, and whoever left it signs nothing any more.
    assert check(vault, message, vault.sign("MatrixAttestation", message)) == ("WrongSignerSet", (1, 2))
    message = message | {"signerSet": 2}
    assert check(vault, message, vault.sign("MatrixAttestation", message, NEXT)) is None
    left = next(one for one in SIGNERS if one not in NEXT)
    signed = vault.sign("MatrixAttestation", message, ascending([SIGNERS[0], left]))
    assert check(vault, message, signed) == ("NotASigner", (left.address.lower(),))


def test_a_rotation_counts_once(vault: World) -> None:
    document = rotation(vault)
    call = vault.oracle.functions.rotate(document, vault.sign("SignerRotation", document))
    vault.send(call)
    assert vault.refused(call) == ("WrongSignerSet", (1, 2))


def test_fewer_than_k_replace_nobody(vault: World) -> None:
    document = rotation(vault)
    call = vault.oracle.functions.rotate(document, vault.sign("SignerRotation", document, SIGNERS[:2]))
    assert vault.refused(call) == ("TooFewSignatures", (2, THRESHOLD))


def test_a_rotation_is_to_the_signers_that_were_signed(vault: World) -> None:
    document = rotation(vault)
    signed = vault.sign("SignerRotation", document)
    for changed in ({"signers": [STRANGER.address]}, {"threshold": 3}, {"expiry": 2**63}):
        assert vault.refused(vault.oracle.functions.rotate(document | changed, signed)).name == "NotASigner"


@pytest.mark.parametrize("signers", [0, 1, 2, 17])
@pytest.mark.parametrize("threshold", [0, 1, 17, 18])
def test_k_is_more_than_half_of_n(chain: Chain, signers: int, threshold: int) -> None:
    members = [one.address for one in ascending(key(f"member {number}") for number in range(signers))]
    if (signers, threshold) == (1, 1):
        oracle = chain.deploy("MatrixOracle", members, threshold)
        assert oracle.functions.signers().call() == members
    else:
        assert chain.refused_deployment("MatrixOracle", members, threshold) == ("BadThreshold", (threshold, signers))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1), (0, 1, 1)])
def test_a_set_has_everyone_once(chain: Chain, order: tuple[int, ...]) -> None:
    members = [SIGNERS[number].address for number in order]
    assert chain.refused_deployment("MatrixOracle", members, 2).name == "SignersNotAscending"


def test_nobody_is_no_signer(chain: Chain) -> None:
    refusal = chain.refused_deployment("MatrixOracle", [NOBODY, SIGNERS[0].address], 2)
    assert refusal == ("SignersNotAscending", (NOBODY,))


def test_a_rotated_set_settles_what_is_attested_by_it(chain: Chain) -> None:
    vault = world(chain)
    vault.enrol(1000, 500)
    vault.open()
    before = vault.matrices()
    stale = vault.settling(vault.decided(10), before)
    document = rotation(vault)
    vault.send(vault.oracle.functions.rotate(document, vault.sign("SignerRotation", document)))
    assert vault.refused(stale) == ("WrongSignerSet", (1, 2))
    message = before | {"signerSet": 2, "topUp": 10}
    vault.send(vault.settling(vault.decided(10), message, vault.sign("MatrixAttestation", message, NEXT[:2])))
    assert vault.run_state(RUN) == "Settled"
