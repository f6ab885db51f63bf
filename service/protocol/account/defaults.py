"""Defaults in the account machine: segregated collateral, its sale in stages, the close-out, and the fund. Pure.

Nobody can close positions that nobody sees. So what is sold is bounded by the proven top-up until both sides signed a
loss, and by that loss from then on; and a default ends by that loss alone. Nobody else bears anything of it before the
defaulter's collateral and contribution are used up. What arrives meanwhile, by a deposit, a delivery or a maturity, is
free at first, and under the same lien: it is segregated before others bear anything.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from atomic_margin.service.protocol.account.default_documents import (
    CloseOut,
    FundContribution,
    FundDraw,
    LossAgreement,
    Sale,
    Segregation,
)
from atomic_margin.service.protocol.account.default_state import Default, FundShare
from atomic_margin.service.protocol.account.disputes import require_not_held
from atomic_margin.service.protocol.account.errors import OutOfSequence, WrongCollateral, WrongDefault, WrongTick
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.holdings import moved
from atomic_margin.service.protocol.account.state import Account, PublicState
from atomic_margin.service.protocol.account.values import At, body_of, made, require_next, updated, with_public
from atomic_margin.service.protocol.documents import Settlement
from atomic_margin.service.protocol.waterfall import MAX_STAGES, sells_too_much


def segregated(body: Settlement, settlement: str) -> Default:
    """Return the default that begins with a liquidation."""
    taken: dict[str, int] = {}
    for move in body.transfers:
        taken[move.asset] = taken.get(move.asset, 0) + move.quantity
    taken = dict(sorted(taken.items()))
    return made(Default, settlement=settlement, top_up_usd=body.top_up_usd, segregated=taken, held=taken)


def collateral_segregated(state: Account, event: Event, at: At) -> Account:
    """Take what became free since the liquidation, all of it."""
    body = body_of(event, Segregation)
    default = _default(state, body.settlement)
    require_next(body.number, default.arrivals, "segregation")
    if not body.taken or body.taken != state.private.free:
        raise WrongCollateral("the account has something else free; all that is free is segregated", "taken")
    state = moved(state, [(asset, quantity, "free", None) for asset, quantity in body.taken.items()])
    after = updated(
        default,
        arrivals=body.number,
        segregated=_sum(default.segregated, body.taken),
        held=_sum(default.held, body.taken),
    )
    return with_public(state, default=after)


def collateral_sold(state: Account, event: Event, at: At) -> Account:
    """Take one stage of a liquidation: part of what is held became cash."""
    body = body_of(event, Sale)
    default = _default(state, body.settlement)
    require_not_held(state.public, "sell")
    if state.private.free:
        arrived = ", ".join(state.private.free)
        raise WrongCollateral(
            f"{arrived} of the institution arrived since; segregate it before anything is sold", "asset"
        )
    require_next(body.stage, default.stages, "stage")
    if body.stage > MAX_STAGES:
        raise OutOfSequence(f"a liquidation has at most {MAX_STAGES} stages", "stage")
    rules = body.rules.hash()
    _require_rules(state.public, default, rules)
    if (body.price_sequence, body.tick) != (at.market, at.market_hash) or (at.tick, at.receipted) != (
        at.market,
        at.market,
    ):
        # Who knows the next prices would sell to a friend at the lower ones of the two.
        raise WrongTick(
            f"a sale is at the prices of the newest tick, {at.market}, before a document for the next is receipted; "
            "sell after the next tick",
            "price_sequence",
        )
    if body.quantity == 0 or body.asset not in body.rules.discounts:
        raise WrongCollateral(f"the waterfall rules allow no sale of {body.quantity} {body.asset}", "asset")
    if body.quantity > default.held.get(body.asset, 0):
        raise WrongCollateral(f"{default.held.get(body.asset, 0)} units of {body.asset} are held", "quantity")
    if body.quantity - 1 >= Fraction(body.rules.stage_share) * default.segregated.get(body.asset, 0):
        raise WrongCollateral(
            f"one stage sells at most {body.rules.stage_share} of the {default.segregated.get(body.asset, 0)} units of "
            f"{body.asset} that were segregated; sell the rest in the next one",
            "quantity",
        )
    if body.proceeds < body.limit:
        raise WrongCollateral(f"it brought in {body.proceeds}, and the limit is {body.limit}", "proceeds")
    _check_wanted(default, body)
    held = dict(default.held)
    held[body.asset] -= body.quantity
    held[body.rules.cash] = held.get(body.rules.cash, 0) + body.proceeds
    realised = format(Decimal(default.realised_usd) + Decimal(body.proceeds_usd), "f")
    after = updated(default, rules=rules, stages=body.stage, held=_nonzero(held), realised_usd=_plain(realised))
    return with_public(state, default=after)


def _check_wanted(default: Default, body: Sale) -> None:
    """Make sure that a sale ends with the unit that reaches what is wanted."""
    if default.loss is None:
        before, wanted = Fraction(default.realised_usd), Fraction(default.top_up_usd)
        sold, what = Fraction(body.proceeds_usd), f"the proven top-up of {default.top_up_usd} USD"
    else:
        before, wanted = Fraction(default.held.get(body.rules.cash, 0)), Fraction(default.loss)
        sold, what = Fraction(body.proceeds), f"the agreed loss of {default.loss} {body.rules.cash}"
    if sells_too_much(before, sold, body.quantity, wanted):
        raise WrongCollateral(f"fewer units of {body.asset} reach {what}; sell those, and nothing more", "quantity")


def loss_agreed(state: Account, event: Event, at: At) -> Account:
    """Take the loss that both sides signed, in place of the one before if they signed that too.

    What cannot be sold keeps others from bearing anything: a smaller loss, that the cash reaches, is the way out.
    """
    body = body_of(event, LossAgreement)
    default = _default(state, body.settlement)
    if body.replaces != default.agreement:
        agreed = "no loss is agreed yet" if default.loss is None else f"a loss of {default.loss} is agreed already"
        raise WrongDefault(f"{agreed}; the next one names what it replaces: the agreement in force", "replaces")
    if body.stages != default.stages:
        raise WrongDefault(f"it was signed after {body.stages} sales, and there are {default.stages}", "stages")
    _require_rules(state.public, default, body.rules)
    return with_public(state, default=updated(default, rules=body.rules, agreement=event.document, loss=body.loss))


def default_closed(state: Account, event: Event, at: At) -> Account:
    """End a default: the loss is borne, and what is left goes back to free collateral."""
    body, share = body_of(event, CloseOut), state.public.fund
    default = _default(state, body.settlement)
    require_not_held(state.public, "close out")
    if default.loss is None:
        raise WrongDefault("no loss is agreed that both sides signed; close out when there is one", "loss")
    if (body.loss, body.agreement) != (default.loss, default.agreement):
        raise WrongDefault(f"a loss of {default.loss} was agreed, in another document", "loss")
    _require_rules(state.public, default, body.rules.hash())
    if body.margin != default.held:
        raise WrongCollateral("it counts other collateral than is held", "margin")
    if share is not None and body.number <= share.number:
        raise OutOfSequence(f"the fund's document {share.number} was about the account already", "number")
    if body.contribution != (0 if share is None else share.quantity):
        raise WrongCollateral("it counts another contribution of the institution than it has", "contribution")
    _check_lines(body)
    if body.loss > default.held.get(body.rules.cash, 0):
        _require_nothing_left(state, default, body)
    state = moved(state, [(asset, quantity, None, "free") for asset, quantity in body.returned.items()])
    own = sum(line.drawn for line in body.lines if line.layer == "contribution")
    # Closed out, its book is no more; nor is anything that was due on it.
    closed = with_public(state, default=None, book=None, given_up=None)
    return closed if share is None else with_public(closed, fund=_drawn(share, own, body.number))


def _require_nothing_left(state: Account, default: Default, body: CloseOut) -> None:
    """Make sure that the institution has nothing beside its cash that is held, before others bear a loss beyond it."""
    nobody = "nobody else bears anything before that"
    promised = _promised(state)
    if promised:
        raise WrongCollateral(f"deliveries of {', '.join(promised)} are promised and not netted; {nobody}", "margin")
    if state.private.free:
        arrived = ", ".join(state.private.free)
        raise WrongCollateral(f"{arrived} of the institution arrived since and is not segregated; {nobody}", "margin")
    others = [asset for asset in default.held if asset != body.rules.cash]
    if others:
        raise WrongCollateral(
            f"{', '.join(others)} of the institution is not sold, and its cash does not reach the loss; {nobody}. Sell "
            "it, or agree on a loss that the cash reaches",
            "margin",
        )


def _promised(state: Account) -> list[str]:
    """Return the assets that the institution promised to bring, in lines that no cycle netted, of whatever day.

    What day it is, only the operator would say.
    """
    pending = () if state.private.netting is None else state.private.netting.pending
    return sorted({line.asset for line in pending if line.direction == "delivery"})


def _check_lines(body: CloseOut) -> None:
    borne = body.borne()
    if body.institution in body.contributions:
        raise WrongCollateral("it counts the defaulter among the others of the fund", "contributions")
    if tuple(body.lines) != borne.lines:
        raise WrongCollateral(
            "other lines bear the loss by the waterfall: its order, what there is, its rounding", "lines"
        )
    if body.uncovered != borne.uncovered:
        raise WrongCollateral(f"{borne.uncovered} of the loss are borne by nobody", "uncovered")
    if body.returned != body.rightly_returned():
        raise WrongCollateral("something else than what is left goes back", "returned")


def fund_contributed(state: Account, event: Event, at: At) -> Account:
    """Take a contribution to the fund."""
    body, share = body_of(event, FundContribution), state.public.fund
    rules = body.rules.hash()
    if share is None or share.quantity == 0:
        before = made(
            FundShare, rules=rules, asset=body.rules.cash, quantity=0, number=0 if share is None else share.number
        )
    elif share.rules != rules:
        raise WrongDefault("what the account has in the fund is under other waterfall rules", "rules")
    else:
        before = share
    if body.number <= before.number:
        raise OutOfSequence(f"the fund's document {before.number} was about the account already", "number")
    after = updated(before, quantity=before.quantity + body.quantity, number=body.number)
    return with_public(state, fund=after)


def fund_drawn(state: Account, event: Event, at: At) -> Account:
    """Let a member of the fund bear its line of somebody else's close-out."""
    body, public, share = body_of(event, FundDraw), state.public, state.public.fund
    closing = body.close_out
    if closing.operator != public.operator or closing.institution == public.institution:
        raise WrongDefault("the close-out is of another operator, or of the account's own default", "close_out")
    if share is None or share.rules != closing.rules.hash():
        raise WrongDefault("the account has nothing in the fund under these waterfall rules", "rules")
    if closing.number <= share.number:
        raise OutOfSequence(f"the fund's document {share.number} was about the account already", "number")
    if closing.contributions.get(public.institution) != share.quantity:
        raise WrongCollateral(
            f"the account has {share.quantity} in the fund, the close-out counts another", "close_out"
        )
    _check_lines(closing)
    if body.quantity != closing.drawn_from(public.institution):
        raise WrongCollateral("something else is drawn than the account's line bears", "quantity")
    return with_public(state, fund=_drawn(share, body.quantity, closing.number))


def _drawn(share: FundShare, quantity: int, number: int) -> FundShare:
    return updated(share, quantity=share.quantity - quantity, number=number)


def _default(state: Account, settlement: str) -> Default:
    default = state.public.default
    if default is None or default.settlement != settlement:
        raise WrongDefault("it is about another liquidation than the account's", "settlement")
    return default


def _require_rules(public: PublicState, default: Default, named: str) -> None:
    """Make sure that all of a default is under the same rules, and its own contribution can be drawn on."""
    if default.rules is not None and default.rules != named:
        raise WrongDefault("it is under other waterfall rules than what came before", "rules")
    share = public.fund
    if share is not None and share.quantity and share.rules != named:
        # Under other rules it could never be closed out: the contribution bears before others do.
        raise WrongDefault(f"the institution's contribution is under other waterfall rules, {share.rules}", "rules")


def _sum(held: Mapping[str, int], taken: Mapping[str, int]) -> dict[str, int]:
    return {asset: held.get(asset, 0) + taken.get(asset, 0) for asset in sorted({*held, *taken})}


def _nonzero(held: dict[str, int]) -> dict[str, int]:
    return {asset: quantity for asset, quantity in sorted(held.items()) if quantity}


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
