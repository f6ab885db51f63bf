"""Every malformed document is refused with a named error that carries the field's JSON path."""

import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.documents.strict import Document
from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    Institution,
    Market,
    Portfolio,
    ScanModel,
    Universe,
    errors,
)

TYPES: dict[str, type[Document]] = {
    "universe": Universe,
    "model-scan": ScanModel,
    "collateral-schedule": CollateralSchedule,
    "collateral": CollateralHoldings,
    "portfolio": Portfolio,
    "institution": Institution,
    "market-1": Market,
}
HASHES = {
    "universe": "2a3d5cfa8e2a8ade6c159173981eeab542357d44fc7873faaa1054e704544ba0",
    "model-scan": "a1da80870d7c709167ab86265bd3a2714474d8ff8ace0efd8d09298b856865c3",
    "collateral-schedule": "f59f476de6c6bfbb98af039a1206ebc3747e1e9e99e5d99c149c2cbfb7922c30",
    "collateral": "771a0be16db263a256cd411087cff1082284f1c140dd000482e2ea69c3a55a14",
    "portfolio": "b0e4c65f8c4dcf7c6cf77985e53b6cb4d849f0d3dbff96e895c630ee69152906",
    "institution": "d400afc79627f261464374b39cb041033b3a9665b0c9b58fa4eb47127cf45e88",
    "market-1": "b4362b8fb5f8705e7480374591852f9135b477e26d43ba42e52167fe81e2da6e",
}
DEC = "2026-12-25T08:00:00Z"
DELETE = object()
Example = Callable[[str], dict[str, Any]]


def change(document: Any, path: list[str | int], value: object) -> Any:
    at = document
    for step in path[:-1]:
        at = at[step]
    if value is DELETE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def append_copy(document: Any, name: str, index: int) -> Any:
    document[name].append(document[name][index])
    return document


@pytest.mark.parametrize("name", TYPES)
def test_the_examples_parse_and_their_canonical_form_is_the_document_itself(name: str, example: Example) -> None:
    given = example(name)
    parsed = TYPES[name].parse(given)
    canonical = parsed.canonical()
    if name == "collateral-schedule":  # null and absent are the same document
        for asset in given["assets"]:
            if asset["risk_underlying"] is None:
                del asset["risk_underlying"]
    assert canonical == given


@pytest.mark.parametrize("name", TYPES)
def test_hashes_of_the_examples_are_frozen(name: str, example: Example) -> None:
    assert TYPES[name].parse(example(name)).hash() == HASHES[name]


def test_a_hash_depends_on_every_value_and_not_on_the_order_of_keys(example: Example) -> None:
    given = example("market-1")
    first = Market.parse(given).hash()
    assert Market.parse(dict(reversed(given.items()))).hash() == first
    assert Market.parse(change(given, ["underlyings", "ETH", "spot"], "3418.41")).hash() != first


NUMBERS = [
    1,
    1.5,
    None,
    True,
    "",
    " 1",
    "1 ",
    "1\n",
    "+1",
    "01",
    "-0",
    "-0.00",
    ".5",
    "5.",
    "1e3",
    "1e999",
    "1E5",
    "NaN",
    "nan",
    "sNaN",
    "Infinity",
    "-Infinity",
    "inf",
    "1_000",
    "1,000",
    "٣",
    "0x10",
    "1" * 31,
    "0." + "1" * 29,
]


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize(
    ("name", "path", "field"),
    [
        ("market-1", ["underlyings", "BTC", "spot"], "underlyings.BTC.spot"),
        ("market-1", ["rate"], "rate"),
        ("market-1", ["collateral", "USDC"], "collateral.USDC"),
        (
            "market-1",
            ["underlyings", "BTC", "expiries", DEC, "volatilities", "100000"],
            f"underlyings.BTC.expiries.{DEC}.volatilities.100000",
        ),
        ("universe", ["instruments", 0, "lot"], "instruments[0].lot"),
        ("portfolio", ["lines", 3, "lots"], "lines[3].lots"),
        ("model-scan", ["scenarios", 2, "spot", "ETH"], "scenarios[2].spot.ETH"),
        ("collateral-schedule", ["assets", 1, "haircut"], "assets[1].haircut"),
        ("institution", ["gross_limit"], "gross_limit"),
    ],
)
def test_only_plain_decimal_strings_are_numbers(
    text: object, name: str, path: list[str | int], field: str, example: Example
) -> None:
    with pytest.raises(document_errors.NotADecimal) as caught:
        TYPES[name].parse(change(example(name), path, text))
    assert caught.value.field == field
    assert "write" in caught.value.problem


