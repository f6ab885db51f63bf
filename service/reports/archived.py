"""The reports that an examiner's archive has: made when it is written, and made again when it is checked.

A statement of each day that has entries; of each run that was not proven covered in time the call notice, the response
where there is one, and the advice of what settled it. Each as JSON and as a page. Runs that were covered in time have
none: the statements of their days name them.
"""

import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.archive import MAX_REPORTED_DAYS, MAX_REPORTED_RUNS, report_file
from atomic_margin.service.protocol.replayed import Replayed, ReplayedStep
from atomic_margin.service.reports import call as calls
from atomic_margin.service.reports import daily, response, settlement
from atomic_margin.service.reports.errors import ReportError
from atomic_margin.service.reports.facts import AccountFacts, Step
from atomic_margin.service.reports.html import html
from atomic_margin.service.reports.page import Page
from atomic_margin.service.reports.parts import Report, as_object
from atomic_margin.service.reports.prices import Prices

_OVERDUE = (EventKind.PROOF_OVERDUE, EventKind.ANSWER_OVERDUE)


def archived_reports(replayed: Replayed) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every report of an archive: the first days and runs, if there are too many.

    One that cannot be made is left out, whoever asks: a day whose holdings its prices do not know, say.
    """
    if not replayed.steps:
        return
    facts, prices = facts_of(replayed), Prices(replayed.schedule, replayed.ticks)
    for day in list(dict.fromkeys(facts.days))[:MAX_REPORTED_DAYS]:
        yield from _files("daily", day.isoformat(), partial(_daily, facts, prices, day))
    for run_id in called_runs(facts)[:MAX_REPORTED_RUNS]:
        for name, make in _OF_RUN.items():
            yield from _files(name, run_id, partial(make, facts, prices, run_id))


def facts_of(replayed: Replayed) -> AccountFacts:
    """Return a replayed history as reports read it."""
    first = replayed.steps[0]
    return AccountFacts(
        operator=replayed.operator,
        institution=first.account.public.institution,
        account=first.entry.account,
        log=first.entry.log,
        steps=tuple(_step(step) for step in replayed.steps),
        whole=True,
        opening=None if replayed.opening is None else _step(replayed.opening),
    )


def _step(step: ReplayedStep) -> Step:
    return Step(step.entry, step.sha256, step.account.public, step.account.private, step.document)


def called_runs(facts: AccountFacts) -> list[str]:
    """Return the runs with a record here that were not proven covered in time, in order."""
    found = []
    for run_id, about in facts.by_run.items():
        kinds = {step.entry.kind for step in about}
        if EventKind.RUN_RECORDED in kinds and (EventKind.COVERED not in kinds or kinds.intersection(_OVERDUE)):
            found.append(run_id)
    return found


Made = tuple[Report, Page]


def _daily(facts: AccountFacts, prices: Prices, day: date) -> Made:
    made = daily.daily_statement(facts, prices, day)
    return made, daily.page(made)


def _call(facts: AccountFacts, prices: Prices, run_id: str) -> Made:
    made = calls.call_notice(facts, prices, run_id)
    return made, calls.page(made)


def _response(facts: AccountFacts, prices: Prices, run_id: str) -> Made:
    made = response.call_response(facts, prices, run_id)
    return made, response.page(made)


def _settlement(facts: AccountFacts, prices: Prices, run_id: str) -> Made:
    made = settlement.settlement_advice(facts, prices, run_id)
    return made, settlement.page(made)


_OF_RUN: dict[str, Callable[[AccountFacts, Prices, str], Made]] = {
    "call": _call,
    "response": _response,
    "settlement": _settlement,
}


def _files(kind: str, of: str, make: Callable[[], Made]) -> Iterator[tuple[str, bytes]]:
    try:
        report, page = make()
        data = json.dumps(as_object(report), indent=2, sort_keys=True) + "\n"
    except (ReportError, DocumentsError, MarginError):
        return
    yield report_file(kind, of, "json"), data.encode()
    yield report_file(kind, of, "html"), html(page).encode()
