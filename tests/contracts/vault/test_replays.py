"""Genuine documents in every order: each counts at most once, and none that was made for another state of things.

Everybody signs what is right when it is signed, and somebody keeps it in a drawer. Whatever is brought from there, and
when: it counts only if the set, the account's number, its balances, its last run and the run are still those it was
made for. The verifier is a stand-in that verifies nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from web3.contract.contract import ContractFunction

from atomic_margin.contracts.attestations import Kind, typed_data

from .chain import Chain
from .world import (
    GUARDIAN,
    HOLDER,
    OPERATOR,
    OTHER,
    RUN_SECONDS,
    SIGNERS,
    STRANGER,
    WATERFALL,
    Signed,
    World,
    ascending,
    digest,
    signature,
    world,
)

HOLDERS = (HOLDER, OTHER)
STEPS = 120


@dataclass
class Kept:
    """A document in the drawer."""

    kind: Kind
    message: dict[str, Any]
    call: ContractFunction
    brought: bool = False


class Drawer:
    """A random play in which documents are signed at one time and brought at another."""

    def __init__(self, vault: World, drawn: random.Random) -> None:
        self.vault, self.drawn = vault, drawn
        self.kept: list[Kept] = []
        self.runs: dict[str, bytes] = {}
        self.books = 0
        self.seized = 0
        for one in HOLDERS:
            vault.fund(one, 10**9)
            vault.register(one, digest(f"{one.address} 0"))
            vault.send(vault.vault.functions.deposit(one.address, 10_000), one)
            vault.send(vault.vault.functions.post(4_000), one)

    def step(self) -> str:
        """Do one thing; return what was done."""
        deeds: dict[str, tuple[int, Callable[[], str]]] = {
            "bring": (10, self.bring),
            "sign a return": (3, self.sign_return),
            "sign a book": (3, self.sign_book),
            "sign a run": (4, self.sign_run),
            "sign a set": (1, self.sign_set),
            "open": (4, self.open),
            "end": (2, self.end),
            "move": (2, self.move),
            "pause": (1, self.pause),
        }
        name = self.drawn.choices(list(deeds), [weight for weight, _ in deeds.values()])[0]
        return deeds[name][1]()

    # What is signed

    def sign_return(self) -> str:
        holder = self.drawn.choice(HOLDERS)
        account = self.vault.account(holder)
        amount = self.drawn.randint(0, account["posted"])
        about = {name: account[name] for name in ("posted", "runs")} | {"sequence": account["sequence"] + 1}
        message = self.vault.release(amount, account=holder.address, signerSet=self.version, **about)
        signed = self.signed("ReleaseAttestation", message)
        return self.keep("ReleaseAttestation", message, self.vault.vault.functions.release(message, signed))

    def sign_book(self) -> str:
        holder = self.drawn.choice(HOLDERS)
        self.books += 1
        message = self.vault.portfolio(holder, digest(f"{holder.address} {self.books}"), signerSet=self.version)
        document = typed_data(
            "PortfolioAttestation", message, chain=self.vault.chain.id, contract=self.vault.oracle.address
        )
        signed = self.signed("PortfolioAttestation", message)
        call = self.vault.vault.functions.registerPortfolio(message, signature(holder, document), signed)
        return self.keep("PortfolioAttestation", message, call)

    def sign_run(self) -> str:
        if not self.runs:
            return "nothing"
        account, run = self.drawn.choice(sorted(self.runs.items()))
        picture = self.vault.vault.functions.runOf(run).call()
        top_up = self.drawn.choice([*[1, 100, picture[5] // 4 + 1] * 4, picture[5] + 1])
        book = {"commitments": picture[4]}
        about = {"account": account, "run": run, "tick": picture[1], "free": picture[5], "posted": picture[6]}
        message = self.vault.matrices(**about, **book, topUp=top_up, rate=10**18, signerSet=self.version)
        proofs = self.vault.decided(top_up, breach=book, topped=book)
        call = self.vault.settling(proofs, message, self.signed("MatrixAttestation", message))
        return self.keep("MatrixAttestation", message, call)

    def sign_set(self) -> str:
        members = ascending(self.drawn.sample(SIGNERS, self.drawn.randint(3, 5)))
        message = {
            "chain": self.vault.chain.id,
            "signers": [one.address for one in members],
            "threshold": len(members) // 2 + 1,
            "signerSet": self.version,
            "expiry": self.vault.soon(),
        }
        call = self.vault.oracle.functions.rotate(message, self.signed("SignerRotation", message))
        return self.keep("SignerRotation", message, call)

    def signed(self, kind: Kind, message: dict[str, Any]) -> list[Signed]:
        functions = self.vault.oracle.functions
        inside = [one for one in SIGNERS if one.address in functions.signers().call()]
        return self.vault.sign(kind, message, inside[: functions.threshold().call()])

    def keep(self, kind: Kind, message: dict[str, Any], call: ContractFunction) -> str:
        self.kept.append(Kept(kind, message, call))
        return f"signed {kind}"

    @property
    def version(self) -> int:
        version: int = self.vault.oracle.functions.signerSet().call()
        return version

    # What is done

    def open(self) -> str:
        holder = self.drawn.choice(HOLDERS)
        account = self.vault.account(holder)
        if account["state"] != 1:
            return "nothing"
        tick = account["tick"] + 1
        run = digest(f"{holder.address} at {tick}")
        self.vault.open(run, holder, tick)
        self.runs[holder.address] = run
        return "opened"

    def end(self) -> str:
        if not self.runs:
            return "nothing"
        account, run = self.drawn.choice(sorted(self.runs.items()))
        functions = self.vault.vault.functions
        if self.drawn.random() < 0.7:
            self.vault.send(functions.endCovered(run), OPERATOR)
            del self.runs[account]
            return "covered"
        self.vault.chain.travel(RUN_SECONDS + 1)
        for other in self.runs.values():
            self.vault.send(functions.lapse(other))
        self.runs.clear()
        return "lapsed"

    def move(self) -> str:
        holder = self.drawn.choice(HOLDERS)
        account, functions = self.vault.account(holder), self.vault.vault.functions
        if account["state"] == 3:
            return "nothing"
        if account["state"] == 2 or self.drawn.random() < 0.4:
            self.vault.send(functions.deposit(holder.address, self.drawn.randint(1, 3000)), STRANGER)
        elif self.drawn.random() < 0.5:
            self.vault.send(functions.post(account["free"] // 2), holder)
        else:
            self.vault.send(functions.withdraw(STRANGER.address, account["free"] // 3), holder)
        return "moved"

    def pause(self) -> str:
        functions = self.vault.vault.functions
        self.vault.send(functions.pause(), GUARDIAN)
        for one in self.kept[-3:]:
            if one.kind != "SignerRotation":
                assert self.vault.refused(one.call).name == "IsPaused"
        self.vault.chain.travel(RUN_SECONDS)
        self.vault.send(functions.unpause(), GUARDIAN)
        return "paused"

    # What is brought

    def bring(self) -> str:
        if not self.kept:
            return "nothing"
        one = self.drawn.choice(self.kept[-12:])
        counts = self.counts(one)
        before = {holder.address: self.vault.balances(holder) for holder in HOLDERS}
        refusal = self.vault.chain.refusal(one.call, STRANGER)
        assert (refusal is None) == counts, (one.kind, one.message, refusal)
        if refusal is not None:
            return f"refused {refusal.name}"
        assert not one.brought
        one.brought = True
        self.vault.send(one.call)
        if one.kind == "MatrixAttestation":
            del self.runs[one.message["account"]]
        for holder in HOLDERS:
            self.compare(one, holder.address, before[holder.address], self.vault.balances(holder))
        return f"brought {one.kind}"

    def counts(self, one: Kept) -> bool:
        """Whether things are what they were when it was signed."""
        message = one.message
        if message["signerSet"] != self.version or one.kind == "SignerRotation":
            return bool(message["signerSet"] == self.version)
        holder = next(holder for holder in HOLDERS if holder.address == message["account"])
        account = self.vault.account(holder)
        if one.kind == "MatrixAttestation":
            return self.runs.get(holder.address) == message["run"]
        if account["state"] not in (0, 1) or message["sequence"] != account["sequence"] + 1:
            return False
        if one.kind == "ReleaseAttestation":
            return (message["posted"], message["runs"]) == (account["posted"], account["runs"])
        return True

    def compare(self, one: Kept, address: str, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Nothing moves but what the document says, of the account that it names."""
        (free, posted), message = before, one.message
        if address == message.get("account"):
            if one.kind == "ReleaseAttestation":
                free, posted = free + message["amount"], posted - message["amount"]
            elif one.kind == "MatrixAttestation":
                met = free >= message["topUp"]
                self.seized += 0 if met else free + posted
                free, posted = (free - message["topUp"], posted + message["topUp"]) if met else (0, 0)
        assert after == (free, posted)

    def check(self) -> None:
        """The vault holds what its accounts have, and the waterfall what was taken from them."""
        held = sum(sum(self.vault.balances(holder)) for holder in HOLDERS)
        assert self.vault.tokens(self.vault.vault.address) == held
        assert self.vault.tokens(WATERFALL.address) == self.seized


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(4, marks=pytest.mark.long),
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(6, marks=pytest.mark.slow),
    ],
)
def test_documents_in_any_order_count_once_and_for_what_they_were_made(chain: Chain, seed: int) -> None:
    vault = world(chain)
    vault.fund(STRANGER, 10**9)
    play = Drawer(vault, random.Random(seed))
    done = set()
    for _ in range(STEPS):
        done.add(play.step())
        play.check()
    assert {"brought ReleaseAttestation", "brought PortfolioAttestation", "brought MatrixAttestation"} <= done
    assert {"opened", "covered", "paused", "moved", "brought SignerRotation"} <= done
    assert {"refused WrongSequence", "refused RunNotOpen", "refused WrongSignerSet", "refused RunIsOpen"} <= done
