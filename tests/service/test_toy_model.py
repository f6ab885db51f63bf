"""A model that nobody here has heard of goes through everything: it is registered, and no other line changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import PROFILES, STANDARD, TINY
from atomic_margin.margin import CollateralHoldings, Market, Portfolio, errors, models, parse_model
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.registry import registered
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.audit.terms import terms_of
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import AgentRefused, ModelNotServed
from atomic_margin.service.institution.runs import CheckedRun, check_run, present
from atomic_margin.service.operator.web.views import run_view
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .. import postgres
from .documents import EXAMPLES, FUND, example, full_example
from .notional import NotionalRules
from .world import World

DOCUMENT = {
    "format": "atomic-margin/model/1",
    "name": "notional",
    "loss": {"BTC": "0.05", "ETH": "0.06"},
    "initial_factor": "1.3",
    "minimum_transfer_amount": "100000",
}
BREACHED = DOCUMENT | {"loss": {"BTC": "0.17", "ETH": "0.17"}}


@pytest.fixture(autouse=True)
def notional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of an example document of the model, which is registered for one test."""
    path = tmp_path / "notional.json"
    path.write_text(json.dumps(DOCUMENT))
    monkeypatch.setattr(NotionalRules, "EXAMPLE", str(path))
    with registered(NotionalRules):
        yield path
    assert "notional" not in models()


def terms_under(document: Any) -> Terms:
    return Terms.parse(document, example("universe"), example("collateral-schedule"), TINY)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """An operator under the model, one institution enrolled, with the example's book and collateral."""
    world = World(tmp_path / "operator", Identity.generate(), {}, terms=terms_under(request.param))
    world.enrol(FUND)
    holdings = CollateralHoldings.parse(example("collateral"))
    for asset, quantity in holdings.posted.items():
        world.deposit(FUND, asset, quantity + holdings.free.get(asset, 0), f"custodian-{asset}")
        world.instruct(FUND, "post", asset, quantity)
    book = encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
    world.submit(FUND, tuple(int(value) for value in book))
    yield world
    world.close()


def checked(world: World, run_id: str, terms: Terms) -> CheckedRun:
    """The run as the institution's agent takes it, under its own terms."""
    sent = world.funds[FUND].sent[1]
    return check_run(
        present(run_view(world.operator, world.run(run_id))),
        world.trust_file(),
        terms,
        sent.submission,
        sent.signed.body_hash(),
        Portfolio.parse(example("portfolio")),
    )


@pytest.mark.parametrize("world", [DOCUMENT], indirect=True)
def test_a_covered_run_of_the_toy_model(world: World, group: Group) -> None:
    run_id = world.play(1)
    mine = checked(world, run_id, world.terms)
    assert mine.covered
    assert (mine.true.model, mine.true.worst["maintenance"]) == ("notional", "all lose")
    least = mine.matrices.maintenance_proof.usd(int(mine.matrices.maintenance_proof.surplus(mine.z).min()))
    assert 0 < float(least) <= mine.true.excess["maintenance"] < float(least) + 10
    with pytest.raises(AgentRefused, match="another model"):
        checked(world, run_id, terms_under(BREACHED))
    world.answer(run_id)
    report = verify_attestation(world.bundle(run_id), world.trust_file(), group)
    assert report.record is not None
    assert report.record.model == parse_model(DOCUMENT).hash()
    # The audit finds the terms in the bundle, by their hashes.
    store = ReadOnlyStore(world.directory, postgres.url_of(world.directory))
    record = RunRecord.parse(SignedDocument.parse(world.run(run_id).record).body)
    assert terms_of(store, record, None).hashes == world.terms.hashes
    store.close()


@pytest.mark.parametrize("world", [BREACHED], indirect=True)
def test_a_margin_call_of_the_toy_model_is_settled(world: World, group: Group) -> None:
    run_id = world.play(1)
    mine = checked(world, run_id, world.terms)
    assert not mine.covered
    assert mine.true.shortfall("maintenance") > 0
    world.answer(run_id)
    assert world.settlements()[run_id]["body"]["kind"] == "margin_call"
    report = verify_attestation(world.bundle(run_id), world.trust_file(), group)
    assert report.settlement is not None


