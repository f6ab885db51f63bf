"""The guarantee fund as its documents give it: contributions and close-outs, numbered and chained. Pure.

Whoever has the chain knows what every member has, so that no close-out counts a member less, or leaves one out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import FundBroken, RequestError
from atomic_margin.service.protocol.account.default_documents import CloseOut, FundContribution
from atomic_margin.service.protocol.account.state import NOTHING
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument


class Fund(NamedTuple):
    """The fund after its documents so far.

    Attributes:
        number: of the last one, 0 for none.
        head: its hash, 64 zeros if there is none.
        held: what members have, by hash of the rules and name, in smallest units of their cash.
    """

    number: int
    head: str
    held: Mapping[str, Mapping[str, int]]

    def of(self, rules: str) -> dict[str, int]:
        """Return who has how much under some rules, by name; nobody who has nothing."""
        return {name: quantity for name, quantity in sorted(self.held.get(rules, {}).items()) if quantity}


EMPTY = Fund(0, NOTHING, {})


def fund_after(documents: Iterable[SignedDocument], operator: str, fund: Fund = EMPTY) -> Fund:
    """Return the fund after more documents.

    Args:
        documents: in order.
        operator: who signs them.
        fund: before them.

    Raises:
        FundBroken: one does not follow the one before, or counts something else than members have.
    """
    for signed in documents:
        try:
            signed.verify(frozenset({operator}))
            kind: type[CloseOut] | type[FundContribution] = (
                CloseOut if signed.type == CloseOut.TYPE else FundContribution
            )
            _, body = parse_signed(signed.to_json(), kind)
        except (RequestError, DocumentsError) as error:
            raise FundBroken(f"document {fund.number + 1} of the fund is none of the operator's: {error}") from error
        fund = _with(fund, signed.body_hash(), body)
    return fund


def _with(fund: Fund, named: str, body: CloseOut | FundContribution) -> Fund:
    number = fund.number + 1
    if (body.number, body.previous) != (number, fund.head):
        raise FundBroken(f"document {body.number} of the fund does not follow document {fund.number}")
    rules = body.rules.hash()
    held = dict(fund.held.get(rules, {}))
    if isinstance(body, FundContribution):
        held[body.institution] = held.get(body.institution, 0) + body.quantity
    else:
        counted = dict(body.contributions)
        if body.contribution:
            counted[body.institution] = body.contribution
        if counted != fund.of(rules):
            differ = sorted(name for name in {*counted, *held} if counted.get(name, 0) != held.get(name, 0))
            raise FundBroken(f"the close-out counts something else than {', '.join(differ)} has in the fund")
        for line in body.lines:
            if line.layer in ("contribution", "mutual") and line.drawn:
                if line.institution is None or line.drawn > held.get(line.institution, 0):
                    raise FundBroken("the close-out draws more than a member has in the fund")
                held[line.institution] -= line.drawn
    return Fund(number, named, {**fund.held, rules: held})