BAD: list[tuple[str, list[str | int], object, type[document_errors.DocumentError], str]] = [
    # prices and volatilities
    ("market-1", ["underlyings", "BTC", "spot"], "0", document_errors.NonPositivePrice, "underlyings.BTC.spot"),
    ("market-1", ["underlyings", "BTC", "spot"], "-1", document_errors.NonPositivePrice, "underlyings.BTC.spot"),
    (
        "market-1",
        ["underlyings", "ETH", "perpetual"],
        "0.0",
        document_errors.NonPositivePrice,
        "underlyings.ETH.perpetual",
    ),
    ("market-1", ["collateral", "USDC"], "-0.99", document_errors.NonPositivePrice, "collateral.USDC"),
    ("market-1", ["underlyings", "BTC", "spot"], "1" + "0" * 13, document_errors.OutOfRange, "underlyings.BTC.spot"),
    (
        "market-1",
        ["underlyings", "BTC", "expiries", DEC, "volatilities", "90000"],
        "-0.4",
        document_errors.NegativeVolatility,
        f"underlyings.BTC.expiries.{DEC}.volatilities.90000",
    ),
    (
        "market-1",
        ["underlyings", "BTC", "expiries", DEC, "volatilities", "90000.0"],
        "0.4",
        document_errors.DuplicateId,
        f"underlyings.BTC.expiries.{DEC}.volatilities.90000.0",
    ),
    (
        "market-1",
        ["underlyings", "BTC", "expiries", DEC, "volatilities", "9e4"],
        "0.4",
        document_errors.NotADecimal,
        f"underlyings.BTC.expiries.{DEC}.volatilities.9e4",
    ),
    (
        "market-1",
        ["underlyings", "BTC", "expiries", "2026-12-25"],
        {},
        document_errors.MalformedDocument,
        "underlyings.BTC.expiries.2026-12-25",
    ),
    ("market-1", ["as_of"], "2026-11-20 08:00:00", document_errors.MalformedDocument, "as_of"),
    ("market-1", ["as_of"], "2026-11-31T08:00:00Z", document_errors.MalformedDocument, "as_of"),
    ("market-1", ["as_of"], "2026-11-20T08:00:00+00:00", document_errors.MalformedDocument, "as_of"),
    ("market-1", ["as_of"], 1795000000, document_errors.MalformedDocument, "as_of"),
    ("market-1", ["sequence"], "-1", document_errors.OutOfRange, "sequence"),
    ("market-1", ["sequence"], "1.0", document_errors.NotADecimal, "sequence"),
    ("market-1", ["rate"], "1.01", document_errors.OutOfRange, "rate"),
    ("market-1", ["underlyings"], [], document_errors.MalformedDocument, "underlyings"),
    ("market-1", ["underlyings", "a b"], {}, document_errors.MalformedDocument, "underlyings.a b"),
    # shape
    ("market-1", ["format"], "atomic-margin/market/2", document_errors.MalformedDocument, "format"),
    ("market-1", ["collateral"], DELETE, document_errors.MalformedDocument, "collateral"),
    ("market-1", ["note"], "x", document_errors.MalformedDocument, "note"),
    ("universe", ["instruments", 0, "venue"], "x", document_errors.MalformedDocument, "instruments[0].venue"),
    ("universe", ["instruments"], [], document_errors.MalformedDocument, "instruments"),
    ("universe", ["instruments"], {}, document_errors.MalformedDocument, "instruments"),
    ("universe", ["currency"], "EUR", document_errors.MalformedDocument, "currency"),
    # instruments
    ("universe", ["instruments", 1, "id"], "BTC-PERP", document_errors.DuplicateId, "instruments[1].id"),
    ("universe", ["instruments", 1, "id"], "BTC:PERP", document_errors.MalformedDocument, "instruments[1].id"),
    ("universe", ["instruments", 1, "id"], 7, document_errors.MalformedDocument, "instruments[1].id"),
    ("universe", ["instruments", 0, "underlying"], "SOL", errors.UnknownUnderlying, "instruments[0].underlying"),
    ("universe", ["instruments", 0, "kind"], "swap", document_errors.MalformedDocument, "instruments[0].kind"),
    ("universe", ["instruments", 0, "digits"], "0", document_errors.OutOfRange, "instruments[0].digits"),
    ("universe", ["instruments", 0, "digits"], "5", document_errors.OutOfRange, "instruments[0].digits"),
    ("universe", ["instruments", 0, "lot"], "0", document_errors.OutOfRange, "instruments[0].lot"),
    ("universe", ["instruments", 0, "lot"], "-0.1", document_errors.OutOfRange, "instruments[0].lot"),
    (
        "universe",
        ["instruments", 0, "reference_price"],
        "0",
        document_errors.NonPositivePrice,
        "instruments[0].reference_price",
    ),
    ("universe", ["instruments", 0, "expiry"], DEC, document_errors.MalformedDocument, "instruments[0].expiry"),
    ("universe", ["instruments", 0, "strike"], "90000", document_errors.MalformedDocument, "instruments[0].strike"),
    ("universe", ["instruments", 1, "expiry"], DELETE, document_errors.MalformedDocument, "instruments[1].expiry"),
    ("universe", ["instruments", 3, "right"], None, document_errors.MalformedDocument, "instruments[3].right"),
    ("universe", ["instruments", 3, "strike"], "0", document_errors.NonPositivePrice, "instruments[3].strike"),
    (
        "universe",
        ["underlyings", "BTC", "reference_price"],
        "0",
        document_errors.NonPositivePrice,
        "underlyings.BTC.reference_price",
    ),
    # portfolio
    ("portfolio", ["lines", 3, "lots"], "-5", document_errors.NegativeLots, "lines[3].lots"),
    ("portfolio", ["lines", 3, "lots"], "2.5", document_errors.NotADecimal, "lines[3].lots"),
    ("portfolio", ["lines", 3, "lots"], "9" * 30, document_errors.OutOfRange, "lines[3].lots"),
    ("portfolio", ["lines", 3, "side"], "flat", document_errors.MalformedDocument, "lines[3].side"),
    ("portfolio", ["lines", 3, "instrument"], "", document_errors.MalformedDocument, "lines[3].instrument"),
    ("institution", ["gross_limit"], "0", document_errors.OutOfRange, "gross_limit"),
    # model
    ("model-scan", ["scenarios", 1, "label"], "spot 0% vol up", document_errors.DuplicateId, "scenarios[1].label"),
    ("model-scan", ["scenarios", 1, "label"], "tick\u2192", document_errors.MalformedDocument, "scenarios[1].label"),
    ("model-scan", ["scenarios", 1, "spot", "BTC"], "-1", document_errors.OutOfRange, "scenarios[1].spot.BTC"),
    ("model-scan", ["scenarios", 1, "volatility"], "-1.1", document_errors.OutOfRange, "scenarios[1].volatility"),
    ("model-scan", ["scenarios", 1, "coverage"], "0", document_errors.OutOfRange, "scenarios[1].coverage"),
    ("model-scan", ["scenarios", 1, "coverage"], "1.1", document_errors.OutOfRange, "scenarios[1].coverage"),
    ("model-scan", ["initial_factor"], "0.9", document_errors.OutOfRange, "initial_factor"),
    ("model-scan", ["charges", "future"], "-0.001", document_errors.OutOfRange, "charges.future"),
    ("model-scan", ["minimum_transfer_amount"], "-1", document_errors.OutOfRange, "minimum_transfer_amount"),
    # collateral
    ("collateral-schedule", ["assets", 1, "haircut"], "1", document_errors.OutOfRange, "assets[1].haircut"),
    ("collateral-schedule", ["assets", 1, "haircut"], "-0.1", document_errors.OutOfRange, "assets[1].haircut"),
    ("collateral-schedule", ["assets", 1, "decimals"], "9", document_errors.OutOfRange, "assets[1].decimals"),
    ("collateral-schedule", ["assets", 1, "id"], "USDC", document_errors.DuplicateId, "assets[1].id"),
    ("collateral-schedule", ["assets", 1, "priority"], "2", document_errors.DuplicateId, "assets[1].priority"),
    (
        "collateral-schedule",
        ["assets", 1, "price_source"],
        "x",
        document_errors.MalformedDocument,
        "assets[1].price_source",
    ),
    (
        "collateral-schedule",
        ["format"],
        "atomic-margin/collateral-schedule/1",
        document_errors.MalformedDocument,
        "format",
    ),
    ("collateral-schedule", ["effective_from"], DELETE, document_errors.MalformedDocument, "effective_from"),
    ("collateral-schedule", ["effective_from"], "2026-11-01", document_errors.MalformedDocument, "effective_from"),
    ("collateral-schedule", ["assets", 3, "tiers", 1, "above"], "1", errors.TierGap, "assets[3].tiers[1].above"),
    (
        "collateral-schedule",
        ["assets", 3, "tiers", 1, "percent"],
        "101",
        document_errors.OutOfRange,
        "assets[3].tiers[1].percent",
    ),
    ("collateral", ["posted", "USDC"], "-1", document_errors.NegativeHolding, "posted.USDC"),
    ("collateral", ["free", "USDC"], "0.5", document_errors.NotADecimal, "free.USDC"),
]


