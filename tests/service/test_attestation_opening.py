"""Whose account custodians read is in the bundle of what they found: the request, the entry it names, and its own."""

from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import Refused, SignatureInvalid
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningRequest
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.verifier.history import History
from atomic_margin.service.verifier.opened import check_requested

from .bodies import BODIES, PUBLIC_STATE

Json = dict[str, Any]
OPERATOR, STRANGER = Identity.generate(), Identity.generate()
ACCOUNT, BESIDE, SALT, OTHER = "5a" * 32, "5b" * 32, "7a" * 32, "3c" * 32


class Told:
    """What a bundle shows: the run is recorded in entry 7, custodians are asked after entry 9, in entry 10."""

    def __init__(self, recorded: int = 7, last: int = 9) -> None:
        self.entries = {
            name: {**BODIES[Entry], "operator": OPERATOR.public_key, "account": ACCOUNT, "number": str(number)}
            for name, number in (("recorded", recorded), ("before", last), ("entered", last + 1), ("settled", 0))
        }
        self.entries["entered"]["kind"] = "opening requested"
        if recorded == last:
            self.entries["before"] = self.entries["recorded"]
        self.request = {**BODIES[OpeningRequest], "operator": OPERATOR.public_key}
        self.opened = {**BODIES[Opened], "operator": OPERATOR.public_key}
        self.signers = dict.fromkeys(("request", "before", "entered"), OPERATOR)
        self.kept: Json = {}
        self.liquidated: int | None = None

    def check(self) -> None:
        """Sign everything in its order, but for what a test keeps as it was, and hold it against what was found."""
        before = self.signers["before"].sign("entry", self.entries["before"])
        self.request["entry"] = self.kept.get("entry", before.body_hash())
        request = self.signers["request"].sign("opening-request", self.request)
        body = {"previous": before.body_hash(), "document": salted_hash(SALT, request.canonical())}
        entered = self.signers["entered"].sign("entry", {**self.entries["entered"], **body, **self.kept.get("in", {})})
        found = Opened.parse({**self.opened, "request": self.kept.get("request", request.body_hash())})
        recorded = {"entry": OPERATOR.sign("entry", self.entries["recorded"]).to_json(), "salt": SALT}
        shown: Json = {
            "submitted": {side: {**recorded, "public": PUBLIC_STATE} for side in ("before", "entered")}
            | {"salt": SALT},
            "recorded": {**recorded, "public": PUBLIC_STATE},
            "opening": {
                "before": before.to_json(),
                "entered": entered.to_json(),
                "salt": SALT,
                "request": request.to_json(),
            },
        }
        if self.liquidated is not None:
            settled = OPERATOR.sign("entry", {**self.entries["settled"], "number": str(self.liquidated)})
            last = {**recorded, "public": PUBLIC_STATE}
            shown["liquidation"] = {"before": last, "settled": settled.to_json(), "salt": SALT}
        for name in self.kept.get("without", ()):
            del shown[name]
        check_requested(History.parse(shown), found, OPERATOR.public_key)


@pytest.mark.parametrize(("recorded", "last"), [(7, 9), (9, 9)])
def test_the_request_is_of_the_account_that_has_the_run(recorded: int, last: int) -> None:
    told = Told(recorded, last)
    told.check()
    told.liquidated = last + 3
    told.check()


def test_what_was_found_comes_with_its_request() -> None:
    told = Told()
    told.kept["without"] = ["opening"]
    with pytest.raises(Refused, match="ask the operator for a bundle") as caught:
        told.check()
    assert caught.value.field == "history.opening"


def test_verdicts_are_about_the_request_that_is_shown() -> None:
    told = Told()
    told.kept["request"] = OTHER
    with pytest.raises(Refused, match="another request") as caught:
        told.check()
    assert caught.value.field == "history.opening.request"


@pytest.mark.parametrize("name", ["institution", "operator", "run_id", "run", "submission"])
def test_the_request_is_about_what_was_found(name: str) -> None:
    told = Told()
    others = {"institution": "other", "run_id": "other", "operator": STRANGER.public_key}
    told.request[name] = others.get(name, OTHER)
    with pytest.raises(Refused, match=f"another {name} than") as caught:
        told.check()
    assert caught.value.field == f"history.opening.request.{name}"


def test_the_entry_that_the_request_names_is_shown() -> None:
    """Its hash is all that custodians signed of the pseudonym: without it every account would do."""
    told = Told()
    told.kept["entry"] = OTHER
    told.kept["in"] = {"previous": OTHER}
    with pytest.raises(Refused, match="another entry than is shown before it"):
        told.check()


@pytest.mark.parametrize("name", ["recorded", "before"])
def test_custodians_read_the_account_that_has_the_run(name: str) -> None:
    told = Told()
    for one in ("before", "entered") if name == "before" else ("recorded",):
        told.entries[one]["account"] = BESIDE
    with pytest.raises(Refused, match="custodians read another account"):
        told.check()


@pytest.mark.parametrize(
    "changes",
    [
        {"account": BESIDE}, {"number": "11"}, {"number": "9"}, {"previous": OTHER}, {"kind": "opening lapsed"},
        {"document": OTHER},
    ],
)  # fmt: skip
def test_the_request_is_entered_next(changes: dict[str, str]) -> None:
    told = Told()
    told.kept["in"] = changes
    with pytest.raises(Refused, match="does not follow"):
        told.check()


@pytest.mark.parametrize("last", [6, 7])
def test_the_run_was_recorded_when_they_were_asked(last: int) -> None:
    """Of number 7 there are two entries then."""
    told = Told(7, 9)
    told.entries["before"] = {**told.entries["before"], "number": str(last), "entered_at": "2026-11-20T09:00:00Z"}
    told.entries["entered"]["number"] = str(last + 1)
    with pytest.raises(Refused, match="before the run was recorded"):
        told.check()


@pytest.mark.parametrize("number", [1, 9, 10, 11])
def test_nothing_is_settled_before_it_was_found(number: int) -> None:
    told = Told()
    told.liquidated = number
    with pytest.raises(Refused, match="before custodians can have found"):
        told.check()


@pytest.mark.parametrize("name", ["request", "before", "entered"])
def test_the_operator_signed_all_of_it(name: str) -> None:
    told = Told()
    told.signers[name] = STRANGER
    with pytest.raises(SignatureInvalid):
        told.check()


def test_a_document_of_another_form_is_none() -> None:
    told = Told()
    told.request["more"] = "1"
    with pytest.raises(DocumentsError):
        told.check()
