"""One good body of each document about what happens to an account; the others are in `bodies`."""

from typing import Any

from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.events import (
    AdmissionRecord,
    Coverage,
    DepositRecord,
    GivingUp,
    Overdue,
    Readers,
    RunOpened,
    RunVoid,
    UniverseRevision,
)
from atomic_margin.service.protocol.account.halt_documents import Halt, Resume
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting, Obligation, PartyNaming
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.disputes import Dispute, DisputeLapse, DisputeResolution, DisputeWithdrawal

H, KEY, TIME = "1a" * 32, "9a" * 32, "2026-11-20T08:00:00Z"
_PARTY = {"institution": "fund", "operator": KEY}
_PRICED = {"price_sequence": "7", "tick": H, "priced_at": TIME}

ACCOUNT_BODIES: dict[type[Body], dict[str, Any]] = {
    PartyNaming: {**_PARTY, "number": "1", "entry": H, "party": "lei-one", "scope": "party", "named_at": TIME},
    Obligation: {
        **_PARTY,
        "sequence": "1",
        "entry": H,
        "party": "lei-one",
        "scope": "party",
        "direction": "return",
        "asset": "USDC",
        "quantity": "5",
        "settles": "2026-11-20",
    },
    Netting: {
        **_PARTY,
        "cycle": "1",
        "settles": "2026-11-20",
        "entry": H,
        "root": H,
        "size": "2",
        "lines": [],
        "groups": [],
        "netted_at": TIME,
    },
    Dispute: {
        **_PARTY,
        "sequence": "1",
        "entry": H,
        "subject": H,
        "number": "12",
        "kind": "valuation",
        "amount": "1200",
        "undisputed": "400",
        **_PRICED,
        "reason": "the haircut of ETH is 12 %",
    },
    DisputeResolution: {
        **_PARTY,
        "entry": H,
        "dispute": H,
        "outcome": "agreed",
        "amount": "800",
        "until": "1007",
        "words": "the haircut was 12 %",
    },
    DisputeWithdrawal: {**_PARTY, "entry": H, "dispute": H},
    DisputeLapse: {**_PARTY, "dispute": H, "begins": _PRICED, "ends": _PRICED, "declared_at": TIME},
    Release: {
        **_PARTY,
        "sequence": "3",
        "entry": H,
        "submission": H,
        "price_sequence": "7",
        "tick": H,
        "posted": {"USDC": "9"},
        "taken": {"USDC": "5"},
        "remaining": {"USDC": "4"},
        "matrix": H,
        "sufficiency_proof": "abcd",
    },
    Maturity: {
        **_PARTY,
        "entry": H,
        "pool": "posted",
        "asset": "TBILL-2027-02",
        "quantity": "5",
        "cash": "USDC",
        "paid": "50000",
        "price_sequence": "7",
        "tick": H,
        "booked_at": TIME,
    },
    AdmissionRecord: {
        "institution": "fund",
        "operator": KEY,
        "identity": KEY,
        "terms": H,
        "universe": H,
        "allowances": {"submission": "25000", "day": "250000"},
        "admitted_at": "2026-11-20T08:00:02Z",
    },
    UniverseRevision: {
        "operator": KEY,
        "before": H,
        "universe": "ef" * 32,
        "until": "2026-12-31T08:00:00Z",
        "announced_at": "2026-11-20T08:00:02Z",
    },
    Halt: {
        "operator": KEY,
        "number": "1",
        "scope": ["settlements", "runs"],
        "reason": "an incident",
        "tick": H,
        "tick_sequence": "7",
        "until": "67",
        "announced_at": "2026-11-20T08:00:02Z",
    },
    Resume: {
        "operator": KEY,
        "number": "2",
        "halt": H,
        "reason": "over",
        "tick": H,
        "tick_sequence": "9",
        "announced_at": "2026-11-20T08:00:02Z",
    },
    DepositRecord: {
        "institution": "fund",
        "operator": KEY,
        "asset": "USDC",
        "quantity": "1000000",
        "reference": "custodian-17",
        "booked_at": "2026-11-20T08:00:02Z",
    },
    RunOpened: {
        "run_id": "fund.7",
        "operator": KEY,
        "institution": "fund",
        "submission": H,
        "price_sequence": "7",
        "tick": H,
        "instructions": "2",
        "posted": {"USDC": "1000000"},
        "matrices": {"maintenance_fhe": H, "maintenance_proof": H, "initial_fhe": H, "initial_proof": H},
        "opened_at": "2026-11-20T08:00:01Z",
    },
    RunVoid: {
        "run_id": "fund.7",
        "operator": KEY,
        "institution": "fund",
        "reason": "not evaluated in 3 attempts",
        "ended_at": "2026-11-20T08:00:02Z",
    },
    Overdue: {
        "run_id": "fund.7",
        "run": H,
        "operator": KEY,
        "institution": "fund",
        "declared_at": "2026-11-20T08:15:02Z",
    },
    Readers: {
        "institution": "fund",
        "operator": KEY,
        "sequence": "1",
        "entry": H,
        "readers": [],
    },
    IdentityRotation: {
        **_PARTY,
        "entry": H,
        "old": KEY,
        "new": "01" * 32,
        "possession": "5c" * 64,
    },
    CustodyAmendment: {
        **_PARTY,
        "entry": H,
        "sequence": "1",
        "before": H,
        "custody": {
            "format": "atomic-margin/custody/1",
            "name": "custody of 2027",
            "threshold": "2",
            "absent": "0",
            "custodians": [
                {"point": point, "name": f"c-{point}", "identity": 32 * f"0{point}", "encryption_key": 32 * f"1{point}"}
                for point in ("1", "2", "3")
            ],
            "deal_seconds": "600",
            "opening_after_seconds": "3600",
            "openings": "3",
        },
        "until": "9",
    },
    Resharing: {
        **_PARTY,
        "entry": H,
        "book": H,
        "before": {"policy": H, "deal": H},
        "policy": H,
        "dealers": ["1", "2"],
        "requested_at": TIME,
        "deal": "2b" * 32,
        "receipts": [],
        "reshared_at": TIME,
    },
    Coverage: {
        "institution": "fund",
        "operator": KEY,
        "entry": H,
        "submission": H,
        "price_sequence": "7",
        "tick": H,
        "posted": {"USDC": "1000000"},
        "instructions": "2",
        "matrix": H,
        "sufficiency_proof": "0102",
    },
    GivingUp: {
        "institution": "fund",
        "operator": KEY,
        "entry": H,
        "submission": H,
        "waiting": H,
        "covered": "6",
        "reason": "the disk was lost",
    },
}
ACCOUNT_TEXTS = {(Dispute, "reason"), (DisputeResolution, "words")}
ACCOUNT_TEXTS |= {(DepositRecord, "reference"), (RunVoid, "reason"), (GivingUp, "reason")}
ACCOUNT_TEXTS |= {(Halt, "reason"), (Resume, "reason")}
ACCOUNT_OPTIONAL = {
    (Dispute, "undisputed"),
    (GivingUp, "waiting"),
    (GivingUp, "covered"),
    (CustodyAmendment, "before"),
    (CustodyAmendment, "custody"),
}
