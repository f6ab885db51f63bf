"""Re-sharing to other custodians, or to the same ones anew: what everyone sees of it. Anyone may call it.

Exactly t holders, the *dealers*, share their own shares in turn, each by a deal like the institution's. What anchors a
dealer's deal is no new commitment: it is V_i plus the sum of x^k C_(k,i), the commitment to its share, which everyone
computes from the old deal. A new custodian adds up what it gets of every dealer, with Lagrange's factors; the same sum
of the dealers' commitments is the new deal, and its constant coefficients are the old V_i. So nobody needs the
institution, and what it committed to stays the anchor.

With other custodians or another threshold this moves a book; with the same ones it is a proactive refresh: afterwards
old shares are worth nothing with new ones. It is worth something only if old shares are erased.

Source: Desmedt and Jajodia, *Redistributing secret shares to new access structures* (1997), with Pedersen's checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atomic_margin.zk.errors import OtherDeal, StatementError, TooFewShares
from atomic_margin.zk.groups import Group, Point
from atomic_margin.zk.sharing.check import deal_points
from atomic_margin.zk.sharing.interpolation import lagrange
from atomic_margin.zk.sharing.messages import Deal
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement
from atomic_margin.zk.statements import checks
from atomic_margin.zk.vectors import powers

RESHARED, DEALERS, DEALER = "resharing of deal", "resharing by points", "resharing from point"
"""Labels of the context that say which deal is passed on, by whom, and, in a dealer's own deal, by which of them."""


@dataclass(frozen=True)
class Resharing:
    """The openings behind ``deal`` go to ``custodians``, any ``threshold`` of whom will have them.

    Attributes:
        deal: the deal whose shares are passed on.
        dealers: points of those who pass theirs on: as many as its threshold, ascending. All new custodians must add up
            the deals of the same ones.
        threshold: of the new sharing.
        custodians: of the new sharing.
        context: what the new deal belongs to, as labelled strings.

    Raises:
        StatementError: dealers are not t holders of the deal, or the new statement is outside its bounds.
    """

    deal: Deal
    dealers: tuple[int, ...]
    threshold: int
    custodians: tuple[Custodian, ...]
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        old = self.deal.statement
        object.__setattr__(self, "dealers", tuple(self.dealers))
        holders = [point for point in old.points if point in self.dealers]
        if list(self.dealers) != holders or len(holders) != old.threshold:
            raise StatementError(f"dealers are {old.threshold} of the points {old.points}, in this order")
        object.__setattr__(self, "context", checks.context(self.context))
        if taken := {RESHARED, DEALERS, DEALER} & set(self.context):
            raise StatementError(f"context[{min(taken)!r}] says what a re-sharing says itself: leave it out")
        object.__setattr__(self, "custodians", self.statement.custodians)

    @property
    def statement(self) -> SharingStatement:
        """What the new deal is about: the old commitments, among the new custodians."""
        return SharingStatement(self.deal.statement.commitments, self.threshold, self.custodians, self._context())

    def statement_of(self, dealer: int, group: Group, known: dict[bytes, Point] | None = None) -> SharingStatement:
        """Return what the deal of ``dealer`` is about: the commitments to its shares, among the new custodians.

        Raises:
            StatementError: it is none of the dealers.
            PointEncodingError: a commitment of the old statement does not decode.
            SharingEncodingError: one of the old deal does not.
        """
        if dealer not in self.dealers:
            raise StatementError(f"point {dealer} is none of the dealers {self.dealers}")
        columns = deal_points(self.deal, group, known)
        scalars = powers(group, group.scalar(dealer), len(columns))
        commitments = [group.encode_point(group.msm(entry, scalars)) for entry in zip(*columns, strict=True)]
        context = {**self._context(), DEALER: str(dealer)}
        return SharingStatement(tuple(commitments), self.threshold, self.custodians, context)

    def combined(self, deals: Mapping[int, Deal], group: Group, known: dict[bytes, Point] | None = None) -> Deal:
        """Return the new deal from the dealers' own, by their points.

        Raises:
            TooFewShares: the deal of a dealer is missing.
            OtherDeal: one is about something else than the dealer's shares in this re-sharing.
            SharingEncodingError: a commitment of a deal does not decode.
        """
        known = {} if known is None else known
        columns = []
        for dealer in self.dealers:
            if dealer not in deals:
                raise TooFewShares(f"no deal of the dealer at point {dealer}: wait for it, or agree on other dealers")
            if deals[dealer].statement != self.statement_of(dealer, group, known):
                raise OtherDeal(f"the deal of the dealer at point {dealer} is not about its shares in this re-sharing")
            columns.append(deal_points(deals[dealer], group, known)[1:])
        factors = group.scalars(lagrange(self.dealers))
        coefficients = tuple(
            tuple(group.encode_point(group.msm(points, factors)) for points in zip(*degree, strict=True))
            for degree in zip(*columns, strict=True)
        )
        return Deal(self.statement, coefficients)

    def _context(self) -> dict[str, str]:
        return {**self.context, RESHARED: self.deal.hash.hex(), DEALERS: " ".join(map(str, self.dealers))}
