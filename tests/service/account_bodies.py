"""One good body of each document about disputes, netting, releases and maturities; the others are in `bodies`."""

from typing import Any

from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting, Obligation, PartyNaming
from atomic_margin.service.protocol.account.release_documents import Release
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
}
ACCOUNT_TEXTS = {(Dispute, "reason"), (DisputeResolution, "words")}
ACCOUNT_OPTIONAL = {(Dispute, "amount"), (Dispute, "undisputed")}
