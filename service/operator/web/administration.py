"""The operator's own calls in its HTTP face."""

from fastapi import APIRouter
from sqlalchemy import select

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.operator.accounts import collateral, enrolment, giving_up, universes
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import rules, ticks
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.web import examples, views
from atomic_margin.service.operator.web.dependencies import JsonBody
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    Admission,
    Agreement,
    Booked,
    Deposit,
    LedgerView,
    ListedUniverse,
    RulesChangeTaken,
    UniverseListed,
)
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.submissions import Allowances


def administration_router(operator: Operator) -> APIRouter:
    """Return the operator's own calls."""
    router = APIRouter(prefix="/v1", tags=["operator"])

    @router.post("/admissions", status_code=201)
    def admit(admission: Admission) -> AccountStanding:
        """Admit an institution under its identity key."""
        usual = operator.settings.allowances
        one, day = admission.gain_per_submission, admission.gain_per_day
        allowances = Allowances.parse({"submission": one or str(usual.submission), "day": day or str(usual.day)})
        under = None if admission.agreement is None else CollateralAgreement.parse(admission.agreement)
        custody = None if admission.custody is None else CustodyPolicy.parse(admission.custody)
        enrolment.admit(operator, admission.institution, admission.name, admission.identity, allowances, under, custody)
        return AccountStanding(state=AccountState.ADMITTED)

    @router.post("/universes", status_code=201)
    def announce(listed: ListedUniverse) -> UniverseListed:
        """List another universe; the one before takes books until its end."""
        return UniverseListed(universe=universes.announce(operator, listed.universe, listed.until))

    @router.post("/deposits", status_code=201)
    def deposit(arrived: Deposit) -> Booked:
        """Book collateral that arrived for an institution as free."""
        collateral.deposit(operator, arrived.institution, arrived.asset, int(arrived.quantity), arrived.reference)
        return Booked()

    @router.post("/ticks/void", status_code=201, openapi_extra=examples.price_set())
    def void_tick(document: JsonBody) -> SignedDocument:
        """Use up the next tick's number without prices, when no tick can be made of what sources signed.

        Takes what would make a tick, with the documents that there are, or none; refused if they do make one.
        """
        return ticks.void_tick(operator, document)

    @router.post("/price-rules", status_code=201, openapi_extra=examples.rules_change())
    def change_rules(document: JsonBody) -> RulesChangeTaken:
        """Take other sources, threshold or bounds, signed by enough sources of the rules in force.

        They hold from the tick on that they name, and every tick from there carries what was signed.
        """
        return rules.change_rules(operator, document)

    @router.post("/giving-up", status_code=201)
    def agree_to_give_up(agreement: Agreement) -> SignedDocument:
        """Give up the books that an institution can open no more, with all that is open or owed on them.

        Returns the signed entry. The account is active; nothing leaves it before another book is proven covered.
        """
        return giving_up.agree(operator, agreement.institution, agreement.giving_up)

    @router.get("/ledger")
    def whole_ledger() -> LedgerView:
        """Every account's balances, and the sum of every asset, which is zero."""
        return views.ledger_view(operator)

    @router.get("/institutions")
    def institutions() -> dict[str, AccountState]:
        """Admitted institutions and their states."""
        with operator.store.reading() as session:
            return {row.institution: row.state for row in session.execute(select(Account.institution, Account.state))}

    return router
