"""Of models with slack: what of a run custodians compute with, and the certificates that its result stands for. Public.

Whoever opens such a book opens *combined rows* (`margin.rows.certificate`). The computation says which margin row is
the least and which validity rows certify it; from these everybody makes the same certificate, and of it the same row.
"""

from typing import NamedTuple

from atomic_margin.margin.errors import CombinedRowTooWide, MarginError, SlackNeedsSolver
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.rows.active_pieces import Tail, certificate_by, shape_of
from atomic_margin.margin.rows.certificate import Certificate, CombinedRow, combined_row
from atomic_margin.margin.rows.rounding import PROOF_SHIFT
from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid
from atomic_margin.service.custodian.engine.shapes import check_shapes
from atomic_margin.service.custodian.engine.slack import Shape
from atomic_margin.service.custodian.engine.task import MAX_SLACK_ROWS
from atomic_margin.service.custodian.errors import FindingRefused, SlackNotOpened
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.zk.statements.checks import MAX_ROW_BITS


class Shapes(NamedTuple):
    """What the slack of each kind of margin stands for."""

    maintenance: Shape
    initial: Shape


class Certificates(NamedTuple):
    """Of the two rows of a breach."""

    maintenance: Certificate
    initial: Certificate


def shapes_of(ground: OpeningGround) -> Shapes | None:
    """Return what the slack of a run stands for; None for a model without slack.

    Raises:
        SlackNotOpened: there are no exact rows at this tick, or the engine does not take them.
    """
    try:
        if not ground.exact:
            return None
        shapes = Shapes(shape_of(ground.exact["maintenance"]), shape_of(ground.exact["initial"]))
        counts = ground.matrix("maintenance").rows, ground.matrix("initial").rows
        if max(counts) > MAX_SLACK_ROWS:
            raise SlackNotOpened(f"{max(counts)} rows, and an opening takes {MAX_SLACK_ROWS}: the book stays frozen")
        check_shapes(shapes, counts)
    except (Refused, SlackNeedsSolver, EngineTaskInvalid) as error:
        raise SlackNotOpened(str(error)) from error
    for shape in shapes:
        # How much wider a tail makes its row is known before; of maxima it depends on the row.
        if isinstance(shape, Tail):
            _require_bits(ground, (shape.scale - 1).bit_length())
    return shapes


def certificates_of(shapes: Shapes | None, found: Found) -> Certificates | None:
    """Return the certificates of the rows that the computation named; None without slack, or without a breach.

    Raises:
        FindingRefused: what it named certifies nothing.
    """
    if shapes is None or not found.breach:
        return None
    named = (found.maintenance_row, found.maintenance_chosen), (found.initial_row, found.initial_chosen)
    made = []
    for shape, (row, chosen) in zip(shapes, named, strict=True):
        if row is None or chosen is None:
            raise FindingRefused("the computation named no rows, or not what certifies them")
        try:
            made.append(certificate_by(shape, row, chosen))
        except MarginError as error:
            raise FindingRefused(f"the computation named validity rows that certify nothing: {error}") from error
    return Certificates(*made)


def combined_of(ground: OpeningGround, kind: MarginKind, certificate: Certificate) -> CombinedRow:
    """Return the row that a certificate makes of the exact rows of a kind.

    Raises:
        SlackNotOpened: it is too wide to be proven.
        FindingRefused: the certificate certifies nothing.
    """
    try:
        combined = combined_row(ground.exact[kind], certificate)
    except CombinedRowTooWide as error:
        raise SlackNotOpened(str(error)) from error
    except MarginError as error:
        raise FindingRefused(f"the computation named rows that certify nothing: {error}") from error
    _require_bits(ground, combined.more_bits)
    return combined


def _require_bits(ground: OpeningGround, more: int) -> None:
    bits = ground.terms.profile.bits + PROOF_SHIFT + more
    if bits > MAX_ROW_BITS:
        raise SlackNotOpened(f"the combined row takes {bits} bits, and a proof {MAX_ROW_BITS}: the book stays frozen")
