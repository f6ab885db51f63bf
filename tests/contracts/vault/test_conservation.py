"""Whatever is done in whatever order: the vault holds what its accounts have, and nothing is made or lost.

The verifier is a stand-in that verifies nothing; a model in Python says what every account has to have.
"""

import random
from dataclasses import dataclass

import pytest

from .chain import Chain
from .world import HOLDER, OPERATOR, OTHER, STRANGER, WATERFALL, World, digest, world

PEOPLE = (HOLDER, OTHER, STRANGER)
STEPS = 100


@dataclass
class Expected:
    """What an account has to have, and the run that is open."""

    free: int = 0
    posted: int = 0
    run: bytes | None = None
    tick: int = 0
    over: bool = False
    picture: tuple[int, int] = (0, 0)


class Play:
    """A random play, checked after every step."""

    def __init__(self, vault: World, drawn: random.Random) -> None:
        self.vault, self.drawn = vault, drawn
        self.accounts = {one.address: Expected() for one in PEOPLE}
        self.seized = 0
        for one in PEOPLE:
            vault.register(one, digest(one.address))
            vault.fund(one, 10**9)

    def step(self) -> str:
        """Do something that may be done or not; return what was done."""
        who = self.drawn.choice(PEOPLE)
        has = self.accounts[who.address]
        amount = self.drawn.choice([0, 1, 7, 1000, *[has.free // 2] * 6, has.free, has.free + 1])
        functions = self.vault.vault.functions
        deed = self.drawn.choice(["deposit", "post", "withdraw", "open", "settle", "settle", "cover"])
        if deed == "deposit":
            if has.over or amount == 0:
                call = functions.deposit(who.address, amount)
                return self.vault.refused(call, who).name
            self.vault.send(functions.deposit(who.address, amount), self.drawn.choice(PEOPLE))
            has.free += amount
        elif deed in ("post", "withdraw"):
            call = functions.post(amount) if deed == "post" else functions.withdraw(who.address, amount)
            if has.run is not None or amount > has.free:
                return self.vault.refused(call, who).name
            self.vault.send(call, who)
            has.free -= amount
            has.posted += amount if deed == "post" else 0
        elif deed == "open":
            run = digest(f"{who.address} {has.tick + 1}")
            call = functions.openRun(run, who.address, has.tick + 1, digest(who.address), has.posted)
            if has.run is not None or has.over:
                return self.vault.refused(call, OPERATOR).name
            self.vault.send(call, OPERATOR)
            has.run, has.tick, has.picture = run, has.tick + 1, (has.free, has.posted)
        elif deed == "settle":
            return self._settle(who.address, has, amount)
        else:
            call = functions.endCovered(has.run or bytes(32))
            if has.run is None:
                return self.vault.refused(call, OPERATOR).name
            self.vault.send(call, OPERATOR)
            has.run = None
        return deed

    def _settle(self, account: str, has: Expected, amount: int) -> str:
        book = {"commitments": digest(account)}
        free, posted = has.picture
        about = {"account": account, "run": has.run or bytes(32), "tick": has.tick, "free": free, "posted": posted}
        message = self.vault.matrices(**about, **book, rate=10**18)
        call = self.vault.settling(self.vault.decided(amount, breach=book, topped=book), message)
        if has.run is None or amount == 0:
            return self.vault.refused(call).name
        self.vault.send(call)
        has.run = None
        if amount <= has.free:
            has.free, has.posted = has.free - amount, has.posted + amount
            return "called"
        self.seized += has.free + has.posted
        has.free, has.posted, has.over = 0, 0, True
        return "liquidated"

    def check(self) -> None:
        """Compare the vault with what it has to have."""
        for one in PEOPLE:
            has = self.accounts[one.address]
            assert self.vault.balances(one) == (has.free, has.posted)
            state = "Terminated" if has.over else "Settled" if has.run is None else "Valuation"
            assert self.vault.state(one) == state
        held = sum(has.free + has.posted for has in self.accounts.values())
        assert self.vault.tokens(self.vault.vault.address) == held
        assert self.vault.tokens(WATERFALL.address) == self.seized


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1, marks=pytest.mark.long),
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(3, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_made_or_lost(chain: Chain, seed: int) -> None:
    play = Play(world(chain), random.Random(seed))
    done = set()
    for _ in range(STEPS):
        done.add(play.step())
        play.check()
    assert {"deposit", "post", "withdraw", "open", "called", "cover"} <= done
