"""Accounts in default for tests of the machine, and the documents of a default and of the fund."""

from typing import Any

from atomic_margin.service.protocol.account.default_documents import (
    CloseOut,
    FundContribution,
    FundDraw,
    LossAgreement,
    Sale,
    Segregation,
    borne_by,
    returned,
)
from atomic_margin.service.protocol.account.default_state import Default
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.waterfall import WaterfallRules

from .documents import INSTITUTION, TIME, Parties, named
from .story import covered, everything

RULES_JSON = {
    "format": "atomic-margin/waterfall-rules/1",
    "version": "1",
    "cash": "USDC",
    "discounts": {"BTC": "0.05"},
    "stage_share": "0.5",
    "capital": "50",
    "order": ["margin", "contribution", "capital", "mutual"],
    "lien": "free and posted",
}
RULES = WaterfallRules.parse(RULES_JSON)
OTHERS = {"curlew": 100, "harbour": 200}


def liquidated(contribution: int = 0) -> Parties:
    """1,000 USDC and 100 BTC are segregated, 40 USD were proven; it may have contributed to the fund."""
    parties = covered()
    parties.enter(parties.deposit(100, "BTC"))
    if contribution:
        parties.enter(contributed(parties, contribution))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("breach", top_up_usd="40"))
    parties.enter(parties.settlement(everything(parties), top_up_usd="40"))
    return parties


def segregation(parties: Parties, **changes: Any) -> SignedDocument:
    """All that is free is segregated."""
    default = parties.state.public.default
    body = {
        "settlement": named("settlement") if default is None else default.settlement,
        "number": str(1 if default is None else default.arrivals + 1),
        "taken": texts(dict(parties.state.private.free)),
        "segregated_at": TIME,
    }
    return parties.by_operator(Segregation, body | changes)


def arrived(loss: int = 1_300, quantity: int = 5_000, asset: str = "USDC") -> Parties:
    """A loss is agreed, and a deposit came since the liquidation."""
    parties = agreed(loss)
    parties.enter(parties.deposit(quantity, asset))
    return parties


def default_of(parties: Parties) -> Default:
    default = parties.state.public.default
    assert default is not None
    return default


def sale(parties: Parties, quantity: int = 10, proceeds: int = 20, **changes: Any) -> SignedDocument:
    default = parties.state.public.default
    body = {
        "settlement": named("settlement") if default is None else default.settlement,
        "stage": str(1 if default is None else default.stages + 1),
        "rules": RULES_JSON,
        "price_sequence": str(parties.market),
        "tick": parties.tick_hash(parties.market),
        "asset": "BTC",
        "quantity": str(quantity),
        "limit": "1",
        "proceeds": str(proceeds),
        "proceeds_usd": str(proceeds),
        "reason": "a stage",
        "reference": f"trade-{quantity}",
        "sold_at": TIME,
    }
    return parties.by_operator(Sale, body | changes)


def loss_agreement(parties: Parties, loss: int = 300, **changes: Any) -> SignedDocument:
    default = default_of(parties)
    body = {
        "entry": parties.chain.head,
        "settlement": default.settlement,
        "stages": str(default.stages),
        "rules": RULES.hash(),
        "asset": "USDC",
        "loss": str(loss),
        "reason": "closed at auction",
        **({} if default.agreement is None else {"replaces": default.agreement}),
    }
    return parties.by_institution(LossAgreement, body | changes)


def agreed(loss: int = 300, contribution: int = 0) -> Parties:
    parties = liquidated(contribution)
    parties.enter(loss_agreement(parties, loss))
    return parties


def close_out_body(
    settlement: str, agreement: str | None, loss: int, margin: dict[str, int], contribution: int = 0
) -> dict[str, Any]:
    """What closes a default out rightly, without who and when."""
    borne = borne_by(RULES, INSTITUTION, loss, margin, contribution, OTHERS)
    return {
        "settlement": settlement,
        "rules": RULES_JSON,
        "agreement": agreement or named("agreement"),
        "loss": str(loss),
        "margin": texts(margin),
        "contribution": str(contribution),
        "contributions": texts(OTHERS),
        "lines": [line.canonical() for line in borne.lines],
        "uncovered": str(borne.uncovered),
        "returned": texts(returned(RULES, loss, margin)),
        "number": "9",
        "previous": named("fund", 8),
        "closed_at": TIME,
    }


def close_out(parties: Parties, **changes: Any) -> SignedDocument:
    default, share = default_of(parties), parties.state.public.fund
    own = 0 if share is None else share.quantity
    body = close_out_body(default.settlement, default.agreement, default.loss or 0, dict(default.held), own)
    return parties.by_operator(CloseOut, body | changes)


def contributed(parties: Parties, quantity: int = 500, number: int = 1, **changes: Any) -> SignedDocument:
    body = {
        "rules": RULES_JSON,
        "quantity": str(quantity),
        "number": str(number),
        "previous": named("fund", number - 1),
        "reference": "custodian",
        "booked_at": TIME,
    }
    return parties.by_operator(FundContribution, body | changes)


def member(quantity: int = 200) -> Parties:
    """An account that is called `fund` everywhere else has a share in the fund."""
    parties = covered()
    parties.enter(contributed(parties, quantity))
    return parties


def draw(parties: Parties, **changes: Any) -> SignedDocument:
    """The line of an account in the close-out of somebody else, whose loss takes all there is."""
    loss, margin, others = 1_350, {"USDC": 1_000}, {"curlew": 100, INSTITUTION: 200}
    borne = borne_by(RULES, "heron", loss, margin, 0, others)
    closing = close_out_body(named("settlement"), None, loss, margin) | {
        "institution": "heron",
        "operator": parties.operator.public_key,
        "contributions": texts(others),
        "lines": [line.canonical() for line in borne.lines],
        "uncovered": str(borne.uncovered),
    }
    drawn = next(line.drawn for line in borne.lines if (line.layer, line.institution) == ("mutual", INSTITUTION))
    quantity = changes.pop("quantity", drawn)
    return parties.by_operator(FundDraw, {"quantity": str(quantity), "close_out": closing | changes})


def texts(quantities: dict[str, int]) -> dict[str, str]:
    return {name: str(quantity) for name, quantity in quantities.items()}
