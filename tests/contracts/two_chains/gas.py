"""Gas of a transfer over two chains: `python -m tests.contracts.two_chains.gas`. On chains in this process."""

from web3.types import TxReceipt

from atomic_margin.contracts.keys import joined

from ..vault.world import HOLDER, STRANGER
from .pair import (
    ASSET_CHAIN,
    DECIDING_CHAIN,
    ID,
    PROVIDER,
    SECURED,
    SUCCESS,
    Pair,
    Trade,
    exchange,
    numbered,
    pair,
    standing_behind,
)


def line(name: str, receipt: TxReceipt) -> None:
    """Print one line of the table."""
    print(f"| {name} | {receipt['gasUsed']:,} |", flush=True)


def paid(chains: Pair) -> None:
    """Print what an exchange takes that succeeds."""
    asset, deciding = chains.asset, chains.deciding
    trade = exchange(chains)
    trade.fund_lock()
    trade.fund_payment()
    line("asset chain: `inceptTransfer`", asset.send(trade.incepting_lock(), PROVIDER))
    line("asset chain: `confirmTransfer`, which locks", asset.send(trade.confirming_lock(), HOLDER))
    line("deciding chain: `inceptTransfer`", deciding.send(trade.incepting(), HOLDER))
    line("deciding chain: `confirmTransfer`", deciding.send(trade.confirming(), PROVIDER))
    line("`CollateralPayment`: `transferAndDecrypt`", trade.decide())
    parts = [trade.revealed(SUCCESS, [number]) for number in range(3)]
    release = trade.decision.functions.releaseKey(trade.id, parts[0])
    line("`releaseKey`, one part of five", deciding.send(release, STRANGER))
    key = joined(part for part in parts if part is not None)
    line("`transferWithKey`, three parts of five", asset.send(trade.with_key(key), STRANGER))


def ended(chains: Pair) -> Trade:
    """Print what collateral behind a run takes."""
    trade = standing_behind(chains, id=ID + 1).stand()
    chains.vault.open()
    chains.vault.settle(100)
    receipt = chains.deciding.send(trade.deciding(), STRANGER)
    line("`MarginDecision`: `transferAndDecrypt`", receipt)
    later = standing_behind(chains, id=ID + 2)
    later.fund_lock()
    later.incept_both()
    line("`cancelAndDecrypt`", chains.deciding.send(later.canceling(), SECURED))
    line("`cancelTransfer`", chains.asset.send(later.canceling_lock(), SECURED))
    return trade


def without_a_key(chains: Pair, trade: Trade) -> None:
    """Print what it takes to get a token back for which no key comes."""
    chains.asset.travel(trade.reclaimable_from - chains.asset.now())
    functions = trade.lock.functions
    line("`announceReclaim`", chains.asset.send(functions.announceReclaim(trade.id), HOLDER))
    chains.asset.travel(functions.ANSWER_SECONDS().call())
    line("`reclaim`", chains.asset.send(functions.reclaim(trade.id), HOLDER))


def deployments(chains: Pair) -> None:
    """Print what the contracts take."""
    made = {"KeyLock": chains.lock, "MarginDecision": chains.margin, "CollateralPayment": chains.payment}
    for name, contract in made.items():
        eth = (chains.asset if name == "KeyLock" else chains.deciding).w3.eth
        for number in range(eth.block_number + 1):
            for sent in eth.get_block(number)["transactions"]:
                assert isinstance(sent, bytes)
                receipt = eth.get_transaction_receipt(sent)
                if receipt["contractAddress"] == contract.address:
                    line(f"deploy `{name}`", receipt)


def main() -> None:
    """Print the table."""
    print("| what | gas |\n|---|---|")
    chains = pair(numbered(ASSET_CHAIN), numbered(DECIDING_CHAIN))
    chains.vault.enrol(1000, 500)
    paid(chains)
    without_a_key(chains, ended(chains))
    deployments(chains)


if __name__ == "__main__":
    main()
