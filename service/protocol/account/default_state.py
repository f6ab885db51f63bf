"""What the public part of an account holds of a default and of the guarantee fund. Pure."""

from atomic_margin.documents.fields import AmountText, Counter, Hash
from atomic_margin.documents.strict import Identifier, IdMap, Part, Quantity


class Default(Part):
    """A liquidation that is not closed out: what was segregated, and how far it is worked off.

    Attributes:
        settlement: hash of the liquidation.
        top_up_usd: X of the breach answer, USD: what is sold for until a loss is agreed.
        segregated: what the liquidation took and what arrived later, in smallest units.
        held: what there is of it and of what sales brought in.
        stages: how many sales there were.
        realised_usd: what they brought in, USD.
        rules: hash of the waterfall rules, from the first sale or the agreement on.
        agreement: hash of the agreement on the loss.
        loss: that both sides signed, in smallest units of cash.
        arrivals: how often something that arrived later was segregated.
    """

    settlement: Hash
    top_up_usd: AmountText
    segregated: IdMap[Quantity]
    held: IdMap[Quantity]
    stages: Counter = 0
    realised_usd: AmountText = "0"
    rules: Hash | None = None
    agreement: Hash | None = None
    loss: Quantity | None = None
    arrivals: Counter = 0


class FundShare(Part):
    """What an account has in the guarantee fund.

    Attributes:
        rules: hash of the waterfall rules that it was contributed under.
        asset: the cash of these rules.
        quantity: in smallest units.
        number: of the last document of the fund that changed it.
    """

    rules: Hash
    asset: Identifier
    quantity: Quantity
    number: Counter
