"""Bundles of books that custodians opened, and what an operator makes of them with an account that it keeps beside."""

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.custody.history import released
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.operator.store.tables import EntryRow
from atomic_margin.service.operator.web import views
from atomic_margin.service.protocol.account.entries import salted_hash
from atomic_margin.service.protocol.account.state import PrivateState
from atomic_margin.service.protocol.documents import RunRecord, Settlement
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.service.verifier.history import History
from atomic_margin.zk.groups import load_group

from ..documents import FUND, example
from .engines import truthful
from .played import POINTS, Scene
from .test_openings import asked, rounds

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
Json = dict[str, Any]
BESIDE, SALT = "5e" * 32, "7a" * 32


def opened(scene: Scene, tick: int) -> tuple[Json, TrustFile]:
    """The bundle of an opened book, and what a verifier trusts."""
    asked(scene)
    rounds([scene.party(point, truthful(scene, tick)) for point in POINTS])
    scene.publish()
    trust = TrustFile.parse(
        {**scene.world.trust(), "log": scene.watched.trust().canonical(), "custody": {FUND: [scene.policy.canonical()]}}
    )
    return views.bundle(scene.world.operator, f"{FUND}.{tick}").to_json(), trust


def handed_on(scene: Scene, body: Json) -> Json:
    """Sign a bundle, with evidence of its entries; those that the log does not have are appended."""
    operator = scene.world.operator
    shown = History.parse(body["history"]).signed_entries()
    with operator.store.unit_of_work() as session:
        places = list[int]()
        for value in shown:
            entry = SignedDocument.parse(value)
            query = select(EntryRow.leaf).where(EntryRow.sha256 == entry.body_hash())
            place = session.scalar(query)
            # A cheating operator appends each as it enters the genuine one, so that they stand behind the right ticks.
            places.append(log.append(session, entry_leaf(entry).to_bytes()) if place is None else place)
    scene.publish()
    with operator.store.reading() as session:
        evidence = checkpoints.evidence(session, places)
    assert evidence is not None
    return {**operator.identity.sign("attestation", body).to_json(), "log": evidence.to_json()}


class Beside:
    """Entries of a second account: what the operator said of the first, and what is private otherwise."""

    def __init__(self, scene: Scene) -> None:
        self.operator, self.head, self.number = scene.world.operator, "0" * 64, 0

    def enter(self, genuine: Json, **changes: str) -> Json:
        self.number += 1
        place = {"account": BESIDE, "number": str(self.number), "previous": self.head}
        signed = self.operator.identity.sign("entry", {**genuine["body"], **place, **changes})
        self.head = signed.body_hash()
        return signed.to_json()


def without_the_request(beside: Beside, genuine: Json) -> Json | None:
    return None


def as_it_is(beside: Beside, genuine: Json) -> Json | None:
    return genuine


def entered_beside(beside: Beside, genuine: Json) -> Json | None:
    return {
        **genuine,
        "before": beside.enter(genuine["before"]),
        "entered": beside.enter(genuine["entered"]),
    }


def entered_beside_after_the_genuine_one(beside: Beside, genuine: Json) -> Json | None:
    number = str(int(genuine["before"]["body"]["number"]) + 1)
    named = SignedDocument.parse(genuine["before"]).body_hash()
    entered = beside.enter(genuine["entered"], number=number, previous=named)
    beside.number = int(number)
    return {**genuine, "entered": entered}


def asked_anew(beside: Beside, genuine: Json) -> Json | None:
    """With a request that names the second account; custodians did not sign about that one."""
    last = beside.enter(genuine["before"])
    body = {**genuine["request"]["body"], "entry": beside.head}
    request = beside.operator.identity.sign("opening-request", body)
    entered = beside.enter(genuine["entered"], document=salted_hash(genuine["salt"], request.canonical()))
    return {**genuine, "before": last, "entered": entered, "request": request.to_json()}


