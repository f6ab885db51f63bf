"""Replay a default from its documents: sales against the prices of their ticks, the loss, the fund, every line.

What is replayed is the account machine itself, from the liquidation on. Whether the breach was one is for the run's
own bundle (`atomic-margin verify`): here its answer is the institution's by its signature.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Document, Identifier, ListOf, Part
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import AttestationInvalid, PricesRefused, Refused, ServiceError
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.default_documents import CloseOut, LossAgreement, Sale, Segregation
from atomic_margin.service.protocol.account.default_state import Default, FundShare
from atomic_margin.service.protocol.account.defaults import segregated
from atomic_margin.service.protocol.account.events import read_event
from atomic_margin.service.protocol.account.identities import keys_shown, signer_among
from atomic_margin.service.protocol.account.state import Account, PrivateState, PublicState
from atomic_margin.service.protocol.account.values import At, updated
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, Settlement
from atomic_margin.service.protocol.fund import fund_after
from atomic_margin.service.protocol.sales import check_sale
from atomic_margin.service.protocol.settlements import check_settled
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile

JsonObject = dict[str, Any]
FORMAT = "atomic-margin/default/1"
STEPS = ("format", "trust anchors", "liquidation", "prices", "sales", "loss", "fund", "waterfall")


class PricedTick(Part):
    """A signed tick that sales are at, with the last one before it that had a market, if it names one."""

    tick: JsonObject
    last_market: JsonObject | None = None


class DefaultFile(Document):
    """A default as its operator hands it out, format ``atomic-margin/default/1``.

    Attributes:
        format: of the file.
        institution: in default.
        schedule: the collateral schedule.
        answer: to the breached run, signed by the institution.
        settlement: the liquidation, signed by the operator.
        ticks: those that sales are at.
        events: what was segregated later, sales, agreements on the loss and the close-out, signed, in order.
        fund: documents of the guarantee fund, signed, in order, up to the close-out.
        rotations: of the institution's identity key, signed, in order; absent where there are none.
    """

    TAG: ClassVar[str] = "default-file"

    format: Literal["atomic-margin/default/1"]
    institution: Identifier
    schedule: JsonObject
    answer: JsonObject
    settlement: JsonObject
    ticks: ListOf[PricedTick]
    events: ListOf[JsonObject]
    fund: ListOf[JsonObject]
    rotations: ListOf[JsonObject] | None = None


class DefaultReport(NamedTuple):
    """What a default came to.

    Attributes:
        institution: whose.
        rules: hash of the waterfall rules.
        default: how far it is worked off; None once it is closed out.
        sales: that were checked.
        agreement: hash of the agreement on the loss, if there is one.
        closed: the close-out, if there is one.
        fund: hash of the fund's last document that was shown.
    """

    institution: str
    rules: Hash
    default: Default | None
    sales: tuple[Sale, ...]
    agreement: str | None
    closed: CloseOut | None
    fund: str


def verify_default(value: Any, trust: TrustFile, held: Callable[[str], None] = lambda _: None) -> DefaultReport:
    """Verify a default; return what it came to.

    Args:
        value: parsed JSON of the file.
        trust: anchors; it pins the waterfall rules.
        held: called with each step that holds.

    Raises:
        AttestationInvalid: a step does not hold; it is named.
    """

    @contextmanager
    def step(name: str) -> Iterator[None]:
        try:
            yield
        except (ServiceError, DocumentsError, MarginError) as error:
            raise AttestationInvalid(name, str(error)) from error
        held(name)

    with step("format"):
        file = DefaultFile.parse(value)
        events = [SignedDocument.parse(event) for event in file.events]
        fund = [SignedDocument.parse(document) for document in file.fund]
    with step("trust anchors"):
        rules, keys, schedule = _anchors(file, events, trust)
    with step("liquidation"):
        begun, keys = _liquidated(file, trust, keys)
    with step("prices"):
        places, markets = _prices(file, trust)
    sales = list[Sale]()
    with step("sales"):
        for signed in events:
            if signed.type == Sale.TYPE:
                signed.verify(frozenset({trust.operator}))
                _, sale = parse_signed(signed.to_json(), Sale)
                if sale.tick not in markets:
                    raise Refused(f"the file has not the tick that stage {sale.stage} is at", "ticks")
                check_sale(sale, markets[sale.tick], schedule)
                sales.append(sale)
    closed = [CloseOut.parse(signed.body) for signed in events if signed.type == CloseOut.TYPE]
    closing = closed[0] if closed else None
    agreement = None
    with step("loss"):
        for signed in events:
            if signed.type == LossAgreement.TYPE:
                # A key that another agreement, or the answer, shows as replaced signs nothing more.
                key = signer_among(signed, keys)
                signed.verify(frozenset({key}))
                keys = keys[keys.index(key) :]
                agreement = signed.body_hash()
        if closing is not None and closing.agreement != agreement:
            raise Refused("the close-out is not of the loss that the institution signed", "agreement")
    with step("fund"):
        after = fund_after(fund, trust.operator)
        if closing is not None and (not fund or after.head != _hash_of(events, CloseOut.TYPE)):
            raise Refused("the fund's last document has to be the close-out", "fund")
    with step("waterfall"):
        account = _account(file.institution, keys[0], trust.operator, begun, rules, closing)
        at = At()
        for signed in events:
            if signed.type == Sale.TYPE:
                at = places[signed.body["tick"]]
            elif signed.type == Segregation.TYPE:
                account = _with_free(account, Segregation.parse(signed.body).taken)
            event = read_event(signed)
            if signed.type == LossAgreement.TYPE:
                account = updated(account, public=updated(account.public, identity=event.signer))
            account = machine.apply(account, event, at)
    return DefaultReport(file.institution, rules, account.public.default, tuple(sales), agreement, closing, after.head)


def _anchors(
    file: DefaultFile, events: list[SignedDocument], trust: TrustFile
) -> tuple[str, tuple[str, ...], CollateralSchedule]:
    if trust.waterfall is None:
        raise Refused("the trust file pins no waterfall rules; add their hash as `waterfall`", "waterfall")
    schedule = CollateralSchedule.parse(file.schedule)
    if schedule.hash() != trust.schedule:
        raise Refused("not the collateral schedule of the trust file", "schedule")
    pinned = trust.institutions.get(file.institution)
    if pinned is None:
        raise Refused(f"the trust file has no key of {file.institution!r}", "institution")
    keys = keys_shown(pinned, file.rotations or (), file.institution, trust.operator)
    for signed in events:
        if signed.type == LossAgreement.TYPE:
            named = LossAgreement.parse(signed.body).rules
        elif signed.type == CloseOut.TYPE:
            named = CloseOut.parse(signed.body).rules.hash()
        elif signed.type == Segregation.TYPE:
            continue
        else:
            named = parse_signed(signed.to_json(), Sale)[1].rules.hash()
        if named != trust.waterfall:
            raise Refused("it is under other waterfall rules than those of the trust file", "rules")
    return trust.waterfall, keys, schedule


def _liquidated(file: DefaultFile, trust: TrustFile, keys: tuple[str, ...]) -> tuple[Default, tuple[str, ...]]:
    signed_answer, answer = parse_signed(file.answer, Answer)
    key = signer_among(signed_answer, keys)
    signed_answer.verify(frozenset({key}))
    signed, settlement = parse_signed(file.settlement, Settlement)
    signed.verify(frozenset({trust.operator}))
    if (settlement.kind, settlement.institution) != ("liquidation", file.institution):
        raise Refused("the settlement is no liquidation of this institution", "settlement")
    if settlement.answer != signed_answer.body_hash() or answer.outcome != "breach":
        raise Refused("the settlement is of another answer", "answer")
    check_settled(settlement, answer)
    return segregated(settlement, signed.body_hash()), keys[keys.index(key) :]


def _prices(file: DefaultFile, trust: TrustFile) -> tuple[dict[str, At], dict[str, Any]]:
    places, markets = dict[str, At](), dict[str, Any]()
    for shown in file.ticks:
        signed, tick = parse_signed(shown.tick, PriceTick)
        signed.verify(frozenset({trust.operator}))
        before = None
        if shown.last_market is not None:
            signed_before, before = parse_signed(shown.last_market, PriceTick)
            signed_before.verify(frozenset({trust.operator}))
        market = verify_tick(tick, trust.prices, before, trust.operator)
        if market is None:
            raise PricesRefused("a tick without a market prices no sale", "ticks")
        named, number = signed.body_hash(), market.sequence
        markets[named] = market
        places[named] = At(number, named, number, named, receipted=number)
    return places, markets


def _account(
    institution: str, identity: str, operator: str, default: Default, rules: str, closing: CloseOut | None
) -> Account:
    """Return the account just after its liquidation, as far as what follows depends on it."""
    share = None
    if closing is not None and closing.contribution:
        share = FundShare.model_construct(
            rules=rules, asset=closing.rules.cash, quantity=closing.contribution, number=0
        )
    public = PublicState.model_construct(
        institution=institution,
        identity=identity,
        operator=operator,
        terms="0" * 64,
        universes=(),
        status=AccountState.IN_DEFAULT,
        default=default,
        fund=share,
    )
    return Account(public=public, private=PrivateState())


def _with_free(account: Account, free: Mapping[str, int]) -> Account:
    """Return the account with what arrived; how it did is not shown, and more than arrived helps everybody else."""
    return updated(account, private=updated(account.private, free=dict(free)))


def _hash_of(events: list[SignedDocument], kind: str) -> str | None:
    return next((signed.body_hash() for signed in events if signed.type == kind), None)
