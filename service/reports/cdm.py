"""Reports as objects of the FINOS Common Domain Model (CDM), as JSON without its envelope; read against CDM 7.8.

| report | type of `cdm.event.common` |
|---|---|
| call | `MarginCallIssuance`, once the amount is proven |
| response | `MarginCallResponse`, of a breach that was settled |
| settlement, day | `CollateralPortfolio`: posted collateral after it |

`MarginCallExposure` wants an exposure, which nobody but the institution knows: it is left out, and so are threshold and
minimum transfer amount, which are zero where nothing else is agreed. Nothing here needs the library; `checked` builds
the objects with it (extra `cdm`, Python 3.11 or later) and evaluates the conditions that the model states.
"""

from typing import Any, get_args

from atomic_margin.service.reports.call import CallNotice
from atomic_margin.service.reports.daily import DailyStatement
from atomic_margin.service.reports.errors import NothingToReport, ReportError
from atomic_margin.service.reports.parts import JsonObject, Report
from atomic_margin.service.reports.prices import Prices
from atomic_margin.service.reports.response import CallResponse
from atomic_margin.service.reports.settlement import SettlementAdvice

_FAULTY = frozenset(
    {"condition_0_NonCurrencyQuantities", "condition_3_PriceQuantityTriangulation", "condition_0_CurrencyExists"}
)
"""Conditions that cannot be evaluated in 7.8: two take the one quantity that the model allows for a list of them, and
that of `Cash` names what its module does not have; `_require_currency` is in its place."""
ISSUANCE, RESPONSE, PORTFOLIO = "MarginCallIssuance", "MarginCallResponse", "CollateralPortfolio"


def issuance(report: CallNotice) -> JsonObject:
    """Return a call as `MarginCallIssuance`.

    Raises:
        NothingToReport: the amount is not proven yet, and a call without one is none there.
    """
    if report.amount_usd is None:
        raise NothingToReport(f"run {report.run_id} has no proven amount yet, which a MarginCallIssuance has to state")
    return {
        **_base(report, report.run_id, report.terms),
        "collateralPortfolio": _portfolio(report, [*report.posted], f"posted at run {report.run_id}"),
        "callAmountInBaseCurrency": _money(format(report.amount_usd, "f"), "USD"),
    }


def response(report: CallResponse, settled: SettlementAdvice, prices: Prices) -> JsonObject:
    """Return a response to a call as `MarginCallResponse`: agreed in full, with what moved from free to posted.

    Raises:
        NothingToReport: the run was proven covered, so no call is responded to; or nothing moved to the posted side.
    """
    moved = [move for move in settled.transfers if move.destination == "posted"]
    if report.outcome == "covered" or not moved:
        raise NothingToReport(
            f"run {report.run_id} has no delivery, and a MarginCallResponse has to have one: it was "
            f"{report.outcome if report.outcome == 'covered' else 'settled by liquidation'}"
        )
    components = [
        _position(move.asset, prices.asset(move.asset).kind, format(move.amount, "f"), "InTransitAmount")
        for move in moved
    ]
    return {
        **_base(report, report.run_id, report.terms),
        "marginCallResponseAction": [{"collateralPositionComponent": components, "marginCallAction": "Delivery"}],
        "marginResponseType": "AgreeinFull",
        "agreedAmountBaseCurrency": _money(format(report.agreed_usd, "f"), "USD"),
    }


def portfolio(report: SettlementAdvice | DailyStatement, prices: Prices) -> JsonObject:
    """Return posted collateral after a settlement, or at the end of a day, as `CollateralPortfolio`."""
    if isinstance(report, SettlementAdvice):
        held, named = report.after, f"after settlement {report.settlement}"
    else:
        held, named = report.closing, f"at the end of {report.day}"
    positions = [
        _position(line.asset, prices.asset(line.asset).kind, format(line.amount, "f"))
        for line in held
        if line.balance == "posted"
    ]
    found: JsonObject = {"portfolioIdentifier": _identifier(report, named), "collateralPosition": positions}
    if isinstance(report, DailyStatement) and report.posted_counted_usd is not None:
        found["collateralBalance"] = [
            _balance(report, format(report.posted_market_usd or 0, "f"), "PreHaircut"),
            _balance(report, format(report.posted_counted_usd, "f"), "PostHaircut"),
        ]
    return found


def _base(report: Report, run_id: str, terms: str) -> JsonObject:
    return {
        "instructionType": {"callType": "MarginCall"},
        "party": [_party(report.operator), _party(report.institution)],
        "partyRole": [
            {"partyReference": _party(report.operator), "role": "SecuredParty"},
            {"partyReference": _party(report.institution), "role": "Pledgor"},
        ],
        "callIdentifier": _identifier(report, run_id),
        "callAgreementType": {"agreementType": "Other", "otherAgreement": f"atomic-margin terms {terms}"},
        "regMarginType": "NonRegIM",
    }


def _party(name: str) -> JsonObject:
    return {"partyId": [{"identifier": name}]}


def _identifier(report: Report, text: str) -> JsonObject:
    return {"issuer": report.operator, "assignedIdentifier": [{"identifier": text}]}


