"""Accounts whose books are shared among custodians, and the documents of openings, for tests of the machine."""

from typing import Any

from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.opening_documents import (
    Finding,
    Opened,
    OpeningLapse,
    OpeningRequest,
    OpeningVerdict,
    finding_hash,
)
from atomic_margin.service.protocol.account.resharing_documents import Resharing, request_hash
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import ShareReceipt
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission

from .documents import INSTITUTION, TIME, Parties, named

CUSTODIANS = {point: Identity.generate() for point in (1, 2, 5, 9)}
"""By their points."""
SUCCESSORS = {point: CUSTODIANS[2] if point == 7 else Identity.generate() for point in (1, 3, 4, 7)}
"""Those of another policy."""


def policy(openings: int = 2, **changes: Any) -> CustodyPolicy:
    """Any two of four, one of whom may be away."""
    return CustodyPolicy.parse(
        {
            "format": "atomic-margin/custody/1",
            "name": "custody of 2026",
            "threshold": "2",
            "absent": "1",
            "custodians": [
                {
                    "point": str(point),
                    "name": f"custodian-{point}",
                    "identity": identity.public_key,
                    "encryption_key": f"{point:064x}",
                }
                for point, identity in CUSTODIANS.items()
            ],
            "deal_seconds": "600",
            "opening_after_seconds": "3600",
            "openings": str(openings),
            **changes,
        }
    )


def receipts(parties: Parties, book: str, deal: str = "deal", points: tuple[int, ...] = (1, 2, 5, 9)) -> list[Any]:
    """Return receipts of custodians for a book."""
    assert parties.custody is not None
    body = {
        "institution": INSTITUTION,
        "operator": parties.operator.public_key,
        "dealing": named("dealing"),
        "deal": named(deal, book),
        "policy": parties.custody.hash(),
        "book": _book(parties, book),
        "received_at": TIME,
    }
    return [
        ShareReceipt.parse({**body, "point": str(point), "custodian": CUSTODIANS[point].public_key})
        .signed_by(CUSTODIANS[point])
        .to_json()
        for point in points
    ]


def _book(parties: Parties, book: str) -> str:
    return commitments_hash(Submission.parse(parties.submission(1, book).body))


def sharing(parties: Parties, book: str, deal: str = "deal", **changes: Any) -> dict[str, Any]:
    """Return what a submission says of its shares, with every custodian's receipt."""
    assert parties.custody is not None
    said = {
        "policy": parties.custody.hash(),
        "deal": named(deal, book),
        "receipts": receipts(parties, book, deal),
    }
    return said | changes


def submission(parties: Parties, sequence: int, book: str, keys: int = 1, **changes: Any) -> SignedDocument:
    """A book that is dealt to all custodians."""
    return parties.submission(sequence, book, keys, sharing=sharing(parties, book, **changes))


def opened_account(custody: CustodyPolicy | None = None) -> Parties:
    """An account with custodians, active, with 900 free and 100 posted."""
    parties = Parties(custody=custody or policy())
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    return parties


def booked(custody: CustodyPolicy | None = None) -> Parties:
    """Book `a` is in force and shared, and a run is due."""
    parties = opened_account(custody)
    parties.enter(submission(parties, 1, "a"))
    parties.tick()
    return parties


def owed(custody: CustodyPolicy | None = None) -> Parties:
    """No answer came in time."""
    parties = booked(custody)
    for document in (parties.run_opened, parties.record, parties.overdue):
        parties.enter(document())
    return parties


def asked(custody: CustodyPolicy | None = None) -> Parties:
    """The operator has asked custodians to open the book."""
    parties = owed(custody)
    parties.enter(request(parties))
    return parties


def request(parties: Parties, **changes: Any) -> SignedDocument:
    public = parties.state.public
    assert public.custody is not None
    assert public.book is not None
    assert public.book.shared is not None
    body = {
        "sequence": str(public.custody.requests + 1),
        "entry": parties.chain.head,
        "run_id": parties.run.run_id,
        "run": parties.run.record,
        "submission": parties.run.submission,
        "policy": public.book.shared.policy,
        "deal": public.book.shared.deal,
        "requested_at": TIME,
    }
    return parties.by_operator(OpeningRequest, body | changes)


def open_request(parties: Parties) -> str:
    """Return the hash of the request that is open."""
    custody = parties.state.public.custody
    assert custody is not None
    return named("none") if custody.opening is None else custody.opening.request


def lapse(parties: Parties, **changes: Any) -> SignedDocument:
    body = {"request": open_request(parties), "reason": "too few custodians", "lapsed_at": TIME}
    return parties.by_operator(OpeningLapse, body | changes)


