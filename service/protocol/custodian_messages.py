"""Bodies of the operator's HTTP interface for deals and openings, as types; see `messages` for their rules.

The operator carries what custodians, institution and closer send each other. Nothing in it is believed: what counts is
signed, or checked against a deal, and what is secret is encrypted to whom it is for.
"""

from typing import Annotated

from pydantic import Field

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.messages import Count, JsonObject, RequestBody, ResponseBody

_HEX = r"^([0-9a-f]{2})+$"
ADDRESS = r"^[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}$"


class DealingUpload(RequestBody):
    """A deal as an institution brings it.

    Attributes:
        dealing: signed document (`protocol.dealings.Dealing`).
        coefficients: bytes of the deal (`zk.sharing.messages.Deal`), hex.
        boxes: what is encrypted to each custodian, in the order of the policy, hex.
    """

    dealing: JsonObject = Field(examples=[{"type": "dealing"}])
    coefficients: Annotated[str, Field(pattern=_HEX, max_length=1 << 23, examples=["01" + "9a" * 48])]
    boxes: ListOf[Annotated[str, Field(pattern=_HEX, max_length=1 << 20)]] = Field(examples=[["9a" * 112]])


class DealingStanding(ResponseBody):
    """How far a deal is: for the institution, and for custodians of its policy.

    Attributes:
        deal: its hash.
        institution: whose.
        dealing: signed document.
        expires_at: until when it takes receipts.
        receipts: of custodians, signed.
        complaints: of custodians, signed.
        answers: of the institution to complaints, signed.
    """

    deal: str
    institution: str
    dealing: JsonObject
    expires_at: str
    receipts: ListOf[JsonObject] = ()
    complaints: ListOf[JsonObject] = ()
    answers: ListOf[JsonObject] = ()


class DealingsOfCustodian(ResponseBody):
    """Deals of whose shares a custodian has not said anything yet, the oldest first."""

    dealings: ListOf[DealingStanding] = ()


class Present(ResponseBody):
    """A custodian that takes part in an opening: its point, and where its engine can be reached."""

    point: Count
    address: str


class OpeningSession(ResponseBody):
    """Who computes together; another one takes its place when nothing came of it.

    Attributes:
        number: from 1.
        present: 2t - 1 custodians, by ascending point.
        closer: point of the one that collects the shares of the rows.
    """

    number: Count
    present: ListOf[Present]
    closer: Count


class AccusationShown(ResponseBody):
    """What the closer of a session says of another custodian in it: its word, and no evidence.

    The evidence is a signed share of a row. It stays with the closer: with t - 1 others it is the row's value.

    Attributes:
        session: number.
        closer: point of the one that accuses.
        point: of whom.
        reason: in its words.
    """

    session: Count
    closer: Count
    point: Count
    reason: str


class OpeningStanding(ResponseBody):
    """How far an opening is.

    Attributes:
        institution: whose book.
        request: signed document (`OpeningRequest`).
        session: who computes together; absent until enough have agreed.
        finding: what the closer brought (`Finding`), as JSON; absent until then.
        voids: what makes findings void (`OpeningVoid`), as JSON, by ascending session.
        verdicts: of custodians, signed.
        refusals: why custodians take no part, by point.
        accusations: whose signed shares of rows were wrong, as closers say.
        over: whether it is over; the account's entries say what came of it.
    """

    institution: str
    request: JsonObject
    session: OpeningSession | None = None
    finding: JsonObject | None = None
    voids: ListOf[JsonObject] = ()
    verdicts: ListOf[JsonObject] = ()
    refusals: dict[str, str] = Field(default_factory=dict)
    accusations: ListOf[AccusationShown] = ()
    over: bool = False


class Openings(ResponseBody):
    """Openings that are open, of accounts whose policy names the custodian."""

    openings: ListOf[OpeningStanding] = ()


class Accusation(RequestBody):
    """The closer of a session says that another custodian in it signed wrong shares of rows.

    Attributes:
        session: number.
        point: of that custodian.
        reason: what is wrong.
    """

    session: Count = Field(examples=["1"])
    point: Count = Field(examples=["2"])
    reason: Annotated[str, Field(min_length=1, max_length=300, examples=["the share does not fit the deal"])]


class TakesPart(RequestBody):
    """A custodian checked a request and computes with others.

    Attributes:
        session: that it has given up, since nothing came of it; absent at first.
        address: host and port of its engine.
        accuses: by the closer of a session, whose shares of rows were wrong.
    """

    session: Count | None = None
    accuses: ListOf[Accusation] = ()
    address: Annotated[str, Field(pattern=ADDRESS, examples=["custodian.example:9443"])]


class Refuses(RequestBody):
    """A custodian takes no part in an opening, and says why: the name of the error and a sentence."""

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["OpeningTooEarly: wait until noon"])]


class RowBox(RequestBody):
    """Shares of the opened rows, encrypted to the closer.

    Attributes:
        session: that they are of.
        closer: point of who opens the rows; absent for the closer of the session.
        box: hex.
    """

    session: Count = Field(examples=["1"])
    closer: Count | None = None
    box: Annotated[str, Field(pattern=_HEX, max_length=4096, examples=["9a" * 112])]


class RowBoxes(ResponseBody):
    """What the closer collects: boxes by the point of who sent them."""

    boxes: dict[str, str] = Field(default_factory=dict)


class FindingBrought(RequestBody):
    """What was found, with the verdict of whoever brings it.

    Attributes:
        finding: `Finding`, as JSON.
        verdict: signed document (`OpeningVerdict`) about it.
    """

    finding: JsonObject = Field(examples=[{"outcome": "covered"}])
    verdict: JsonObject = Field(examples=[{"type": "opening-verdict"}])


class VoidBrought(RequestBody):
    """What makes a finding void, by the custodian that opened its rows.

    Attributes:
        void: `OpeningVoid`, as JSON.
    """

    void: JsonObject = Field(examples=[{"kind": "maintenance"}])


class OpeningAsked(RequestBody):
    """Whose book is to be opened."""

    institution: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["fund"])]


class PolicyOfAccount(ResponseBody):
    """A custody policy (`protocol.custody.CustodyPolicy`), and whose account is under it."""

    institution: str
    policy: JsonObject


class CustodianPolicies(ResponseBody):
    """The policies that name a custodian."""

    policies: ListOf[PolicyOfAccount] = ()
