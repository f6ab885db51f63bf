"""What a signer says of a run, and everything that it does not sign: documents, the vault's picture, collateral."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.service.errors import AttestationInvalid, Conflict
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, sign_head
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.attestations import unsettled_bundle
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.signer.errors import (
    BundleRefused,
    ChainDiffers,
    CollateralDiffers,
    ExpiryRefused,
    NotForTheChain,
    NothingToSettle,
    NotInTheSet,
    RunNotOpen,
)
from atomic_margin.service.signer.matrices import (
    MAX_EXPIRY_SECONDS,
    RATE_UNIT,
    Place,
    VerifiedRun,
    claimed_run,
    matrix_message,
    verified_run,
)
from atomic_margin.service.signer.vault import Moment, RunOnChain
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from ...contracts.vault.world import HOLDER
from .. import test_exact_answers as exact
from ..documents import FUND
from ..test_log_evidence import Watched
from ..world import World as Operator
from .conftest import NOW
from .played import ASSET, FREE, POSTED, RUN_ID, Json, Played, unsettled_of

SOON = NOW + 600


def test_what_is_attested_is_what_bundle_and_vault_say(
    played: Played, verified: VerifiedRun, on_chain: RunOnChain, place: Place
) -> None:
    message = matrix_message(verified, on_chain, place, SOON)
    settled = played.settled["body"]["settlement"]["body"]
    (moved,) = settled["transfers"]
    # What the operator's own hook moved, to the unit.
    assert (settled["kind"], moved["asset"]) == ("margin_call", ASSET)
    top_up, rate = verified.breach.top_up, message["rate"]
    assert -(-top_up * rate // RATE_UNIT) == int(moved["quantity"])
    head = Checkpoint.parse(played.unsettled["log"]["checkpoint"]).head
    assert message == {
        "chain": 31337,
        "vault": place.addresses.vault,
        "account": HOLDER.address,
        "run": played.run,
        "tick": 2,
        "log": head.root,
        "commitments": verified.top_up_checked.commitments,
        "breachMatrix": verified.breach_checked.matrix,
        "topUpMatrix": verified.top_up_checked.matrix,
        "breachContext": verified.breach_checked.context,
        "topUpContext": verified.top_up_checked.context,
        "topUp": verified.breach.top_up,
        "free": FREE,
        "posted": POSTED,
        "rate": rate,
        "signerSet": 1,
        "expiry": SOON,
    }
    assert verified.top_up_checked.top_up == top_up > 0
    assert claimed_run(played.unsettled, played.operator.public_key) == verified.run(0) == played.run


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"open": False}, RunNotOpen, "open it there before"),
        ({"tick": 3}, ChainDiffers, "tick 3, and the bundle shows 2"),
        ({"commitments": bytes(32)}, ChainDiffers, "commitments 00000000"),
        ({"posted": POSTED - 1}, ChainDiffers, f"counts {POSTED} of USDC as posted, and the vault has {POSTED - 1}"),
        ({"posted": 0}, ChainDiffers, "has to mirror the vault"),
        ({"at": Moment(NOW, 1, False)}, NotInTheSet, "set 1, which is in force"),
        ({"at": Moment(SOON, 1, True)}, ExpiryRefused, f"the chain's time is {SOON}"),
        ({"at": Moment(SOON - MAX_EXPIRY_SECONDS - 1, 1, True)}, ExpiryRefused, "at most 86400 seconds ahead"),
    ],
)
def test_a_vault_that_has_it_otherwise_is_not_signed_for(
    verified: VerifiedRun, on_chain: RunOnChain, place: Place, changed: dict[str, Any], error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        matrix_message(verified, replace(on_chain, **changed), place, SOON)


def test_the_last_second_ahead_is_signed(verified: VerifiedRun, on_chain: RunOnChain, place: Place) -> None:
    at = Moment(SOON - MAX_EXPIRY_SECONDS, 1, True)
    assert matrix_message(verified, replace(on_chain, at=at), place, SOON)["expiry"] == SOON
    at = Moment(SOON - 1, 2, True)
    assert matrix_message(verified, replace(on_chain, at=at), place, SOON)["signerSet"] == 2


def counting(verified: VerifiedRun, **posted: int) -> VerifiedRun:
    """The run as if it counted other posted collateral."""
    record = verified.ground.record.changed({"posted": posted})
    return replace(verified, ground=verified.ground._replace(record=record))


def test_only_the_tokens_asset_may_count(verified: VerifiedRun, on_chain: RunOnChain, place: Place) -> None:
    other = counting(verified, USDC=POSTED, BTC=1)
    with pytest.raises(CollateralDiffers, match="counts posted BTC, which the vault does not hold"):
        matrix_message(other, on_chain, place, SOON)
    # Nothing of it is nothing; and nothing posted may be left out.
    assert matrix_message(counting(verified, USDC=POSTED, BTC=0), on_chain, place, SOON)
    nothing = matrix_message(counting(verified), replace(on_chain, posted=0), place, SOON)
    assert nothing["posted"] == 0
    with pytest.raises(ChainDiffers, match="counts 0 of USDC"):
        matrix_message(counting(verified), on_chain, place, SOON)


def test_the_token_has_to_be_of_the_schedule(verified: VerifiedRun, on_chain: RunOnChain, place: Place) -> None:
    with pytest.raises(CollateralDiffers, match="6 decimals, and the token has 18"):
        matrix_message(verified, on_chain, replace(place, decimals=18), SOON)
    addresses: ChainAddresses = replace(place.addresses, asset="DAI")
    with pytest.raises(CollateralDiffers, match="counts posted USDC"):
        matrix_message(verified, on_chain, replace(place, addresses=addresses), SOON)
    with pytest.raises(CollateralDiffers, match="the collateral schedule has no DAI"):
        matrix_message(counting(verified), replace(on_chain, posted=0), replace(place, addresses=addresses), SOON)


def test_an_agreement_that_does_not_take_the_token_lets_no_rate_be_signed(
    verified: VerifiedRun, on_chain: RunOnChain, place: Place
) -> None:
    with pytest.raises(CollateralDiffers, match="no quantity of USDC is worth"):
        matrix_message(replace(verified, eligible=("BTC",)), on_chain, place, SOON)
    assert matrix_message(replace(verified, eligible=("BTC", ASSET)), on_chain, place, SOON)


def refused(bundle: object, trust: TrustFile, group: Group) -> str:
    """The step that a bundle is refused in."""
    with pytest.raises(BundleRefused) as caught:
        verified_run(bundle, trust, group)
    return caught.value.step


def test_a_bundle_that_is_settled_is_not_signed(played: Played, group: Group) -> None:
    assert refused(played.settled, played.trust_file, group) == "settlement"
    # Elsewhere it is as it was: a settled one verifies, and one that is not does not.
    assert verify_attestation(played.settled, played.trust_file, group).settlement is not None
    with pytest.raises(AttestationInvalid, match="a breach without its settlement"):
        verify_attestation(played.unsettled, played.trust_file, group)
    # A settlement that is left out of a settled bundle changes what was signed.
    without = {name: part for name, part in played.settled["body"].items() if name != "settlement"}
    assert refused({**played.settled, "body": without}, played.trust_file, group) == "attestation"


def test_a_covered_run_settles_nothing(played: Played, group: Group) -> None:
    with pytest.raises(NothingToSettle, match="endCovered"):
        verified_run(played.covered, played.trust_file, group)


def test_a_settlement_in_an_unsettled_bundle_is_refused(played: Played, group: Group) -> None:
    both = played.signed_anew(settlement=played.settled["body"]["settlement"])
    assert refused(both, played.trust_file, group) == "settlement"


@pytest.mark.parametrize(
    ("path", "step"),
    [
        (("tick", "body", "market", "collateral", "USDC"), "price tick"),
        (("run", "body", "posted", "USDC"), "run record"),
        (("answer", "body", "top_up"), "answer"),
        (("answer", "body", "breach_proof"), "answer"),
        (("submission", "body", "sequence"), "submission"),
        (("history", "recorded", "salt"), "account"),
        (("flag_words",), "answer"),
    ],
)
def test_a_bundle_with_another_part_is_refused_in_its_step(
    played: Played, group: Group, path: tuple[str, ...], step: str
) -> None:
    body: Any = copy.deepcopy(played.unsettled["body"])
    place = body
    for name in path[:-1]:
        place = place[name]
    digits = str(place[path[-1]])
    place[path[-1]] = digits[:-1] + ("1" if digits[-1] != "1" else "2")
    assert refused(played.signed_anew(**body), played.trust_file, group) == step


def test_parts_of_another_run_are_refused(played: Played, group: Group) -> None:
    for part, step in (("answer", "answer"), ("history", "account"), ("tick", "price tick")):
        other = played.signed_anew(**{part: played.covered["body"][part]})
        assert refused(other, played.trust_file, group) in (step, "run record")


def test_a_foreign_operator_is_refused(played: Played, group: Group) -> None:
    stranger = Identity.generate()
    foreign = played.signed_anew(stranger)
    assert refused(foreign, played.trust_file, group) == "attestation"
    for bundle in (foreign, {}, None, {**played.unsettled, "body": {}}):
        with pytest.raises(BundleRefused):
            claimed_run(bundle, played.operator.public_key)
    with pytest.raises(BundleRefused, match="signed by a key that is not trusted"):
        claimed_run(played.unsettled, stranger.public_key)


def test_without_what_shows_it_in_the_log_nothing_is_signed(played: Played, group: Group) -> None:
    missing = {**played.unsettled, "log": None}
    assert refused(missing, played.trust_file, group) == "log"
    # A trust file that asks for no log is none of a signer's.
    without = TrustFile.parse({name: value for name, value in played.trust.items() if name != "log"})
    assert refused(played.unsettled, without, group) == "log"
    # Evidence of another run's entries does not do.
    assert refused({**played.unsettled, "log": played.covered["log"]}, played.trust_file, group) == "log"


def test_a_forked_log_is_refused(played: Played, group: Group) -> None:
    checkpoint = Checkpoint.parse(played.unsettled["log"]["checkpoint"])
    forked = sign_head(TreeHead(checkpoint.head.origin, checkpoint.head.size, b"\1" * 32), played.operator)
    # The operator's own word, and the witnesses' about the tree that they saw.
    lines = str(checkpoint).splitlines()[5:]
    for text in (str(forked), str(forked) + "".join(f"{line}\n" for line in lines)):
        log = {**played.unsettled["log"], "checkpoint": text}
        assert refused({**played.unsettled, "log": log}, played.trust_file, group) == "log"


def test_only_a_breach_that_waits_has_such_a_bundle(world_at: Callable[[str], Operator]) -> None:
    world = world_at("calm-done")
    with world.operator.store.reading() as session, pytest.raises(Conflict, match="only a verified breach"):
        unsettled_bundle(world.operator, session, world.run(f"{FUND}.1"))
    world = world_at("fall-done")
    with world.operator.store.reading() as session, pytest.raises(Conflict, match=f"{RUN_ID} is settled"):
        unsettled_bundle(world.operator, session, world.run(RUN_ID))


@pytest.mark.long
def test_an_answer_by_rows_with_slack_is_nothing_for_the_chain(tmp_path: Path, group: Group) -> None:
    world = exact.started(tmp_path, exact.BELOW, exact.terms_under(exact.document()))
    watched = Watched(world, 3)
    halts.halt(world.operator, "settled elsewhere", ticks=3)
    answer = world.prove_answer(f"{FUND}.1")
    assert (answer.body["outcome"], answer.body["form"]) == ("breach", "exact")
    world.answer(f"{FUND}.1", answer)
    watched.publish(100, 110, 120)
    bundle = unsettled_of(world, f"{FUND}.1")
    trust: Json = {**world.trust(), "log": watched.trust().canonical()}
    with pytest.raises(NotForTheChain, match="verifies no slack"):
        verified_run(bundle, TrustFile.parse(trust), group)
    world.close()
