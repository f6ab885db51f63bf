"""Tiers and eligibility through the whole service: valued in c, counted in the call, checked by the verifier."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import TransferTooSmall
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.compiled_ticks import CompiledTicks
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Settlement
from atomic_margin.service.protocol.terms import terms_hash
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .documents import FUND, example
from .world import World

WorldAt = Callable[[str], World]


def with_schedule(world: World, **changes: dict[str, Any]) -> World:
    """Give the operator another schedule before its first tick, as if it had started with it."""
    document = example("collateral-schedule")
    document["assets"] = [{**asset, **changes.get(asset["id"].partition("-")[0], {})} for asset in document["assets"]]
    world.operator.terms = replace(world.operator.terms, schedule=CollateralSchedule.parse(document))
    world.operator.compiled_ticks = CompiledTicks(world.operator.terms)
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        account.public_state = {**account.public_state, "terms": terms_hash(world.operator.terms)}
    return world


def bands(*bounds: tuple[int, int]) -> list[dict[str, str]]:
    found, above = [], 0
    for up_to, percent in bounds:
        found.append({"above": str(above), "up_to": str(up_to), "percent": str(percent)})
        above = up_to
    return found


def test_a_call_is_met_with_more_of_an_asset_whose_band_is_full(world_at: WorldAt, group: Group) -> None:
    """108,000 USD of T-bills are posted: with what is above 120,000 counted at half, more of other assets is taken."""
    plain, tiered = world_at("submitted"), world_at("submitted")
    with_schedule(tiered, TBILL={"tiers": bands((120_000, 100), (100_000_000, 50))})
    moved = {}
    for name, world in (("plain", plain), ("tiered", tiered)):
        run_id = world.play(2)
        world.answer(run_id)
        _, settlement = parse_signed(world.settlements()[run_id], Settlement)
        assert (settlement.kind, settlement.top_up_usd) == ("margin_call", "100000")
        moved[name] = {move.asset: move.quantity for move in settlement.transfers}
        verify_attestation(world.bundle(run_id), world.trust_file(), group)
    # All free bills go in both; what they are worth less is made up by the next asset.
    assert moved["plain"]["TBILL-2027-02"] == moved["tiered"]["TBILL-2027-02"]
    assert moved["tiered"]["USDC"] > moved["plain"]["USDC"]
    # The verifier counts the tiers too: what was enough without them is not enough with them.
    body = dict(tiered.bundle(f"{FUND}.2")["body"])
    settlement = dict(body["settlement"]["body"])
    settlement["transfers"] = [
        {"asset": asset, "quantity": str(quantity), "source": "free", "destination": "posted"}
        for asset, quantity in moved["plain"].items()
    ]
    identity = tiered.operator.identity
    body["settlement"] = identity.sign("settlement", settlement).to_json()
    with pytest.raises(AttestationInvalid, match="settlement") as caught:
        verify_attestation(identity.sign("attestation", body).to_json(), tiered.trust_file(), group)
    assert isinstance(caught.value.__cause__, TransferTooSmall)


def test_collateral_that_does_not_count_makes_a_breach(world_at: WorldAt, group: Group) -> None:
    world = with_schedule(world_at("submitted"), TBILL={"eligibility": {"status": "excluded", "reason": "downgraded"}})
    run_id = world.play(1)
    world.answer(run_id)
    _, settlement = parse_signed(world.settlements()[run_id], Settlement)
    assert "TBILL-2027-02" not in {move.asset for move in settlement.transfers if settlement.kind == "margin_call"}
    verify_attestation(world.bundle(run_id), world.trust_file(), group)


@pytest.mark.parametrize("status", ["closed", "excluded"])
def test_no_more_is_taken_of_what_is_not_accepted(world_at: WorldAt, status: str) -> None:
    world = with_schedule(world_at("calm-done"), USDC={"eligibility": {"status": status, "reason": "depegged"}})
    before = world.ledger()
    arrived = {"institution": FUND, "asset": "USDC", "quantity": "5", "reference": "more"}
    refusals = [
        world.client.post("/v1/deposits", json=arrived, headers=world.admin),
        world.client.post(
            f"/v1/institutions/{FUND}/collateral",
            json=world.instruction(FUND, "post", "USDC", 5).to_json(),
            auth=world.auth(),
        ),
    ]
    for response in refusals:
        problem = response.json()
        assert (response.status_code, problem["type"]) == (422, "urn:atomic-margin:problem:ineligible-asset")
        assert problem["field"] == "USDC"
        assert "depegged" in problem["detail"]
    assert world.ledger() == before
    world.instruct(FUND, "withdraw", "USDC", 5)
    assert world.held(f"{FUND}/free")["USDC"] == before[f"{FUND}/free"]["USDC"] - 5


def test_a_tick_from_before_the_schedule_is_refused(world_at: WorldAt) -> None:
    world = world_at("submitted")
    late = CollateralSchedule.parse({**example("collateral-schedule"), "effective_from": "2026-11-20T08:00:01Z"})
    world.operator.terms = replace(world.operator.terms, schedule=late)
    response = world.client.post("/v1/ticks", json=world.prices(1))
    assert (response.status_code, response.json()["field"]) == (422, "effective_from")
    assert world.states() == {}
    assert world.tick(2) == [f"{FUND}.2"]
