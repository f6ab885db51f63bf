"""Bodies of the operator's HTTP interface that are no signed documents, as types: what is sent, and what comes back.

The operator answers with them and shows them in its OpenAPI description; the institution's agent, the demo and the
command line parse what arrives into them. Numbers are decimal strings on the wire and integers here:

>>> RunItem.parse({"run_id": "fund.7", "state": "covered", "price_sequence": "7"}).price_sequence
7
>>> RunItem.parse({"run_id": "fund.7", "state": "lost", "price_sequence": "7"})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.MalformedDocument: state: Input should be 'scheduled', 'evaluating', 'failed', \
'awaiting_answer', 'unproven', 'not_proven', 'breach_verified', 'covered', 'settled', 'given_up' or 'superseded'

A request has no unknown fields: what the operator does not understand it must not pass over. A response may have more
fields than are known here, which are left out, so that an operator can be newer than its institutions. That is safe
because nothing in a response is believed: what counts is in signed documents, and those have no unknown fields. An
operator may add fields, but neither drop nor change one; a state or a policy that is not known here is refused, by
field, because nobody could tell what to do about it.

Signed documents inside a response are left as JSON. Whoever believes one parses and verifies it; a wrong one is then
refused as what it is, and is no malformed response.
"""

import re
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from atomic_margin.documents.errors import NotADecimal, OutOfRange
from atomic_margin.documents.fields import MAX_COUNTER, require_public_key
from atomic_margin.documents.strict import ListOf, Part, problem
from atomic_margin.service.protocol.names import DISPLAY_NAME, NAME, display_name
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState, ShortfallState

JsonObject = dict[str, Any]

_COUNT = re.compile(r"0|[1-9][0-9]*")
_WHOLE = r"^(0|[1-9][0-9]{0,14})$"
_BALANCE = re.compile(r"0|-?[1-9][0-9]*")


def _integer(pattern: re.Pattern[str], low: int) -> PlainValidator:
    def check(value: object) -> int:
        # An integer is what the side that makes the message gives; JSON from outside has none.
        if isinstance(value, str) and len(value) <= 20 and pattern.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise problem(NotADecimal, 'write a whole number as a decimal string such as "12"')
        if not low <= value <= MAX_COUNTER:
            raise problem(OutOfRange, f"a whole number from {low} to {MAX_COUNTER} here, got {value}")
        return value

    return PlainValidator(check)


def _shown(pattern: re.Pattern[str], example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern.pattern})$", "examples": [example]})


_text = PlainSerializer(str, return_type=str)

Count: TypeAlias = Annotated[int, _integer(_COUNT, 0), _text, _shown(_COUNT, "7")]
"""A whole number, not negative; a decimal string on the wire."""
Balance: TypeAlias = Annotated[int, _integer(_BALANCE, -MAX_COUNTER), _text, _shown(_BALANCE, "-25000000")]
"""A whole number of either sign; a decimal string on the wire."""
# Strict types take the names of states as enums alone, and JSON has none.
AccountStateName: TypeAlias = Annotated[AccountState, Field(strict=False)]
RunStateName: TypeAlias = Annotated[RunState, Field(strict=False)]
ShortfallStateName: TypeAlias = Annotated[ShortfallState, Field(strict=False)]
PolicyName: TypeAlias = Annotated[Policy, Field(strict=False)]


class Message(Part):
    """The body of a request or a response; `parse` names the field that is wrong."""

    def to_json(self) -> JsonObject:
        """Return the body as a JSON object, with null for what is absent."""
        return self.model_dump(mode="json")


class RequestBody(Message):
    """What is sent: no unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)


class ResponseBody(Message):
    """What comes back: fields that are not known here are left out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


M = TypeVar("M", bound=Message)


# For everybody


class Health(ResponseBody):
    """The server answers."""

    status: str
    version: str


class OperatorView(ResponseBody):
    """The operator's key, policy, and hashes of its terms."""

    operator: str
    """Public key."""
    log: str
    """Key of the log: name+identifier+base64, as signed notes have it."""
    price_rules: str
    profile_name: str
    answer_seconds: Count
    """Time an institution has to answer a run."""
    policy: PolicyName
    proof_seconds: Count
    """Time for the proof that comes before an evaluation."""
    model: str
    universe: str
    schedule: str
    profile: str
    generators: str


class TickAccepted(ResponseBody):
    """The runs that a tick scheduled."""

    runs: ListOf[str]


class PriceReceipt(ResponseBody):
    """A source's document in the log: with evidence of its leaf (`LogEvidence`) it is a receipt."""

    leaf: Count
    """Number of its leaf."""
    header: JsonObject
    """The leaf itself, as it is hashed in canonical form."""


class LastTick(ResponseBody):
    """The newest tick, for sources, which sign the next one; number 0 and nothing more before the first."""

    sequence: Count
    tick: str
    """Its hash, which the next tick names; 64 zeros before the first."""
    document: JsonObject | None
    """Signed; void if it has no market."""
    last_market: JsonObject | None
    """Signed: the tick that `document` names as the last one with a market, if it names one."""
    change: JsonObject | None = None
    """The change of price rules that begins with the next tick, if one does."""


class RulesChangeTaken(ResponseBody):
    """A change of price rules is stored."""

    rules: str
    """Hash of the new rules."""
    from_sequence: Count
    """Number of the first tick under them."""


class Bundle(ResponseBody):
    """A bundle: the signed document, and beside it what shows its entries in the log."""

    type: str
    body: JsonObject
    signer: str
    signature: str
    log: JsonObject | None
    """Evidence, once enough witnesses cosigned a checkpoint that holds them."""


class Attestations(ResponseBody):
    """The runs whose bundles are published."""

    runs: list[str]


# For institutions