@pytest.mark.parametrize(("name", "path", "value", "error", "field"), BAD)
def test_a_bad_field_is_refused_by_name(
    name: str,
    path: list[str | int],
    value: object,
    error: type[document_errors.DocumentError],
    field: str,
    example: Example,
) -> None:
    with pytest.raises(document_errors.DocumentError) as caught:
        TYPES[name].parse(change(example(name), path, value))
    assert type(caught.value) is error
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_one_instrument_and_side_stands_once_in_a_portfolio(example: Example) -> None:
    with pytest.raises(errors.DuplicatePosition) as caught:
        Portfolio.parse(append_copy(example("portfolio"), "lines", 2))
    assert caught.value.field == "lines[19]"
    assert "lines[2]" in str(caught.value)


def test_a_column_beyond_any_account_is_refused(example: Example) -> None:
    given = change(example("universe"), ["underlyings", "BTC", "reference_price"], "1000000000000")
    with pytest.raises(document_errors.OutOfRange, match="fewer digits") as caught:
        Universe.parse(change(given, ["instruments", 0, "digits"], "4"))
    assert caught.value.field == "instruments[0].digits"


def test_lists_and_maps_are_bounded(example: Example) -> None:
    given = example("portfolio")
    line = {"side": "long", "lots": "1", "price": "1"}
    given["lines"] = [{"instrument": f"I{i}", **line} for i in range(4097)]
    with pytest.raises(document_errors.MalformedDocument, match="4096"):
        Portfolio.parse(given)
    given = example("market-1")
    given["collateral"] = {f"A{i}": "1" for i in range(4097)}
    with pytest.raises(document_errors.MalformedDocument, match="4096"):
        Market.parse(given)


@pytest.mark.parametrize("value", [None, 3, "x", [], [1]])
@pytest.mark.parametrize("name", TYPES)
def test_a_document_is_a_json_object(value: object, name: str) -> None:
    with pytest.raises(document_errors.MalformedDocument) as caught:
        TYPES[name].parse(value)
    assert caught.value.field == "$"


def test_documents_are_frozen(universe: Universe) -> None:
    with pytest.raises(ValueError, match="frozen"):
        universe.name = "other"  # type: ignore[misc]


def test_errors_survive_a_process_boundary() -> None:
    for error in (
        document_errors.NegativeLots("lines[3].lots", "at least 0"),
        errors.MarginOverflow("crash", "X", "wide"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


@pytest.mark.parametrize("errors", [document_errors, errors])
def test_the_error_tree_is_drawn_in_full(errors: ModuleType) -> None:
    drawn = (errors.__doc__ or "").split()
    public = [name for name, item in vars(errors).items() if isinstance(item, type) and not name.startswith("_")]
    assert [name for name in public if name not in drawn and getattr(errors, name).__module__ == errors.__name__] == []
