"""Work a default off: sell what was segregated, take the loss that both sides signed, close out by the waterfall.

One unit of work is one act: ledger, entries of every account it touches, and the fund's own document, all or nothing.
The lines are those of `protocol.waterfall`; nobody here has a say in them.
"""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict, MalformedRequest, NotFound, SaleRefused
from atomic_margin.service.operator.accounts.asked import asked_again, problem_of
from atomic_margin.service.operator.accounts.segregation import segregate
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account, FundRow, LossAgreementRow
from atomic_margin.service.protocol.account.default_documents import (
    MAX_MEMBERS,
    CloseOut,
    FundContribution,
    FundDraw,
    LossAgreement,
    Sale,
    borne_by,
    returned,
)
from atomic_margin.service.protocol.account.default_state import Default
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.default_messages import LossOffered
from atomic_margin.service.protocol.fund import EMPTY, Fund, fund_after
from atomic_margin.service.protocol.sales import check_sale
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.waterfall import Layer, WaterfallRules, least_proceeds, value_usd


def rules_of(operator: Operator) -> WaterfallRules:
    """Return the rules of the waterfall.

    Raises:
        Conflict: the operator serves without any.
    """
    rules = operator.settings.waterfall
    if rules is None:
        raise Conflict("this operator has no waterfall rules; serve with --waterfall", "rules")
    return rules


def contribute(operator: Operator, institution: str, quantity: int, reference: str) -> SignedDocument:
    """Book cash that arrived for an institution's share in the fund; return the signed entry.

    Raises:
        NotFound: the institution is not admitted.
        Conflict: there are no rules, the reference is used already, the fund is full, or the account is in default.
        MalformedRequest: a quantity that is not positive.
    """
    operator.account(institution)
    rules = rules_of(operator)
    _require_quantity(quantity)
    with operator.store.unit_of_work() as session:
        fund = fund_of(session, operator)
        members = fund.of(rules.hash())
        if institution not in members and len(members) >= MAX_MEMBERS:
            raise Conflict(f"the fund has {MAX_MEMBERS} members, and takes no more", "institution")
        contribution = FundContribution.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "rules": rules.canonical(),
                "quantity": str(quantity),
                "number": str(fund.number + 1),
                "previous": fund.head,
                "reference": reference,
                "booked_at": now_text(),
            }
        )
        signed = contribution.signed_by(operator.identity)
        move = ledger.Move(rules.cash, quantity, ledger.EXTERNAL, ledger.fund(institution))
        ledger.book(session, f"fund/{reference}", "fund_contribution", [move])
        _keep(session, contribution.number, signed)
        return entries.enter(session, operator.book, session.get_one(Account, institution), signed)


def add_capital(operator: Operator, quantity: int, reference: str) -> None:
    """Book cash that the operator sets aside for losses of defaults.

    Raises:
        Conflict: there are no rules, or the reference is used already.
        MalformedRequest: a quantity that is not positive.
    """
    rules = rules_of(operator)
    _require_quantity(quantity)
    with operator.store.unit_of_work() as session:
        move = ledger.Move(rules.cash, quantity, ledger.EXTERNAL, ledger.CAPITAL)
        ledger.book(session, f"capital/{reference}", "capital", [move])