def finding(parties: Parties, outcome: str = "covered", **changes: Any) -> Finding:
    run = parties.run
    body = {
        "institution": INSTITUTION,
        "operator": parties.operator.public_key,
        "request": open_request(parties),
        "run_id": run.run_id,
        "run": run.record,
        "submission": run.submission,
        "price_sequence": str(run.price_sequence),
        "outcome": outcome,
        "top_up": "0",
        "top_up_usd": "0",
    }
    if outcome == "breach":
        proofs = {"breach_proof": "00", "lack_proof": "00", "initial_row": "3"}
        body |= {"top_up": "7", "top_up_usd": "10", **proofs}
    return Finding.parse(body | changes)


def verdicts(found: Finding, points: tuple[int, ...] = (1, 2)) -> list[Any]:
    body = {"institution": found.institution, "operator": found.operator, "request": found.request}
    body |= {"finding": finding_hash(found)}
    return [
        OpeningVerdict.parse({**body, "point": str(point), "custodian": CUSTODIANS[point].public_key})
        .signed_by(CUSTODIANS[point])
        .to_json()
        for point in points
    ]


def opened(
    parties: Parties, outcome: str = "covered", points: tuple[int, ...] = (1, 2), **changes: Any
) -> SignedDocument:
    """What custodians found."""
    found = finding(parties, outcome, **changes)
    said = found.canonical()
    assert isinstance(said, dict)
    return parties.by_operator(Opened, {**said, "verdicts": verdicts(found, points), "opened_at": TIME})


def successors(points: tuple[int, ...] = (1, 3, 4, 7)) -> CustodyPolicy:
    """The custodians of another policy, one of whom is in the first one too, at a point of its own."""
    return policy(
        name="custody of 2027",
        custodians=[
            {
                "point": str(point),
                "name": f"successor-{point}",
                "identity": SUCCESSORS[point].public_key,
                "encryption_key": f"{point + 16:064x}",
            }
            for point in points
        ],
    )


def amendment(parties: Parties, custody: CustodyPolicy | None, **changes: Any) -> SignedDocument:
    """What both sides sign to have other custodians, or none."""
    public = parties.state.public
    body: dict[str, Any] = {
        "entry": parties.chain.head,
        "sequence": str((public.custody_amendments or 0) + 1),
        "until": str(parties.newest + 1),
    }
    body |= {} if custody is None else {"custody": custody.canonical()}
    body |= {} if public.custody is None else {"before": public.custody.policy}
    return parties.by_institution(CustodyAmendment, body | changes)


def amended(custody: CustodyPolicy | None = None) -> Parties:
    """Book `a` is shared and covered, and the account is under the policy of the successors."""
    parties = booked(custody)
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.enter(amendment(parties, successors()))
    return parties


def resharing(
    parties: Parties, custody: CustodyPolicy | None = None, deal: str = "reshared", **changes: Any
) -> SignedDocument:
    """Two of the first custodians have passed their shares of the book on, and all new ones receipted theirs."""
    book = parties.state.public.book
    assert book is not None
    assert book.shared is not None
    custody = custody or successors()
    body = {
        "institution": INSTITUTION,
        "operator": parties.operator.public_key,
        "entry": parties.chain.head,
        "book": book.commitments,
        "before": {"policy": book.shared.policy, "deal": book.shared.deal},
        "policy": custody.hash(),
        "dealers": ["1", "5"],
        "requested_at": TIME,
        "deal": named(deal),
        "reshared_at": TIME,
    }
    body |= {name: value for name, value in changes.items() if name != "receipts"}
    said = Resharing.parse({**body, "receipts": []})
    signed = changes["receipts"] if "receipts" in changes else reshared_receipts(said, custody)
    return Resharing.parse({**body, "receipts": signed}).signed_by(parties.operator)


def reshared_receipts(said: Resharing, custody: CustodyPolicy, **changes: Any) -> list[Any]:
    """Return receipts of all custodians of a policy for the new deal."""
    body = {
        "institution": said.institution,
        "operator": said.operator,
        "dealing": request_hash(said.request),
        "deal": said.deal,
        "policy": said.policy,
        "book": said.book,
        "received_at": TIME,
    }
    keys = {one.public_key: one for one in (*CUSTODIANS.values(), *SUCCESSORS.values())}
    return [
        ShareReceipt.parse({**body, "point": str(one.point), "custodian": one.identity, **changes})
        .signed_by(keys[one.identity])
        .to_json()
        for one in custody.custodians
    ]
