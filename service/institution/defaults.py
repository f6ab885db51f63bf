"""What an agent checks of sales, close-outs and the fund, beside what the account machine says."""

from collections.abc import Callable

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import SaleRefused
from atomic_margin.service.protocol.account.default_documents import (
    CloseOut,
    FundContribution,
    FundDraw,
    Sale,
)
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.sales import check_sale
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.waterfall import WaterfallRules

CHECKED = frozenset({"sale", "close-out", "fund-contribution", "fund-draw"})
"""Documents of the operator's that rest on waterfall rules."""


def check(document: SignedDocument, trust: TrustFile, terms: Terms, market_of: Callable[[int, str], Market]) -> None:
    """Check what the account machine cannot say of a document: rules that are pinned, and a sale's prices.

    Args:
        document: of a type in `CHECKED`.
        trust: pins the rules.
        terms: pinned.
        market_of: the prices of a tick that the agent has seen, by number and hash.

    Raises:
        EntryIllegal: it is under other rules, or a sale does not keep its limit.
    """
    if document.type == "sale":
        sale = Sale.parse(document.body)
        require_pinned(sale.rules, trust)
        try:
            check_sale(sale, market_of(sale.price_sequence, sale.tick), terms.schedule)
        except SaleRefused as refusal:
            raise EntryIllegal(f"stage {sale.stage} of the liquidation: {refusal}") from refusal
    elif document.type == "fund-draw":
        require_pinned(FundDraw.parse(document.body).close_out.rules, trust)
    else:
        kind: type[CloseOut] | type[FundContribution] = CloseOut if document.type == "close-out" else FundContribution
        require_pinned(kind.parse(document.body).rules, trust)


def require_pinned(rules: WaterfallRules, trust: TrustFile) -> None:
    """Make sure that rules are the pinned ones.

    Raises:
        EntryIllegal: they are not, or none are pinned.
    """
    if trust.waterfall is None:
        raise EntryIllegal(
            f"it rests on waterfall rules {rules.hash()}, and the trust file pins none; read them, and pin them as "
            "`waterfall` if you agree"
        )
    if rules.hash() != trust.waterfall:
        raise EntryIllegal(f"it rests on waterfall rules {rules.hash()}, and {trust.waterfall} are pinned")
