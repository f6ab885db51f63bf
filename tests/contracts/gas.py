"""Gas of verification at several sizes: `python -m tests.contracts.gas`. Needs anvil."""

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.deploy import deploy_verifier

from .cases import Case, breach, sufficiency
from .chains import Verifier

SIZES = ((16, 16, 16), (64, 16, 20), (64, 24, 20), (64, 24, 32), (64, 33, 20), (128, 24, 32), (256, 24, 20))
"""Entries, rows and bits."""


def measured(verifier: Verifier, case: Case) -> tuple[int, int]:
    """Gas, and bytes of calldata."""
    statement, proof = case.calldata
    return verifier.gas(case.function, statement, proof), len(statement) + len(proof)


def main() -> None:
    with local_chain.anvil() as web3:
        before = web3.eth.block_number
        verifier = Verifier(web3, deploy_verifier(web3, web3.eth.accounts[0]))
        blocks = [web3.eth.get_block(number) for number in range(before + 1, web3.eth.block_number + 1)]
        print(f"deployment: {sum(block['gasUsed'] for block in blocks):,} in {len(blocks)} transactions")
        print("| statement | entries | rows | bits | calldata, bytes | gas |\n|---|---|---|---|---|---|")
        for entries, rows, bits in SIZES:
            for case in (breach(rows, entries, bits), sufficiency(rows, entries, bits, top_up=1)):
                gas, size = measured(verifier, case)
                name = "breach" if case.function == "verifyBreach" else "sufficiency"
                print(f"| {name} | {entries} | {rows} | {bits} | {size:,} | {gas:,} |")


if __name__ == "__main__":
    main()
