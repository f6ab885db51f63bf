"""What custodians found of a book, as statements with the bytes that are to prove them. Pure.

The closer proves these statements, every custodian verifies them before it signs (`verify_finding`), and operator,
agent and verifier do before anything follows (`verification.verify_opened`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices
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
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.verify.batch import Claim
from atomic_margin.zk.verify.queue import VerificationQueue


class OpeningGround(NamedTuple):
    """What a finding is held against; all of it is verified before.

    Attributes:
        record: of the run that is owed.
        run_hash: of the signed record.
        submission: the book that the run is on.
        matrices: what the run's tick and collateral give.
        terms: that the account is under.
    """

    record: RunRecord
    run_hash: str
    submission: Submission
    matrices: RunMatrices
    terms: Terms


def breach_statement(claim: OpenedClaim, ground: OpeningGround) -> BreachStatement:
    """Return what the breach proof must show: a negative row of the maintenance proof matrix.

    Raises:
        StatementError: more rows than a proof takes.
    """
    matrix = ground.matrices.maintenance_proof
    return BreachStatement(
        commitments=_commitments(ground),
        weights=matrix.weights,
        offsets=tuple(int(value) for value in matrix.collateral),
        bits=ground.terms.profile.bits + PROOF_SHIFT,
        context=claim.proof_context(matrix.hash()),
    )


def lack_statement(claim: OpenedClaim, ground: OpeningGround) -> LackStatement:
    """Return what the lack proof must show: the top-up is what the named initial row lacks, rounded up to the step.

    Raises:
        Refused: the claim names no initial row, or one that there is not.
        StatementError: a top-up that no proof is about.
    """
    matrix, row = ground.matrices.initial_proof, claim.initial_row
    if row is None or row >= len(matrix.weights):
        raise Refused(f"the initial matrix has {len(matrix.weights)} rows, and the top-up is of none", "initial_row")
    return LackStatement(
        commitments=_commitments(ground),
        weights=matrix.weights[row],
        offset=int(matrix.collateral[row]),
        top_up=claim.top_up,
        step=top_up_step(ground),
        context=claim.proof_context(matrix.hash()),
    )


def top_up_step(ground: OpeningGround) -> int:
    """Return the step of top-ups, in units of the initial proof matrix."""
    record, exponent = ground.record, ground.matrices.initial_proof.unit_exponent
    return step_units(exponent, ground.terms.call_step(record.agreed, record), record.gross_limit)


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
    if ground.terms.has_exact:
        raise Refused(
            "the model has rows with slack, and its conservative rows are not enough to take collateral: its books "
            "are not opened yet, and stay frozen",
            "outcome",
        )
    if finding.outcome == "covered":
        return {}
    step, matrix = top_up_step(ground), ground.matrices.initial_proof
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
