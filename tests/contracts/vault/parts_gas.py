"""Gas of settlements in parts: `python -m tests.contracts.vault.parts_gas`. Needs anvil."""

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.parts import BUDGET, answer, plan, recording_gas, settling_gas

from .answers import prove
from .chain import new_chain
from .parted import Parted, cut, parted_world
from .world import PEOPLE, digest

SIZES = (
    (64, 24, 32, BUDGET),
    (64, 32, 32, BUDGET),
    (128, 32, 32, BUDGET),
    (64, 33, 38, BUDGET),
    (64, 33, 38, 5_500_000),
    (64, 128, 38, BUDGET),
    (256, 32, 32, BUDGET),
    (256, 64, 32, BUDGET),
)
"""Entries, rows, bits, and the gas that a transaction may take."""


def settled(vault: Parted, size: tuple[int, int, int], budget: int, number: int) -> tuple[list[int], list[int]]:
    """Settle a run in parts; return what each transaction took, the last one last, and what was reckoned."""
    entries, rows, bits = size
    proved = prove(100, run=str(number), owner=number, rows=rows, entries=entries, bits=bits)
    whole = answer(proved.breach, proved.breach_proof, proved.top_up, proved.top_up_proof)
    given = cut(proved, plan(whole, budget))
    run = digest(str(number))
    vault.register(book=given.answered.breach.commitments)
    vault.open(run, tick=number)
    kept = vault.vault.functions.runOf(run).call()
    about = {"run": run, "tick": number, "free": kept[5], "posted": kept[6], "rate": 10**18}
    receipts = vault.record(given, run=run)
    receipts.append(vault.send(vault.settling_in_parts(given, **about)))
    reckoned = [recording_gas(given.answer, part) for part in given.plan.parts()]
    return [receipt["gasUsed"] for receipt in receipts], [*reckoned, settling_gas(given.answer, given.plan)]


def main() -> None:
    """Print the table."""
    with local_chain.anvil() as w3:
        vault = parted_world(new_chain(PEOPLE, w3))
        vault.enrol(100_000, 5_000)
        print("| entries | rows | bits | a transaction may take | gas of each | in all | reckoned |")
        print("|---|---|---|---|---|---|---|")
        for number, (*size, budget) in enumerate(SIZES, 2):
            entries, rows, bits = size
            gas, reckoned = settled(vault, (entries, rows, bits), budget, number)
            each, most = (", ".join(f"{one:,}" for one in numbers) for numbers in (gas, reckoned))
            print(f"| {entries} | {rows} | {bits} | {budget:,} | {each} | {sum(gas):,} | {most} |", flush=True)


if __name__ == "__main__":
    main()
