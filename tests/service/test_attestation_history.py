"""What a bundle shows of its account: an operator that lies about it is found, though it signs everything itself."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.accounts import collateral
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.account.entries import salted_hash
from atomic_margin.service.protocol.account.events import Overdue
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .bundles import step_that_fails
from .documents import FUND, Json
from .stages import Stages
from .test_log_evidence import Watched
from .world import World

pytestmark = pytest.mark.usefixtures("proofs_checked_once")

H = "1a" * 32


def told_anew(body: Json, operator: Identity, change: Callable[[Json], None]) -> Json:
    """A bundle whose operator enters the run into an account that is another, and signs everything anew."""
    body = copy.deepcopy(body)
    recorded = body["history"]["recorded"]
    change(recorded["public"])
    entry = {**recorded["entry"]["body"], "public": salted_hash(recorded["salt"], recorded["public"])}
    recorded["entry"] = operator.sign("entry", entry).to_json()
    return operator.sign("attestation", body).to_json()


def on_another_book(public: Json) -> None:
    public["book"]["commitments"] = H


def run_on_another_submission(public: Json) -> None:
    public["run"]["submission"] = H


def at_another_tick(public: Json) -> None:
    public["run"]["tick"] = H


def with_more_posted(public: Json) -> None:
    public["run"]["posted"]["USDC"] = "1"


def with_other_matrices(public: Json) -> None:
    public["run"]["matrices"]["maintenance_proof"] = H


def after_its_answer(public: Json) -> None:
    public["run"]["stage"] = "breach"


def without_a_run(public: Json) -> None:
    del public["run"]


def a_book_from_after_the_tick(public: Json) -> None:
    public["book"]["tick"] = "2"


def of_another_identity(public: Json) -> None:
    public["identity"] = Identity.generate().public_key


def under_other_receipts(public: Json) -> None:
    public["newest"]["receipted"] = "3"


def under_other_terms(public: Json) -> None:
    public["terms"] = H


@pytest.mark.parametrize(
    "change",
    [
        on_another_book, run_on_another_submission, at_another_tick, with_more_posted, with_other_matrices,
        after_its_answer, without_a_run, a_book_from_after_the_tick, of_another_identity, under_other_terms,
        under_other_receipts,
    ],
)  # fmt: skip
def test_a_run_that_was_not_the_accounts_open_one_fails(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group, change: Callable[[Json], None]
) -> None:
    operator = world_at("crash-done").operator.identity
    assert step_that_fails(told_anew(stages.bundles["fall"]["body"], operator, change), trust, group) == "account"


def test_an_answer_holds_for_the_entry_that_it_names(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    """The same account in every respect that counts, entered twice: the institution saw one of them."""

    def harmless(public: Json) -> None:
        public["key_sequence"] = "2"

    operator = world_at("crash-done").operator.identity
    with pytest.raises(AttestationInvalid, match="another entry") as caught:
        verify_attestation(told_anew(stages.bundles["fall"]["body"], operator, harmless), trust, group)
    assert caught.value.step == "answer"


def test_an_answer_comes_without_a_request_to_open(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    body = copy.deepcopy(stages.bundles["fall"]["body"])
    entry = body["history"]["recorded"]["entry"]
    body["history"]["opening"] = {"before": entry, "entered": entry, "salt": H, "request": body["run"]}
    bundle = world_at("crash-done").operator.identity.sign("attestation", body).to_json()
    with pytest.raises(AttestationInvalid, match="goes with what custodians found") as caught:
        verify_attestation(bundle, trust, group)
    assert caught.value.step == "answer"


def test_states_that_the_entries_do_not_name_fail(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    operator = world_at("crash-done").operator.identity
    for place, part, step in (("recorded", "public", "account"), ("before", "public", "settlement")):
        body = copy.deepcopy(stages.bundles["crash"]["body"])
        history = body["history"]
        shown = history["recorded"] if place == "recorded" else history["liquidation"]["before"]
        shown[part]["key_sequence"] = "9"
        assert step_that_fails(operator.sign("attestation", body).to_json(), trust, group) == step


def test_a_liquidation_shows_that_free_collateral_did_not_do(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    operator = world_at("crash-done").operator.identity

    def signed(change: Callable[[Json], None]) -> Json:
        body = copy.deepcopy(stages.bundles["crash"]["body"])
        change(body["history"])
        return operator.sign("attestation", body).to_json()

    def richer(history: Json) -> None:
        shown = history["liquidation"]["before"]
        shown["private"]["free"]["USDC"] = str(10**15)
        entry = {**shown["entry"]["body"], "private": salted_hash(shown["private_salt"], shown["private"])}
        shown["entry"] = operator.sign("entry", entry).to_json()
        settled = {**history["liquidation"]["settled"]["body"], "previous": hash_of(shown["entry"])}
        history["liquidation"]["settled"] = operator.sign("entry", settled).to_json()

    def hidden(history: Json) -> None:
        del history["liquidation"]["before"]["private"]

    def left_out(history: Json) -> None:
        del history["liquidation"]

    def skipped(history: Json) -> None:
        history["liquidation"]["before"] = history["recorded"]

    with pytest.raises(AttestationInvalid, match="margin_call") as caught:
        verify_attestation(signed(richer), trust, group)
    assert caught.value.step == "settlement"
    for change in (hidden, left_out, skipped):
        assert step_that_fails(signed(change), trust, group) == "settlement"


def hash_of(signed: Json) -> str:
    return SignedDocument.parse(signed).body_hash()


# The log


@pytest.fixture
def watched(world_at: Callable[[str], World]) -> Watched:
    return Watched(world_at("crash-done"), 3)


def asking(world: Watched, threshold: int = 2) -> TrustFile:
    return TrustFile.parse({**world.world.trust(), "log": world.trust(threshold).canonical()})


@pytest.mark.parametrize(("run", "leaves"), [(f"{FUND}.1", 3), (f"{FUND}.4", 5)])
def test_a_trust_file_that_names_a_log_asks_for_it(watched: Watched, group: Group, run: str, leaves: int) -> None:
    def served() -> Any:
        return watched.world.client.get(f"/v1/attestations/{run}", auth=watched.world.auth()).json()

    assert served()["log"] is None
    with pytest.raises(AttestationInvalid, match="does not show") as caught:
        verify_attestation(served(), asking(watched), group)
    assert caught.value.step == "log"
    watched.publish(100, 200, None)
    shown = served()
    assert len(shown["log"]["leaves"]) == leaves
    report = verify_attestation(shown, asking(watched), group)
    assert report.checkpoint is not None
    assert report.checkpoint.witnesses == (("w0", 100), ("w1", 200))
    # Who asks for none is told so, and takes the bundle with or without it.
    assert verify_attestation(shown, watched.world.trust_file(), group).checkpoint is None
    with pytest.raises(AttestationInvalid) as caught:
        verify_attestation(shown, asking(watched, 3), group)
    assert caught.value.step == "log"
    other = {**shown, "log": watched.world.client.get("/v1/log/evidence?leaf=0").json()["evidence"]}
    with pytest.raises(AttestationInvalid) as caught:
        verify_attestation(other, asking(watched), group)
    assert caught.value.step == "log"


def test_a_time_to_answer_is_over_when_the_witnesses_say_so(
    world_at: Callable[[str], World], later: Callable[[int], None], stages: Stages
) -> None:
    """The operator's own clock takes nothing from anybody."""
    world = world_at("calm-open")
    watched, run = Watched(world, 3, 2), f"{FUND}.1"
    seconds = world.operator.settings.answer_seconds
    later(10 * seconds)
    assert runs.sweep_deadlines(world.operator) == []
    watched.publish(1000, 1010, 1020)
    watched.publish(1009 + seconds, 5, None)
    assert runs.sweep_deadlines(world.operator) == []
    watched.publish(1010 + seconds, 1010 + seconds, None)
    assert runs.sweep_deadlines(world.operator) == [run]
    assert (world.state(), world.run(run).state) == (AccountState.FROZEN, RunState.UNPROVEN)
    entry = world.entries()[-1]
    overdue = Overdue.parse(entry.document.body)
    assert overdue.begins is not None
    assert overdue.ends is not None
    world.answer(run, stages.answers["calm"])
    assert world.state() == AccountState.ACTIVE
    collateral.deposit(world.operator, FUND, "USDC", 1, "after")
