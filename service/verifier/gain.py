"""What a bundle shows of how its submission came: that the account could take it, and that it gained what it says.

The operator signed the state of the account before the submission and the one after. The machine is run once more from
one to the other: it says which book the submission has to be compared with, at which prices, and how much it may have
gained by then. Book and prices go along, and the proof is checked. What the book before had gained itself, its own
bundle shows.
"""

from typing import Any

from atomic_margin.documents.strict import Part
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import Refused, UnknownUniverse
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import read_event
from atomic_margin.service.protocol.account.identities import keys_of, signer_among
from atomic_margin.service.protocol.account.state import Account, PrivateState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.revisions import check_lineage
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Gain, Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import verify_committed, verify_gain
from atomic_margin.service.verifier.history import History, opened
from atomic_margin.zk.groups import Group

JsonObject = dict[str, Any]


class GainParts(Part):
    """What a submission's gain is counted from.

    Attributes:
        before: signed submission of the book that it is compared with; absent for none.
        universe: of that book, where it is another than the run's.
        tick: signed, whose prices count; absent before there is one.
        last_market: signed: the last tick before that had a market; absent if the tick names none.
    """

    before: JsonObject | None = None
    universe: JsonObject | None = None
    tick: JsonObject | None = None
    last_market: JsonObject | None = None


def check_gain(
    parts: GainParts,
    history: History,
    signed: SignedDocument,
    trust: TrustFile,
    terms: Terms,
    revisions: tuple[JsonObject, ...] | None,
    group: Group,
) -> None:
    """Make sure that a submission was legal when it came, and gained at most as much as it says.

    Args:
        parts: what it is compared with.
        history: entries of the account.
        signed: the submission, whose other proofs hold.
        trust: the verifier's anchors.
        terms: of the run.
        revisions: of the universe, signed.
        group: backend of the proofs.

    Raises:
        SignatureInvalid, Refused, IllegalTransition, DocumentError, MarginError: it does not follow.
    """
    _, submission = parse_signed(signed, Submission)
    keys = check_entered(history, signed, trust.operator)
    terms, before = _compared(parts, submission, keys, terms, revisions or (), trust.operator, group)
    market = _priced(parts, submission.gain, trust)
    verify_gain(submission, before, market, terms, group)


def check_entered(history: History, signed: SignedDocument, operator: str) -> tuple[str, ...]:
    """Run the machine from the state before a submission to the one after; return the keys that the account had.

    Args:
        history: entries of the account.
        signed: the submission.
        operator: public key of the operator.

    Raises:
        SignatureInvalid, Refused, IllegalTransition, DocumentError: it does not follow.
    """
    shown = history.submitted
    public, before = opened(shown.before, operator, "submitted.before")
    after, entry = opened(shown.entered, operator, "submitted.entered")
    recorded = Entry.parse(SignedDocument.parse(history.recorded.entry).body)
    if {before.account, entry.account} != {recorded.account} or entry.number >= recorded.number:
        raise Refused("the submission came to another account than the run's, or after the run", "submitted.entered")
    follows = (entry.number, entry.previous) == (
        before.number + 1,
        SignedDocument.parse(shown.before.entry).body_hash(),
    )
    if not follows or entry.document != salted_hash(shown.salt, signed.canonical()):
        raise Refused("the entry of the submission does not follow the one that is shown before it", "submitted")
    event = read_event(signed)
    # No private part is shown, and no submission touches it.
    made = machine.apply(Account(public=public, private=PrivateState()), event, entry.at).public
    if (made, event.kind, made.allowances) != (after, entry.kind, history.recorded.public.allowances):
        raise Refused("the account after the submission is another than follows", "submitted.entered")
    return keys_of(public)


def _compared(
    parts: GainParts,
    submission: Submission,
    keys: tuple[str, ...],
    terms: Terms,
    revisions: tuple[JsonObject, ...],
    operator: str,
    group: Group,
) -> tuple[Terms, Submission | None]:
    """Return the book that a submission is compared with, and terms that know its universe."""
    named = submission.gain.before
    if parts.before is None or named is None:
        if (parts.before is None, parts.universe) != (named is None, None):
            raise Refused("the book before goes along where the gain names one, and nowhere else", "gain.before")
        return terms, None
    signed, before = parse_signed(parts.before, Submission)
    if signed.body_hash() != named:
        raise Refused("its gain is compared with another book", "gain.before")
    if (parts.universe is None) != (before.universe == submission.universe):
        raise Refused("a universe goes along where that of the book before is another", "gain.universe")
    if parts.universe is not None:
        universe = Universe.parse(parts.universe)
        _check_revised(universe.hash(), submission.universe, revisions, operator)
        terms = Terms(terms.model, [universe, *terms.universes], terms.schedule, terms.profile)
    verify_committed(signed, before, terms, signer_among(signed, keys), group)
    return terms, before


def _check_revised(one: str, other: str, revisions: tuple[JsonObject, ...], operator: str) -> None:
    """Make sure that revisions lead from one of two universes to the other. Until its end a book may go back."""
    try:
        check_lineage(one, other, revisions, operator)
    except UnknownUniverse:
        check_lineage(other, one, revisions, operator)


def _priced(parts: GainParts, gain: Gain, trust: TrustFile) -> Market | None:
    """Return the prices that a gain is counted by, as enough trusted sources signed them; None before there are any."""
    if parts.tick is None or gain.price_sequence == 0:
        if parts.tick is not None or parts.last_market is not None or gain.price_sequence != 0:
            raise Refused("prices go along where there are some, and nowhere else", "gain.tick")
        return None
    signed, tick = parse_signed(parts.tick, PriceTick)
    signed.verify(frozenset({trust.operator}))
    if (signed.body_hash(), tick.sequence) != (gain.tick, gain.price_sequence):
        raise Refused("its gain is counted by the prices of another tick", "gain.tick")
    last = None
    if parts.last_market is not None:
        signed_last, last = parse_signed(parts.last_market, PriceTick)
        signed_last.verify(frozenset({trust.operator}))
    return verify_tick(tick, trust.prices, last, trust.operator)