class KnownAnswer(ResponseBody):
    """One evaluation of the known-answer test: what makes its matrix, its flag, and the output words in hex."""

    seed: str
    flag: str
    output: str


class Challenge(ResponseBody):
    """The known-answer test for the institution to check."""

    known_answers: ListOf[KnownAnswer]


class AccountStanding(ResponseBody):
    """The state that a request gave an account."""

    state: AccountStateName


class EntryItem(ResponseBody):
    """An entry of an account and the document that it is about, both signed."""

    entry: JsonObject
    document: JsonObject


class Entries(ResponseBody):
    """Entries of an account, oldest first, as many as go into one response."""

    log: str
    """Origin of the log that they are in."""
    seed: str
    """What the salts of all its hashes are made from: 64 hex digits, for the institution alone."""
    entries: ListOf[EntryItem]
    more: bool
    """Whether there are later ones: ask again after the last of these."""


class LogEvidence(ResponseBody):
    """That leaves are in the operator's log, as `service.log.evidence` checks it."""

    evidence: JsonObject


class GivingUpRequest(ResponseBody):
    """What an institution last asked its operator to give up, and what stands against it."""

    institution: str
    giving_up: str
    """Hash of the institution's document: what the operator agrees to."""
    document: JsonObject
    """Signed."""
    asked_at: str
    problem: str | None
    """Why no entry can be made of it, as the account is now; None if one can."""


class IssuedNonce(ResponseBody):
    """The nonce that the next submission must carry."""

    nonce: str


class Held(ResponseBody):
    """Collateral of an account in smallest units, by asset."""

    free: dict[str, Count]
    posted: dict[str, Count]


class RunItem(ResponseBody):
    """A run in the view of its account."""

    run_id: str
    state: RunStateName
    price_sequence: Count


class AccountView(ResponseBody):
    """An account as its institution and the operator see it; runs and shortfalls are the newest, oldest first."""

    institution: str
    state: AccountStateName
    next_submission: Count
    """Sequence number that the next submission must have."""
    next_instruction: Count
    """Sequence number that the next collateral instruction must have."""
    next_keys: Count
    """Least sequence number that the next keys may have."""
    evaluation_keys: str | None
    """SHA-256 of the confirmed evaluation keys."""
    policy: PolicyName
    collateral: Held
    runs: ListOf[RunItem]
    shortfalls: ListOf[str]
    """Runs whose shortfall is recorded."""


# Runs


class EvaluationTimes(ResponseBody):
    """When an evaluation began and ended."""

    started_at: str
    ended_at: str


class ShortfallView(ResponseBody):
    """The shortfall of a settled run."""

    state: ShortfallStateName
    record: JsonObject | None
    """Signed, once it is recorded."""
    seconds: dict[str, str] | None
    problem: str | None


class RunView(ResponseBody):
    """A run with all that its institution checks."""

    run_id: str
    state: RunStateName
    record: JsonObject | None
    """Signed, once there is one."""
    tick: JsonObject
    """Signed."""
    last_market: JsonObject | None
    """Signed: the tick that `tick` names as the last one with a market, if it names one."""
    evidence: JsonObject | None
    """That the entry which has the record is in the log, once enough witnesses cosigned it."""
    seconds: dict[str, str] | None
    """Of the evaluation, by stage."""
    evaluation: EvaluationTimes | None
    settlement: JsonObject | None
    """Signed, once there is one."""
    shortfall: ShortfallView | None
    problem: str | None
    """Why the last attempt to evaluate it failed."""


# For the operator's own people


class Admission(RequestBody):
    """Admit an institution."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    name: Annotated[str, AfterValidator(display_name)] = Field(pattern=DISPLAY_NAME, examples=["Example Fund LP"])
    identity: Annotated[str, AfterValidator(require_public_key)] = Field(
        pattern=r"^[0-9a-f]{64}$", examples=["9a" * 32], description="Ed25519 public key"
    )
    gain_per_submission: str | None = Field(
        default=None,
        pattern=_WHOLE,
        examples=["25000"],
        description="whole USD that one book may have gained more than the one it replaces",
    )
    gain_per_day: str | None = Field(
        default=None, pattern=_WHOLE, examples=["250000"], description="whole USD, all books of a day together"
    )
    agreement: JsonObject | None = Field(default=None, examples=[None], description="terms of collateral")
    custody: JsonObject | None = Field(default=None, examples=[None], description="who holds shares of its books")


class ListedUniverse(RequestBody):
    """Another universe, and until when the one before takes books."""

    universe: JsonObject
    until: str = Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", examples=["2026-12-31T08:00:00Z"]
    )


class Revisions(ResponseBody):
    """What leads from the first universe to the newest."""

    revisions: ListOf[JsonObject]
    """Signed by the operator, in order."""


class UniverseListed(ResponseBody):
    """A universe that was listed."""

    universe: str
    """Its hash."""


class Deposit(RequestBody):
    """Collateral that arrived."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    asset: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["USDC"])
    quantity: str = Field(pattern=r"^[1-9][0-9]{0,18}$", examples=["25000000000000"], description="smallest units")
    reference: str = Field(pattern=r"^[A-Za-z0-9._:/-]{1,64}$", examples=["custodian-2026-11-20-0017"])


class Agreement(RequestBody):
    """The operator gives up with an institution what that one asked to give up."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    giving_up: str = Field(pattern=r"^[0-9a-f]{64}$", examples=["4d" * 32], description="hash of the document")


class Booked(ResponseBody):
    """Collateral was booked."""

    result: str = "booked"


class LedgerView(ResponseBody):
    """Every account's balances in smallest units, by asset, and the sum of every asset, which is zero."""

    accounts: dict[str, dict[str, Balance]]
    totals: dict[str, Balance]
