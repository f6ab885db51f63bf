"""Bodies of the agent's loopback interface, as types; see `protocol.messages`, whose rules hold here too.

The agent shows private figures to its own institution alone. They are named here, and known nowhere else.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.messages import AccountStateName, Count, RequestBody, ResponseBody

MAX_ASSETS = 64
"""Assets in one release."""


class OwnAccountView(ResponseBody):
    """The institution's account, as its entries make it."""

    state: AccountStateName
    entries: Count
    """Number of the last one."""
    submission: Count | None
    """Number of the book in force."""
    waiting: Count | None
    """Number of the book that waits."""
    owes: bool
    """Whether an answer was not given in time, and is owed."""
    free: dict[str, str]
    """Smallest units by asset."""
    posted: dict[str, str]


class Settled(ResponseBody):
    """What settled a breach."""

    kind: str
    """`margin_call` or `liquidation`."""
    top_up_usd: str
    settled_at: str
    transfers: ListOf[str]


class LastRun(ResponseBody):
    """The newest run that has a record; figures are there once the agent has decided about it, and stay here."""

    run_id: str
    price_sequence: Count
    state: str
    """What the account's entries say of it last: `run recorded` while it takes an answer."""
    deadline: str
    outcome: str | None
    """Of the answer; `silent` or `withheld` when there is none."""
    surplus_true: str | None
    shortfall_true: str | None
    top_up: str | None
    settlement: Settled | None


class AgentStatus(ResponseBody):
    """What the agent is doing, and whether anything is wrong."""

    stage: str
    problem: str | None
    """Of its last round; None when that went through."""
    enrolled: bool
    alarm: str | None
    """Why no flag leaves under the keys in use."""
    contradiction: str | None
    """What the operator signed that contradicts itself; the documents are in the agent's folder."""
    key_commitments: str | None
    """Hash of the commitments to the FHE keys in use, for verifiers' trust files."""
    dispute: str | None = None
    """Which dispute of the institution's own holds the account."""
    following: bool = False
    """Whether the operator's event stream is open; if not, the agent asks every few seconds."""
    account: OwnAccountView | None = None
    last_run: LastRun | None = None
    reminders: ListOf[str] = ()
    """What has a date that is near."""
    deal: str | None = None
    """How far the last deal to custodians is."""


class ReaderName(RequestBody):
    """Somebody who may read the institution's bundles."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["auditor"])
    public_key: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", examples=["9a" * 32], description="signs their requests; no token then"
    )


class ReaderToken(ResponseBody):
    """What opens the bundles; it is not shown again. Null for who was named by a key."""

    name: str
    token: str | None = None


class ReaderNames(ResponseBody):
    """Who may read the institution's bundles."""

    readers: ListOf[str]


class Instruction(RequestBody):
    """Move one's own free collateral."""

    action: Literal["post", "withdraw"] = Field(examples=["post"])
    asset: str = Field(examples=["USDC"])
    quantity: str = Field(pattern=r"^[1-9][0-9]{0,18}$", examples=["1000000"], description="smallest units")


class Submitted(ResponseBody):
    """A portfolio was submitted."""

    submission_sequence: Count


class Losses(RequestBody):
    """Settle losses of the book in force by posted collateral, which leaves to the operator."""

    asset: str = Field(examples=["USDC"])
    quantity: str = Field(pattern=r"^[1-9][0-9]{0,18}$", examples=["1000000"], description="smallest units")
    usd: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{0,14}$",
        examples=["1"],
        description="whole USD of losses; by default all that it is worth at the newest prices",
    )


class LossesSettled(ResponseBody):
    """Losses were settled; whoever submits the next book says this `cash` in it."""

    submission_sequence: Count
    usd: str
    """Whole USD."""
    cash: str
    """Of the portfolio now, USD: what it was, and what was settled."""


Quantities = dict[str, Annotated[str, Field(pattern=r"^[1-9][0-9]{0,24}$", examples=["1000000"])]]
"""Smallest units by asset."""


class ReleaseWanted(RequestBody):
    """Have posted collateral back; what is given is posted for it, before."""

    taken: Quantities = Field(min_length=1, max_length=MAX_ASSETS, examples=[{"USDC": "1000000"}])
    given: Quantities | None = Field(default=None, min_length=1, max_length=MAX_ASSETS, examples=[{"BTC": "2000000"}])


