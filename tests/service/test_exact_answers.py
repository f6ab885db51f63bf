"""Answers by rows with slack: expected shortfall of three moves, whose rows without slack find more missing than is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.circuits.profile import TINY
from atomic_margin.margin.errors import FormMissing, FormTooLarge
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.errors import Refused
from atomic_margin.service.institution.shortfalls import missing_in
from atomic_margin.service.institution.sufficient import Shown
from atomic_margin.service.protocol import proof_rows
from atomic_margin.service.protocol.account.events import Coverage
from atomic_margin.service.protocol.documents import Answer, AnswerClaim
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.statements import sufficiency_statement
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.unasked import verify_coverage
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness

from .documents import FUND, example, full_example
from .resident import Residents
from .rounds import Clock, in_step
from .world import World

pytestmark = pytest.mark.long

BETWEEN, BELOW = 22_000_000_000, 5_000_000_000
"""USDC posted with which rows with slack alone show coverage, and with which none do."""


def document() -> dict[str, Any]:
    """Return three of the example's moves, of which the worst 1.8 count."""
    given = full_example("expected-shortfall/model")
    kept = {name: value for name, value in given.items() if name != "cover"}
    return {**kept, "scenarios": given["scenarios"][:3], "tail": "0.6"}


def terms_under(model: object) -> Terms:
    return Terms.parse(model, example("universe"), example("collateral-schedule"), TINY)


