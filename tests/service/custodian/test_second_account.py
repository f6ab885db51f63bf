"""A game: the bundle of an opened breach, of an account that the operator keeps beside the one that custodians read."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.custody.history import released
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.operator.web import views
from atomic_margin.service.protocol.account.entries import salted_hash
from atomic_margin.service.protocol.account.state import PrivateState
from atomic_margin.service.protocol.documents import RunRecord, Settlement
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import load_group

from ..documents import FUND, example
from .engines import truthful
from .played import POINTS, Scene
from .test_openings import asked, rounds

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
Json = dict[str, Any]
BESIDE, SALT = "5e" * 32, "7a" * 32


class Beside:
    """Entries of a second account: what the operator said of the first, and what is private otherwise."""

    def __init__(self, scene: Scene) -> None:
        self.operator, self.head, self.number = scene.world.operator, "0" * 64, 0
        self.leaves: list[bytes] = []

    def enter(self, genuine: Json, **changes: str) -> Json:
        self.number += 1
        place = {"account": BESIDE, "number": str(self.number), "previous": self.head}
        signed = self.operator.identity.sign("entry", {**genuine["body"], **place, **changes})
        self.head = signed.body_hash()
        self.leaves.append(entry_leaf(signed).to_bytes())
        return signed.to_json()


def liquidating(scene: Scene, genuine: Json) -> Json:
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
        "liquidation": {
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
        },
    }
    # A cheating operator appends each as it enters the genuine one, so that they stand behind the right ticks.
    with operator.store.unit_of_work() as session:
        places = [log.append(session, leaf) for leaf in beside.leaves]
    scene.publish()
    with operator.store.reading() as session:
        evidence = checkpoints.evidence(session, places)
    assert evidence is not None
    return {**operator.identity.sign("attestation", body).to_json(), "log": evidence.to_json()}


def test_an_opened_breach_is_not_attested_as_a_liquidation_by_a_second_account(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    asked(scene)
    rounds([scene.party(point, truthful(scene, 2)) for point in POINTS])
    assert scene.world.run(f"{FUND}.2").state == "settled"
    scene.publish()
    trust = TrustFile.parse(
        {**scene.world.trust(), "log": scene.watched.trust().canonical(), "custody": {FUND: [scene.policy.canonical()]}}
    )
    genuine = views.bundle(scene.world.operator, f"{FUND}.2").to_json()
    report = verify_attestation(genuine, trust, load_group())
    assert report.settlement is not None
    assert report.settlement.kind == "margin_call"
    # The account has the free collateral that it takes; a bundle that says otherwise is none of this opening.
    with pytest.raises(AttestationInvalid):
        verify_attestation(liquidating(scene, genuine), trust, load_group())
