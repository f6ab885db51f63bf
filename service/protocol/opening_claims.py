"""What custodians found of a book, as statements with the bytes that are to prove them. Pure.

The closer proves these statements, every custodian verifies them before it signs (`verify_finding`), and operator,
agent and verifier do before anything follows (`verification.verify_opened`).

Of models without slack the proofs are about rows of the run's proof matrices. Conservative rows of models with slack
are not enough to take collateral. There a finding has a certificate for each of its two rows, and the proofs are about
what everyone combines from the exact rows by it (`margin.rows.certificate`): a negative combined row is negative
whatever the slack. One of scale m is in units of 1/m, so it lacks m X where the row lacks X, in steps of m s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.certificate import CombinedRow, combined_row
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices
from atomic_margin.margin.rows.slack_matrix import ExactMatrix
from atomic_margin.margin.rows.top_up import step_units
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.opening_documents import Finding, OpenedClaim, OpeningVerdict, finding_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.proven import require_proven
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.checks import MAX_ROW_BITS
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.verify.batch import Claim
from atomic_margin.zk.verify.queue import VerificationQueue


@dataclass(frozen=True)
class OpeningGround:
    """What a finding is held against; all of it is verified before.

    Attributes:
        record: of the run that is owed.
        run_hash: of the signed record.
        submission: the book that the run is on.
        matrices: what the run's tick and collateral give.
        terms: that the account is under.
        market: prices of the run's tick, where books of models with slack are opened; without them they are refused.
    """

    record: RunRecord
    run_hash: str
    submission: Submission
    matrices: RunMatrices
    terms: Terms
    market: Market | None = None

    @cached_property
    def exact(self) -> Mapping[MarginKind, ExactMatrix]:
        """The exact matrices of the run, of a model with slack; none of others.

        Raises:
            Refused: there are none at this tick.
        """
        if not self.terms.has_exact:
            return {}
        if self.market is None:
            raise Refused(
                "the model has rows with slack, and its conservative rows are not enough to take collateral: its books "
                "are not opened here, and stay frozen",
                "outcome",
            )
        record, found = self.record, dict[MarginKind, ExactMatrix]()
        try:
            for kind in KINDS:
                rows = self.terms.proof_rows(kind, "exact", self.market, record.posted, record, record.agreed)
                if rows.exact is not None:
                    found[kind] = rows.exact
        except MarginError as error:
            raise Refused(f"there are no exact rows at this tick: {error}; the book stays frozen", "outcome") from error
        return found

    def matrix(self, kind: MarginKind) -> MarginMatrix:
        """Return A and c that a finding is about: of the exact rows, where there are any.

        Raises:
            Refused: see `exact`.
        """
        exact = self.exact.get(kind)
        return self.matrices.of(kind, "proof") if exact is None else exact.matrix

    def combined(self, kind: MarginKind, claim: OpenedClaim) -> CombinedRow | None:
        """Return what a claim's certificate makes of the exact rows; None for a model without slack.

        Raises:
            Refused: it has no certificate and has to, or has one for nothing, or one that says nothing.
        """
        name = f"{kind}_certificate"
        given, exact = getattr(claim, name), self.exact.get(kind)
        if (given is None) != (exact is None):
            wanted = "no certificate where a model has no slack" if exact is None else "a certificate for its slack"
            raise Refused(f"the finding must have {wanted}", name)
        if given is None or exact is None:
            return None
        try:
            return combined_row(exact, given.certificate)
        except MarginError as error:
            raise Refused(str(error), name) from error

    def row_hash(self, kind: MarginKind) -> str:
        """Return the hash of the matrix that proofs are bound to, with its slack."""
        exact = self.exact.get(kind)
        return self.matrix(kind).hash() if exact is None else exact.hash()


def breach_statement(claim: OpenedClaim, ground: OpeningGround) -> BreachStatement:
    """Return what the breach proof must show: a negative row of the maintenance proof matrix, or the combined one.

    Raises:
        Refused: the certificate is not what it has to be.
        StatementError: more rows, or bits, than a proof takes.
    """
    matrix, combined = ground.matrix("maintenance"), ground.combined("maintenance", claim)
    bits = ground.terms.profile.bits + PROOF_SHIFT
    weights, offsets = matrix.weights, tuple(int(value) for value in matrix.collateral)
    if combined is not None:
        weights, offsets = np.array([combined.weights], dtype=np.int64), (combined.offset,)
        bits += combined.more_bits
        if bits > MAX_ROW_BITS:
            raise Refused(
                f"the combined row takes {bits} bits, and a proof {MAX_ROW_BITS}: the book stays frozen",
                "maintenance_certificate",
            )
    return BreachStatement(
        commitments=_commitments(ground),
        weights=weights,
        offsets=offsets,
        bits=bits,
        context=claim.proof_context(ground.row_hash("maintenance")),
    )


def lack_statement(claim: OpenedClaim, ground: OpeningGround) -> LackStatement:
    """Return what the lack proof must show: the top-up is what the named initial row lacks, rounded up to the step.

    Raises:
        Refused: the claim names no initial row, or one that there is not, or the certificate is not what it has to be.
        StatementError: a top-up that no proof is about.
    """
    matrix, row = ground.matrix("initial"), claim.initial_row
    if row is None or row >= len(matrix.weights):
        raise Refused(f"the initial matrix has {len(matrix.weights)} rows, and the top-up is of none", "initial_row")
    combined = ground.combined("initial", claim)
    weights, offset, scale = matrix.weights[row], int(matrix.collateral[row]), 1
    if combined is not None:
        weights, offset, scale = np.array(combined.weights, dtype=np.int64), combined.offset, combined.scale
    return LackStatement(
        commitments=_commitments(ground),
        weights=weights,
        offset=offset,
        top_up=scale * claim.top_up,
        step=scale * top_up_step(ground),
        context=claim.proof_context(ground.row_hash("initial")),
    )


def top_up_step(ground: OpeningGround) -> int:
    """Return the step of top-ups, in units of the initial rows that a finding is about.

    Raises:
        Refused: see `OpeningGround.exact`.
    """
    record, exponent = ground.record, ground.matrix("initial").unit_exponent
    return step_units(exponent, ground.terms.call_step(record.agreed, record), record.gross_limit)


def lacking(value: int, scale: int, step: int) -> int:
    """Return X for an initial row that is negative, in units: the least multiple of the step that it lacks no more.

    Args:
        value: of the row, or of a combined one of this scale.
        scale: 1 for a row as it is.
        step: of top-ups, in units.

    >>> lacking(-801, 1, 800), lacking(-801, 3, 800), lacking(-2400, 3, 800)
    (1600, 800, 800)
    """
    return -(value // (scale * step)) * step


def finding_claims(finding: Finding, ground: OpeningGround) -> Mapping[str, Claim]:
    """Return what the proofs of a finding have to show, by the field that has the proof; none where it is covered.

    Raises:
        Refused: it is about another run, its top-up is off the step, or no proof can show it; `.field` names which.
    """
    record = ground.record
    for name, wanted in (
        ("institution", record.institution),
        ("operator", record.operator),
        ("run_id", record.run_id),
        ("run", ground.run_hash),
        ("submission", record.submission),
        ("price_sequence", record.price_sequence),
    ):
        if getattr(finding, name) != wanted:
            raise Refused(f"the finding is about another {name} than the run's", name)
    # Of a model with slack nothing is found without its exact rows.
    matrix = ground.matrix("initial")
    if finding.outcome == "covered":
        return {}
    step = top_up_step(ground)
    if finding.top_up % step:
        raise Refused(f"the top-up must be a positive multiple of {step} units, got {finding.top_up}", "top_up")
    usd = format(matrix.usd(finding.top_up), "f")
    if finding.top_up_usd != usd:
        raise Refused(f"{finding.top_up} units are {usd} USD, not {finding.top_up_usd}", "top_up_usd")
    try:
        claims = {
            "breach_proof": Claim(breach_statement(finding, ground), bytes.fromhex(finding.breach_proof or "")),
            "lack_proof": Claim(lack_statement(finding, ground), bytes.fromhex(finding.lack_proof or "")),
        }
    except ProofError as error:
        raise Refused(str(error), "top_up") from error
    return claims


def verify_finding(
    finding: Finding, ground: OpeningGround, group: Group, queue: VerificationQueue | None = None
) -> None:
    """Check a finding before it is signed, and once more before anything follows. The submission was verified before.

    That a covered one is right, no proof says: whoever signs it has it from the computation.

    Raises:
        Refused: it is about something else, or a proof does not hold; `.field` names which.
    """
    claims = finding_claims(finding, ground)
    if claims:
        require_proven(claims, group, queue)


def check_verdicts(verdicts: tuple[dict[str, object], ...], finding: Finding, policy: CustodyPolicy) -> tuple[int, ...]:
    """Check that as many custodians signed a finding as have the book together; return their points.

    Raises:
        SignatureInvalid: one is not signed by the custodian at its point.
        Refused: too few, one twice, or one about another finding.
        MalformedRequest, DocumentError: one is no verdict.
    """
    named, points = finding_hash(finding), list[int]()
    for index, value in enumerate(verdicts):
        path = f"verdicts[{index}]"
        signed, verdict = parse_signed(value, OpeningVerdict)
        keys = policy.by_point.get(verdict.point)
        if keys is None:
            raise Refused(f"the policy has no custodian at point {verdict.point}", path)
        signed.verify(frozenset({keys.identity}))
        for name, wanted in (
            ("institution", finding.institution),
            ("operator", finding.operator),
            ("request", finding.request),
            ("finding", named),
            ("custodian", keys.identity),
        ):
            if getattr(verdict, name) != wanted:
                raise Refused(f"a verdict is about another {name} than the finding's", path)
        if verdict.point in points:
            raise Refused(f"the custodian at point {verdict.point} signed twice: it counts once", path)
        points.append(verdict.point)
    if len(points) < policy.threshold:
        raise Refused(f"{len(points)} custodians signed the finding, and it takes {policy.threshold}", "verdicts")
    return tuple(points)


def _commitments(ground: OpeningGround) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(point) for point in ground.submission.commitments)