def started(directory: Path, usdc: int, terms: Terms) -> World:
    """Return an operator with one institution, its book in force, one run evaluated and unanswered."""
    world = World(directory, Identity.generate(), {}, terms=terms)
    world.enrol(FUND)
    for asset, quantity in (("TBILL-2027-02", 11_000_000), ("USDC", usdc)):
        world.deposit(FUND, asset, 30 * quantity, f"custodian-{asset}")
    world.instruct(FUND, "post", "USDC", usdc)
    book = encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
    cash = world.columns.is_cash
    world.submit(FUND, tuple(0 if cash[index] else int(value) for index, value in enumerate(book)))
    world.play(1)
    return world


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Starts worlds with so much USDC posted, and closes them."""
    worlds: list[World] = []

    def start(usdc: int, model: object = None) -> World:
        worlds.append(started(tmp_path / str(len(worlds)), usdc, terms_under(model or document())))
        return worlds[-1]

    yield start
    for world in worlds:
        world.close()


def forms(world: World, kind: Any = "maintenance") -> dict[str, Shown]:
    """Return what each form shows of the book in the open run."""
    run = world.checked(world.shown(f"{FUND}.1"))
    return {shown.form: shown for shown in run.position.rows(kind)}


def altered(world: World, answer: SignedDocument, **changes: object) -> SignedDocument:
    """Return an answer with other fields, signed by its institution."""
    body = {name: value for name, value in {**answer.body, **changes}.items() if value is not None}
    return Answer.parse(body).signed_by(world.funds[FUND].identity)


def proven(world: World, shown: Shown, **changes: object) -> SignedDocument:
    """Return a covered answer to the open run with a genuine proof of these rows, said to be of another form."""
    honest = world.prove_answer(f"{FUND}.1")
    run = world.checked(world.shown(f"{FUND}.1"))
    sent = world.funds[FUND].sent[1]
    names = (*AnswerClaim.model_fields, "form")
    body = {name: value for name, value in {**honest.body, **changes}.items() if name in names and value is not None}
    claim = AnswerClaim.parse(body)
    statement = sufficiency_statement(claim, world.terms, run.record, sent.submission, shown.rows)
    slack = tuple(int(value) for value in shown.slack)
    proof = prove_sufficiency(statement, SufficiencyWitness(sent.values, sent.blindings, slack))
    return claim.proven(Answer, sufficiency_proof=proof).signed_by(world.funds[FUND].identity)


def test_a_book_that_only_rows_with_slack_cover_is_covered(made: Callable[..., World], group: Group) -> None:
    world, run_id = made(BETWEEN), f"{FUND}.1"
    found = forms(world)
    assert list(found) == ["exact", "conservative"]
    assert found["conservative"].least < 0 <= found["exact"].least
    # The early warning is of rows without slack, and is a warning only.
    assert world.checked(world.shown(run_id)).plaintext_flag == 1
    answer = world.prove_answer(run_id)
    assert (answer.body["outcome"], answer.body["form"]) == ("covered", "exact")
    world.answer(run_id, answer)
    assert world.settlements() == {}
    report = verify_attestation(world.bundle(run_id), world.trust_file(), group)
    assert report.settlement is None
    assert world.state() == "active"


def test_rows_with_slack_answer_also_where_the_others_would_do(made: Callable[..., World]) -> None:
    """The form of an answer says nothing about the rows without slack."""
    world = made(200_000_000_000)
    assert all(shown.least >= 0 for shown in forms(world).values())
    assert world.prove_answer(f"{FUND}.1").body["form"] == "exact"


def test_a_breach_calls_for_what_rows_with_slack_miss(made: Callable[..., World], group: Group) -> None:
    world, run_id = made(BELOW), f"{FUND}.1"
    found, wanted = forms(world), forms(world, "initial")
    assert all(shown.least < 0 for shown in found.values())
    answer = world.prove_answer(run_id)
    assert (answer.body["outcome"], answer.body["form"]) == ("breach", "exact")
    run = world.checked(world.shown(run_id))
    exact = wanted["exact"]
    call = exact.top_up(world.terms, run.record)
    assert answer.body["top_up"] == str(call.units)
    assert answer.body["top_up_usd"] == format(exact.rows.matrix.usd(call.units), "f")
    assert call.usd <= wanted["conservative"].top_up(world.terms, run.record).usd
    assert missing_in(run) == exact.rows.matrix.usd(0) - found["exact"].rows.matrix.usd(found["exact"].least)
    assert missing_in(run) <= call.usd
    world.answer(run_id, answer)
    assert world.settlements()[run_id]["body"]["kind"] == "margin_call"
    report = verify_attestation(world.bundle(run_id), world.trust_file(), group)
    assert report.settlement is not None


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"form": None}, "sufficiency_proof"),
        ({"outcome": "breach"}, "flag"),
        ({"top_up": "1"}, "top_up"),
        ({"sufficiency_proof": "00"}, "sufficiency_proof"),
    ],
)
def test_an_altered_exact_answer_is_refused(made: Callable[..., World], changes: dict[str, object], field: str) -> None:
    world = made(BETWEEN)
    answer = altered(world, world.prove_answer(f"{FUND}.1"), **changes)
    with pytest.raises(Refused) as caught:
        world.answer(f"{FUND}.1", answer)
    assert caught.value.field == field
    assert world.state() == "active"


@pytest.mark.long
def test_a_genuine_proof_of_one_form_is_none_of_the_other(made: Callable[..., World]) -> None:
    world = made(200_000_000_000)
    found = forms(world)
    for form, said in (("exact", None), ("conservative", "exact")):
        with pytest.raises(Refused) as caught:
            world.answer(f"{FUND}.1", proven(world, found[form], form=said))
        assert caught.value.field == "sufficiency_proof"
    # Either is taken under its own name.
    world.answer(f"{FUND}.1", proven(world, found["conservative"], form=None))


def test_slack_below_what_the_book_needs_proves_nothing(made: Callable[..., World]) -> None:
    world = made(BELOW)
    exact = forms(world)["exact"]
    run = world.checked(world.shown(f"{FUND}.1"))
    needed = [index for index, value in enumerate(exact.slack) if value > 0]
    assert needed
    for lowered in needed:
        slack = exact.slack.copy()
        slack[lowered] = 0
        rows = exact.rows.matrix.surplus(run.z) + exact.rows.exact.slack @ slack  # type: ignore[union-attr]
        assert rows.min() < 0


def test_a_top_up_enters_no_row_that_bounds_slack(made: Callable[..., World]) -> None:
    """There it would buy slack, and slack is what the book's losses are."""
    world = made(BELOW)
    exact = forms(world, "initial")["exact"].rows
    statement = exact.statement((bytes(48),) * exact.matrix.entries, 30, {"run": "1"}, 7)
    validity = exact.exact.validity.tolist()  # type: ignore[union-attr]
    assert any(validity)
    assert statement.top_up_counts == tuple(0 if bounds else 1 for bounds in validity)


