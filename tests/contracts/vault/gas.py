"""Gas of what vault and oracle do: `python -m tests.contracts.vault.gas`. Needs anvil."""

from web3 import Web3
from web3.types import TxReceipt

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import deploy_verifier

from .answers import answer
from .chain import Chain, new_chain
from .test_attested import attested, proposing
from .world import CHALLENGE_SECONDS, GUARDIAN, HOLDER, OPERATOR, PEOPLE, World, attesting_world, digest, world

ROWS, ENTRIES, BITS = 24, 64, 32


def line(name: str, receipt: TxReceipt) -> None:
    """Print one line of the table."""
    print(f"| {name} | {receipt['gasUsed']:,} |", flush=True)


def deployments(w3: Web3, first: int) -> None:
    """Print what the contracts of the blocks since one took."""
    names = {load_artifact(name).bytecode[:200]: name for name in ("MatrixOracle", "Vault", "AttestedVault")}
    for number in range(first, w3.eth.block_number + 1):
        for sent in w3.eth.get_block(number)["transactions"]:
            assert isinstance(sent, bytes)
            name = names.get(bytes(w3.eth.get_transaction(sent)["input"])[:200])
            if name is not None:
                line(f"deploy `{name}`", w3.eth.get_transaction_receipt(sent))


def life(vault: World) -> None:
    """Print what everything but a settlement takes, of an account that has been used before."""
    vault.enrol(10_000, 5_000)
    functions = vault.vault.functions
    vault.fund(HOLDER, 100)
    line("`deposit`", vault.send(functions.deposit(HOLDER.address, 100), HOLDER))
    line("`post`", vault.send(functions.post(100), HOLDER))
    line("`withdraw`", vault.send(functions.withdraw(HOLDER.address, 100), HOLDER))
    line("`registerPortfolio`, sent by the holder", vault.register(book=digest("next")))
    message = vault.release(100)
    signed = vault.sign("ReleaseAttestation", message)
    line("`release`", vault.send(functions.release(message, signed), HOLDER))
    line("`openRun`", vault.open(digest("covered")))
    line("`endCovered`", vault.send(functions.endCovered(digest("covered")), OPERATOR))
    line("`pause`", vault.send(functions.pause(), GUARDIAN))
    vault.send(functions.unpause(), GUARDIAN)


def settlements(vault: World) -> None:
    """Print what settlements on real proofs take: a call, then a liquidation."""
    for tick, name, rate in ((2, "call", 1), (3, "liquidation", 1000)):
        answered = answer(100, run=name, owner=tick, rows=ROWS, entries=ENTRIES, bits=BITS)
        run = digest(name)
        vault.register(book=answered.breach.commitments)
        vault.open(run, tick=tick)
        kept = vault.vault.functions.runOf(run).call()
        about = {"run": run, "tick": tick, "free": kept[5], "posted": kept[6], "rate": rate * 10**18}
        message = vault.matrices(**(answered.attested | about))
        receipt = vault.send(vault.settling(answered.proofs, message))
        line(f"`settle`, {ROWS} rows of {BITS} bits, {ENTRIES} entries: {name}", receipt)
    assert vault.state() == "Terminated"


def without_proofs(chain: Chain) -> None:
    """Print what the vault that verifies no proof takes."""
    vault = attesting_world(chain)
    vault.enrol(1000, 500)
    vault.open()
    line("`AttestedVault.propose`", vault.send(proposing(vault, attested(vault))))
    chain.w3.provider.make_request("evm_increaseTime", [CHALLENGE_SECONDS])  # type: ignore[arg-type]
    line("`AttestedVault.execute`", vault.send(vault.vault.functions.execute(digest("run"))))


def main() -> None:
    """Print the table."""
    print("| what | gas |\n|---|---|")
    with local_chain.anvil() as w3:
        chain = new_chain(PEOPLE, w3)
        verifier = deploy_verifier(w3, w3.eth.accounts[0])
        first = w3.eth.block_number
        vault = world(chain, verifier=verifier)
        life(vault)
        settlements(vault)
        without_proofs(chain)
        deployments(w3, first)


if __name__ == "__main__":
    main()
