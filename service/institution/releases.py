"""Have posted collateral back: releases, substitutions, and how much of it is more than initial margin needs.

Institution only. What is found here is private: of the excess the operator sees what is released, and that is rounded
down to a step. A proof is made at the newest tick and about the account's last entry, so it is sent at once; one that
came too late is not sent again, and whoever still wants it asks anew.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from atomic_margin.margin.collateral import check_holdings, check_substitution, select_return, select_transfer
from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.errors import InsufficientFreeCollateral, MarginError, TransferTooSmall
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.service.errors import AgentRefused, Refused
from atomic_margin.service.institution.gains import Priced, newest_prices
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.institution.sufficient import Position
from atomic_margin.service.protocol.account.agreements import agreed_in_force, require_cooled_down, require_eligible
from atomic_margin.service.protocol.account.release_documents import Release, ReleaseClaim
from atomic_margin.service.protocol.account.releases import remaining_of, require_release_allowed
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.agent_messages import Excess, Released
from atomic_margin.service.protocol.release_rows import ReleaseRows, release_statement
from atomic_margin.service.protocol.returns import check_return, is_returned, leaving
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness

STEP = 1000
"""USD; what may be released is rounded down to a multiple of it, so that it tells no more of the excess."""


@dataclass(frozen=True)
class Opened:
    """The book in force as the directory opens it."""

    own: OwnSubmission
    submission: Submission
    z: Integers
    agreed: Agreed | None


@dataclass(frozen=True)
class Left:
    """Initial rows of one form with some collateral, and what they leave of the book.

    Attributes:
        rows: of the release.
        slack: values of the rows' own slack.
        gained: u.
        least: the least margin row less u, in units.
    """

    rows: ReleaseRows
    slack: Integers
    gained: int
    least: int

    @property
    def usd(self) -> Fraction:
        """The same in USD."""
        return self.least * Fraction(2) ** self.rows.rows.matrix.unit_exponent


def make(party: Party, state: Account, taken: Mapping[str, int], given: Mapping[str, int] | None) -> SignedDocument:
    """Return a release, or with `given` a substitution, signed and not sent.

    Of a substitution by collateral that is worth no less in any row there is no proof.

    Args:
        party: whose collateral.
        state: its account, followed to the last entry.
        taken: what becomes free, smallest units by asset.
        given: what is posted for it; None for a release.

    Raises:
        AgentRefused: the book has no initial margin with what remains, more is taken than is posted, or less than the
            account's agreement returns at once.
        IllegalTransition: nothing may be released now, or not for less in its place; the message says when.
        DocumentError, MarginError: the schedule does not have an asset.
        RemoteError: the operator does not answer.
    """
    public, priced = state.public, newest_prices(party)
    at = _at(party, priced)
    require_release_allowed(state, at, substitutes=given is not None)
    for held in (taken, given or {}):
        check_holdings(party.terms.schedule, held)
    _require_held("posted", public.posted, taken)
    _require_held("free", state.private.free, given or {})
    remaining = remaining_of(public.posted, taken, given or {})
    opened = _opened(party, state)
    said: dict[str, object] = {
        "institution": public.institution,
        "operator": public.operator,
        "sequence": str(public.instructions + 1),
        "entry": party.history.head,
        "price_sequence": str(priced.number),
        "tick": priced.hash,
        "posted": _text(public.posted),
        "taken": _text(taken),
        "remaining": _text(remaining),
    }
    require_eligible(public, given or {})
    agreed = agreed_in_force(public)
    said |= {} if given is None else {"given": _text(given)}
    said |= {} if agreed is None else {"agreed": agreed.canonical()}
    try:
        check_return(ReleaseClaim.parse(said), public.agreement, party.terms, priced.market)
    except Refused as error:
        raise AgentRefused(f"{error}; `atomic-margin institution excess` shows how much may leave") from error
    if opened is None:
        return Release.parse(said).signed_by(party.identity)
    said |= {"submission": opened.own.sha256}
    market = _market(priced)
    if given is not None and _is_worth(party, market, public.posted, taken, given):
        return Release.parse(said).signed_by(party.identity)
    require_cooled_down(public, at)
    left = next((one for one in _left(party, market, remaining, opened) if one.least >= 0), None)
    if left is None:
        raise AgentRefused(
            "the book has no initial margin with what remains at this tick, gains counted as zero: release less; "
            "`atomic-margin institution excess` shows how much may leave"
        )
    party.stage("proving initial margin")
    form = left.rows.rows.form
    claim = ReleaseClaim.parse(said | {"matrix": left.rows.hash()} | ({} if form == "conservative" else {"form": form}))
    statement = release_statement(claim, party.terms, opened.submission, left.rows)
    values = tuple(int(value) for value in opened.z)
    blindings = tuple(int(value) for value in opened.own.blindings)
    slack = (*(int(value) for value in left.slack), left.gained)
    proof = prove_sufficiency(statement, SufficiencyWitness(values, blindings, slack))
    return claim.proven(Release, sufficiency_proof=proof).signed_by(party.identity)


def released(signed: SignedDocument) -> Released:
    """Return what is said of a release that was sent."""
    body = Release.parse(signed.body)
    return Released(
        document=signed.body_hash(),
        taken=_text(body.taken),
        given=_text(body.given or {}),
        remaining=_text(body.remaining),
        proven=body.sufficiency_proof is not None,
    )


def excess(party: Party, state: Account, step: int = STEP) -> Excess:
    """Return what is posted beyond initial margin, and what to have back of it, or what is missing and what to deliver.

    Cheapest to deliver, both ways: what would be delivered last comes back first. Under an agreement what comes back is
    rounded down to its rounding too, and is nothing where it is worth less than its minimum return.

    Args:
        party: whose collateral.
        state: its account, followed to the last entry.
        step: whole USD; what may be released is rounded down to a multiple of it.

    Raises:
        AgentRefused: no book is in force that this directory can open, or there are no prices.
        MarginError: the prices do not value book or collateral.
        RemoteError: the operator does not answer.
    """
    public, priced = state.public, newest_prices(party)
    opened, agreement = _opened(party, state), public.agreement
    minimum = "0" if agreement is None else format(agreement.minimum_return_amount, "f")
    nothing = Excess(price_sequence=priced.number, usd="0", back={}, minimum_usd=minimum, short_usd="0", deliver={})
    if opened is None:
        return nothing.model_copy(update={"back": _text(public.posted)})
    market, terms = _market(priced), party.terms
    best = max(_left(party, market, public.posted, opened), key=lambda left: left.usd).usd
    if best < 0:
        short = math.ceil(-best)
        return nothing.model_copy(
            update={"short_usd": str(short), "deliver": _text(_cheapest(party, state, market, Decimal(short)))}
        )
    coarse = Decimal(step) if agreement is None else max(Decimal(step), agreement.agreed.rounding)
    amount = math.floor(best / Fraction(coarse)) * coarse
    # What moves in scenarios is chosen by where it is worth most; now it may be worth less than the minimum return.
    steady = {asset: posted for asset, posted in public.posted.items() if not _moves(party, asset)}
    while amount > 0:
        for held in (public.posted, steady):
            back = select_return(amount, held, terms.schedule, terms.model.spot_moves, market)
            remaining = remaining_of(public.posted, back, {})
            if not any(left.least >= 0 for left in _left(party, market, remaining, opened)):
                # Rows are rounded anew for what remains; a step is far more than that takes.
                break
            if back and is_returned(leaving(public.posted, remaining, terms, market), remaining, agreement):
                return nothing.model_copy(update={"usd": format(amount, "f"), "back": _text(back)})
        else:
            return nothing
        amount -= coarse
    return nothing


def _moves(party: Party, asset: str) -> bool:
    return party.terms.schedule.by_id[asset].risk_underlying is not None


def _cheapest(party: Party, state: Account, market: Market, short: Decimal) -> Mapping[str, int]:
    """Return what is cheapest to deliver of what is free, nothing where it does not reach.

    Of an account under an agreement what its agreement takes, and what does not end before such a call is settled.
    """
    schedule, public, free = party.terms.schedule, state.public, state.private.free
    if public.agreement is not None:
        eligible = public.agreement.eligible
        free = {asset: units for asset, units in free.items() if eligible is None or asset in eligible}
        for pinned in (party.settings.trust.agreements or {}).get(public.institution, ()):
            if pinned.hash() == public.agreement.agreement:
                free = pinned.deliverable(schedule, market.as_of, free)
    try:
        return select_transfer(short, free, schedule, party.terms.model.spot_moves, market, posted=public.posted)
    except InsufficientFreeCollateral:
        return {}


def _left(party: Party, market: Market, posted: Mapping[str, int], opened: Opened) -> Iterator[Left]:
    """Yield what each form of initial rows leaves with some collateral, rows with slack first."""
    terms, submission, agreed = party.terms, opened.submission, opened.agreed
    matrices = terms.compile(market, posted, submission, agreed, "release")
    weights = gains(submission, terms, market)
    for shown in Position(terms, market, posted, submission, matrices, opened.z, agreed).rows("initial"):
        rows = ReleaseRows.of(shown.rows, weights)
        gained = rows.gained(opened.z)
        yield Left(rows, shown.slack, gained, shown.least - gained)


def _opened(party: Party, state: Account) -> Opened | None:
    book = state.public.book
    if book is None:
        return None
    own = party.store.submission(book.submission)
    if own is None:
        raise AgentRefused("the book in force is one that this directory cannot open; restore its newest backup")
    submission = Submission.parse(own.document["body"])
    z = party.terms.encode(Portfolio.parse(own.portfolio), submission)
    return Opened(own, submission, z, agreed_in_force(state.public))


def _at(party: Party, priced: Priced) -> At:
    """Return where an event stands as far as the agent knows: what is receipted for the next tick it does not."""
    return At(priced.number, priced.hash, priced.number, priced.hash, party.history.head, priced.number)


def _market(priced: Priced) -> Market:
    if priced.market is None:
        raise AgentRefused("there are no prices yet at which initial margin could be proven")
    return priced.market


def _is_worth(
    party: Party, market: Market, posted: Mapping[str, int], taken: Mapping[str, int], given: Mapping[str, int]
) -> bool:
    try:
        check_substitution(taken, given, party.terms.schedule, party.terms.model.spot_moves, market, posted=posted)
    except TransferTooSmall:
        return False
    except MarginError as error:
        raise AgentRefused(f"what is given cannot be compared with what is taken: {error}") from error
    return True


def _require_held(place: str, held: Mapping[str, int], moved: Mapping[str, int]) -> None:
    for asset, quantity in moved.items():
        if quantity > held.get(asset, 0):
            raise AgentRefused(f"{held.get(asset, 0)} units of {asset} are {place}, and {quantity} are to leave there")


def _text(held: Mapping[str, int]) -> dict[str, str]:
    return {asset: str(quantity) for asset, quantity in sorted(held.items()) if quantity}