def test_a_step_is_counted_in_the_units_of_the_form(made: Callable[..., World]) -> None:
    world, run_id = made(BELOW), f"{FUND}.1"
    answer = world.prove_answer(run_id)
    with pytest.raises(Refused) as caught:
        world.answer(run_id, altered(world, answer, form=None))
    assert caught.value.field == "top_up"
    with pytest.raises(Refused) as caught:
        world.answer(run_id, altered(world, answer, top_up=str(int(str(answer.body["top_up"])) + 1)))
    assert caught.value.field == "top_up"


def test_a_model_without_such_rows_takes_no_answer_by_them(made: Callable[..., World]) -> None:
    world = made(200_000_000_000, example("model-scan"))
    answer = world.prove_answer(f"{FUND}.1")
    assert "form" not in answer.body
    with pytest.raises(Refused) as caught:
        world.answer(f"{FUND}.1", altered(world, answer, form="exact"))
    assert caught.value.field == "form"
    run = world.checked(world.shown(f"{FUND}.1"))
    with pytest.raises(FormMissing):
        world.terms.proof_rows("maintenance", "exact", run.market, run.record.posted, run.record)


def test_rows_that_no_proof_holds_leave_the_others(
    made: Callable[..., World], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = made(200_000_000_000)
    run = world.checked(world.shown(f"{FUND}.1"))
    monkeypatch.setattr(proof_rows, "MAX_BITS", 100)
    with pytest.raises(FormTooLarge, match=r"4 rows with 5 slack values take .* bits, a proof at most"):
        world.terms.proof_rows("maintenance", "exact", run.market, run.record.posted, run.record)
    shown = run.position.coverage()
    assert shown is not None
    assert (shown.form, run.position.initial().form) == ("conservative", "conservative")
    assert "no rows with slack" in caplog.text
    answer = world.prove_answer(f"{FUND}.1")
    assert "form" not in answer.body
    with pytest.raises(Refused) as caught:
        world.answer(f"{FUND}.1", altered(world, answer, form="exact"))
    assert caught.value.field == "form"
    world.answer(f"{FUND}.1", answer)


@pytest.mark.long
def test_coverage_is_proven_unasked_by_rows_with_slack(tmp_path: Path) -> None:
    """The real agent at an operator that opens no run, under this model."""
    residents, clock = Residents(tmp_path / "first", terms_under(document())), Clock()
    resident = residents.copy(tmp_path / "second", proofs=True)
    agent = resident.restarted(clock=clock)
    resident.world.tick(1)
    agent.answer_due()
    clock.wait(agent.settings.unasked_after)
    agent.answer_due()
    (sent,) = resident.line.sent("/coverage")
    assert sent["body"]["form"] == "exact"
    public = resident.state.public
    assert in_step(resident)
    assert (public.last_run, public.book.covered) == (1, 1)  # type: ignore[union-attr]
    # The same proof says nothing of rows without slack, nor of rows that there are not.
    signed = SignedDocument.parse(sent)
    tick, book = Market.parse(example("market-1")), Submission.parse(resident.submissions[0].document["body"])
    for changes, why in (({"form": None}, "another matrix"), ({"matrix": "00" * 32}, "another matrix")):
        body = {name: value for name, value in {**signed.body, **changes}.items() if value is not None}
        altered = Coverage.parse(body).signed_by(resident.agent.identity)
        with pytest.raises(Refused, match=why):
            verify_coverage(
                altered,
                Coverage.parse(body),
                submission=book,
                submission_hash=resident.submissions[0].sha256,
                market=tick,
                terms=resident.world.terms,
                identity=resident.agent.identity.public_key,
                group=resident.world.operator.group,
            )
    resident.close()
