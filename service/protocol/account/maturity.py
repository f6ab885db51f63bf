"""Collateral that has matured: the operator books the cash that came in for it, in the account machine. Pure.

What an asset pays and when it ends, the schedule says, which the machine does not have: `protocol.maturities` holds a
document against it, for agents and readers.
"""

from atomic_margin.service.protocol.account.errors import RunNotOver, WrongCollateral, WrongRun, WrongTick
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.holdings import moved
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At, body_of


def matured(state: Account, event: Event, at: At) -> Account:
    """Put the cash that came in where the matured asset was: all of it at once.

    A run that is open counts what was posted when it began; what is posted waits for its end. What is free does too, or
    a call would find other assets than its breach was proven beside.
    """
    body, run = body_of(event, Maturity), state.public.run
    if run is not None and run.stage != "unproven":
        raise RunNotOver(f"run {run.run_id} is open; book what matured after it is answered", "state")
    if body.entry != at.head:
        raise WrongRun("the maturity names another entry than the account's last", "entry")
    if (body.price_sequence, body.tick) != (at.market, at.market_hash):
        raise WrongTick(f"the maturity is not at the newest tick with prices, {at.market}", "price_sequence")
    held = state.public.posted if body.pool == "posted" else state.private.free
    if held.get(body.asset, 0) != body.quantity:
        raise WrongCollateral(
            f"the account has another quantity of {body.pool} {body.asset}; all of it matures", "quantity"
        )
    return moved(state, [(body.asset, body.quantity, body.pool, None), (body.cash, body.paid, None, body.pool)])
