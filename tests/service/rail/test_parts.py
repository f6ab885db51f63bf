"""Real proofs by a rail, verified by the real contracts on anvil: whole, and in parts that a rail records one by one.

Skipped, loudly, where anvil is not installed.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from atomic_margin.contracts import local_chain, parts
from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.collect import Collected
from atomic_margin.contracts.deploy import VaultRoles, deploy_vault
from atomic_margin.service.errors import ConfigurationError, Refused
from atomic_margin.service.operator.settlement.chain import evidence, preparing
from atomic_margin.service.operator.settlement.chain.opening import new_rail
from atomic_margin.service.operator.settlement.chain.preparing import Preparation
from atomic_margin.service.operator.settlement.chain.senders import KeySigner
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.states import RailState, RunState

from ... import outside
from ...contracts.vault.chain import new_chain
from ...contracts.vault.world import GUARDIAN, HOLDER, OPERATOR, PEOPLE, SIGNERS, THRESHOLD, WATERFALL
from ...contracts.vault.world import World as Vault
from ...contracts.vault.world import world as world_of
from ..documents import FUND
from ..world import World
from .settling import ASSET, PLENTY, Decided, Settling, rail_file

RUN = f"{FUND}.1"
RATE_UNIT = 10**18


@pytest.fixture(scope="module")
def real_vault() -> Iterator[tuple[Vault, ChainAddresses]]:
    """A `PartsVault` with the real verifiers, as the command deploys it."""
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as web3:
        made = world_of(new_chain(PEOPLE, web3))
        roles = VaultRoles(OPERATOR.address, GUARDIAN.address, WATERFALL.address, 10 * PLENTY, 3600)
        addresses = deploy_vault(
            web3,
            web3.eth.accounts[0],
            token=made.token.address,
            asset=ASSET,
            signers=[one.address for one in SIGNERS],
            threshold=THRESHOLD,
            roles=roles,
        ).addresses

        def at(address: str, name: str) -> Any:
            return web3.eth.contract(address=cast(Any, address), abi=load_artifact(name).abi)

        verifier, oracle = at(addresses.verifier, "MarginVerifier"), at(addresses.oracle, "MatrixOracle")
        yield replace(made, oracle=oracle, verifier=verifier, vault=at(addresses.vault, "PartsVault")), addresses


@pytest.fixture
def joined(
    world_at: Callable[[str], World], real_vault: tuple[Vault, ChainAddresses], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settling]:
    """An institution that breached at the first tick, with its own book in the vault."""
    world, (vault, addresses) = world_at("bare"), real_vault
    before = vault.chain.w3.provider.make_request(cast(Any, "evm_snapshot"), [])["result"]
    operator, settings = world.operator, RailSettings(rail_file(), addresses, Path())
    on_chain = VaultOnChain(vault.chain.w3, addresses)
    # Signers verify the bundle; here the same is signed without it, which tests/service/signer and the demo do not.
    monkeypatch.setattr(preparing, "unsettled_bundle", lambda *_: {"run": RUN})

    def sign(request: dict[str, Any]) -> Collected:
        found = evidence.proven(operator, RUN)
        breach, top_up = found.said(most_bits=10**5)
        with operator.store.reading() as session:
            run = session.get_one(Run, RUN)
        key = bytes.fromhex(run.record_hash or "")
        seen = vault.vault.functions.runOf(key).call()
        _, quantity = Decided(world, vault, on_chain).due(RUN)
        message = vault.matrices(
            run=key,
            tick=seen[1],
            commitments=breach.commitments,
            breachMatrix=breach.matrix,
            topUpMatrix=top_up.matrix,
            breachContext=breach.context,
            topUpContext=top_up.context,
            topUp=top_up.top_up,
            free=seen[5],
            posted=seen[6],
            rate=quantity * RATE_UNIT // top_up.top_up,
            expiry=int(request["expiry"]),
        )
        return Collected(message, vault.sign("MatrixAttestation", message))

    rail = new_rail(operator, settings, on_chain, KeySigner(OPERATOR), world.deposit, sign)
    (sent,) = world.funds[FUND].sent.values()
    vault.register(HOLDER, hashlib.sha256(b"".join(map(bytes.fromhex, sent.submission.commitments))).digest())
    yield Settling(world, vault, rail, Decided(world, vault, on_chain))
    world.close()
    vault.chain.w3.provider.make_request(cast(Any, "evm_revert"), [before])


def breached(joined: Settling) -> None:
    joined.deposit(PLENTY // 10)
    joined.world.answer(joined.world.play(1))


def settled(joined: Settling) -> None:
    """What holds of a settled call."""
    assert joined.transfer(RUN).problem is None
    assert joined.state(RUN) == RailState.FINAL
    assert joined.world.run(RUN).state is RunState.SETTLED
    _, quantity = joined.preparing.due(RUN)
    assert joined.vault.balances() == (PLENTY // 10 - quantity, quantity)
    assert joined.world.held(f"{FUND}/posted") == {ASSET: quantity}
    assert joined.rail.mirror.problems() == []


def test_proofs_that_fit_settle_in_one_transaction(joined: Settling) -> None:
    breached(joined)
    joined.settle()
    settled(joined)
    assert [one.purpose for one in joined.sent(RUN)] == ["open", "settle"]


def test_proofs_that_do_not_fit_are_recorded_in_parts_first(joined: Settling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "plan", lambda _: parts.Plan(2, 3))
    breached(joined)
    joined.settle(3)
    # Somebody else records the next one meanwhile: it is not sent again.
    assert [one.purpose for one in joined.sent(RUN)] == ["open", "part 0.0/2", "part 1.0/3"]
    answer, plan = evidence.proven(joined.world.operator, RUN).in_parts()
    key = bytes.fromhex(joined.transfer(RUN).run_hash)
    last = joined.rail.vault.missing_part(answer, plan, key)
    assert last == parts.Part(parts.Claim.TOP_UP, 1, 3)
    joined.vault.send(joined.rail.vault._recorder(answer, plan, key).recording(last))
    joined.settle(4)
    settled(joined)
    assert [one.purpose for one in joined.sent(RUN)] == ["open", "part 0.0/2", "part 1.0/3", "settle"]


def test_an_answer_that_the_vault_could_not_settle_on_is_refused(
    joined: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.deposit(PLENTY // 10)
    run_id = joined.world.play(1)
    answer = joined.world.prove_answer(run_id)
    monkeypatch.setattr(Preparation, "_most_bits", lambda _: 8)
    with pytest.raises(Refused, match="settles on a chain") as refused:
        joined.world.answer(run_id, answer)
    assert refused.value.field == "form"
    assert joined.world.run(run_id).state is RunState.AWAITING_ANSWER
    monkeypatch.undo()
    joined.rail.require_carriable(run_id, Answer.parse(answer.body))


def test_a_model_with_slack_is_not_settled_on_a_chain(
    joined: Settling, real_vault: tuple[Vault, ChainAddresses], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, addresses = real_vault
    monkeypatch.setattr(type(joined.world.terms), "has_exact", True)
    on_chain = VaultOnChain(vault.chain.w3, addresses)
    settings = RailSettings(rail_file(), addresses, Path())
    with pytest.raises(ConfigurationError, match="rows with slack"):
        new_rail(joined.world.operator, settings, on_chain, KeySigner(OPERATOR), joined.world.deposit, lambda _: None)  # type: ignore[arg-type,return-value]


def test_a_vault_of_an_asset_that_the_schedule_does_not_have_is_refused(
    joined: Settling, real_vault: tuple[Vault, ChainAddresses]
) -> None:
    vault, addresses = real_vault
    settings = RailSettings(rail_file(), replace(addresses, asset="GOLD"), Path())
    on_chain = VaultOnChain(vault.chain.w3, addresses)
    with pytest.raises(ConfigurationError, match="GOLD"):
        new_rail(joined.world.operator, settings, on_chain, KeySigner(OPERATOR), joined.world.deposit, lambda _: None)  # type: ignore[arg-type,return-value]
