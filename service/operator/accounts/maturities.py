"""Book the cash that came in for collateral that has matured: an entry and a ledger transaction for each pool."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.collateral import check_holdings
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import IllegalTransition, Refused
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.maturity_messages import MaturedPool


def mature(operator: Operator, asset: str) -> list[MaturedPool]:
    """Turn all that accounts have of an asset that has matured into the cash that is due.

    Once more is nothing: what was booked is no such asset any more. An account with an open run waits for its end.

    Args:
        operator: whose ledger.
        asset: what matured; its cash has come in, whole.

    Returns:
        For each account and pool that has some of it what was booked, or why it waits.

    Raises:
        UnknownAsset: the schedule does not have it.
        Refused: it has no end, or has not matured by the newest prices.
    """
    schedule = operator.terms.schedule
    check_holdings(schedule, {asset: 0})
    dated = schedule.dated.get(asset)
    if dated is None:
        raise Refused(f"{asset} has no end in the schedule; book what leaves and arrives by itself", "asset")
    with operator.store.reading() as session:
        market = _market(session)
        names = session.scalars(select(Account.institution).order_by(Account.institution)).all()
    if market is None or not dated.has_matured(market.as_of):
        raise Refused(f"{asset} has not matured by the newest prices; book it after a tick that is later", "asset")
    found = (_matured(operator, name, pool, asset) for name in names for pool in ("posted", "free"))
    return [one for one in found if one is not None]


def _market(session: Session) -> Market | None:
    tick = newest_market(session)
    return None if tick is None else Market.parse(tick.document["body"]["market"])


def _matured(operator: Operator, institution: str, pool: str, asset: str) -> MaturedPool | None:
    """Book one pool of one account; None if it has nothing of the asset."""
    dated = operator.terms.schedule.dated[asset]
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        state = entries.state_of(account)
        held = state.public.posted if pool == "posted" else state.private.free
        quantity, tick = held.get(asset, 0), newest_market(session)
        if not quantity or tick is None:
            return None
        paid = quantity * dated.quantity
        said = {
            "institution": institution,
            "pool": pool,
            "quantity": str(quantity),
            "cash": dated.pays,
            "paid": str(paid),
        }
        body = {
            **said,
            "operator": operator.identity.public_key,
            "entry": account.head,
            "asset": asset,
            "price_sequence": str(tick.sequence),
            "tick": tick.sha256,
            "booked_at": now_text(),
        }
        if paid >= ledger.MAX_AMOUNT:
            return MaturedPool(**said, waits=f"{paid} units are more than the ledger books at once")
        signed = Maturity.parse(body).signed_by(operator.identity)
        try:
            entries.check(session, account, signed)
        except IllegalTransition as refusal:
            return MaturedPool(**said, waits=str(refusal))
        entries.enter(session, operator.book, account, signed)
        name = ledger.posted(institution) if pool == "posted" else ledger.free(institution)
        moves = [
            ledger.Move(asset, quantity, name, ledger.EXTERNAL),
            ledger.Move(dated.pays, paid, ledger.EXTERNAL, name),
        ]
        ledger.book(session, f"maturity/{signed.body_hash()}", "maturity", moves)
        return MaturedPool(**said)