def liquidating(scene: Scene, genuine: Json, asked_in: Callable[[Beside, Json], Json | None]) -> Json:
    """The same bundle, with a liquidation in place of the margin call."""
    operator, beside, body = scene.world.operator, Beside(scene), dict(genuine["body"])
    by_kind = {one["entry"]["body"]["kind"]: one for one in released(operator, FUND)["entries"]}
    history, breached = body["history"], by_kind["opened in breach"]
    settlement = body["settlement"]["body"]
    rightful = rightful_transfers(
        scene.world.terms,
        Market.parse(example("market-2")),
        Decimal(settlement["top_up_usd"]),
        counted=RunRecord.parse(body["run"]["body"]).posted,
        free={},
        posted={asset: int(quantity) for asset, quantity in breached["public"]["posted"].items()},
    )
    assert rightful.kind == "liquidation"
    moves = [move.canonical() for move in rightful.transfers]
    settled = Settlement.parse({**settlement, "kind": "liquidation", "transfers": moves}).signed_by(operator.identity)
    nothing = PrivateState.parse({"free": {}}).canonical()
    submitted = history["submitted"]
    body["settlement"] = settled.to_json()
    body["history"] = {
        "submitted": {
            "before": {**submitted["before"], "entry": beside.enter(submitted["before"]["entry"])},
            "entered": {**submitted["entered"], "entry": beside.enter(submitted["entered"]["entry"])},
            "salt": submitted["salt"],
        },
        "recorded": {**history["recorded"], "entry": beside.enter(history["recorded"]["entry"])},
    }
    opening = asked_in(beside, history["opening"])
    if opening is not None:
        body["history"]["opening"] = opening
    body["history"]["liquidation"] = {
        "before": {
            "entry": beside.enter(breached["entry"], private=salted_hash(SALT, nothing)),
            "salt": breached["salt"],
            "public": breached["public"],
            "private_salt": SALT,
            "private": nothing,
        },
        "settled": beside.enter(
            by_kind["margin called"]["entry"], kind="liquidated", document=salted_hash(SALT, settled.canonical())
        ),
        "salt": SALT,
    }
    return handed_on(scene, body)


def test_an_opened_breach_is_not_attested_as_a_liquidation_by_a_second_account(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    genuine, trust = opened(scene, 2)
    assert scene.world.run(f"{FUND}.2").state == "settled"
    report = verify_attestation(genuine, trust, load_group())
    assert report.settlement is not None
    assert report.settlement.kind == "margin_call"
    # The account has the free collateral that it takes; a bundle that says otherwise is none of this opening.
    for asked_in, match in (
        (without_the_request, "does not show the request"),
        (as_it_is, "custodians read another account"),
        (entered_beside, "names another entry than is shown"),
        (entered_beside_after_the_genuine_one, "does not follow"),
        (asked_anew, "asked by another request"),
    ):
        with pytest.raises(AttestationInvalid, match=match) as caught:
            verify_attestation(liquidating(scene, genuine, asked_in), trust, load_group())
        assert caught.value.step == "answer"


@pytest.mark.parametrize(("stage", "tick"), [("owed-calm", 1), ("owed-fall", 2)])
def test_what_custodians_found_is_shown_with_their_request(scene_at: Open, stage: str, tick: int) -> None:
    scene = scene_at(stage)
    genuine, trust = opened(scene, tick)
    history = genuine["body"]["history"]
    assert history["opening"]["request"]["body"]["run_id"] == f"{FUND}.{tick}"
    assert len(genuine["log"]["leaves"]) == 5
    assert verify_attestation(genuine, trust, load_group()).checkpoint is not None
    assert verify_attestation(handed_on(scene, genuine["body"]), trust, load_group()).checkpoint is not None
    # Both entries of it have to be in the checkpoint: left out of the evidence, or others in their place.
    for place in (3, 4):
        few, other = copy.deepcopy(genuine), copy.deepcopy(genuine)
        del few["log"]["leaves"][place]
        other["log"]["leaves"][place] = other["log"]["leaves"][0]
        for value in (few, other):
            with pytest.raises(AttestationInvalid) as caught:
                verify_attestation(value, trust, load_group())
            assert caught.value.step == "log"
    body = copy.deepcopy(genuine["body"])
    del body["history"]["opening"]
    with pytest.raises(AttestationInvalid, match="does not show the request") as caught:
        verify_attestation(handed_on(scene, body), trust, load_group())
    assert caught.value.step == "answer"