def realise(
    operator: Operator, institution: str, asset: str, quantity: int, proceeds: int, reference: str, reason: str
) -> SignedDocument:
    """Book one stage of a liquidation: a part of what is segregated was sold; return the signed entry.

    Args:
        operator: who sold it.
        institution: in default.
        asset: of the collateral schedule.
        quantity: of it, in smallest units.
        proceeds: what it brought in, in smallest units of cash.
        reference: of the trade; a second sale under it is refused.
        reason: for the institution and whoever is shown the default.

    Raises:
        NotFound: the institution is not admitted.
        SaleRefused: it is under the limit, or not priced by the newest tick.
        Conflict: not in default, in dispute, already booked, not held, or more than is wanted.
    """
    operator.account(institution)
    rules = rules_of(operator)
    _require_quantity(quantity)
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        segregate(session, operator, account)
        default = _default(entries.state_of(account).public)
        tick = newest_market(session)
        if tick is None:
            raise SaleRefused("there are no prices yet; sell after a tick", "price_sequence")
        market = Market.parse(tick.document["body"]["market"])
        try:
            limit = least_proceeds(rules, operator.terms.schedule, market, asset, quantity)
            usd = value_usd(rules, operator.terms.schedule, market, proceeds)
        except MarginError as error:
            raise SaleRefused(str(error), "asset") from error
        sale = Sale.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "settlement": default.settlement,
                "stage": str(default.stages + 1),
                "rules": rules.canonical(),
                "price_sequence": str(tick.sequence),
                "tick": tick.sha256,
                "asset": asset,
                "quantity": str(quantity),
                "limit": str(limit),
                "proceeds": str(proceeds),
                "proceeds_usd": usd,
                "reason": reason,
                "reference": reference,
                "sold_at": now_text(),
            }
        )
        check_sale(sale, market, operator.terms.schedule)
        pool = ledger.liquidation(institution)
        moves = [ledger.Move(asset, quantity, pool, ledger.EXTERNAL)]
        if proceeds:
            moves.append(ledger.Move(rules.cash, proceeds, ledger.EXTERNAL, pool))
        entry = entries.enter(session, operator.book, account, sale.signed_by(operator.identity))
        ledger.book(session, f"sale/{reference}", "sale", moves)
        fault_point("sale-booked")
    return entry


def ask_to_agree(operator: Operator, institution: str, document: object) -> LossOffered:
    """Keep the loss that an institution signed, in place of what it signed before; nothing of the account changes.

    Raises:
        SignatureInvalid, Conflict, DocumentError: it could not be entered now; nothing is stored.
    """
    account = operator.account(institution)
    signed, body = parse_signed(document, LossAgreement)
    signed.verify(frozenset({account.identity}))
    _check_agreement(operator, body)
    with operator.store.unit_of_work() as session:
        again = asked_again(session, institution, signed, session.get(LossAgreementRow, institution))
        if again is not None:
            return LossOffered(institution=institution, agreement=signed.body_hash(), **again._asdict())
        entries.check(session, session.get_one(Account, institution), signed)
        entries.require_known(session, institution, body.entry)
        row = LossAgreementRow(
            institution=institution, sha256=signed.body_hash(), document=signed.to_json(), asked_at=now_text()
        )
        session.merge(row)
    return offered(operator, institution)


def offered(operator: Operator, institution: str) -> LossOffered:
    """Return the loss that an institution signed and the operator did not agree to yet.

    Raises:
        NotFound: there is none.
    """
    with operator.store.reading() as session:
        row = session.get(LossAgreementRow, institution)
        if row is None:
            raise NotFound(f"institution {institution!r} signed no loss that waits", "institution")
        problem = problem_of(session, institution, row.document)
    return LossOffered(
        institution=institution,
        agreement=row.sha256,
        document=row.document,
        asked_at=row.asked_at,
        problem=problem,
    )


