"""What makes a proof count that no run asked for: coverage unasked, and releases of collateral.

Operator and verifier call the same functions. They raise a named error or return; none returns a bool. That a document
is about the account as it is now is for the account machine to say.
"""

from collections.abc import Mapping

from atomic_margin.margin.collateral import check_accepted, check_substitution
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.events import Coverage
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.proven import require_proven
from atomic_margin.service.protocol.release_rows import release_rows, release_statement
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import coverage_statement
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.verify.batch import Claim
from atomic_margin.zk.verify.queue import VerificationQueue


def verify_coverage(
    signed: SignedDocument,
    coverage: Coverage,
    *,
    submission: Submission,
    submission_hash: str,
    market: Market,
    terms: Terms,
    identity: str,
    group: Group,
    queue: VerificationQueue | None = None,
) -> None:
    """Check the proof of a book that is covered without a run. The submission must have been verified before.

    That book, tick and collateral are those of the account now is for the account machine to say.

    Args:
        signed: the document as received.
        coverage: its typed body.
        submission: the one that it names.
        submission_hash: of that document.
        market: prices of the tick that it names.
        terms: that the account is under.
        identity: the institution's registered public key.
        group: backend of the proofs.
        queue: verifies with whatever else waits, where there is one.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: about another submission or matrix, of a form that there is not, or a proof that does not hold;
            `.field` names which.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about this submission, and the rows that tick and collateral give.
    try:
        form = coverage.form or "conservative"
        rows = terms.proof_rows("maintenance", form, market, coverage.posted, submission, coverage.agreed)
    except MarginError as error:
        raise Refused(f"there are no such rows at this tick: {error}", "form") from error
    for name, wanted in (
        ("institution", submission.institution),
        ("operator", submission.operator),
        ("submission", submission_hash),
        ("matrix", rows.hash()),
    ):
        if getattr(coverage, name) != wanted:
            raise Refused(f"the proof is about another {name} than the account's book at this tick", name)
    # (3) None of them is negative for the committed portfolio.
    try:
        statement = coverage_statement(coverage, terms, submission, rows)
    except ProofError as error:
        raise Refused(str(error), "sufficiency_proof") from error
    claim = Claim(statement, bytes.fromhex(coverage.sufficiency_proof))
    require_proven({"sufficiency_proof": claim}, group, queue)


def verify_release(
    signed: SignedDocument,
    release: Release,
    *,
    submission: Submission | None,
    submission_hash: str | None,
    market: Market | None,
    terms: Terms,
    identity: str,
    group: Group,
    queue: VerificationQueue | None = None,
) -> None:
    """Check that collateral may leave a book: with what remains it has initial margin, or no less than before.

    That book, tick, entry and balances are those of the account now is for the account machine to say, and so is it
    that no book is in force where none is named. The submission must have been verified before.

    Args:
        signed: the document as received.
        release: its typed body.
        submission: the one that it names; None for none.
        submission_hash: of that document.
        market: prices of the tick that it names; None before there are any.
        terms: that the account is under.
        identity: the institution's registered public key.
        group: backend of the proofs.
        queue: verifies with whatever else waits, where there is one.

    Raises:
        SignatureInvalid: not signed by the institution.
        Refused: about another submission or other rows, a substitution that is worth less and comes without a proof, or
            a proof that does not hold; `.field` names which.
    """
    # (1) The institution signed it.
    signed.verify(frozenset({identity}))
    # (2) It is about this submission.
    if release.submission != submission_hash:
        raise Refused("it is about another submission than the account's book", "submission")
    if submission is None:
        return
    for name in ("institution", "operator"):
        if getattr(release, name) != getattr(submission, name):
            raise Refused(f"it is about another {name} than the account's book", name)
    if market is None:
        raise Refused("there are no prices at this tick", "price_sequence")
    try:
        for name in release.given or {}:
            check_accepted(terms.schedule, name, market.as_of)
    except MarginError as error:
        raise Refused(str(error), "given") from error
    # (3) Without a proof, what is given is worth at least what is taken, whatever the book.
    if release.sufficiency_proof is None:
        _check_worth(release, market, terms)
        return
    # (4) With one, none of the rows that tick and remaining collateral give is negative for the committed portfolio,
    #     nor would be without what the book has gained.
    try:
        form = release.form or "conservative"
        rows = release_rows(terms, form, market, release.remaining, submission, release.agreed)
    except MarginError as error:
        raise Refused(f"there are no such rows at this tick: {error}", "form") from error
    if release.matrix != rows.hash():
        raise Refused("the proof is about other rows than what remains gives at this tick", "matrix")
    try:
        statement = release_statement(release, terms, submission, rows)
    except ProofError as error:
        raise Refused(str(error), "sufficiency_proof") from error
    claim = Claim(statement, bytes.fromhex(release.sufficiency_proof))
    require_proven({"sufficiency_proof": claim}, group, queue)


def _check_worth(release: Release, market: Market, terms: Terms) -> None:
    given: Mapping[str, int] = release.given or {}
    try:
        check_substitution(release.taken, given, terms.schedule, terms.model.spot_moves, market, posted=release.posted)
    except MarginError as error:
        raise Refused(f"{error}; or prove initial margin with what remains", "given") from error
