"""What becomes of transactions: dropped, displaced, too cheap, too dear, reorganised away, mined and reverted.

On anvil, which has a pool of transactions and can be told to forget. Skipped, loudly, where it is not installed.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from web3 import Web3
from web3.types import RPCEndpoint

from atomic_margin.contracts import local_chain
from atomic_margin.service.operator.store.rail_tables import RailTransaction
from atomic_margin.service.protocol.states import RailState, RunState

from ... import outside
from ...contracts.vault.chain import new_chain
from ...contracts.vault.world import GUARDIAN, HOLDER, OPERATOR, PEOPLE, STRANGER
from ...contracts.vault.world import World as Vault
from ..documents import FUND
from ..world import World
from .settling import ASSET, PLENTY, Settling, new_vault, rail_file, settling


def ask(vault: Vault, method: str, *arguments: Any) -> Any:
    """Have anvil do something."""
    answer = vault.chain.w3.provider.make_request(RPCEndpoint(method), list(arguments))
    assert "error" not in answer, answer
    return answer.get("result")


@pytest.fixture(scope="module")
def on_anvil() -> Iterator[Vault]:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as web3:
        yield new_vault(new_chain(PEOPLE, web3))


@pytest.fixture
def joined(world_at: Callable[[str], World], on_anvil: Vault) -> Iterator[Settling]:
    before = ask(on_anvil, "evm_snapshot")
    with settling(world_at("bare"), on_anvil, rail_file(stuck_seconds="1")) as made:
        made.deposit(PLENTY // 10)
        made.world.answer(made.world.play(1))
        ask(on_anvil, "evm_setAutomine", False)
        yield made
        made.world.close()
    ask(on_anvil, "anvil_dropAllTransactions")
    ask(on_anvil, "evm_setAutomine", True)
    ask(on_anvil, "evm_revert", before)


RUN = f"{FUND}.1"


def mine(joined: Settling, blocks: int = 1) -> None:
    ask(joined.vault, "anvil_mine", hex(blocks))


def finish(joined: Settling) -> None:
    """Mine and look until it is settled."""
    for _ in range(8):
        joined.again_at_once()
        joined.look()
        mine(joined)
    assert joined.world.run(RUN).state is RunState.SETTLED
    _, quantity = joined.preparing.due(RUN)
    assert joined.vault.balances() == (PLENTY // 10 - quantity, quantity)
    assert joined.world.held(f"{FUND}/posted") == {ASSET: quantity}


def test_nothing_is_sent_twice_while_it_waits(joined: Settling) -> None:
    joined.rail._transactions._stuck *= 1000
    joined.settle(4)
    assert [one.purpose for one in joined.sent(RUN)] == ["open"]
    finish(joined)
    assert [one.purpose for one in joined.sent(RUN)] == ["open", "settle"]


def test_a_dropped_transaction_is_sent_again(joined: Settling) -> None:
    joined.look()
    (sent,) = joined.sent(RUN)
    ask(joined.vault, "anvil_dropTransaction", sent.sha3)
    joined.look()
    assert len(joined.sent(RUN)) == 1
    assert joined.vault.chain.w3.eth.get_transaction(cast(Any, sent.sha3))["nonce"] == sent.nonce
    finish(joined)


def test_one_that_offers_too_little_is_replaced_by_one_that_offers_more(joined: Settling) -> None:
    joined.look()
    (first,) = joined.sent(RUN)
    old(joined)
    joined.look()
    first, second = joined.sent(RUN)
    assert (first.nonce, first.purpose) == (second.nonce, second.purpose)
    assert second.max_fee > first.max_fee * 11 // 10
    assert second.priority_fee > first.priority_fee * 11 // 10
    finish(joined)
    assert sum(1 for one in joined.sent(RUN) if one.purpose == "open" and one.block is not None) <= 1


def old(joined: Settling) -> None:
    """Have what was sent be sent long ago."""
    with joined.world.operator.store.unit_of_work() as session:
        for row in session.query(RailTransaction):
            row.signed_at = "2026-01-01T00:00:00Z"


def test_fees_over_the_limit_are_waited_for(joined: Settling) -> None:
    joined.rail._transactions._cap = 1
    joined.look()
    assert joined.sent(RUN) == []
    assert "over max_fee_gwei" in str(joined.transfer(RUN).problem)
    joined.rail._transactions._cap = 10**12
    finish(joined)


def test_too_little_to_pay_for_gas_is_said_and_waited_for(joined: Settling) -> None:
    ask(joined.vault, "anvil_setBalance", OPERATOR.address, hex(10**9))
    joined.look()
    assert joined.sent(RUN) == []
    assert f"{OPERATOR.address} has 1000000000 wei" in str(joined.transfer(RUN).problem)
    ask(joined.vault, "anvil_setBalance", OPERATOR.address, hex(10**19))
    finish(joined)


def test_another_transaction_with_the_same_nonce_displaces_it(joined: Settling) -> None:
    joined.look()
    (sent,) = joined.sent(RUN)
    ask(joined.vault, "anvil_dropTransaction", sent.sha3)
    web3 = joined.vault.chain.w3
    raw = OPERATOR.sign_transaction(
        {
            "type": 2,
            "chainId": joined.vault.chain.id,
            "nonce": sent.nonce,
            "to": STRANGER.address,
            "value": 1,
            "gas": 21000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        }
    ).raw_transaction
    web3.eth.send_raw_transaction(raw)
    mine(joined)
    joined.look()
    (sent,) = joined.sent(RUN)
    assert (sent.live, sent.problem) == (False, "another transaction of this key had its nonce")
    finish(joined)
    opened = [one for one in joined.sent(RUN) if one.purpose == "open"]
    assert [one.nonce for one in opened] == [sent.nonce, sent.nonce + 1]


def test_a_settlement_that_is_reorganised_away_is_settled_once_in_the_end(joined: Settling) -> None:
    joined.rail.settings.file.__dict__["finality"] = 4
    joined.look()
    mine(joined)
    joined.look()
    before = ask(joined.vault, "evm_snapshot")
    mine(joined)
    key = bytes.fromhex(joined.transfer(RUN).run_hash)
    assert joined.vault.run_state(key) == "Settled"
    joined.look()
    assert joined.state(RUN) == RailState.SUBMITTED
    # The block with it is gone, and another one is in its place.
    ask(joined.vault, "evm_revert", before)
    ask(joined.vault, "anvil_dropAllTransactions")
    mine(joined)
    assert joined.vault.run_state(key) == "Valuation"
    joined.look()
    for _ in range(6):
        mine(joined)
        joined.look()
    joined.rail.settings.file.__dict__["finality"] = 1
    assert joined.world.run(RUN).state is RunState.SETTLED
    assert len(joined.world.settlements()) == 1
    _, quantity = joined.preparing.due(RUN)
    assert joined.vault.balances()[1] == quantity


def test_an_opening_that_is_reorganised_away_is_opened_again(joined: Settling) -> None:
    joined.rail.settings.file.__dict__["finality"] = 3
    before = ask(joined.vault, "evm_snapshot")
    joined.look()
    mine(joined)
    joined.look()
    ask(joined.vault, "evm_revert", before)
    ask(joined.vault, "anvil_dropAllTransactions")
    for _ in range(12):
        joined.again_at_once()
        joined.look()
        mine(joined)
    assert joined.world.run(RUN).state is RunState.SETTLED
    assert len(joined.world.settlements()) == 1


def test_one_that_is_mined_and_reverts_is_made_anew_if_the_vault_still_wants_it(joined: Settling) -> None:
    joined.look()
    mine(joined)
    joined.look()
    settle = joined.sent(RUN)[-1]
    assert settle.purpose == "settle"
    # Paused between its signature and its block, so that it reverts there.
    ask(joined.vault, "anvil_dropTransaction", settle.sha3)
    pause = joined.vault.vault.functions.pause().build_transaction(
        {
            "from": GUARDIAN.address,
            "nonce": joined.vault.chain.w3.eth.get_transaction_count(GUARDIAN.address),
            "gas": 200_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "chainId": joined.vault.chain.id,
        }
    )
    joined.vault.chain.w3.eth.send_raw_transaction(GUARDIAN.sign_transaction(pause).raw_transaction)
    mine(joined)
    joined.vault.chain.w3.eth.send_raw_transaction(settle.raw)
    mine(joined)
    joined.look()
    transfer = joined.transfer(RUN)
    assert "was mined and reverted" in str(transfer.problem)
    assert joined.sent(RUN)[-1].problem is not None
    joined.again_at_once()
    joined.look()
    assert "IsPaused" in str(joined.transfer(RUN).problem)
    unpause = {**pause, "data": joined.vault.vault.encode_abi("unpause"), "nonce": int(pause["nonce"]) + 1}
    joined.vault.chain.w3.eth.send_raw_transaction(GUARDIAN.sign_transaction(unpause).raw_transaction)
    mine(joined)
    finish(joined)


def test_a_node_that_is_gone_is_waited_for(joined: Settling) -> None:
    web3 = joined.rail.vault.web3
    there = web3.provider
    web3.provider = Web3.HTTPProvider("http://127.0.0.1:9", request_kwargs={"timeout": 1})
    try:
        joined.look()
    finally:
        web3.provider = there
    assert "the node does not answer" in str(joined.transfer(RUN).problem)
    assert joined.sent(RUN) == []
    finish(joined)


def test_holder_is_the_account_of_the_institution(joined: Settling) -> None:
    joined.look()
    mine(joined)
    assert joined.rail.vault.run(bytes.fromhex(joined.transfer(RUN).run_hash)).account == HOLDER.address
