"""Custody policies of accounts, and which accounts a custodian is told of."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound, Refused
from atomic_margin.service.operator.store.custody_tables import CustodianRow
from atomic_margin.service.operator.store.tables import Account, EntryRow
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.custodian_messages import CustodianPolicies, PolicyOfAccount
from atomic_margin.service.protocol.custody import CustodyPolicy


def policy_of(session: Session, institution: str) -> CustodyPolicy:
    """Return the custody policy that an account is under.

    Raises:
        Refused: there is none.
    """
    found = next(_policies(session, institution), None)
    if found is None:
        raise Refused("the account has no custodians; its books are submitted without a deal", "institution")
    return found


def policy_named(session: Session, institution: str, named: str) -> CustodyPolicy:
    """Return a custody policy that an account is or was under, by its hash: a book stays under that of its deal.

    Raises:
        Refused: it never was under one of that hash.
    """
    for found in _policies(session, institution):
        if found is not None and found.hash() == named:
            return found
    raise Refused("the account was never under that custody policy", "policy")


def names(session: Session, institution: str, policy: str, identity: str) -> bool:
    """Return whether a policy of an account, by its hash, names a custodian's key."""
    query = select(CustodianRow.point).where(
        CustodianRow.institution == institution, CustodianRow.policy == policy, CustodianRow.identity == identity
    )
    return session.scalar(query) is not None


def accounts_of(session: Session, identity: str) -> frozenset[str]:
    """Return the institutions whose policy in force, or whose book in force or waiting, names a custodian's key."""
    rows = session.execute(
        select(CustodianRow.institution, CustodianRow.policy, Account.public_state)
        .join(Account, Account.institution == CustodianRow.institution)
        .where(CustodianRow.identity == identity)
    )
    return frozenset(name for name, policy, state in rows if policy in _named(state))


def shown_to(session: Session, identity: str) -> CustodianPolicies:
    """Return the policies that name a custodian and that an account, or a book of it, is under."""
    shown: list[PolicyOfAccount] = []
    for name in sorted(accounts_of(session, identity)):
        for policy in sorted(_named(session.get_one(Account, name).public_state)):
            if names(session, name, policy, identity):
                found = _as_json(policy_named(session, name, policy))
                shown.append(PolicyOfAccount(institution=name, policy=found))
    return CustodianPolicies(policies=tuple(shown))


def point_of(policy: CustodyPolicy, identity: str) -> int:
    """Return where a custodian's shares are evaluated.

    Raises:
        NotFound: the policy does not name it.
    """
    keys = policy.by_identity.get(identity)
    if keys is None:
        raise NotFound("the custody policy does not name the custodian that signed the request")
    return keys.point


def _policies(session: Session, institution: str) -> Iterator[CustodyPolicy | None]:
    """Yield what an account was under, the newest first; None where it had no custodians."""
    query = select(EntryRow.document).where(
        EntryRow.institution == institution,
        EntryRow.kind.in_((str(EventKind.ADMITTED), str(EventKind.CUSTODY_AMENDED))),
    )
    for document in session.scalars(query.order_by(EntryRow.number.desc())):
        found = (document or {})["body"].get("custody")
        yield None if found is None else CustodyPolicy.parse(found)


def _named(state: dict[str, object]) -> set[str]:
    public = PublicState.parse(state)
    named = set() if public.custody is None else {public.custody.policy}
    books = (book for book in (public.book, public.waiting) if book is not None)
    return named | {book.shared.policy for book in books if book.shared is not None}


def _as_json(policy: CustodyPolicy) -> dict[str, object]:
    value = policy.canonical()
    if not isinstance(value, dict):
        raise TypeError("a policy is a JSON object")
    return dict(value)
