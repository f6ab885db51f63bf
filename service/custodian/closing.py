"""From the indexes that were computed to a finding that others sign. Touches secrets: shares and values of two rows.

Each custodian sends its shares of the least maintenance row and of the least initial row to the closer, signed, in a
box that the closer alone opens. Who carries boxes can make one: only signed shares count as somebody's. The closer
checks every share against the deal, so a wrong one is named, and goes on with t that fit. It proves the breach and what
the initial row lacks. No value of a row leaves it. Of a model with slack the two rows are the combined ones, which
everybody makes from what was computed (`custodian.slack`).

    rows    share of the maintenance row | share of the initial row (`zk.sharing.rows`) | signature, 64 bytes
    signed  info | newline | canonical JSON: what was computed | newline | both shares
    info    canonical JSON: format, operator, institution, request, session, deal, from, to
"""

from collections.abc import Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.rows.certificate import Certificate
from atomic_margin.service.custodian.errors import FindingRefused, NotProven, RowShareWrong, RowsMissing, RowsUnsigned
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.slack import certificates_of, combined_of
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.errors import RequestError, SignatureInvalid
from atomic_margin.service.protocol.account.opening_documents import (
    Finding,
    OpenedClaim,
    OpeningVerdict,
    SlackCertificate,
    finding_hash,
)
from atomic_margin.service.protocol.opening_claims import (
    breach_statement,
    lack_statement,
    lacking,
    top_up_step,
    verify_finding,
)
from atomic_margin.service.protocol.share_boxes import SUITE, read_encryption_key
from atomic_margin.service.protocol.signing import Identity, SignedDocument, verify_row_shares
from atomic_margin.zk.errors import OtherDeal, ProofError, SharesInvalid, SharingEncodingError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.messages import shares_bytes
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row, RowShare, check_row_share

FORMAT = "atomic-margin/row-box/2"
SHARE_BYTES, SIGNATURE_BYTES = shares_bytes(1), 64


class Rows(NamedTuple):
    """The least row of each kind; of a model with slack what its certificate makes of it."""

    maintenance: Row
    initial: Row


class Sent(NamedTuple):
    """One custodian's shares of both."""

    maintenance: RowShare
    initial: RowShare


class Opened(NamedTuple):
    """Both rows, opened by the closer; neither value is in the ``repr``."""

    maintenance: RowOpening
    initial: RowOpening

    @property
    def not_negative(self) -> MarginKind | None:
        """The kind of a row that is 0 or more, so that nothing is breached by it, or lacks nothing; None for none."""
        if self.maintenance.value >= 0:
            return "maintenance"
        return "initial" if self.initial.value >= 0 else None


def rows_of(judged: Judged, found: Found) -> Rows:
    """Return the rows that a breach is proven by.

    Raises:
        FindingRefused: the computation named none, or rows that there are not, or that certify nothing.
        SlackNotOpened: a combined row is too wide to be proven.
    """
    if found.maintenance_row is None or found.initial_row is None:
        raise FindingRefused("the computation named no rows")
    certificates = certificates_of(judged.shapes, found)
    if certificates is not None:
        combined = (
            combined_of(judged.ground, "maintenance", certificates.maintenance),
            combined_of(judged.ground, "initial", certificates.initial),
        )
        return Rows(*(Row(judged.taken.deal, one.weights, one.offset) for one in combined))
    try:
        return Rows(judged.row("maintenance", found.maintenance_row), judged.row("initial", found.initial_row))
    except IndexError:
        raise FindingRefused("the computation named rows that there are not") from None


def own_shares(judged: Judged, rows: Rows) -> Sent:
    """Return this custodian's shares of both rows."""
    shares = judged.taken.shares
    return Sent(share_row(rows.maintenance, shares), share_row(rows.initial, shares))