def agree(operator: Operator, institution: str, agreement: str) -> SignedDocument:
    """Enter the loss that an institution signed; return the signed entry. Twice is once.

    Raises:
        NotFound: the institution is not admitted, or signed none.
        Conflict: it signed another one since, or the account went on.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, agreement)
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        row = session.get(LossAgreementRow, institution)
        if row is None:
            raise NotFound(f"institution {institution!r} signed no loss that waits", "institution")
        if row.sha256 != agreement:
            raise Conflict(f"the institution agrees to {row.sha256[:16]}… now; look at it again", "agreement")
        account = session.get_one(Account, institution)
        entry = entries.enter(session, operator.book, account, SignedDocument.parse(row.document))
        session.delete(row)
    return entry


def close_out(operator: Operator, institution: str) -> SignedDocument:
    """End a default by the loss that both sides signed; return the signed entry of the institution's account.

    Raises:
        NotFound: the institution is not admitted.
        Conflict: not in default, in dispute, no agreed loss, collateral that is to be sold first, too little capital.
    """
    operator.account(institution)
    rules = rules_of(operator)
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        segregate(session, operator, account)
        default = _default(entries.state_of(account).public)
        if default.loss is None or default.agreement is None:
            raise Conflict("no loss is agreed that both sides signed; close out when there is one", "loss")
        closing = _closing(operator, session, institution, default, rules)
        signed = closing.signed_by(operator.identity)
        entry = entries.enter(session, operator.book, account, signed)
        _keep(session, closing.number, signed)
        for line in closing.lines:
            if line.layer == "mutual" and line.institution is not None and line.drawn:
                member = session.get_one(Account, line.institution)
                entries.enter(session, operator.book, member, _draw(operator, line.institution, line.drawn, closing))
        _require_capital(session, rules, closing.lines)
        moves = [
            ledger.Move(rules.cash, line.drawn, _POOLS[line.layer](line.institution or ""), ledger.LOSS)
            for line in closing.lines
            if line.drawn
        ]
        pool, free = ledger.liquidation(institution), ledger.free(institution)
        moves += [ledger.Move(asset, quantity, pool, free) for asset, quantity in closing.returned.items()]
        ledger.book(session, f"close-out/{institution}/{default.settlement}", "close_out", moves)
        fault_point("close-out-booked")
    return entry


_POOLS: dict[str, Callable[[str], str]] = {
    "margin": ledger.liquidation,
    "contribution": ledger.fund,
    "capital": lambda _: ledger.CAPITAL,
    "mutual": ledger.fund,
}


def _closing(
    operator: Operator, session: Session, institution: str, default: Default, rules: WaterfallRules
) -> CloseOut:
    fund = fund_of(session, operator)
    others = fund.of(rules.hash())
    own, loss = others.pop(institution, 0), default.loss or 0
    borne = borne_by(rules, institution, loss, default.held, own, others)
    return CloseOut.parse(
        {
            "institution": institution,
            "operator": operator.identity.public_key,
            "settlement": default.settlement,
            "rules": rules.canonical(),
            "agreement": default.agreement,
            "loss": str(loss),
            "margin": _texts(default.held),
            "contribution": str(own),
            "contributions": _texts(others),
            "lines": [line.canonical() for line in borne.lines],
            "uncovered": str(borne.uncovered),
            "returned": _texts(returned(rules, loss, default.held)),
            "number": str(fund.number + 1),
            "previous": fund.head,
            "closed_at": now_text(),
        }
    )


def _draw(operator: Operator, institution: str, quantity: int, closing: CloseOut) -> SignedDocument:
    body = {
        "institution": institution,
        "operator": operator.identity.public_key,
        "quantity": str(quantity),
        "close_out": closing.canonical(),
    }
    return FundDraw.parse(body).signed_by(operator.identity)


def _require_capital(session: Session, rules: WaterfallRules, lines: tuple[Layer, ...]) -> None:
    needed = sum(line.drawn for line in lines if line.layer == "capital")
    there = ledger.balances(session, ledger.CAPITAL).get(rules.cash, 0)
    if there < needed:
        raise Conflict(
            f"the rules have the operator bear {needed} {rules.cash}, and {there} are set aside: bring the rest with "
            "`operator fund --capital`",
            "capital",
        )


def fund_documents(session: Session) -> list[SignedDocument]:
    """Return every document of the fund, in order."""
    return [SignedDocument.parse(row) for row in session.scalars(select(FundRow.document).order_by(FundRow.number))]


def fund_of(session: Session, operator: Operator) -> Fund:
    """Return the fund as its documents give it."""
    return fund_after(fund_documents(session), operator.identity.public_key, EMPTY)


def _keep(session: Session, number: int, signed: SignedDocument) -> None:
    session.add(FundRow(number=number, sha256=signed.body_hash(), document=signed.to_json()))


def _check_agreement(operator: Operator, body: LossAgreement) -> None:
    rules = rules_of(operator)
    if (body.rules, body.asset) != (rules.hash(), rules.cash):
        raise Conflict(f"the loss is to be in {rules.cash}, under rules {rules.hash()[:16]}…", "rules")


def _default(public: PublicState) -> Default:
    if public.default is None:
        raise Conflict(f"the account is {public.status}, and nothing of it is segregated", "state")
    return public.default


def _texts(quantities: dict[str, int]) -> dict[str, str]:
    return {name: str(quantity) for name, quantity in quantities.items()}


def _require_quantity(quantity: int) -> None:
    if not 0 < quantity < ledger.MAX_AMOUNT:
        raise MalformedRequest(f"a quantity is between 1 and {ledger.MAX_AMOUNT - 1} smallest units", "quantity")
