"""Waterfall rules, and an account in default at an operator that has them."""

from collections.abc import Callable
from dataclasses import replace

from atomic_margin.service.operator.accounts import defaults
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.default_documents import LossAgreement
from atomic_margin.service.protocol.account.default_state import Default
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.waterfall import WaterfallRules

from .documents import FUND
from .world import World

USDC = 10**6
BILL = "TBILL-2027-02"
RULES_JSON = {
    "format": "atomic-margin/waterfall-rules/1",
    "version": "1",
    "cash": "USDC",
    "discounts": {BILL: "0.01"},
    "stage_share": "0.5",
    "capital": str(1_000 * USDC),
    "order": ["margin", "contribution", "capital", "mutual"],
    "lien": "free and posted",
}
RULES = WaterfallRules.parse(RULES_JSON)


def with_rules(world: World, rules: WaterfallRules = RULES) -> World:
    """Serve with waterfall rules."""
    world.operator.settings = replace(world.operator.settings, waterfall=rules)
    return world


def default_of(world: World, name: str = FUND) -> Default:
    default = world.account(name).public.default
    assert default is not None
    return default


def agreement(world: World, loss: int, **changes: str) -> SignedDocument:
    """The loss that the institution signs."""
    default = default_of(world)
    body = {
        "institution": FUND,
        "operator": world.key,
        "entry": world.head(),
        "settlement": default.settlement,
        "stages": str(default.stages),
        "rules": RULES.hash(),
        "asset": RULES.cash,
        "loss": str(loss),
        "reason": "closed at auction",
        **({} if default.agreement is None else {"replaces": default.agreement}),
    }
    return LossAgreement.parse(body | changes).signed_by(world.funds[FUND].identity)


def agreed(world: World, loss: int) -> SignedDocument:
    """Let both sides sign a loss; return the entry."""
    document = agreement(world, loss)
    defaults.ask_to_agree(world.operator, FUND, document.to_json())
    return defaults.agree(world.operator, FUND, document.body_hash())


def members(world: World, **quantities: int) -> None:
    """Admit members of the fund with what they contribute; the one in default is one already."""
    for name, quantity in quantities.items():
        with world.operator.store.unit_of_work() as session:
            known = session.get(Account, name) is not None
        if not known:
            world.admit(name)
        defaults.contribute(world.operator, name, quantity, f"fund-{name}")


def capital(world: World, quantity: int = 1_000 * USDC) -> None:
    defaults.add_capital(world.operator, quantity, "capital-1")


WorldAt = Callable[[str], World]