def seal_rows(judged: Judged, found: Found, sent: Sent, session: int, closer: int, identity: Identity) -> bytes:
    """Return the box of a custodian's shares of the rows, signed by it, for the closer.

    Raises:
        EncryptionKeyRefused: nothing can be encrypted to the closer's key.
    """
    data = sent.maintenance.to_bytes() + sent.initial.to_bytes()
    key = read_encryption_key(judged.policy.by_point[closer].encryption_key)
    info = _info(judged, session, sent.initial.custodian, closer)
    return SUITE.encrypt(data + identity.sign_row_shares(_signed(info, found, data)), key, info=info)


def open_rows(
    judged: Judged,
    found: Found,
    rows: Rows,
    box: bytes,
    session: int,
    point: int,
    closer: int,
    key: X25519PrivateKey,
    group: Group,
) -> Sent:
    """Return another custodian's shares of the rows, which fit the deal.

    Args:
        judged: the opening.
        found: what was computed.
        rows: both.
        box: as the operator carried it.
        session: that it is of.
        point: who sent it.
        closer: this custodian's point.
        key: its own.
        group: backend.

    Raises:
        RowsUnsigned: it does not open, or that custodian did not sign it for these rows in this session: it may be
            from whoever carried it, and nobody is to blame.
        RowShareWrong: the custodian signed what are no such shares, or do not fit; `.point` is whose.
    """
    info = _info(judged, session, point, closer)
    try:
        opened = SUITE.decrypt(box, key, info=info)
        data, signature = opened[:-SIGNATURE_BYTES], opened[-SIGNATURE_BYTES:]
        verify_row_shares(judged.policy.by_point[point].identity, _signed(info, found, data), signature)
    except (InvalidTag, SignatureInvalid) as error:
        raise RowsUnsigned(
            f"a box in the name of the custodian at point {point} "
            f"{'does not open' if isinstance(error, InvalidTag) else 'is not signed by it for these rows'} in this "
            "session: whoever carried it may have made it"
        ) from None
    try:
        if len(data) != 2 * SHARE_BYTES:
            raise SharingEncodingError(f"two shares of rows are {2 * SHARE_BYTES} bytes, got {len(data)}")
        deal = judged.taken.deal
        sent = Sent(RowShare.from_bytes(data[:SHARE_BYTES], deal), RowShare.from_bytes(data[SHARE_BYTES:], deal))
        for row, share in zip(rows, sent, strict=True):
            check_row_share(row, row.points(group), share, point, group)
    except (SharingEncodingError, OtherDeal, SharesInvalid) as error:
        raise RowShareWrong(point, f"the custodian at point {point} sent no share of the row: {error}") from error
    return sent


def open_both(judged: Judged, found: Found, sent: Mapping[int, Sent], group: Group) -> Opened:
    """Return value and blinding of both rows, which the closer must not publish.

    Args:
        judged: the opening.
        found: what was computed.
        sent: shares of the rows that fit, by point, its own among them.
        group: backend.

    Raises:
        RowsMissing: of fewer custodians than have the book together.
        NotProven: they do not make the rows.
    """
    if len(sent) < judged.policy.threshold:
        raise RowsMissing(f"{len(sent)} custodians sent shares of the rows, and it takes {judged.policy.threshold}")
    rows = rows_of(judged, found)
    try:
        return Opened(
            open_row(rows.maintenance, [one.maintenance for one in sent.values()], group),
            open_row(rows.initial, [one.initial for one in sent.values()], group),
        )
    except ProofError as error:
        raise NotProven(f"the shares do not make the rows: {error}") from error


def prove(judged: Judged, found: Found, opened: Opened, group: Group) -> Finding:
    """Return the finding of a breach, by the closer.

    Args:
        judged: the opening.
        found: what was computed.
        opened: its two rows.
        group: backend.

    Raises:
        NotProven: the rows are not what the computation said of them.
    """
    # A combined row is the only one of its statement.
    index = found.maintenance_row if judged.shapes is None and found.maintenance_row is not None else 0
    if opened.not_negative is not None:
        raise NotProven("a row that the computation named is not negative: a custodian deviated")
    try:
        claim = _claim(judged, found, opened.initial)
        breach = breach_statement(claim, judged.ground)
        return Finding.parse(
            {
                **_said(claim),
                "breach_proof": prove_opened_breach(breach, index, opened.maintenance, group).hex(),
                "lack_proof": prove_lack(lack_statement(claim, judged.ground), opened.initial, group).hex(),
            }
        )
    except ProofError as error:
        raise NotProven(f"what the rows say cannot be proven: {error}") from error


