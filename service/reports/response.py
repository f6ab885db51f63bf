"""The institution's response to a run: covered, so that there is no call, or a breach, agreed in full.

There is no partial agreement: the amount is the institution's own proven one, and a settlement moves all of it.
"""

from typing import Literal

from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Identifier, ListOf
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.reports.call import recorded_step, step_of
from atomic_margin.service.reports.errors import NothingToReport
from atomic_margin.service.reports.facts import AccountFacts
from atomic_margin.service.reports.page import NUMBERS, VALUED, Page, party_facts, refs_table, spaced, table, usd
from atomic_margin.service.reports.parts import (
    PricesOf,
    Ref,
    Report,
    Usd,
    Valued,
    YesNo,
    as_object,
    prices_of,
    ref_of,
    valued_of,
    whose,
)
from atomic_margin.service.reports.prices import Prices


class CallResponse(Report):
    """Format ``atomic-margin/report-response/1``.

    Attributes:
        terms: hash of the account's terms.
        run_id: name of the run.
        run: hash of its record.
        prices: the tick of the run.
        outcome: `covered`, or `breach`.
        agreed_usd: 0 where it is covered, else all that was called.
        form: of the proof, `exact` where it is by rows with slack; absent otherwise.
        answer: hash of the answer.
        answered: the entry that has it.
        submission: hash of the book that it is about.
        overdue: whether the time to answer was declared over before.
        posted: collateral that the run counted, at its prices.
    """

    TAG = "report-response"
    format: Literal["atomic-margin/report-response/1"]
    terms: Hash
    run_id: Identifier
    run: Hash
    prices: PricesOf
    outcome: Literal["covered", "breach"]
    agreed_usd: Usd
    form: Literal["exact"] | None = None
    answer: Hash
    answered: Ref
    submission: Hash
    overdue: YesNo
    posted: ListOf[Valued]


def call_response(facts: AccountFacts, prices: Prices, run_id: str) -> CallResponse:
    """Return the response to a run.

    Raises:
        NothingToReport: there is no such run, or it was not answered.
        PricesMissing, HistoryUnusable: the run's tick is not given, or tick or schedule is another one.
    """
    recorded = recorded_step(facts, run_id)
    answered = step_of(facts, run_id, EventKind.COVERED, EventKind.BREACH_PROVEN)
    if answered is None and step_of(facts, run_id, EventKind.OPENED_COVERED, EventKind.OPENED_IN_BREACH) is not None:
        raise NothingToReport(f"run {run_id} was opened by custodians, and not answered; `report call` has the amount")
    if answered is None:
        raise NothingToReport(f"run {run_id} was not answered; `report call` says what is asked")
    record, answer = recorded.body, answered.body
    prices.require_schedule(record["schedule"])
    market = prices.market(int(record["price_sequence"]), record["tick"])
    overdue = step_of(facts, run_id, EventKind.ANSWER_OVERDUE, EventKind.PROOF_OVERDUE)
    said = {
        "format": "atomic-margin/report-response/1",
        **whose(facts),
        "terms": recorded.public.terms,
        "run_id": run_id,
        "run": recorded.document_hash,
        "prices": prices_of(prices, int(record["price_sequence"]), record["tick"], market),
        "outcome": answer["outcome"],
        "agreed_usd": answer["top_up_usd"],
        "answer": answered.document_hash,
        "answered": ref_of(answered),
        "submission": answer["submission"],
        "overdue": "no" if overdue is None or overdue.entry.number > answered.entry.number else "yes",
        "posted": valued_of(prices, market, "posted", {name: int(held) for name, held in record["posted"].items()}),
    }
    return CallResponse.parse(said | ({"form": answer["form"]} if "form" in answer else {}))


def page(report: CallResponse) -> Page:
    """Return the response as it is shown."""
    said = as_object(report)
    outcome = "covered: no call" if report.outcome == "covered" else "breach: agreed in full"
    facts = (
        *party_facts(said),
        ("Run", said["run_id"]),
        ("Run record", said["run"]),
        ("Prices", f"tick {said['prices']['sequence']}, as of {said['prices']['as_of']}"),
        ("Collateral schedule", said["prices"]["schedule"]),
        ("Response", outcome),
        ("Amount agreed", usd(said["agreed_usd"])),
        ("Answer", said["answer"]),
        ("Book", said["submission"]),
        ("After the time was over", said["overdue"]),
    )
    tables = (
        table("Posted collateral that the run counted", VALUED, spaced(said["posted"]), NUMBERS),
        refs_table([said["answered"]]),
    )
    return Page("Margin call response", f"{said['institution']}, run {said['run_id']}", facts, tables)
