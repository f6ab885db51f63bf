"""Collateral that matured in the account machine: all of it at once, at the newest prices, in no open run."""

import pytest

from atomic_margin.service.protocol.account.errors import RunNotOver, WrongCollateral, WrongRun, WrongSigner, WrongTick
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import TIME, Parties, named, tick
from .story import breached, covered, evaluating, owed, recorded, refuses


def maturity(parties: Parties, pool: str = "posted", quantity: int | None = None, **changes: str) -> SignedDocument:
    public, private = parties.state.public, parties.state.private
    held = public.posted if pool == "posted" else private.free
    quantity = held.get("USDC", 0) if quantity is None else quantity
    body = {
        "entry": parties.chain.head,
        "pool": pool,
        "asset": "USDC",
        "quantity": str(quantity),
        "cash": "USD",
        "paid": str(2 * quantity),
        "price_sequence": str(parties.market),
        "tick": tick(parties.market),
        "booked_at": TIME,
    }
    return parties.by_operator(Maturity, body | changes)


@pytest.mark.parametrize("pool", ["posted", "free"])
def test_all_of_a_pool_becomes_cash_and_the_other_stays(pool: str) -> None:
    parties = covered()
    before = {"posted": dict(parties.state.public.posted), "free": dict(parties.state.private.free)}
    parties.enter(maturity(parties, pool))
    after = {"posted": dict(parties.state.public.posted), "free": dict(parties.state.private.free)}
    assert after[pool] == {"USD": 2 * before[pool]["USDC"]}
    other = "free" if pool == "posted" else "posted"
    assert after[other] == before[other]


def test_once_more_it_is_another_quantity() -> None:
    parties = covered()
    document = maturity(parties)
    parties.enter(document)
    refuses(parties, document, WrongRun, "another entry than the account's last")
    refuses(parties, maturity(parties, quantity=100), WrongCollateral, "all of it matures")


def test_a_part_of_it_is_refused() -> None:
    parties = covered()
    held = parties.state.public.posted["USDC"]
    for quantity in (held - 1, held + 1):
        refuses(parties, maturity(parties, quantity=quantity), WrongCollateral, "all of it matures")


def test_it_is_at_the_newest_prices_and_after_the_last_entry() -> None:
    parties = covered()
    document = maturity(parties)
    refuses(parties, maturity(parties, entry=named("other")), WrongRun, "another entry")
    refuses(parties, maturity(parties, tick=named("other")), WrongTick, "not at the newest tick")
    parties.tick()
    refuses(parties, document, WrongTick, "not at the newest tick")


def test_an_open_run_counts_what_was_posted_when_it_began() -> None:
    for parties in (evaluating(), recorded(), breached()):
        for pool in ("posted", "free"):
            refuses(parties, maturity(parties, pool), RunNotOver, "after it is answered")
    # One whose time is over does not hold it up: an institution that is silent has its bills paid too.
    parties = owed()
    parties.enter(maturity(parties))
    assert dict(parties.state.public.posted) == {"USD": 2 * 100}


def test_the_institution_signs_none() -> None:
    parties = covered()
    forged = parties.institution.sign("maturity", maturity(parties).body)
    refuses(parties, forged, WrongSigner, "is signed by the operator")