def _money(value: str, currency: str) -> JsonObject:
    return {"value": value, "unit": {"currency": currency}}


def _portfolio(report: Report, held: list[Any], named: str) -> JsonObject:
    positions = [_position(line.asset, line.kind, format(line.amount, "f")) for line in held]
    return {"portfolioIdentifier": _identifier(report, named), "collateralPosition": positions}


def _position(asset: str, kind: str, amount: str, status: str = "SettledAmount") -> JsonObject:
    identifier = [{"identifier": asset, "identifierType": "Other"}]
    said: JsonObject
    if kind == "treasury_bill":
        security = {"identifier": identifier, "assetType": "Security", "securityType": "Debt"}
        said, unit = {"Instrument": {"Security": security}}, {"currency": "USD"}
    elif kind == "money_market_fund":
        security = {"identifier": identifier, "assetType": "Security", "securityType": "Fund"}
        said, unit = {"Instrument": {"Security": security}}, {"financialUnit": "Share"}
    elif kind == "repo":
        said, unit = {"Instrument": {"Loan": {"identifier": identifier, "assetType": "Loan"}}}, {"currency": "USD"}
    elif kind == "cash":
        cash = {"identifier": [{"identifier": asset, "identifierType": "CurrencyCode"}], "assetType": "Cash"}
        said, unit = {"Cash": cash}, {"currency": asset}
    else:
        said, unit = {"DigitalAsset": {"identifier": identifier, "assetType": "Other"}}, {"currency": asset}
    return {
        "priceQuantity": [{"quantity": {"value": amount, "unit": unit}}],
        "asset": said,
        "collateralPositionStatus": status,
    }


def _balance(report: Report, amount: str, haircut: str) -> JsonObject:
    return {
        "collateralBalanceStatus": "SettledAmount",
        "haircutIndicator": haircut,
        "amountBaseCurrency": _money(amount, "USD"),
        "payerReceiver": {
            "payerPartyReference": _party(report.institution),
            "receiverPartyReference": _party(report.operator),
        },
    }


def checked(name: str, value: JsonObject) -> Any:
    """Build an object with `finos-cdm`, and evaluate the conditions of its model.

    Args:
        name: of the type, in `cdm.event.common`.
        value: as one of the functions here gives it.

    Raises:
        ReportError: a field or a condition of the model does not hold.
    """
    from finos import _bundle

    try:
        return _built(getattr(_bundle, f"finos_cdm_event_common_{name}"), value)
    # What the library raises is its own affair; it has no root of its errors.
    except Exception as error:
        raise ReportError(f"this is no {name} of the CDM: {error}") from error


def _built(model: Any, value: JsonObject) -> Any:
    """Build an object from its leaves up, each field checked against its declaration.

    The library's own validation of a whole object refuses right ones in version 7.8: after its import, schemas of
    classes that contain others are of the time before those were complete. Names, presence, plain values and
    conditions are checked here instead.
    """
    from rune.runtime.base_data_class import BaseDataClass
    from rune.runtime.conditions import get_conditions

    fields: JsonObject = {}
    for name, item in value.items():
        field = model.model_fields.get(name)
        if field is None:
            raise ReportError(f"{model.__name__} has no field {name}")
        inner = _model_in(field.annotation)
        if inner is None:
            fields[name] = _plain(field.annotation)(item)
        elif isinstance(item, list) != ("list[" in str(field.annotation)):
            raise ReportError(f"{model.__name__}.{name} is of another number of objects")
        else:
            fields[name] = [_built(inner, one) for one in item] if isinstance(item, list) else _built(inner, item)
    for name, field in model.model_fields.items():
        if field.is_required() and fields.get(name) in (None, []):
            raise ReportError(f"{model.__name__} needs a field {name}")
    if model.__name__.endswith("_Cash"):
        _require_currency(value)
    built = model.model_construct(**fields)
    # What the library's own validators do with an object that they have made.
    built._init_rune_parent()
    for name, holds in get_conditions(model, BaseDataClass):
        if name.rpartition(".")[2] not in _FAULTY and not holds(built):
            raise ReportError(f"{model.__name__} does not meet its {name.rpartition('.')[2]}")
    return built


def _require_currency(cash: JsonObject) -> None:
    from finos.cdm.base.staticdata.asset.common.CurrencyCodeEnum import CurrencyCodeEnum

    known = {one.value for one in CurrencyCodeEnum}
    for one in cash["identifier"]:
        if one["identifier"] not in known:
            raise ReportError(f"cash is of a currency such as USD there, and {one['identifier']} is the code of none")


def _plain(annotation: Any) -> Any:
    """Return what makes a value of a plain field of the text of one: an enumeration, a decimal, a marked text."""
    parts = [annotation] if isinstance(annotation, type) else list(get_args(annotation))
    return next(part for part in parts if isinstance(part, type) and part is not type(None))


def _model_in(annotation: Any) -> Any:
    """Return the class of the CDM that a field is of, alone, in a list, or beside a reference; None for a plain one."""
    if isinstance(annotation, type) and hasattr(annotation, "validate_model"):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found is not None:
            return found
    return None
