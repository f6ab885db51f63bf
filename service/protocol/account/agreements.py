"""Collateral agreements in the account machine: which figures are in force, what may be posted, amendments. Pure."""

from collections.abc import Iterable

from atomic_margin.margin.collateral.agreement import Agreed, CollateralAgreement
from atomic_margin.service.protocol.account.amendments import AgreementAmendment
from atomic_margin.service.protocol.account.errors import (
    CoolingDown,
    RunNotOver,
    WrongAgreement,
    WrongCollateral,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.state import Account, AgreementInForce, PublicState
from atomic_margin.service.protocol.account.values import At, body_of, is_due, made, require_next, updated, with_public
from atomic_margin.service.protocol.states import AccountState


def agreement_in_force(agreement: CollateralAgreement | None, sequence: int = 0) -> AgreementInForce | None:
    """Return what a state says of an agreement."""
    if agreement is None:
        return None
    return made(
        AgreementInForce,
        agreement=agreement.hash(),
        sequence=sequence,
        agreed=agreement.agreed,
        minimum_return_amount=agreement.minimum_return_amount,
        eligible=agreement.assets,
        cool_down=agreement.cool_down,
    )


def agreed_in_force(public: PublicState) -> Agreed | None:
    """Return the figures that a run of an account counts, were it opened now; None without an agreement.

    Threshold and minimum transfer are credit. Who is frozen, owes a proof or is in default has none.
    """
    if public.agreement is None:
        return None
    agreed = public.agreement.agreed
    trusted = public.owed is None and public.status not in (AccountState.FROZEN, AccountState.IN_DEFAULT)
    return agreed if trusted else agreed.without_credit


def eligible_assets(public: PublicState) -> tuple[str, ...] | None:
    """Return the assets that may be posted; None for all of the schedule."""
    return None if public.agreement is None else public.agreement.eligible


def require_eligible(public: PublicState, assets: Iterable[str]) -> None:
    """Make sure that assets may be posted.

    Raises:
        WrongCollateral: one may not.
    """
    eligible = eligible_assets(public)
    for asset in assets:
        if eligible is not None and asset not in eligible:
            shown = ", ".join(eligible)
            raise WrongCollateral(f"{asset} is not eligible by the account's agreement; post one of {shown}", "asset")


def called(state: Account, tick: int) -> Account:
    """Note at which tick an account was called, where its agreement has a cool-down."""
    agreement = state.public.agreement
    return state if agreement is None or agreement.cool_down is None else with_public(state, called=tick)


def require_cooled_down(public: PublicState, at: At) -> None:
    """Make sure that the last margin call is as many ticks ago as the agreement wants before anything is released.

    Raises:
        CoolingDown: it is not.
    """
    agreement = public.agreement
    if agreement is None or agreement.cool_down is None or public.called is None:
        return
    until = public.called + agreement.cool_down
    if at.market <= until:
        raise CoolingDown(
            f"a margin call of tick {public.called} was settled, and by the agreement nothing is released up to tick "
            f"{until}; substitute, or release after that",
            "price_sequence",
        )


def agreement_amended(state: Account, event: Event, at: At) -> Account:
    """Put other terms in the place of those so far: between runs, before the tick that both named is over."""
    body, public = body_of(event, AgreementAmendment), state.public
    if public.run is not None or public.owed is not None or is_due(state, at):
        raise RunNotOver("a run of the account is open, due or owed; amend the agreement after it", "state")
    before = public.agreement
    if body.before != (None if before is None else before.agreement):
        raise WrongAgreement("the amendment follows another agreement than the account is under", "before")
    require_next(body.sequence, 0 if before is None else before.sequence, "amendment")
    if at.tick > body.until:
        raise WrongTick(f"the amendment was to be entered at tick {body.until} at the latest; sign another", "until")
    # What was proven was proven under the terms before: nothing leaves until the next proof.
    book = None if public.book is None else updated(public.book, covered=None)
    after = with_public(state, agreement=agreement_in_force(body.agreement, body.sequence), book=book)
    # What the terms before did not take either was not brought, it became so: cash of a bill that matured.
    taken = eligible_assets(public)
    require_eligible(after.public, [asset for asset in public.posted if taken is None or asset in taken])
    return after
