"""Documents of a default and of the guarantee fund: what arrives, sales, the loss, the close-out, contributions, draws.

Each carries the waterfall rules that it rests on, so whoever pinned their hash needs nothing else to check it.
"""

from collections.abc import Mapping

from atomic_margin.documents.fields import AmountText, Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Identifier, IdMap, Label, ListOf, Quantity
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.waterfall import Borne, Layer, WaterfallRules, waterfall

MAX_MEMBERS = 256
"""Of the fund. Each of them is shown all lines of a close-out."""


class Sale(Body):
    """The operator sold a part of segregated collateral: one stage of a liquidation.

    Attributes:
        institution: in default.
        operator: public key.
        settlement: hash of the liquidation.
        stage: its number, from 1.
        rules: the waterfall rules.
        price_sequence: number of the newest tick, whose prices the limit is of.
        tick: its hash.
        asset: what is sold.
        quantity: of it, in smallest units.
        limit: what it had to bring in at the least, by tick and rules, in smallest units of cash.
        proceeds: what it brought in.
        proceeds_usd: the same in USD at that tick, rounded down to six decimals.
        reason: in the operator's words.
        reference: of the trade.
        sold_at: time.
    """

    TYPE = "sale"
    institution: Identifier
    operator: PublicKey
    settlement: Hash
    stage: Counter
    rules: WaterfallRules
    price_sequence: Counter
    tick: Hash
    asset: Identifier
    quantity: Quantity
    limit: Quantity
    proceeds: Quantity
    proceeds_usd: AmountText
    reason: Label
    reference: Label
    sold_at: Time


class LossAgreement(Body):
    """The institution agrees to the loss of closing out its book; the operator agrees by the entry that it makes of it.

    Attributes:
        institution: in default.
        operator: public key.
        entry: hash of the last entry that the institution saw.
        settlement: hash of the liquidation.
        stages: how many sales there were by then; after another one it is void.
        rules: hash of the waterfall rules.
        asset: the cash of these rules.
        loss: in smallest units of it.
        reason: in the institution's words.
        replaces: hash of the agreement that is in force, if there is one; in its place comes this one.
    """

    TYPE = "loss-agreement"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    settlement: Hash
    stages: Counter
    rules: Hash
    asset: Identifier
    loss: Quantity
    reason: Label
    replaces: Hash | None = None


class CloseOut(Body):
    """The end of a default: who bears the agreed loss, and what goes back to the institution.

    Attributes:
        institution: in default.
        operator: public key.
        settlement: hash of the liquidation.
        rules: the waterfall rules.
        agreement: hash of the agreement on the loss.
        loss: that was agreed, in smallest units of cash.
        margin: what is held of the institution's collateral, in smallest units.
        contribution: its own in the fund, in smallest units of cash.
        contributions: of the others, by name, likewise.
        lines: who bears how much, in the order of the waterfall.
        uncovered: what nobody bears.
        returned: what goes back to free collateral.
        number: of this document in the fund.
        previous: hash of the fund's document before, 64 zeros if there is none.
        closed_at: time.
    """

    TYPE = "close-out"
    institution: Identifier
    operator: PublicKey
    settlement: Hash
    rules: WaterfallRules
    agreement: Hash
    loss: Quantity
    margin: IdMap[Quantity]
    contribution: Quantity
    contributions: IdMap[Quantity]
    lines: ListOf[Layer]
    uncovered: Quantity
    returned: IdMap[Quantity]
    number: Counter
    previous: Hash
    closed_at: Time

    def borne(self) -> Borne:
        """Return who has to bear the loss, by everything else that this says."""
        return borne_by(self.rules, self.institution, self.loss, self.margin, self.contribution, self.contributions)

    def rightly_returned(self) -> dict[str, int]:
        """Return what has to go back."""
        return returned(self.rules, self.loss, self.margin)

    def drawn_from(self, institution: str) -> int:
        """Return what a member of the fund bears, by the lines."""
        return sum(line.drawn for line in self.lines if (line.layer, line.institution) == ("mutual", institution))


class FundContribution(Body):
    """Cash arrived for an institution's share in the guarantee fund.

    Attributes:
        institution: whose share.
        operator: public key.
        rules: the waterfall rules: under these alone it is drawn on.
        quantity: in smallest units of their cash.
        number: of this document in the fund, from 1.
        previous: hash of the fund's document before, 64 zeros if there is none.
        reference: the custodian's.
        booked_at: time.
    """

    TYPE = "fund-contribution"
    institution: Identifier
    operator: PublicKey
    rules: WaterfallRules
    quantity: Quantity
    number: Counter
    previous: Hash
    reference: Label
    booked_at: Time


class FundDraw(Body):
    """A member of the fund bears its line of somebody else's close-out.

    Attributes:
        institution: the member.
        operator: public key.
        quantity: what it bears, in smallest units of cash.
        close_out: all of it, so that the member can compute every line again.
    """

    TYPE = "fund-draw"
    institution: Identifier
    operator: PublicKey
    quantity: Quantity
    close_out: CloseOut


class Segregation(Body):
    """What became free of an institution's collateral since its liquidation is segregated too, all of it.

    Attributes:
        institution: in default.
        operator: public key.
        settlement: hash of the liquidation.
        number: of this document in the default, from 1.
        taken: all that is free, in smallest units.
        segregated_at: time.
    """

    TYPE = "segregation"
    institution: Identifier
    operator: PublicKey
    settlement: Hash
    number: Counter
    taken: IdMap[Quantity]
    segregated_at: Time


def borne_by(
    rules: WaterfallRules,
    institution: str,
    loss: int,
    margin: Mapping[str, int],
    contribution: int,
    contributions: Mapping[str, int],
) -> Borne:
    """Return who bears a loss of an institution; arguments are those of a close-out."""
    return waterfall(
        loss,
        institution,
        margin=margin.get(rules.cash, 0),
        contribution=contribution,
        capital=rules.capital,
        mutual=contributions,
    )


def returned(rules: WaterfallRules, loss: int, margin: Mapping[str, int]) -> dict[str, int]:
    """Return what is left of the institution's collateral."""
    left = {**margin, rules.cash: max(margin.get(rules.cash, 0) - loss, 0)}
    return {asset: quantity for asset, quantity in sorted(left.items()) if quantity}
