"""Balances that add up: opening ones and movements come to the closing ones, and documents to what they moved.

A movement is the difference of two states, so an event of a kind that nobody here has heard of reconciles like any
other. Where a document says itself what it moves, that is compared.
"""

from collections.abc import Iterable

from atomic_margin.service.reports.errors import NotReconciled
from atomic_margin.service.reports.facts import NO_BALANCES, AccountFacts, Balances, Move, Step
from atomic_margin.service.reports.parts import moves_stated


def check_step(facts: AccountFacts, number: int) -> None:
    """Make sure that what the document of an entry says it moves is what moved, as far as balances are known.

    Raises:
        NotReconciled: it is not.
    """
    step = facts.step(number)
    stated = moves_stated(step)
    if stated is None:
        return
    known = ("posted", "free") if facts.whole else ("posted",)
    wanted = sorted(move for move in stated if move.balance in known)
    found = sorted(facts.moves(number))
    if wanted != found:
        raise NotReconciled(
            f"entry {number} of {facts.institution}, '{step.kind}', says that it moves {_shown(wanted)}, and by the "
            f"states before and after {_shown(found)} moved"
        )


def check_balances(opening: Step | None, moves: Iterable[Move], closing: Step | None, whole: bool) -> None:
    """Make sure that opening balances and movements come to the closing ones, and that none is below zero.

    Args:
        opening: the step after which it opens; None before the first.
        moves: all that moved.
        closing: the step after which it closes; None if there is none yet.
        whole: whether free collateral is known.

    Raises:
        NotReconciled: they do not.
    """
    kept = {(name, asset): held for name, asset, held in _held(opening, whole)}
    for move in moves:
        kept[move.balance, move.asset] = kept.get((move.balance, move.asset), 0) + move.quantity
    found = {(name, asset): held for name, asset, held in _held(closing, whole)}
    for key in sorted({*kept, *found}):
        if kept.get(key, 0) != found.get(key, 0) or kept.get(key, 0) < 0:
            balance, asset = key
            raise NotReconciled(
                f"{balance} {asset} comes to {kept.get(key, 0)} by opening balance and movements, and the account has "
                f"{found.get(key, 0)}"
            )


def _held(step: Step | None, whole: bool) -> list[Move]:
    if step is None:
        return []
    free: Balances = (step.free or NO_BALANCES) if whole else NO_BALANCES
    named = (("posted", step.public.posted), ("free", free))
    return [Move(name, asset, held) for name, balances in named for asset, held in balances.items() if held]


def _shown(moves: list[Move]) -> str:
    return ", ".join(f"{move.quantity:+d} {move.balance} {move.asset}" for move in moves) or "nothing"
