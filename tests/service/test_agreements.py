"""Runs under a collateral agreement: the real operator, the agent's own code, real proofs, and a verifier."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.reports import call
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .agreements import agreement, started
from .documents import FUND
from .test_exact_answers import document, terms_under
from .test_reports import prices, whole
from .world import World

CALM, FALL = f"{FUND}.1", f"{FUND}.2"


@pytest.fixture
def under(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Starts worlds under an agreement, and closes them."""
    worlds: list[World] = []

    def start(model: object = None, **terms: Any) -> World:
        chosen = None if model is None else terms_under(model)
        worlds.append(started(tmp_path / str(len(worlds)), agreement(**terms), chosen))
        return worlds[-1]

    yield start
    for world in worlds:
        world.close()


def answered(world: World, run_id: str) -> SignedDocument:
    answer = world.prove_answer(run_id)
    world.answer(run_id, answer)
    return answer


def test_a_deficit_below_the_minimum_transfer_is_covered(under: Callable[..., World], group: Group) -> None:
    world = under(minimum_transfer_amount="1000000")
    run_id = world.play(2)
    assert world.checked(world.shown(run_id)).plaintext_flag == 0
    assert answered(world, run_id).body["outcome"] == "covered"
    assert world.settlements() == {}
    report = verify_attestation(world.bundle(run_id), world.trust_file(), group)
    assert report.record is not None
    assert report.record.agreed == agreement(minimum_transfer_amount="1000000").agreed


def test_an_independent_amount_calls_an_account_that_has_margin(under: Callable[..., World], group: Group) -> None:
    world = under(independent_amount="200000", rounding="50000")
    run_id = world.play(1)
    answer = answered(world, run_id)
    assert answer.body["outcome"] == "breach"
    assert float(answer.body["top_up_usd"]) % 50_000 == 0
    assert verify_attestation(world.bundle(run_id), world.trust_file(), group).settlement is not None


def test_a_verifier_refuses_a_run_under_another_agreement(under: Callable[..., World], group: Group) -> None:
    world = under(threshold="1000000")
    run_id = world.play(2)
    answered(world, run_id)
    trust, bundle = world.trust(), world.bundle(run_id)
    other = agreement(threshold="0").canonical()
    for agreements in (None, {FUND: [other]}):
        pinned = {name: value for name, value in trust.items() if name != "agreements"}
        pinned |= {} if agreements is None else {"agreements": agreements}
        with pytest.raises(AttestationInvalid, match="does not pin") as refusal:
            verify_attestation(bundle, TrustFile.parse(pinned), group)
        assert refusal.value.step == "account"


@pytest.mark.long
def test_rows_with_slack_count_the_agreement_too(under: Callable[..., World], group: Group) -> None:
    world = under(model=document(), threshold="30000000", minimum_transfer_amount="100000")
    run_id = world.play(1)
    answer = answered(world, run_id)
    assert (answer.body["outcome"], answer.body["form"]) == ("covered", "exact")
    assert verify_attestation(world.bundle(run_id), world.trust_file(), group).result is not None


def test_a_notice_says_until_when_the_agreement_wants_it_settled(under: Callable[..., World]) -> None:
    world = under(independent_amount="200000", rounding="50000", notification_time="00:00", settlement_days="2")
    run_id = world.play(1)
    facts = whole(world)
    asked = call.call_notice(facts, prices(world), run_id)
    assert (asked.settles_by, asked.agreement) == (None, world.account().public.agreement.agreement)  # type: ignore[union-attr]
    answered(world, run_id)
    notice = call.call_notice(whole(world), prices(world), run_id)
    entered = next(one.entry.body["entered_at"] for one in world.entries() if one.entry.body["kind"] == "breach proven")
    # Notified after midnight: two days from tomorrow, at five in the afternoon.
    day = instant(entered).date() + timedelta(days=3 if entered[11:16] > "00:00" else 2)
    assert notice.settles_by == f"{day.isoformat()}T17:00:00Z"
    assert ("To be settled by", notice.settles_by) in call.page(notice).facts
