"""The notice of a margin call: that a run has to be answered, and, once a breach is proven, for how much.

The operator learns the amount from the institution's proof and not before: nobody sees a position. A notice of a run
that is not answered says what is asked and until when, and no amount. A run that was proven covered is no call.
"""

from typing import Literal

from atomic_margin.documents.fields import Hash, Time, instant_text
from atomic_margin.documents.strict import Identifier, ListOf, instant
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.reports.errors import NothingToReport
from atomic_margin.service.reports.facts import AccountFacts, Step
from atomic_margin.service.reports.page import NUMBERS, VALUED, Page, party_facts, refs_table, spaced, table, usd
from atomic_margin.service.reports.parts import (
    JsonObject,
    PricesOf,
    Ref,
    Report,
    Usd,
    Valued,
    YesNo,
    as_object,
    counted,
    prices_of,
    ref_of,
    valued_of,
    whose,
)
from atomic_margin.service.reports.prices import Prices

Status = Literal["answer due", "overdue", "proven", "void"]


class CallNotice(Report):
    """Format ``atomic-margin/report-call/1``.

    Attributes:
        terms: hash of the account's terms.
        run_id: name of the run.
        run: hash of its record.
        recorded: the entry that has it.
        evaluated: whether the flag was evaluated in encrypted form; without it coverage alone can be answered.
        deadline: until when the institution answers.
        prices: the tick of the run.
        status: `answer due`; `overdue`; `proven`, a breach; `void`, nothing is owed on it.
        proven: the entry of the breach, once there is one.
        answer: hash of that answer.
        amount_usd: what has to be added so that initial margin holds; absent while nobody knows it.
        agreement: hash of the collateral agreement that the account was under; absent where there is none.
        settles_by: until when that agreement wants a proven call settled, by the entry of its proof. The service
            settles in the moment of that proof: the time is for what has to be delivered from elsewhere.
        posted: collateral that the run counts, at its prices.
        counted_usd: what that is worth after tiers and haircut, in no scenario.
    """

    TAG = "report-call"
    format: Literal["atomic-margin/report-call/1"]
    terms: Hash
    run_id: Identifier
    run: Hash
    recorded: Ref
    evaluated: YesNo
    deadline: Time
    prices: PricesOf
    status: Status
    proven: Ref | None = None
    answer: Hash | None = None
    amount_usd: Usd | None = None
    agreement: Hash | None = None
    settles_by: Time | None = None
    posted: ListOf[Valued]
    counted_usd: Usd


def recorded_step(facts: AccountFacts, run_id: str) -> Step:
    """Return the step with a run's record.

    Raises:
        NothingToReport: there is no such run, or it was not recorded.
    """
    for step in facts.about_run(run_id):
        if step.entry.kind is EventKind.RUN_RECORDED:
            return step
    raise NothingToReport(f"run {run_id} has no record yet: nothing is asked of {facts.institution} so far")


def step_of(facts: AccountFacts, run_id: str, *kinds: EventKind) -> Step | None:
    """Return the last step of some kinds about a run, if there is one."""
    found = [step for step in facts.about_run(run_id) if step.entry.kind in kinds]
    return found[-1] if found else None


def call_notice(facts: AccountFacts, prices: Prices, run_id: str) -> CallNotice:
    """Return the notice about a run.

    Raises:
        NothingToReport: there is no such run, or it was proven covered.
        PricesMissing, HistoryUnusable: the run's tick is not given, or tick or schedule is another one.
    """
    recorded = recorded_step(facts, run_id)
    if step_of(facts, run_id, EventKind.COVERED, EventKind.OPENED_COVERED) is not None:
        raise NothingToReport(
            f"run {run_id} was proven or found covered: there is no margin call; ask for its response"
        )
    record = recorded.body
    prices.require_schedule(record["schedule"])
    market = prices.market(int(record["price_sequence"]), record["tick"])
    posted = {asset: int(quantity) for asset, quantity in record["posted"].items()}
    said: JsonObject = {
        "format": "atomic-margin/report-call/1",
        **whose(facts),
        "terms": recorded.public.terms,
        "run_id": run_id,
        "run": recorded.document_hash,
        "recorded": ref_of(recorded),
        "evaluated": "yes" if "outputs" in record else "no",
        "deadline": record["deadline"],
        "prices": prices_of(prices, int(record["price_sequence"]), record["tick"], market),
        "status": "answer due",
        "posted": valued_of(prices, market, "posted", posted),
        "counted_usd": counted(prices, market, posted),
    }
    if recorded.public.agreement is not None:
        said["agreement"] = recorded.public.agreement.agreement
    proven = step_of(facts, run_id, EventKind.BREACH_PROVEN, EventKind.OPENED_IN_BREACH)
    if proven is not None:
        amount = proven.body["top_up_usd"]
        said |= {"status": "proven", "proven": ref_of(proven), "answer": proven.document_hash, "amount_usd": amount}
        agreement = agreement_of(facts, recorded)
        if agreement is not None:
            said["settles_by"] = instant_text(agreement.settles_by(instant(proven.entry.entered_at)))
    elif step_of(facts, run_id, EventKind.RUN_VOID) is not None:
        said["status"] = "void"
    elif step_of(facts, run_id, EventKind.ANSWER_OVERDUE, EventKind.PROOF_OVERDUE) is not None:
        said["status"] = "overdue"
    return CallNotice.parse(said)


def agreement_of(facts: AccountFacts, step: Step) -> CollateralAgreement | None:
    """Return the collateral agreement that an account was under at a step, if its document is shown."""
    named = step.public.agreement
    for earlier in facts.steps:
        document = earlier.body.get("agreement")
        if named is not None and isinstance(document, dict):
            agreement = CollateralAgreement.parse(document)
            if agreement.hash() == named.agreement:
                return agreement
    return None


def page(report: CallNotice) -> Page:
    """Return the notice as it is shown."""
    said = as_object(report)
    facts = (
        *party_facts(said),
        ("Run", said["run_id"]),
        ("Run record", said["run"]),
        ("Prices", f"tick {said['prices']['sequence']}, as of {said['prices']['as_of']}"),
        ("Collateral schedule", said["prices"]["schedule"]),
        ("Answer until", said["deadline"]),
        ("Status", said["status"]),
        ("Amount called", usd(said.get("amount_usd"))),
        *([("To be settled by", said["settles_by"])] if "settles_by" in said else []),
        ("Posted, after haircut", usd(said["counted_usd"])),
    )
    refs = [said["recorded"], *([said["proven"]] if "proven" in said else [])]
    tables = (
        table("Posted collateral that the run counts", VALUED, spaced(said["posted"]), NUMBERS),
        refs_table(refs),
    )
    return Page("Margin call notice", f"{said['institution']}, run {said['run_id']}", facts, tables, NOTES)


NOTES = (
    "The amount is what the institution's own proof restores initial margin with; the operator has seen no position "
    "and cannot state one before. Values after haircut are at the prices above, in no scenario.",
)
