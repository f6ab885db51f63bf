"""Netting: name an account's legal party, take obligations, and net a cycle in one unit of work.

A cycle is all or nothing: ledger, entries of all accounts and the row that makes it happen once are one transaction of
the database, so a crash at any line leaves all of it or none.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.collateral import check_accepted, check_holdings
from atomic_margin.service.errors import Conflict, MalformedRequest, Refused
from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.operator.accounts.collateral import prices_as_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries, log
from atomic_margin.service.operator.store.tables import Account, NettingCycleRow
from atomic_margin.service.protocol.account.netting_documents import (
    MAX_DAYS,
    MAX_GROUP,
    MAX_PENDING,
    Line,
    Netting,
    Obligation,
    PartyNaming,
    Scope,
)
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.leaves import cycle_leaf
from atomic_margin.service.protocol.netting import GroupKey, Netted, net
from atomic_margin.service.protocol.signing import SignedDocument

JsonObject = dict[str, Any]


def name_party(operator: Operator, institution: str, party: str, scope: Scope = "party") -> SignedDocument:
    """Say which legal party an account is of; return the signed entry.

    Raises:
        WrongNetting: obligations are pending under another name.
        NotFound: the institution is not admitted.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        before = entries.state_of(account).private.netting
        body = PartyNaming.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "number": str(1 if before is None else before.namings + 1),
                "entry": account.head,
                "party": party,
                "scope": scope,
                "named_at": now_text(),
            }
        )
        return entries.enter(session, operator.book, account, body.signed_by(operator.identity))