def covered(judged: Judged) -> Finding:
    """Return the finding that no maintenance row is negative; every custodian makes the same."""
    return Finding.parse(_said(_claim(judged, Found(False), None)))


def check_finding(judged: Judged, found: Found, finding: Finding, group: Group) -> None:
    """Make sure that what the closer brought is what was computed here too, and holds.

    So are its certificates: others that hold are sound, and may say less.

    Raises:
        FindingRefused: it is not, or a proof does not hold.
    """
    if finding.request != judged.request:
        raise FindingRefused("the finding is about another request")
    outcome = "breach" if found.breach else "covered"
    if (finding.outcome, finding.initial_row) != (outcome, found.initial_row):
        raise FindingRefused(
            f"the finding says {finding.outcome} by initial row {finding.initial_row}, and here {outcome} by "
            f"{found.initial_row} was computed"
        )
    brought = _certificate(finding.maintenance_certificate), _certificate(finding.initial_certificate)
    if brought != (certificates_of(judged.shapes, found) or (None, None)):
        raise FindingRefused("the finding has other certificates than what was computed here stands for")
    try:
        verify_finding(finding, judged.ground, group)
    except RequestError as error:
        raise FindingRefused(f"the finding does not hold: {error}") from error


def verdict_about(judged: Judged, finding: Finding, identity: Identity) -> SignedDocument:
    """Return a verdict of one custodian about a finding, which it checked."""
    return OpeningVerdict.parse(
        {
            "institution": judged.body.institution,
            "operator": judged.body.operator,
            "request": judged.request,
            "finding": finding_hash(finding),
            "point": str(judged.taken.shares.custodian),
            "custodian": identity.public_key,
        }
    ).signed_by(identity)


def _claim(judged: Judged, found: Found, initial: RowOpening | None) -> OpenedClaim:
    record, body, units, usd = judged.ground.record, judged.body, 0, "0"
    certificates = certificates_of(judged.shapes, found)
    if initial is not None:
        scale = 1 if certificates is None else certificates.initial.scale
        units = lacking(initial.value, scale, top_up_step(judged.ground))
        usd = format(judged.matrix("initial").usd(units), "f")
    said: dict[str, object] = {
        "institution": record.institution,
        "operator": record.operator,
        "request": judged.request,
        "run_id": record.run_id,
        "run": body.run,
        "submission": record.submission,
        "price_sequence": str(record.price_sequence),
        "outcome": "breach" if found.breach else "covered",
        "top_up": str(units),
        "top_up_usd": usd,
    }
    if found.initial_row is not None:
        said["initial_row"] = str(found.initial_row)
    if certificates is not None:
        said["maintenance_certificate"] = SlackCertificate.of(certificates.maintenance).canonical()
        said["initial_certificate"] = SlackCertificate.of(certificates.initial).canonical()
    return OpenedClaim.parse(said)


def _certificate(given: SlackCertificate | None) -> Certificate | None:
    return None if given is None else given.certificate


def _said(claim: OpenedClaim) -> dict[str, object]:
    said = claim.canonical()
    if not isinstance(said, dict):
        raise TypeError("a claim is a JSON object")
    return dict(said)


def _signed(info: bytes, found: Found, data: bytes) -> bytes:
    computed = {
        name: "none" if value is None else [str(one) for one in (value if isinstance(value, tuple) else (value,))]
        for name, value in found._asdict().items()
        if name != "breach"
    }
    return b"\n".join((info, canonical_bytes(computed), data))


def _info(judged: Judged, session: int, sender: int, closer: int) -> bytes:
    return canonical_bytes(
        {
            "format": FORMAT,
            "operator": judged.body.operator,
            "institution": judged.body.institution,
            "request": judged.request,
            "session": str(session),
            "deal": judged.body.deal,
            "from": str(sender),
            "to": str(closer),
        }
    )
