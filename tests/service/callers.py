"""Who may make a call of the operator, as arguments of a test client."""

import re
from typing import Any

from atomic_margin.documents.fields import now_text
from atomic_margin.service.operator.store.custody_tables import CustodianRow, DealingRow, OpeningRow, ResharingRow
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.operator.web.access import TABLE
from atomic_margin.service.protocol.signing import Identity

from .documents import FUND
from .world import World

DEAL, REQUEST = "d0" * 32, "e0" * 32


def custodian_of(world: World) -> Identity:
    """Return a custodian of FUND, with rows of a deal and of an opening: as much as it takes to be let in."""
    found = world.__dict__.get("custodian")
    if isinstance(found, Identity):
        return found
    identity, policy = Identity.generate(), "c0" * 32
    custody = {"policy": policy, "threshold": "2", "receipts": "4", "openings": "1", "requests": "0"}
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        account.public_state = {**account.public_state, "custody": custody}
        session.add(CustodianRow(institution=FUND, policy=policy, point=1, identity=identity.public_key))
        session.add(
            DealingRow(
                deal=DEAL, institution=FUND, sha256=DEAL, document={"body": {"operator": world.key}},
                coefficients=DEAL, received_at=now_text(), expires_at=now_text(),
            )
        )  # fmt: skip
        session.add(
            ResharingRow(
                request=REQUEST,
                institution=FUND,
                deal=DEAL,
                document={"body": {}},
                before={},
                stage="over",
                asked_at="2026-11-20T08:00:00Z",
                expires_at="2026-11-20T08:10:00Z",
            )
        )
        session.add(
            OpeningRow(
                request=REQUEST, institution=FUND, run_id=session.query(Run).filter_by(institution=FUND)[0].run_id,
                document={}, open=True, asked_at=now_text(), lapses_at=now_text(),
            )
        )  # fmt: skip
    world.__dict__["custodian"] = identity
    return identity


def of_path(template: str, **values: str) -> str:
    """Fill in a route's path: names of institutions, then whatever is there."""
    filled = {
        "institution": FUND, "run_id": f"{FUND}.1", "function": "breach", "deal": DEAL, "request": REQUEST,
        "resharing": REQUEST, **values
    }  # fmt: skip
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda name: filled.get(name[1], "1"), template)


def entitled(world: World, method: str, template: str, name: str = FUND, source: Identity | None = None) -> Any:
    """Return what makes a call one that is let through: a signature, a token, or nothing where anybody may call."""
    access = TABLE[method, template]
    if access.anybody:
        return {}
    if access.sources:
        return {"auth": world.signed_by(source or world.source)}
    if access.custodians:
        return {"auth": world.signed_by(custodian_of(world))}
    return {"auth": world.auth(name)} if access.institution else {"headers": world.admin}
