"""The proofs of a stored answer, as the contract takes them."""

from typing import NamedTuple

from atomic_margin.contracts.calldata import Checked, expected, proof_calldata, statement_calldata
from atomic_margin.contracts.errors import CalldataError
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement.chain.errors import NotCarriable
from atomic_margin.service.operator.store.tables import AnswerRow, Run, Tick
from atomic_margin.service.protocol.answer_claims import AnswerGround, answer_claims
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement


class Proven(NamedTuple):
    """What an answer proved of a breach.

    Attributes:
        record: of the run.
        breach, top_up: both statements.
        breach_proof, top_up_proof: their proofs, as in the answer.
    """

    record: RunRecord
    breach: BreachStatement
    breach_proof: bytes
    top_up: SufficiencyStatement
    top_up_proof: bytes

    def said(self) -> tuple[Checked, Checked]:
        """Return what the contract says of both proofs.

        Raises:
            NotCarriable: it does not verify such statements.
        """
        try:
            return expected(self.breach), expected(self.top_up)
        except CalldataError as error:
            raise NotCarriable(str(error)) from error

    def calldata(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return statement and proof of the breach, then of the top-up.

        Raises:
            NotCarriable: the contract does not verify such statements.
        """
        self.said()
        return (
            statement_calldata(self.breach),
            proof_calldata(self.breach, self.breach_proof),
            statement_calldata(self.top_up),
            proof_calldata(self.top_up, self.top_up_proof),
        )


def proven(operator: Operator, run_id: str) -> Proven:
    """Return what the stored answer of a run with a verified breach proved."""
    with operator.store.reading() as session:
        run = session.get_one(Run, run_id)
        answer_row = session.get_one(AnswerRow, run_id)
        signed_run = SignedDocument.parse(run.record)
        record = RunRecord.parse(signed_run.body)
        submission = operator.parsed.submission(session, record.submission).submission
        kept = operator.compiled_ticks.kept(record.price_sequence)
        tick = kept or operator.compiled_ticks.of(session.get_one(Tick, record.price_sequence))
    keys = operator.key_pair(operator.enrolled_keys(run.institution, submission.evaluation_keys))
    _, answer = parse_signed(answer_row.document, Answer)
    ground = AnswerGround(
        record,
        signed_run.body_hash(),
        submission,
        tick.market,
        tick.matrices(record.posted, record, record.agreed),
        operator.terms,
        keys,
        run.breach_output,
    )
    claims = answer_claims(answer, ground)
    breach, top_up = claims["breach_proof"], claims["sufficiency_proof"]
    if not isinstance(breach.statement, BreachStatement) or not isinstance(top_up.statement, SufficiencyStatement):
        raise TypeError(f"the claims of {run_id} are of other kinds")
    return Proven(record, breach.statement, breach.proof, top_up.statement, top_up.proof)
