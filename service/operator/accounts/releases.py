"""Let posted collateral come back: releases with their proof, and substitutions, each one event and one transaction."""

from atomic_margin.margin.collateral import check_accepted, check_holdings
from atomic_margin.service.operator.accounts.collateral import prices_as_of
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, Tick
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.releases import moves_of
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.returns import check_return
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.unasked import verify_release


def take_release(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Verify a release or a substitution, enter and book it; return the signed entry. The same again gets the same one.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing has moved.
    """
    account = operator.account(institution)
    signed, release = parse_signed(document, Release)
    signed.verify(frozenset({account.identity}))
    with operator.store.reading() as session:
        row = session.get_one(Account, institution)
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        # Whatever is not about this moment is refused before it is verified, and once more when it is entered.
        agreement = entries.check(session, row, signed).public.agreement
        stored = None if release.submission is None else operator.parsed.submission(session, release.submission)
        tick = session.get_one(Tick, release.price_sequence) if release.price_sequence else None
    as_of = prices_as_of(operator)
    for asset, quantity in (release.given or {}).items():
        check_holdings(operator.terms.schedule, {asset: quantity})
        check_accepted(operator.terms.schedule, asset, as_of)
    for asset in sorted({*release.taken, *(release.given or {})}):
        # What is given for something else is posted before that comes back.
        adding = asset in (release.given or {})
        operator.rail.require_backed(institution, asset, release.remaining.get(asset, 0), adding)
    market = None if tick is None else operator.compiled_ticks.of(tick).market
    check_return(release, agreement, operator.terms, market)
    verify_release(
        signed,
        release,
        submission=None if stored is None else stored.submission,
        submission_hash=None if stored is None else stored.sha256,
        market=market,
        terms=operator.terms,
        identity=account.identity,
        group=operator.group,
        queue=operator.proofs,
    )
    moves = [
        ledger.Move(asset, quantity, f"{institution}/{source}", f"{institution}/{target}")
        for asset, quantity, source, target in moves_of(release)
    ]
    kind = "release" if release.given is None else "substitution"
    with operator.store.unit_of_work() as session:
        row = session.get_one(Account, institution)
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            # The same document came twice at once.
            return SignedDocument.parse(earlier.entry)
        entry = entries.enter(session, operator.book, row, signed)
        ledger.book(session, f"instruction/{institution}/{release.sequence}", kind, moves)
    return entry
