"""A run on a book of a model with slack, shared and opened by certificates: real deals and proofs."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from atomic_margin.circuits.profile import PROFILES
from atomic_margin.margin import Market, Portfolio
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.rows.active_pieces import certify
from atomic_margin.margin.rows.certificate import Certificate, CombinedRow, combined_row
from atomic_margin.margin.rows.slack_matrix import ExactMatrix, exact_surplus
from atomic_margin.service.protocol.account.opening_documents import Finding, SlackCertificate
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_claims import (
    OpeningGround,
    breach_statement,
    lack_statement,
    lacking,
    top_up_step,
)
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row
from atomic_margin.zk.sharing.statement import SharingStatement

from ...margin.books import book_of
from ...margin.settings import Setting
from ...margin.test_registry import read
from ..account.in_custody import policy
from ..account.names import named
from ..bodies import BODIES

LIMIT = 1 << 27
PROFILE = PROFILES["256x64x24"]


def record_of(terms: Terms, posted: Mapping[str, Any]) -> tuple[RunRecord, Submission]:
    """A run on a submission, of which only what an opening asks for is right."""
    submission = Submission.parse(BODIES[Submission])
    record = RunRecord.parse(BODIES[RunRecord])
    universe = terms.universe.hash()
    return record.changed({"universe": universe, "gross_limit": LIMIT, "posted": posted, "agreed": None}), submission


class SlackCase:
    """A generated book under a model, at a tick, as custodians find it."""

    def __init__(self, setting: Setting, group: Group, posted: Mapping[str, Any], seed: int, tick: int = 1) -> None:
        self.group = group
        self.terms = Terms(setting.model, [setting.universe], setting.schedule, PROFILE)
        market = Market.parse(read(f"market-{tick}.json"))
        lots = sample_books(setting.universe, market, 4, seed)[seed % 4]
        book: Portfolio = book_of(lots, setting.universe)
        record, submission = record_of(self.terms, posted)
        self.z = encode(book, setting.universe, self.terms.columns(record))
        values = tuple(int(value) for value in self.z)
        commitments, blindings = commit_values(values, bytes(32), {"institution": "fund"}, group)
        self.submission = submission.changed({"commitments": tuple(point.hex() for point in commitments)})
        matrices = self.terms.compile(market, posted, record)
        self.ground = OpeningGround(record, named("run"), self.submission, matrices, self.terms, market)
        self.policy: CustodyPolicy = policy()
        statement = SharingStatement(commitments, self.policy.threshold, self.policy.holders, {"book": "slack"})
        self.deal, shares = deal_shares(statement, SharingWitness(values, blindings), group)
        self.shares = {one.custodian: one for one in shares}

    def exact(self, kind: MarginKind) -> ExactMatrix:
        return self.ground.exact[kind]

    @cached_property
    def least(self) -> dict[MarginKind, int]:
        """What only the institution knows: the least exact row of each kind."""
        found: dict[MarginKind, int] = {}
        for kind, exact in self.ground.exact.items():
            rows = exact_surplus(exact, self.z, self.terms.model.least_slack(exact, self.z))
            found[kind] = int(rows[exact.margin_rows].min())
        return found

    def certificate(self, kind: MarginKind) -> Certificate:
        """Of the row that the active pieces make least."""
        exact = self.exact(kind)
        every = [certify(exact, self.z, int(row)) for row in exact.margin_rows]
        return min(every, key=lambda one: combined_row(exact, one).value(self.z) / one.scale)

    def opened(self, combined: CombinedRow, points: tuple[int, ...] = (2, 9)) -> RowOpening:
        """Open a combined row by shares of some custodians."""
        row = Row(self.deal, combined.weights, combined.offset)
        return open_row(row, [share_row(row, self.shares[point]) for point in points], self.group)

    def claim(self, outcome: str, ground: OpeningGround | None, **changes: Any) -> dict[str, Any]:
        record = (ground or self.ground).record
        return {
            "institution": record.institution,
            "operator": record.operator,
            "request": named("request"),
            "run_id": record.run_id,
            "run": self.ground.run_hash,
            "submission": record.submission,
            "price_sequence": str(record.price_sequence),
            "outcome": outcome,
            "top_up": "0",
            "top_up_usd": "0",
        } | changes

    def covered(self, ground: OpeningGround | None = None) -> Finding:
        return Finding.parse(self.claim("covered", ground))

    def breach(
        self,
        maintenance: Certificate | None = None,
        initial: Certificate | None = None,
        steps: int = 0,
        ground: OpeningGround | None = None,
    ) -> Finding:
        """What the closer finds, by default by the certificates that say most.

        Args:
            maintenance: in place of it.
            initial: likewise.
            steps: so many more than the row lacks.
            ground: that it is said of, by default the case's.
        """
        ground = ground or self.ground
        of_breach, of_lack = maintenance or self.certificate("maintenance"), initial or self.certificate("initial")
        rows = combined_row(self.exact("maintenance"), of_breach), combined_row(self.exact("initial"), of_lack)
        breached, lacked = (self.opened(row) for row in rows)
        step = top_up_step(self.ground)
        top_up = lacking(lacked.value, of_lack.scale, step) + steps * step
        body = self.claim(
            "breach",
            ground,
            initial_row=str(of_lack.row),
            maintenance_certificate=SlackCertificate.of(of_breach).canonical(),
            initial_certificate=SlackCertificate.of(of_lack).canonical(),
            top_up=str(top_up),
            top_up_usd=format(self.exact("initial").matrix.usd(top_up), "f"),
        )
        draft = Finding.parse(body | {"breach_proof": "00", "lack_proof": "00"})
        breach_proof = prove_opened_breach(breach_statement(draft, ground), 0, breached, self.group)
        lack_proof = prove_lack(lack_statement(draft, ground), lacked, self.group)
        return Finding.parse(body | {"breach_proof": breach_proof.hex(), "lack_proof": lack_proof.hex()})

    def without_market(self) -> OpeningGround:
        return replace(self.ground, market=None)
