"""A run of the story with its answer, ready to be changed and verified again."""

from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.verification import (
    VerifiedBreach,
    VerifiedCoverage,
    verify_answer,
    verify_submission,
)
from atomic_margin.zk.groups import Group

from .documents import FUND
from .stages import Stages

H = "1a" * 32
Verified = VerifiedCoverage | VerifiedBreach


class Case:
    """A run of the story with its answer, ready to be changed and verified again."""

    def __init__(self, stages: Stages, terms: Terms, group: Group, name: str) -> None:
        bundle = stages.bundles[name]["body"]
        self.fund = stages.funds[FUND].identity
        self.terms, self.group = terms, group
        self.run = SignedDocument.parse(bundle["run"])
        self.submission = SignedDocument.parse(bundle["submission"])
        self.answer = SignedDocument.parse(bundle["answer"])
        self.market = Market.parse(bundle["tick"]["body"]["market"])
        self.matrices = terms.matrices_of(RunRecord.parse(self.run.body), self.market)
        self.keys = stages.funds[FUND].pair
        self.flag_words = bytes.fromhex(bundle["flag_words"]) if "flag_words" in bundle else None

    def verify_answer(self, signed: SignedDocument, **other: Any) -> Verified:
        arguments: dict[str, Any] = {
            "record": RunRecord.parse(self.run.body),
            "run_hash": self.run.body_hash(),
            "submission": Submission.parse(self.submission.body),
            "market": self.market,
            "matrices": self.matrices,
            "terms": self.terms,
            "identity": self.fund.public_key,
            "keys": self.keys,
            "flag_words": self.flag_words,
            "group": self.group,
            **other,
        }
        return verify_answer(signed, Answer.parse(signed.body), **arguments)

    def answered(self, **changes: Any) -> SignedDocument:
        """Return the answer with other fields, signed by the institution; None leaves a field out."""
        body = {name: value for name, value in {**self.answer.body, **changes}.items() if value is not None}
        return self.fund.sign("answer", body)

    def submitted(self, **changes: Any) -> SignedDocument:
        return self.fund.sign("submission", {**self.submission.body, **changes})

    def verify_submission(self, signed: SignedDocument) -> None:
        submission = Submission.parse(signed.body)
        verify_submission(signed, submission, self.terms, self.fund.public_key, self.keys, self.group)


def other_hex(text: str, at: int = -1) -> str:
    at %= len(text)
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
