"""What a custodian's store holds: deals, openings, and what was found of runs."""

from typing import Any, Literal, NamedTuple

JsonObject = dict[str, Any]
DealState = Literal["held", "complained", "erased"]
OpeningState = Literal["agreed", "computing", "found", "signed", "refused", "over"]


class DealRow(NamedTuple):
    """A deal.

    Attributes:
        deal: its hash.
        institution: whose book.
        point: of this custodian.
        policy: hash of the custody policy.
        book: hash of the book, as the dealing has it.
        dealing: signed document; of what custodians passed on, all that is public of the deal.
        coefficients: bytes of the deal; empty for one that was complained about or erased.
        shares: sealed (`custodian.sealing`); None likewise.
        state: what became of it.
        said: signed receipt or complaint.
        sent: whether the operator has that.
        expires_at: until when the deal took receipts, seconds of the epoch.
        stored_at: by the custodian's clock.
    """

    deal: str
    institution: str
    point: int
    policy: str
    book: str
    dealing: JsonObject
    coefficients: bytes
    shares: bytes | None
    state: DealState
    said: JsonObject
    sent: bool
    expires_at: int
    stored_at: int


class OpeningRow(NamedTuple):
    """An opening.

    Attributes:
        request: hash of the request.
        institution: whose book.
        run: hash of the run's record; empty where that is not known, since the request was refused.
        deal: hash of the deal, likewise.
        state: how far it is here.
        reason: why it was refused, or why the last session failed.
        session: number of the last session that began here; 0 for none.
        session_at: when, by the custodian's clock.
        finding: what was found, as JSON.
        verdict: signed.
        changed_at: by the custodian's clock.
    """

    request: str
    institution: str
    run: str
    deal: str
    state: OpeningState
    reason: str
    session: int
    session_at: int
    finding: JsonObject | None
    verdict: JsonObject | None
    changed_at: int


class Found(NamedTuple):
    """What the computation said of a run.

    Attributes:
        breach: whether a maintenance row is negative.
        maintenance_row: index of the least one, from 0, on a breach alone.
        initial_row: likewise.
        maintenance_chosen: of a model with slack, on a breach, the validity rows that certify the row.
        initial_chosen: likewise.
    """

    breach: bool
    maintenance_row: int | None = None
    initial_row: int | None = None
    maintenance_chosen: tuple[int, ...] | None = None
    initial_chosen: tuple[int, ...] | None = None


class Kept(NamedTuple):
    """What is stored of a run.

    Attributes:
        found: what the computation said.
        request: hash of the request by which it was computed first.
        session: number of the session.
        points: of custodians that computed the same, then or later; none where that is not known.
        void: what made it void, as JSON; None for what is not.
    """

    found: Found
    request: str
    session: int
    points: tuple[int, ...]
    void: JsonObject | None = None