def test_the_margin_command_knows_the_toy_model(notional: Path) -> None:
    book = ("--example", "--portfolio", EXAMPLES / "portfolio.json", "--market", EXAMPLES / "market-1.json")
    for chosen in ("notional", notional):
        call = CliRunner().invoke(app, [str(item) for item in ("margin", "--model", chosen, *book, "--json")])
        assert call.exit_code == 0, call.output
        found = json.loads(call.stdout)
        assert found["model"] == "notional"
        assert found["initial_requirement"] == pytest.approx(1.3 * found["maintenance_requirement"])
        assert [(item["form"], item["place"], item["rows"]) for item in found["integer"]] == [
            ("conservative", "fhe", 1),
            ("conservative", "proof", 1),
        ]
        assert all(item["gap"] >= 0 and item["model_gap"] < 1e-6 for item in found["integer"])
        asked = ("margin", "--model", chosen, *book, "--ladder", "--contributions", "--json")
        taken_apart = json.loads(CliRunner().invoke(app, [str(item) for item in asked]).stdout)
        (rung,) = taken_apart["ladder"]["rungs"]
        for kind in KINDS:
            assert rung[kind] == pytest.approx(found[f"{kind}_excess"])
            assert taken_apart["contributions"][kind]["excess"] == pytest.approx(found[f"{kind}_excess"])


def test_the_gap_command_measures_the_toy_model(tmp_path: Path) -> None:
    file = tmp_path / "gap.json"
    call = CliRunner().invoke(app, ["gap", "--model", "notional", "--books", "3", "--json", str(file)])
    assert call.exit_code == 0, call.output
    (measured,) = json.loads(file.read_text())["measured"]
    assert (measured["model"], measured["counted"]) == ("notional", 3)
    assert {line["form"] for line in measured["percent"]} == {"conservative"}


def test_errors_of_a_toy_document_name_the_field() -> None:
    terms = terms_under(DOCUMENT | {"loss": {"BTC": "0.05"}})
    with pytest.raises(errors.UnknownUnderlying, match=r"^loss\.ETH: "):
        terms.rows(Market.parse(example("market-1")), terms.universe.hash())


@pytest.mark.parametrize(
    ("path", "error", "why"),
    [
        ("cross-margin/model", ProfileError, "the model's 576 rows do not fit profile 'standard', which has 24: no "),
        (
            "expected-shortfall/model",
            ProfileError,
            "the model's 33 rows do not fit profile 'standard', which has 24: profile 256x33x20 is large enough",
        ),
    ],
)
def test_terms_refuse_what_cannot_be_served(path: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        Terms.parse(full_example(path), full_example("universe"), full_example("collateral-schedule"), STANDARD)


def test_expected_shortfall_is_served_by_a_profile_of_33_rows() -> None:
    """Operator's and agent's direction of the computation, under another model than the examples'."""
    documents = (full_example(name) for name in ("expected-shortfall/model", "universe", "collateral-schedule"))
    terms = Terms.parse(*documents, PROFILES["256x33x24"])
    market, posted = Market.parse(example("market-1")), CollateralHoldings.parse(full_example("collateral")).posted
    account = AccountColumns(terms.universe.hash(), int(full_example("institution")["gross_limit"]))
    rows = terms.rows(market, account.universe)
    matrices = terms.matrices(rows, terms.collateral(market, posted), account)
    assert matrices == terms.compile(market, posted, account)
    assert matrices.maintenance_fhe.labels == terms.model.labels
    assert matrices != terms.compile(market, {**posted, "USDC": posted["USDC"] // 2}, account)


def test_terms_refuse_a_model_without_slack_free_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotionalRules, "FORMS", ("exact",))
    with pytest.raises(ModelNotServed, match="no slack-free rows"):
        terms_under(DOCUMENT)


def test_the_documentation_prints_this_model() -> None:
    """docs/adding-a-model.md has the source of `notional`, from its imports on."""
    source = (Path(__file__).parent / "notional.py").read_text().split('"""\n\n', 1)[1]
    page = (EXAMPLES.parent / "docs" / "adding-a-model.md").read_text()
    assert f"```python\n{source.rstrip()}\n```" in page
