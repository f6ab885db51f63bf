"""What comes back under a collateral agreement is worth its minimum return: for everyone who reads a release. Pure.

The machine knows the agreement and not the prices; here both are known. Operator, agent and readers call the same
function. Everything in it is public, and what is beyond initial margin is not: so it is what leaves that is measured.
"""

import math
from collections.abc import Mapping

from atomic_margin.margin.collateral import worth_now
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.release_documents import ReleaseClaim
from atomic_margin.service.protocol.account.state import AgreementInForce
from atomic_margin.service.protocol.terms import Terms


def check_return(
    release: ReleaseClaim, agreement: AgreementInForce | None, terms: Terms, market: Market | None
) -> None:
    """Make sure that what leaves is worth the agreement's minimum return, or is everything, or nothing.

    A substitution lets the difference leave: one that gives as much as it takes returns nothing.

    Args:
        release: whose balances are those of its account at its entry.
        agreement: that the account is under then; None for none.
        terms: likewise.
        market: prices of the tick that it names; None if they are not at hand, or there are none yet.

    Raises:
        Refused: it is worth less, or cannot be valued; `.field` names what is wrong.
    """
    if agreement is None or not agreement.minimum_return_amount:
        return
    if market is None:
        # Before the first prices nothing has a value.
        if release.price_sequence:
            raise Refused(f"the prices of tick {release.price_sequence} are not at hand", "price_sequence")
        return
    try:
        leaves = leaving(release.posted, release.remaining, terms, market)
    except MarginError as error:
        raise Refused(f"what leaves cannot be valued at this tick: {error}", "taken") from error
    if not is_returned(leaves, release.remaining, agreement):
        raise Refused(
            f"{leaves} USD leave after haircut, and the agreement returns {agreement.minimum_return_amount:f} USD at "
            "once or more: take more, or everything; or give as much as is taken",
            "taken",
        )


def leaving(posted: Mapping[str, int], remaining: Mapping[str, int], terms: Terms, market: Market) -> int:
    """Return what leaves, USD at prices as they are, after haircut and tiers; a dollar that has begun is a whole one.

    So a return that was chosen to be worth an amount, and a cent less for rounding, is worth that amount.

    Raises:
        MarginError: the market does not price the collateral, or the schedule does not know it.
    """
    before, after = (worth_now(terms.schedule, terms.model.spot_moves, market, held) for held in (posted, remaining))
    return math.ceil(before - after)


def is_returned(leaves: int, remaining: Mapping[str, int], agreement: AgreementInForce | None) -> bool:
    """Return whether so much may come back at once: the minimum return or more, nothing, or all that is posted."""
    return agreement is None or not remaining or leaves <= 0 or leaves >= agreement.minimum_return_amount
