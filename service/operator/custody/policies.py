"""Custody policies of accounts, and which accounts a custodian is told of."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotFound, Refused
from atomic_margin.service.operator.store.custody_tables import CustodianRow
from atomic_margin.service.operator.store.tables import Account, EntryRow
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.custodian_messages import CustodianPolicies, PolicyOfAccount
from atomic_margin.service.protocol.custody import CustodyPolicy


def policy_of(session: Session, institution: str) -> CustodyPolicy:
    """Return the custody policy that an account was admitted under.

    Raises:
        Refused: there is none.
    """
    document = session.get_one(EntryRow, (institution, 1)).document or {}
    found = document["body"].get("custody")
    if found is None:
        raise Refused("the account has no custodians; its books are submitted without a deal", "institution")
    return CustodyPolicy.parse(found)


def accounts_of(session: Session, identity: str) -> frozenset[str]:
    """Return the institutions whose policy in force, or whose book in force or waiting, names a custodian's key."""
    rows = session.execute(
        select(CustodianRow.institution, CustodianRow.policy, Account.public_state)
        .join(Account, Account.institution == CustodianRow.institution)
        .where(CustodianRow.identity == identity)
    )
    return frozenset(name for name, policy, state in rows if policy in _named(state))


def shown_to(session: Session, identity: str) -> CustodianPolicies:
    """Return the policies that name a custodian, with their institutions."""
    return CustodianPolicies(
        policies=tuple(
            PolicyOfAccount(institution=name, policy=_as_json(policy_of(session, name)))
            for name in sorted(accounts_of(session, identity))
        )
    )


def point_of(policy: CustodyPolicy, identity: str) -> int:
    """Return where a custodian's shares are evaluated.

    Raises:
        NotFound: the policy does not name it.
    """
    keys = policy.by_identity.get(identity)
    if keys is None:
        raise NotFound("the custody policy does not name the custodian that signed the request")
    return keys.point


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