class Released(ResponseBody):
    """Posted collateral became free."""

    document: str
    """Hash of what was signed; the account's entry names it."""
    taken: dict[str, str]
    given: dict[str, str]
    remaining: dict[str, str]
    proven: bool
    """Whether it came with a proof of initial margin; a substitution by what is worth no less comes without."""


class Excess(ResponseBody):
    """What is posted beyond initial margin at a tick, declared gains counted as zero, or what is missing of it."""

    price_sequence: Count
    usd: str
    """What may be released, a multiple of the step; 0 for nothing. Without a book in force all may, and this is 0."""
    back: dict[str, str]
    """What to release of it, smallest units by asset: what would be delivered last comes back first."""
    minimum_usd: str = "0"
    """What comes back at once is worth this at least by the account's agreement, or is everything; 0 for none."""
    short_usd: str
    """What is missing, whole USD, rounded up; 0 for nothing."""
    deliver: dict[str, str]
    """What to post for it; nothing where free collateral does not reach it."""


class KeysReplaced(ResponseBody):
    """New FHE keys are in use."""

    key_commitments: str | None


class Adopted(ResponseBody):
    """Documents with the institution's signature that its directory did not know were taken over."""

    documents: Count


class Reason(RequestBody):
    """Why a book is to be given up; the operator reads it, and whoever is shown the account's history."""

    reason: str = Field(pattern=r"^[ -~]{1,64}$", examples=["the disk with its blindings was lost"])


class OwnLoss(RequestBody):
    """What closing out the book of this institution's default has lost."""

    loss: str = Field(
        pattern=r"^(0|[1-9][0-9]{0,17})$", examples=["250000000000"], description="smallest units of cash"
    )
    reason: str = Field(pattern=r"^[ -~]{1,64}$", examples=["closed at auction"])


class LossSigned(ResponseBody):
    """The institution signed the loss of its default."""

    agreement: str
    """Hash of what was signed; the operator's people see it before they agree."""


class AskedToGiveUp(ResponseBody):
    """The operator was asked to give up the book in force."""

    giving_up: str
    """Hash of what was signed; the operator's people see it before they agree."""


class ShortfallFigures(ResponseBody):
    """What became of the encrypted shortfall of an answered breach; amounts only where it agreed."""

    agreed: bool
    """Whether it decrypts to the agent's own integers."""
    units: Count | None
    usd: str | None
    within_top_up: bool | None
    record: str | None
    """Hash of the shortfall record."""
    problem: str | None


class PrivateFigures(ResponseBody):
    """What the institution keeps for itself about a run that it decided; USD and seconds are decimal strings."""

    run_id: str
    price_sequence: Count
    plaintext_breach: Count
    """1 when a row of the evaluated matrix is negative for the agent's own book."""
    decrypted_breach: Count | None
    """None when nothing was decrypted, or the flag is withheld."""
    outcome: str
    """Of the answer; `silent` or `withheld` when there is none."""
    shortfall_true: str
    surplus_true: str
    worst_scenario: str
    top_up: str
    seconds: dict[str, str]


class RunFigures(PrivateFigures):
    """The same, with what became of the answer."""

    delivered: bool
    """Whether the operator signed for the answer."""
    shortfall: ShortfallFigures | None


class DecidedRuns(ResponseBody):
    """Private figures of every run that the agent decided, oldest first."""

    runs: list[RunFigures]


class Promise(RequestBody):
    """Bring an asset by a day, or take free collateral on it."""

    direction: Literal["delivery", "return"] = Field(examples=["return"])
    asset: str = Field(examples=["USDC"])
    quantity: str = Field(pattern=r"^[1-9][0-9]{0,18}$", examples=["1000000"], description="smallest units")
    settles: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-11-27"], description="the day")
    party: str = Field(examples=["5493001KJTIIGC8Y1R12"], description="legal party that you agree to be netted as")
    scope: Literal["party", "principal"] = Field(default="party", examples=["party"])


class Promised(ResponseBody):
    """An obligation was entered."""

    obligation: str


class NettingShown(ResponseBody):
    """An account's part of a cycle of netting, format `atomic-margin/netting/1`."""

    netting: dict[str, Any]
