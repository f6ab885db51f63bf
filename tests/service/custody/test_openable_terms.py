"""Terms under which a book in breach may lack no initial margin, as it gains in every scenario: not with custodians.

Initial margin multiplies gains too. An answer takes one step then; custodians would find the breach void.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from atomic_margin.circuits.profile import TINY
from atomic_margin.margin.errors import InitialBelowMaintenance
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.service.custodian.closing import Opened
from atomic_margin.service.errors import Refused
from atomic_margin.service.institution import amending, custody
from atomic_margin.service.operator.accounts import agreements, enrolment
from atomic_margin.service.operator.store.tables import AmendmentRow
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms, terms_hash
from atomic_margin.zk.sharing.open_row import RowOpening

from ..documents import FUND, example
from ..world import World
from .conftest import Custody
from .holders import Holders
from .test_amending import ask, other, pin

AT = "2027-01-01T00:00:00Z"


def scenario(label: str, underlyings: tuple[str, ...], spot: str) -> dict[str, object]:
    moves = dict.fromkeys(underlyings, spot)
    return {"label": label, "spot": moves, "volatility": "0", "basis": "0", "coverage": "1"}


def document(*underlyings: str, still: bool = False) -> dict[str, Any]:
    moves = [("up", "0.1"), ("down", "-0.1"), *([("unchanged", "0")] if still else [])]
    return {
        "format": "atomic-margin/model/1",
        "name": "scan",
        "initial_factor": "1.3",
        "minimum_transfer_amount": "0",
        "charges": {"perpetual": "0", "future": "0", "option_long": "0", "option_short_minimum": "0.01"},
        "scenarios": [scenario(label, underlyings, spot) for label, spot in moves],
    }


def option(right: str) -> dict[str, str]:
    parts = {"underlying": "X", "lot": "1", "reference_price": "20", "digits": "1", "expiry": AT, "strike": "100"}
    return {"id": f"X-100-{right[0].upper()}", "kind": "option", "right": right, **parts}


def least_of(given: dict[str, Any]) -> dict[str, float]:
    """The least rows of a straddle that was bought for 40, and is covered by 28.50."""
    universe = Universe.parse(
        {
            "format": "atomic-margin/universe/1",
            "name": "one",
            "currency": "USD",
            "underlyings": {"X": {"reference_price": "100"}},
            "instruments": [option("call"), option("put")],
        }
    )
    expiries = {AT: {"forward": "100", "volatilities": {"100": "0"}}}
    market = Market.parse(
        {
            "format": "atomic-margin/market/1",
            "sequence": "1",
            "as_of": "2026-01-01T00:00:00Z",
            "rate": "0",
            "collateral": {},
            "underlyings": {"X": {"spot": "100", "perpetual": "100", "expiries": expiries}},
        }
    )
    weights, straddle = compile_weights(ScanModel.parse(given), universe, market), np.array([1.0, 1.0, 0.0, 0.0])
    return {kind: float((weights.of(kind) @ straddle).min()) + 28.5 for kind in ("maintenance", "initial")}


@pytest.mark.parametrize(("still", "void"), [(False, "initial"), (True, None)])
def test_a_breach_that_lacks_no_initial_margin_would_be_void(still: bool, void: str | None) -> None:
    least = least_of(document("X", still=still))
    assert least["maintenance"] < 0
    opened = Opened(*(RowOpening(round(1000 * least[kind]), 0) for kind in ("maintenance", "initial")))
    assert opened.not_negative == void


def terms(*, still: bool) -> Terms:
    given = document("BTC", "ETH", still=still)
    return Terms.parse(given, example("universe"), example("collateral-schedule"), TINY)


def test_no_account_is_admitted_with_custodians_under_such_terms(tmp_path: Any) -> None:
    policy = Holders().policy
    for still in (False, True):
        world = World(tmp_path / str(still), Identity.generate(), {}, terms=terms(still=still))
        admission = {"institution": FUND, "name": "Fund", "identity": Identity.generate().public_key}
        asked = admission | {"custody": policy.canonical()}
        sent = world.client.post("/v1/admissions", json=asked, headers=world.admin)
        assert sent.status_code == (201 if still else 422), sent.text
        if not still:
            assert sent.json()["field"] == "scenarios"
            assert "add such with spot, volatility and basis 0" in sent.text
            with pytest.raises(InitialBelowMaintenance):
                enrolment.admit(world.operator, FUND, "Fund", admission["identity"], custody=policy)
            # Without custodians nothing is refused.
            enrolment.admit(world.operator, FUND, "Fund", admission["identity"])
        world.close()


def test_an_agent_follows_no_policy_under_such_terms() -> None:
    policy = Holders().policy
    with pytest.raises(EntryIllegal, match="the terms do not go with any: scenarios"):
        custody.check_terms(policy, terms(still=False))
    custody.check_terms(policy, terms(still=True))
    custody.check_terms(None, terms(still=False))


@pytest.mark.long
def test_nobody_asks_or_agrees_to_custodians_under_such_terms(custody_at: Callable[..., Custody]) -> None:
    at = custody_at("dealt")
    old, new = at.holders.policy, other(at)
    pin(at, old, new)
    operator, bad = at.world.operator, terms(still=False).model
    asked = ask(at, new)
    with operator.store.reading() as session:
        stored = session.get_one(AmendmentRow, FUND).document
    # Nothing else of the terms is asked here, and they are frozen.
    kept = operator.terms.model
    object.__setattr__(operator.terms, "model", bad)
    with pytest.raises(Refused, match="move nothing") as refused:
        agreements.ask(operator, FUND, stored)
    assert refused.value.field == "custody"
    with pytest.raises(Refused, match="move nothing"):
        agreements.agree(operator, FUND, asked)
    object.__setattr__(operator.terms, "model", kept)
    with at.resident.agent.signing() as (party, outbox):
        kept = party.terms.model
        object.__setattr__(party.terms, "model", bad)
        with pytest.raises(InitialBelowMaintenance):
            amending.ask_custody(party, outbox, new, 100)
    agreements.agree(operator, FUND, asked)
    # Whatever the operator enters, the agent does not follow.
    with pytest.raises(EntryIllegal, match="do not go with any"):
        at.resident.agent.answer_due()
    object.__setattr__(party.terms, "model", kept)
    assert at.resident.agent.answer_due() == []


@pytest.mark.long
def test_an_agent_follows_no_admission_with_custodians_under_such_terms(custody_at: Callable[..., Custody]) -> None:
    at = custody_at("enrolled")
    [first] = (entry.document for entry in at.resident.entries if entry.number == 1)
    assert first is not None
    admission = AdmissionRecord.parse(first["body"])
    with at.resident.agent.signing() as (party, _):
        party.history._check_admission(admission)
        kept = party.terms.model
        object.__setattr__(party.terms, "model", terms(still=False).model)
        party.terms.__dict__.pop("hashes", None)
        changed = admission.model_copy(update={"terms": terms_hash(party.terms)})
        with pytest.raises(EntryIllegal, match="do not go with any"):
            party.history._check_admission(changed)
        object.__setattr__(party.terms, "model", kept)
        party.terms.__dict__.pop("hashes", None)
