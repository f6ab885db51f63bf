"""What documents about disputes, maturities and halts may not say, whoever signs them."""

from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentsError, MalformedDocument
from atomic_margin.service.protocol.account.halt_documents import LONGEST_TICKS, Halt
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.disputes import MAX_WORDS, Dispute, DisputeResolution

from .bodies import BODIES

_REFUSED: list[tuple[type[Body], dict[str, Any], str]] = [
    (Dispute, {"kind": "amount", "amount": None}, "amount: missing"),
    (Dispute, {"amount": "0"}, "amount: nothing is disputed"),
    (Dispute, {"amount": "0.00"}, "amount"),
    (Dispute, {"amount": "1200", "undisputed": "1200.01"}, "undisputed: a part"),
    (Dispute, {"kind": "other", "amount": None, "undisputed": "1"}, "amount: missing"),
    (Dispute, {"reason": ""}, "reason"),
    (Dispute, {"reason": "x" * (MAX_WORDS + 1)}, "reason"),
    (Dispute, {"reason": "two\nlines"}, "reason"),
    (Dispute, {"reason": "a \u202e b"}, "reason"),
    (DisputeResolution, {"outcome": "agreed", "amount": None}, "amount: missing: an amount goes with"),
    (DisputeResolution, {"outcome": "rejected", "amount": "1"}, "amount: an amount goes with"),
    (DisputeResolution, {"outcome": "upheld", "amount": "1"}, "amount: an amount goes with"),
    (Maturity, {"quantity": "0"}, "quantity: what matures is something"),
    (Maturity, {"paid": "0"}, "quantity: what matures is something"),
    (Maturity, {"asset": "USDC", "cash": "USDC"}, "cash: an asset is paid in another one"),
    (Halt, {"scope": []}, "scope"),
    (Halt, {"scope": ["runs", "runs"]}, "scope"),
    (Halt, {"scope": ["everything"]}, "scope"),
    (Halt, {"reason": ""}, "reason"),
    (Halt, {"tick_sequence": "7", "until": "6"}, "until: a halt ends within"),
    (Halt, {"tick_sequence": "7", "until": str(8 + LONGEST_TICKS)}, "until: a halt ends within"),
]
_TAKEN: list[tuple[type[Body], dict[str, Any]]] = [
    (Dispute, {"kind": "other", "amount": None, "undisputed": None}),
    (Dispute, {"kind": "amount", "amount": "1200", "undisputed": "1200"}),
    (Dispute, {"reason": "x" * MAX_WORDS}),
    (DisputeResolution, {"outcome": "agreed", "amount": "0"}),
    (DisputeResolution, {"outcome": "upheld", "amount": None}),
    (Halt, {"tick_sequence": "7", "until": "7"}),
    (Halt, {"tick_sequence": "7", "until": str(7 + LONGEST_TICKS)}),
]


def said(kind: type[Body], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (BODIES[kind] | changes).items() if value is not None}


@pytest.mark.parametrize(("kind", "changes", "reason"), _REFUSED, ids=lambda value: getattr(value, "TYPE", None))
def test_what_no_document_says(kind: type[Body], changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentsError) as refused:
        kind.parse(said(kind, changes))
    assert reason in str(refused.value)


@pytest.mark.parametrize(("kind", "changes"), _TAKEN, ids=lambda value: getattr(value, "TYPE", None))
def test_what_they_may_say(kind: type[Body], changes: dict[str, Any]) -> None:
    assert kind.parse(said(kind, changes))


def test_an_error_names_its_field() -> None:
    with pytest.raises(MalformedDocument) as refused:
        Dispute.parse(said(Dispute, {"amount": "1", "undisputed": "2"}))
    assert refused.value.field == "undisputed"
