"""Findings that a custodian which deviated invented, made void by a proof. Touches secrets: an opened row.

Who opened a row that the computation named and sees that it is not negative proves just that, of the institution's own
commitments. Each custodian verifies it against its own matrices and what it found itself. The proof is a lack proof
(ADR 0093): for a row v of b bits and w = -v - 1, a row as any other,

    0 <= w + 2^b < 2^b    if and only if    0 <= v < 2^b

Of a model with slack the row is the combined one. If that is not negative, its certificate shows no breach.
"""

import numpy as np

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.service.custodian.closing import Opened
from atomic_margin.service.custodian.computing import row_bits
from atomic_margin.service.custodian.errors import FindingRefused, NotProven, SlackNotOpened, VoidRefused
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.slack import certificates_of, combined_of
from atomic_margin.service.custodian.stored import Found, Kept
from atomic_margin.service.protocol.account.opening_documents import SlackCertificate
from atomic_margin.service.protocol.custodian_messages import OpeningSession
from atomic_margin.service.protocol.opening_voids import OpeningVoid, VoidClaim
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.sharing.open_row import RowOpening
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.verify.lack import verify_lack

MAX_VOIDS = 2
"""Of one run, at one custodian. Each shows two more rows to a closer; one that deviates among four, of whom three
compute, is in two sessions with each of the others."""


def prove_void(judged: Judged, found: Found, opened: Opened, session: OpeningSession, group: Group) -> OpeningVoid:
    """Return the proof that a row of a finding is not negative, by who opened it in a session.

    Args:
        judged: the opening.
        found: what was computed of the run.
        opened: its two rows, of which one is not negative.
        session: in which they were opened.
        group: backend.

    Raises:
        NotProven: no row is 0 or more, or no proof takes it.
    """
    kind = opened.not_negative
    if kind is None:
        raise NotProven("both rows are negative: the finding stands, and is proven")
    body, row = judged.body, _row(found, kind)
    claim = VoidClaim.parse(
        {
            "institution": body.institution,
            "operator": body.operator,
            "request": judged.request,
            "run": body.run,
            "submission": body.submission,
            "session": str(session.number),
            "closer": str(judged.taken.shares.custodian),
            "kind": kind,
            "row": str(row),
        }
    )
    value: RowOpening = getattr(opened, kind)
    try:
        statement = _statement(judged, found, claim)
        proof = prove_lack(statement, RowOpening(-value.value - 1, -value.blinding), group)
    except (ProofError, FindingRefused, SlackNotOpened) as error:
        raise NotProven(f"that a row is not negative cannot be proven: {error}") from error
    said = claim.canonical()
    if not isinstance(said, dict):
        raise TypeError("a claim is a JSON object")
    return OpeningVoid.parse({**said, "proof": proof.hex()})


def check_void(judged: Judged, kept: Kept | None, said: object, session: OpeningSession, group: Group) -> OpeningVoid:
    """Return what makes void what this custodian found of a run; that it does is proven.

    Args:
        judged: the opening.
        kept: what was found here of the run, if anything was.
        said: parsed JSON, from the operator.
        session: the present one.
        group: backend.

    Raises:
        VoidRefused: it is about something else than was found here, or the proof does not hold.
    """
    try:
        void = OpeningVoid.parse(said)
    except DocumentsError as error:
        raise VoidRefused(f"what should make a finding void is of no such form: {error}") from error
    body = judged.body
    for name, wanted in (
        ("institution", body.institution),
        ("operator", body.operator),
        ("request", judged.request),
        ("run", body.run),
        ("submission", body.submission),
    ):
        if getattr(void, name) != wanted:
            raise VoidRefused(f"it is about another {name} than this opening's")
    if kept is None:
        raise VoidRefused("nothing is found here of this run that could be void")
    found = kept.found
    if not found.breach:
        raise VoidRefused("what is found here is that the book is covered: no row makes that void")
    if void.row != _row(found, void.kind):
        raise VoidRefused(f"it is about {void.kind} row {void.row}, which was not found here")
    # Of an earlier request any session of this one is later.
    first = kept.session if kept.request == judged.request else 1
    if not first <= void.session <= session.number:
        raise VoidRefused(f"it is of session {void.session}, and this was found in session {first}")
    if void.session == session.number and all(one.point != void.closer for one in session.present):
        raise VoidRefused(f"the custodian at point {void.closer} does not compute in session {session.number}")
    try:
        verify_lack(_statement(judged, found, void), bytes.fromhex(void.proof), group)
    except (ProofError, FindingRefused, SlackNotOpened) as error:
        raise VoidRefused(f"the proof that the row is not negative does not hold: {error}") from error
    return void


def _row(found: Found, kind: MarginKind) -> int | None:
    return found.maintenance_row if kind == "maintenance" else found.initial_row


def _statement(judged: Judged, found: Found, claim: VoidClaim) -> LackStatement:
    """Return what the proof has to show.

    Raises:
        FindingRefused: there is no such row, or what was found certifies nothing.
        SlackNotOpened: the combined row is too wide.
        StatementError: so is the row, for this proof.
    """
    certificates, bits, named = certificates_of(judged.shapes, found), row_bits(judged.ground.terms.profile) - 1, "none"
    if certificates is None:
        matrix = judged.matrix(claim.kind)
        if claim.row >= len(matrix.weights):
            raise FindingRefused("the computation named a row that there is not")
        weights, offset = matrix.weights[claim.row], int(matrix.collateral[claim.row])
    else:
        certificate = certificates.maintenance if claim.kind == "maintenance" else certificates.initial
        combined = combined_of(judged.ground, claim.kind, certificate)
        weights, offset = np.array(combined.weights, dtype=np.int64), combined.offset
        bits += combined.more_bits
        named = canonical_hash("slack-certificate", SlackCertificate.of(certificate).canonical())
    return LackStatement(
        commitments=judged.taken.deal.statement.commitments,
        weights=-weights,
        offset=-offset - 1,
        top_up=1 << bits,
        step=1 << bits,
        context=claim.proof_context(judged.ground.row_hash(claim.kind), named),
    )
