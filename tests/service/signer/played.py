"""A run whose breach is verified and not settled, at an operator whose log three witnesses cosign; played once."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.strict import Part
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.institution.sufficient import Shown
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.attestations import unsettled_bundle
from atomic_margin.service.operator.runs import answers
from atomic_margin.service.operator.web import views
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.trust import TrustFile

from ..documents import FUND, example
from ..test_log_evidence import Watched
from ..world import World

Json = dict[str, Any]

ASSET = "USDC"
POSTED, FREE = 310_000_000_000, 290_000_000_000
RUN_ID = f"{FUND}.2"


@dataclasses.dataclass(frozen=True)
class Played:
    """What was played, as JSON.

    Attributes:
        covered: published bundle of the run before.
        unsettled, settled: those of the breach, before and after its settlement.
        other_answer: another genuine answer of the institution to the breach, with a larger top-up.
        trust: a trust file with the log.
        identity: of the institution.
        operator: the operator's.
    """

    covered: Json
    unsettled: Json
    settled: Json
    other_answer: Json
    trust: Json
    identity: Identity
    operator: Identity

    @property
    def trust_file(self) -> TrustFile:
        return TrustFile.parse(self.trust)

    @property
    def record(self) -> RunRecord:
        return RunRecord.parse(self.unsettled["body"]["run"]["body"])

    @property
    def run(self) -> bytes:
        """Name of the run on a chain."""
        return bytes.fromhex(SignedDocument.parse(self.unsettled["body"]["run"]).body_hash())

    @property
    def submission(self) -> Submission:
        return Submission.parse(self.unsettled["body"]["submission"]["body"])

    @property
    def answered_otherwise(self) -> Json:
        """The unsettled bundle with the other answer: what an operator has who was given both."""
        return self.signed_anew(answer=self.other_answer)

    def signed_anew(self, identity: Identity | None = None, /, **changes: Any) -> Json:
        """The unsettled bundle with other parts, signed as a whole by the operator, or by somebody else."""
        body = {**self.unsettled["body"], **changes}
        body = {name: value for name, value in body.items() if value is not None}
        signed = (identity or self.operator).sign("attestation", body)
        return {**signed.to_json(), "log": self.unsettled["log"]}


def unsettled_of(world: World, run_id: str) -> Json | None:
    with world.operator.store.reading() as session:
        run = world.run(run_id)
        return unsettled_bundle(world.operator, session, run)


def play(root: Path) -> Played:
    """Play it; only USDC is posted."""
    world = World(root / "operator", Identity.generate(), {})
    try:
        return _play(world)
    finally:
        world.close()


def _play(world: World) -> Played:
    world.enrol(FUND)
    world.deposit(FUND, ASSET, POSTED + FREE, "custodian")
    world.instruct(FUND, "post", ASSET, POSTED)
    book = encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
    world.submit(FUND, tuple(int(value) for value in book))
    watched = Watched(world, 3)
    calm = world.play(1)
    world.answer(calm)
    fall = world.play(2)
    assert fall == RUN_ID
    # As with a settlement elsewhere: the answer is verified and stored, and nothing moves here.
    halts.halt(world.operator, "settled elsewhere", ticks=3)
    other = _larger(world, fall).to_json()
    world.answer(fall)
    assert unsettled_of(world, fall) is None
    watched.publish(100, 110, 120)
    unsettled = unsettled_of(world, fall)
    assert unsettled is not None
    covered = _published(views.bundle(world.operator, calm))
    halts.resume(world.operator, "over")
    assert answers.settle_unfinished(world.operator) == [fall]
    watched.publish(200, 210, 220)
    settled = _published(views.bundle(world.operator, fall))
    trust = {**world.trust(), "log": watched.trust().canonical()}
    return Played(covered, unsettled, settled, other, trust, world.funds[FUND].identity, world.operator.identity)


def _larger(world: World, run_id: str) -> SignedDocument:
    """Prove an answer whose top-up is a step more than is missing."""
    usual = Shown.top_up

    def larger(shown: Shown, *arguments: Any) -> Any:
        call = usual(shown, *arguments)
        return dataclasses.replace(call, units=max(call.units, call.step) + call.step)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Shown, "top_up", larger)
        return world.prove_answer(run_id)


def _published(bundle: Any) -> Json:
    value: Json = bundle.to_json() if hasattr(bundle, "to_json") else bundle.canonical()
    assert isinstance(bundle, Part)
    return {name: part for name, part in value.items() if part is not None}
