"""Pass shares on, and add up those that others pass on. For custodians: it touches shares.

>>> import inspect
>>> list(inspect.signature(pass_on).parameters)
['resharing', 'shares', 'group']
"""

from collections.abc import Mapping

from atomic_margin.zk.errors import OtherDeal, SharesInvalid, TooFewShares
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.interpolation import lagrange, weighted
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.resharing import Resharing


def pass_on(resharing: Resharing, shares: Shares, group: Group | None = None) -> tuple[Deal, tuple[Shares, ...]]:
    """Return a dealer's own deal of the shares it has, and each new custodian's part of it.

    Raises:
        OtherDeal: the shares are of another deal than the one that is passed on.
        StatementError: the holder is none of the dealers.
        WitnessError: the shares do not fit their deal; names the entry.
    """
    group = group or load_group()
    if shares.deal != resharing.deal.hash:
        raise OtherDeal("the shares are of another deal than the one that is passed on")
    statement = resharing.statement_of(shares.custodian, group)
    return deal_shares(statement, SharingWitness(shares.values, shares.blindings), group)


def add_up(
    resharing: Resharing,
    deals: Mapping[int, Deal],
    received: Mapping[int, Shares],
    custodian: int,
    group: Group | None = None,
) -> tuple[Deal, Shares]:
    """Check what a new custodian got of every dealer; return the new deal and its shares.

    Args:
        resharing: what is passed on, by whom and to whom.
        deals: of the dealers, by their points; those of others are left aside.
        received: this custodian's shares of each of these deals, by the dealers' points.
        custodian: point of this custodian.
        group: backend, by default the fastest installed.

    Raises:
        TooFewShares: the deal or the shares of a dealer are missing.
        OtherDeal: a deal is about something else, or shares are of another one.
        SharingEncodingError: a commitment of a deal does not decode.
        SharesInvalid: naming the dealer and the entry.
    """
    group = group or load_group()
    known: dict[bytes, Point] = {}
    deal = resharing.combined(deals, group, known)
    for dealer in resharing.dealers:
        if dealer not in received:
            raise TooFewShares(f"no shares of the dealer at point {dealer}: ask it for yours")
        try:
            check_shares(deals[dealer], received[dealer], custodian, group, known)
        except SharesInvalid as error:
            raise SharesInvalid(custodian, error.entry, dealer) from None
    factors = lagrange(resharing.dealers)
    parts = [received[dealer] for dealer in resharing.dealers]
    values = weighted(factors, [part.values for part in parts])
    blindings = weighted(factors, [part.blindings for part in parts])
    return deal, Shares(custodian, deal.hash, values, blindings)
