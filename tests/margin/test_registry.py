"""The registry, and what every registered model promises of its interface."""

import json
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin import BITS, Published, UniverseModel, errors, model_named, models, parse_model
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.case import CaseModel
from atomic_margin.margin.models.interface import MarginModel
from atomic_margin.margin.models.registry import registered
from atomic_margin.margin.models.scan.rules import ScanRules
from atomic_margin.margin.rows.rounding import compile_run
from atomic_margin.margin.rows.slack_rounding import compile_exact

from ..example_documents import EXAMPLES


def read(path: str) -> Any:
    return json.loads((EXAMPLES / path).read_text())


@pytest.fixture
def opened(universe: Any, markets: Any, schedule: Any, portfolio: Any) -> Any:
    """Model, published, book and posted of one account under a model, by name."""

    def at(name: str) -> tuple[MarginModel[Any, Any, Any, Any], Any, Any, Any]:
        rules = model_named(name)
        if issubclass(rules, CaseModel):
            case = rules.sample(4, 0)
            return case.model, case.published, case.book, case.posted
        assert issubclass(rules, UniverseModel)
        published = Published(universe, markets[0], schedule)
        posted = rules.parse_posted(read(rules.EXAMPLE_POSTED))
        return rules.parse(read(str(rules.EXAMPLE))), published, portfolio, posted

    return at


def test_the_models_in_their_order() -> None:
    assert tuple(models()) == ("scan", "pmrm", "pmrm2", "expected_shortfall", "cross_margin")


@pytest.mark.parametrize("name", models())
def test_every_model_keeps_its_promises(name: str, opened: Any) -> None:
    model, published, book, posted = opened(name)
    model.check_market(published)
    limit = max(model.gross_limit(published, book), 1 << 26 if not model.OWN_UNIVERSE else 0)
    entry_map = model.columns(published, limit, 24)
    z = model.encode(published, book, entry_map)
    true = model.reference(published, book, posted)
    assert (model.name, true.model) == (name, name)
    assert model.minimum_transfer_amount >= 0
    for form in model.FORMS:
        given = model.account_rows(published, posted, entry_map, limit, form)
        assert given.rows.weights.model_hash == model.hash()
        assert given.rows.weights.entries == entry_map.labels
        common = given.collateral, entry_map, limit
        if given.rows.slack is None:
            # Labels are known from the document alone: a profile is checked against them before there are prices.
            assert (form, given.rows.labels) == ("conservative", model.labels)
            compile_run(given.rows.slack_free(), *common, bits=24, weight_bits=22)
        else:
            compile_exact(given.rows, *common, bits=36)
        for kind in KINDS:
            assert model.true_excess(given, kind, z) <= true.excess[kind] + 1e-6 * max(1.0, abs(true.excess[kind]))
            assert true.shortfall(kind) == max(0.0, -true.excess[kind])


@pytest.mark.parametrize("name", models())
def test_a_form_that_a_model_does_not_have_is_refused(name: str, opened: Any) -> None:
    model, published, _, posted = opened(name)
    missing: Any = "exact" if "exact" not in model.FORMS else "loose"
    with pytest.raises(errors.FormMissing, match=f"the model {name} has no {missing} rows"):
        model.account_rows(published, posted, model.columns(published, 1 << 26, 24), 1 << 26, missing)


def test_a_document_says_itself_which_model_it_is() -> None:
    model = parse_model(read("expected-shortfall/model.json"))
    assert model.name == "expected_shortfall"
    assert model.canonical() == model.document.canonical()
    for document in ({}, [], {"name": 7}, read("model-scan.json") | {"name": "span"}):
        with pytest.raises(MalformedDocument, match="names none of the models scan, pmrm, pmrm2, expected_shortfall"):
            parse_model(document)
    with pytest.raises(MalformedDocument, match=r"^format: atomic-margin/model/1 is wanted here"):
        parse_model(read("universe.json"))
    with pytest.raises(errors.UnknownModel, match="no margin model 'span', only scan, pmrm"):
        model_named("span")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(errors.DuplicateModel, match="'scan' is registered already"), registered(ScanRules):
        pass
    assert model_named("scan") is ScanRules


def test_collateral_wants_a_move_for_every_row(opened: Any) -> None:
    model, *_ = opened("scan")
    moves = model.spot_moves
    with pytest.raises(errors.MovesMismatch, match="24 labels, 24 moves and 23 coverages"):
        type(moves)(moves.labels, moves.spot, moves.coverage[1:], moves.initial_factor)


def test_a_book_that_its_market_does_not_quote_is_refused(opened: Any) -> None:
    model, published, book, posted = opened("pmrm")
    bare = type(published)(type(published.market)(**vars(published.market) | {"options": ()}), book)
    with pytest.raises(errors.UnpricedInstrument, match="the market has no quote for the"):
        model.check_market(bare)
    with pytest.raises(errors.UnpricedInstrument):
        model.reference(bare, book, posted)


def test_columns_are_those_of_the_universe(opened: Any, universe: Any, entry_map: Any, gross_limit: int) -> None:
    model, published, book, _ = opened("scan")
    columns = model.columns(published, gross_limit, BITS)
    assert columns.hash() == entry_map.hash()
    assert (model.encode(published, book, columns) == encode(book, universe, entry_map)).all()
