"""Calls and responses under the names of ISO 20022: colr.003.001.05, MarginCallRequest; colr.004.001.05, its response.

Elements are in the order of the schemas. Party A is the operator, who takes collateral; party B the institution. What
the messages have room for and is not filled, because nobody sees a position: `XpsdAmtPtyA` and `XpsdAmtPtyB` (the
exposures), `IndpdntAmtPtyA` and `IndpdntAmtPtyB`, and the requirements behind the call. `MrgnTerms` and `Agrmt` want
terms that stand in the account's agreement and not in its history.

Texts of at most 35 characters do not hold a hash: parties and runs go by their names, the operator's key by its first
32 digits. Hashes in full are in the report itself, which `SplmtryData` would carry.
"""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any
from xml.etree import ElementTree

from atomic_margin.service.reports.call import CallNotice
from atomic_margin.service.reports.errors import NothingToReport
from atomic_margin.service.reports.parts import JsonObject, Report
from atomic_margin.service.reports.response import CallResponse

REQUEST, RESPONSE = "colr.003.001.05", "colr.004.001.05"
ROOTS = {REQUEST: "MrgnCallReq", RESPONSE: "MrgnCallRspn"}
MAX_TEXT = 35
CENT = Decimal("0.01")


def request(report: CallNotice) -> JsonObject:
    """Return a call as the content of `MrgnCallReq`, names in order.

    Raises:
        NothingToReport: the amount is not proven yet, and `MrgnCallRslt` has to state it.
    """
    if report.amount_usd is None:
        raise NothingToReport(f"run {report.run_id} has no proven amount yet, which a MarginCallRequest has to state")
    return {
        "TxId": _text(report.run_id),
        "Oblgtn": _obligation(report, report.prices.as_of),
        "MrgnCallRslt": {"MrgnCallRslt": {"MrgnCallAmt": {"DueToPtyA": _usd(report.amount_usd)}}},
        "MrgnDtlsDueToA": {"CollBal": {"TtlColl": _usd(report.counted_usd)}},
    }


def response(report: CallResponse) -> JsonObject:
    """Return a response as the content of `MrgnCallRspn`, names in order.

    Raises:
        NothingToReport: the run was proven covered: no call is responded to.
    """
    if report.outcome == "covered":
        raise NothingToReport(f"run {report.run_id} was proven covered: there is no call that a response could answer")
    said: JsonObject = {
        "TxId": _text(report.run_id),
        "Oblgtn": _obligation(report, report.prices.as_of),
        "AgrdAmtDueToA": {
            "AgrdAmtDtls": {"VartnMrgnAmt": {"AgrdAmt": _usd(report.agreed_usd), "MrgnCallReqId": _text(report.run_id)}}
        },
    }
    return said


def _obligation(report: Report, as_of: str) -> JsonObject:
    return {
        "PtyA": {"PrtryId": {"Id": report.operator[:32], "Issr": "Ed25519 key, first 32 digits"}},
        "PtyB": {"PrtryId": {"Id": _text(report.institution), "Issr": report.operator[:32]}},
        "CollAcctId": {"Id": report.account[:MAX_TEXT], "Tp": {"Tp": "MGIN"}},
        "ValtnDt": {"DtTm": as_of},
    }


def _text(text: str) -> str:
    """Return a name as an element of at most 35 characters holds it: its end, which tells runs apart."""
    return text[-MAX_TEXT:]


def _usd(amount: Decimal) -> JsonObject:
    return {"@Ccy": "USD", "#text": format(amount.quantize(CENT, ROUND_DOWN), "f")}


def xml(message: str, content: Mapping[str, Any]) -> str:
    """Return the content of a message as XML in its namespace.

    Args:
        message: `REQUEST` or `RESPONSE`.
        content: as the functions here give it.
    """
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{message}"
    document = ElementTree.Element("Document", {"xmlns": namespace})
    _add(document, ROOTS[message], content)
    ElementTree.indent(document)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(document, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, name: str, value: Any) -> None:
    element = ElementTree.SubElement(parent, name)
    if isinstance(value, str):
        element.text = value
        return
    for key, item in value.items():
        if key.startswith("@"):
            element.set(key[1:], item)
        elif key == "#text":
            element.text = item
        else:
            _add(element, key, item)
