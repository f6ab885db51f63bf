"""A run of the story whose book is shared among custodians, and opened by their shares: real deals, real proofs."""

from typing import Any

from atomic_margin.service.protocol.account.opening_documents import Finding, Opened, OpeningVerdict, finding_hash
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import Dealing, sharing_statement
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_claims import OpeningGround, breach_statement, lack_statement, top_up_step
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row

from ..account.in_custody import CUSTODIANS, policy
from ..account.names import named
from ..cases import Case
from ..documents import FUND
from ..stages import Stages

H = "1a" * 32
AT = "2026-11-29T12:00:00Z"


class SharedCase:
    """A run of the story, its book dealt to four custodians, any two of whom open it."""

    def __init__(self, case: Case, stages: Stages, group: Group, operator: Identity) -> None:
        self.case, self.group = case, group
        self.operator = operator
        self.policy: CustodyPolicy = policy()
        self.record = RunRecord.parse(case.run.body)
        self.submission = Submission.parse(case.submission.body)
        self.ground = OpeningGround(self.record, case.run.body_hash(), self.submission, case.matrices, case.terms)
        self.sent = stages.funds[FUND].sent[self.submission.sequence]
        dealing = Dealing.parse(
            {
                "institution": self.submission.institution,
                "operator": self.submission.operator,
                "policy": self.policy.hash(),
                "sequence": str(self.submission.sequence),
                "book": commitments_hash(self.submission),
                "commitments": list(self.submission.commitments),
                "deal": H,
                "boxes": [],
            }
        )
        statement = sharing_statement(dealing, self.policy)
        self.deal, shares = deal_shares(statement, SharingWitness(self.sent.values, self.sent.blindings), group)
        self.shares = {one.custodian: one for one in shares}

    def surpluses(self, kind: str) -> list[int]:
        """What only the institution knows: all rows."""
        matrix = self.case.matrices.of(kind, "proof")  # type: ignore[arg-type]
        values = self.sent.values
        return [
            sum(int(weight) * value for weight, value in zip(row, values, strict=True)) + int(offset)
            for row, offset in zip(matrix.weights, matrix.collateral, strict=True)
        ]

    def least(self, kind: str) -> int:
        rows = self.surpluses(kind)
        return rows.index(min(rows))

    def opened_row(self, kind: str, row: int, points: tuple[int, ...] = (2, 9)) -> RowOpening:
        """Open a row by the shares of some custodians."""
        matrix = self.case.matrices.of(kind, "proof")  # type: ignore[arg-type]
        of = Row(self.deal, tuple(int(weight) for weight in matrix.weights[row]), int(matrix.collateral[row]))
        return open_row(of, [share_row(of, self.shares[point]) for point in points], self.group)

    def claim(self, outcome: str, **changes: Any) -> dict[str, Any]:
        said = {
            "institution": self.record.institution,
            "operator": self.record.operator,
            "request": named("request"),
            "run_id": self.record.run_id,
            "run": self.case.run.body_hash(),
            "submission": self.record.submission,
            "price_sequence": str(self.record.price_sequence),
            "outcome": outcome,
            "top_up": "0",
            "top_up_usd": "0",
        }
        return said | changes

    def covered(self, **changes: Any) -> Finding:
        return Finding.parse(self.claim("covered", **changes))

    def breach(self, row: int | None = None, initial: int | None = None, steps: int = 0, **changes: Any) -> Finding:
        """What the closer finds: by default the least rows, and what the initial one lacks.

        Args:
            row: of the maintenance matrix.
            initial: of the initial matrix.
            steps: so many more than the row lacks.
            changes: what is proven, and said, otherwise.
        """
        row = self.least("maintenance") if row is None else row
        initial = self.least("initial") if initial is None else initial
        opening, step = self.opened_row("initial", initial), top_up_step(self.ground)
        top_up = (-(opening.value // step) + steps) * step
        matrix = self.case.matrices.initial_proof
        said = {
            "initial_row": str(initial),
            "top_up": str(top_up),
            "top_up_usd": format(matrix.usd(top_up), "f"),
        }
        body = self.claim("breach", **(said | changes))
        draft = Finding.parse(body | {"breach_proof": "00", "lack_proof": "00"})
        breach_proof = prove_opened_breach(
            breach_statement(draft, self.ground), row, self.opened_row("maintenance", row), self.group
        )
        lack_proof = prove_lack(lack_statement(draft, self.ground), opening, self.group)
        return Finding.parse(body | {"breach_proof": breach_proof.hex(), "lack_proof": lack_proof.hex()})

    def opened(self, finding: Finding, points: tuple[int, ...] = (2, 9), **changes: Any) -> SignedDocument:
        said = finding.canonical()
        assert isinstance(said, dict)
        body = {
            **said,
            "verdicts": [verdict(finding, point).to_json() for point in points],
            "opened_at": AT,
        }
        return Opened.parse(body | changes).signed_by(self.operator)


def verdict(about: Finding, signer: int, **changes: Any) -> SignedDocument:
    body = {
        "institution": about.institution,
        "operator": about.operator,
        "request": about.request,
        "finding": finding_hash(about),
        "point": str(signer),
        "custodian": CUSTODIANS[signer].public_key,
    }
    return OpeningVerdict.parse(body | changes).signed_by(CUSTODIANS[signer])