def promise(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Take an obligation; return the signed entry. The same again gets the same entry.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing has moved.
    """
    account = operator.account(institution)
    signed, promised = parse_signed(document, Obligation)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
    if earlier is not None:
        # Before anything that rests on the newest prices: what was promised stays promised.
        return SignedDocument.parse(earlier.entry)
    if operator.rail.holds(institution):
        raise Refused("collateral in a vault on a chain is not netted: post it, or have it released, there", "asset")
    check_holdings(operator.terms.schedule, {promised.asset: promised.quantity})
    if promised.quantity >= ledger.MAX_AMOUNT:
        raise MalformedRequest(f"a quantity is at most {ledger.MAX_AMOUNT - 1} smallest units", "quantity")
    if promised.direction == "delivery":
        check_accepted(operator.terms.schedule, promised.asset, prices_as_of(operator))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.require_known(session, institution, promised.entry)
        last, today = _last(session), now_text()[:10]
        latest = (date.fromisoformat(today) + timedelta(days=MAX_DAYS)).isoformat()
        if promised.settles < today or (last is not None and promised.settles <= last.settles):
            raise Conflict(f"the cycle of {promised.settles} is over; settle on a later day", "settles")
        if promised.settles > latest:
            raise Conflict(f"an obligation settles within {MAX_DAYS} days: {latest} at the latest", "settles")
        entry = entries.enter(session, operator.book, session.get_one(Account, institution), signed)
        # Last, since it looks at all accounts: whatever else is wrong costs less.
        _require_room(session, institution)
        if promised.direction == "return":
            move = ledger.Move(
                promised.asset, promised.quantity, ledger.free(institution), ledger.returning(institution)
            )
            ledger.book(session, f"obligation/{institution}/{promised.sequence}", "return", [move])
        return entry


def net_cycle(
    operator: Operator, settles: str, arrived: Collection[GroupKey] = (), dry_run: bool = False
) -> JsonObject:
    """Net what all accounts promised until a day; return gross and net by group. The same day again changes nothing.

    Args:
        operator: whose ledger.
        settles: the day, not after today.
        arrived: groups (scope, party, asset, day) whose net delivery the custodian has, whole. Where one has not, all
            deliveries of that group are undone.
        dry_run: only show what it would be; nothing is entered.

    Raises:
        Conflict: the day is before that of the last cycle, or has not come.
        Refused: a group that arrived is none of the cycle's.
    """
    at = now_text()
    with operator.store.unit_of_work() as session:
        done = session.scalar(select(NettingCycleRow).where(NettingCycleRow.settles == settles))
        if done is not None:
            return done.groups
        last = _last(session)
        if last is not None and settles < last.settles:
            raise Conflict(f"the cycle of {last.settles} is over; name a later day", "settles")
        if settles > at[:10] and not dry_run:
            raise Conflict("that day has not come, and deliveries may still arrive; --dry-run shows it", "settles")
        seed = secrets.token_bytes(32)

        def salt_of(name: str) -> str:
            return hmac.new(seed, name.encode(), hashlib.sha256).hexdigest()

        accounts = list(session.scalars(select(Account).order_by(Account.institution)))
        lines = [line for account in accounts for line in _lines(account, settles, salt_of)]
        try:
            netted = net(lines, operator.identity.public_key, arrived, salt_of)
        except ValueError as error:
            raise Refused(str(error), "arrived") from error
        number = 1 if last is None else last.number + 1
        shown = _shown(number, settles, netted)
        if dry_run or not netted:
            return shown
        tree = CycleTree(netted)
        # Before the entries, in their transaction: every account is shown this cycle, or its reader sees another one.
        log.append(session, cycle_leaf(number, settles, tree.root, tree.size, at).to_bytes())
        ledger.book(session, f"netting/{number}", "netting", list(_moves(netted)))
        for account in accounts:
            own = [one for one in netted if any(line.institution == account.institution for line in one.lines)]
            if own:
                body = _document(
                    operator, account, own, tree, {"cycle": str(number), "settles": settles, "netted_at": at}
                )
                entries.enter(session, operator.book, account, body.signed_by(operator.identity))
        session.add(
            NettingCycleRow(number=number, settles=settles, root=tree.root, size=tree.size, groups=shown, netted_at=at)
        )
        return shown


def _last(session: Session) -> NettingCycleRow | None:
    return session.scalar(select(NettingCycleRow).order_by(NettingCycleRow.number.desc()).limit(1))


def _require_room(session: Session, institution: str) -> None:
    """Make sure that a party's accounts together have no more pending than one group shows, whatever their days."""
    if (session.scalar(select(func.count()).select_from(Account)) or 0) * MAX_PENDING <= MAX_GROUP:
        return
    own = entries.state_of(session.get_one(Account, institution)).private.netting
    if own is None or own.scope != "party":
        # Nobody is shown the lines of other parties, so that their number has no limit.
        return
    of_party = (entries.state_of(account).private.netting for account in session.scalars(select(Account)))
    pending = sum(
        len(one.pending) for one in of_party if one is not None and (one.scope, one.party) == (own.scope, own.party)
    )
    if pending > MAX_GROUP:
        raise Conflict(f"the party has {pending - 1} obligations pending; promise after their cycle", "sequence")


def _lines(account: Account, settles: str, salt_of: Any) -> Iterator[Line]:
    state = entries.state_of(account)
    netting = state.private.netting
    for line in () if netting is None else netting.pending:
        if netting is not None and line.settles <= settles:
            yield Line.model_construct(
                salt=salt_of(f"line/{line.obligation}"),
                institution=account.institution,
                party=netting.party,
                scope=netting.scope,
                arrived=True,
                **dict(line),
            )


def _document(
    operator: Operator, account: Account, own: Sequence[Netted], tree: CycleTree, cycle: Mapping[str, str]
) -> Netting:
    lines = sorted(
        (line for one in own for line in one.lines if line.institution == account.institution),
        key=lambda line: line.sequence,
    )
    body = Netting.model_construct(
        institution=account.institution,
        operator=operator.identity.public_key,
        cycle=int(cycle["cycle"]),
        settles=cycle["settles"],
        entry=account.head,
        root=tree.root,
        size=tree.size,
        lines=tuple(tree.line(line) for line in lines),
        groups=tuple(tree.group(one) for one in own),
        netted_at=cycle["netted_at"],
    )
    return Netting.parse(body.canonical())


def _moves(netted: Sequence[Netted]) -> Iterator[ledger.Move]:
    """Yield what a cycle moves: what crosses to the world outside is net, everything within is gross."""
    for group, lines in netted:
        if group.arrives:
            yield ledger.Move(group.asset, group.arrives, ledger.EXTERNAL, ledger.NETTING)
        for line in lines:
            if line.direction == "return":
                yield ledger.Move(line.asset, line.quantity, ledger.returning(line.institution), ledger.NETTING)
            elif line.arrived:
                yield ledger.Move(line.asset, line.quantity, ledger.NETTING, ledger.free(line.institution))
        if group.leaves:
            yield ledger.Move(group.asset, group.leaves, ledger.NETTING, ledger.EXTERNAL)


def _shown(number: int, settles: str, netted: Sequence[Netted]) -> JsonObject:
    names = ("scope", "party", "asset", "settles", "deliveries", "returns", "undone", "arrives", "leaves", "lines")
    rows = [{name: str(getattr(one.group, name)) for name in names} for one in netted]
    return {"cycle": str(number), "settles": settles, "groups": rows}
