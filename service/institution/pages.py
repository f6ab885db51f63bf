"""The institution's pages on its agent: ladder, runs with private figures, deadlines, collateral, alarms.

On loopback, under names of loopback alone, and for whoever holds the token in agent.token. What is here is of this
institution; there is nothing of anybody else.
"""

import hmac
from collections.abc import Callable
from typing import Any, Protocol

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import NotAuthorised, ServiceError
from atomic_margin.service.http.pages import Entry, Pages
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.ladders import OwnLadder, own_ladder
from atomic_margin.service.protocol.agent_messages import RunFigures
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.reports.charts import bar, line_chart, stacked_chart

LOOK_SECONDS = 2.0
"""How long a page waits for an agent that is at work."""
MOST_RUNS = 50


_IN_ORDER = (AccountState.ADMITTED, AccountState.PENDING, AccountState.ACTIVE)


class Process(Protocol):
    """What of the agent's process is looked at."""

    stage: str

    @property
    def problem(self) -> str | None:
        """What was wrong with the last round, if anything was."""

    def shown(self) -> Agent | None:
        """Return the agent once it is open."""


def institution_pages(process: Process, token: str) -> Pages:
    """Return the pages of an agent, opened by ``token``."""

    def check_token(presented: str) -> None:
        if not hmac.compare_digest(presented.encode(), token.encode()):
            raise NotAuthorised("this is for the institution: sign in with the token in its agent.token")

    pages = Pages("institution", "Institution", "agent.token", check_token)

    def overview(request: Request) -> Response:
        agent = process.shown()
        figures = [] if agent is None else agent.figures()
        values = {
            "stage": process.stage,
            "alarms": _alarms(process, agent),
            "account": None if agent is None else agent.history.state,
            "name": None if agent is None else agent.settings.institution,
            "runs": list(reversed(figures))[:10],
            "charts": _charts(figures[-MOST_RUNS:]),
        }
        return pages.draw(request, "institution/overview.html", values)

    def margin(request: Request) -> Response:
        found, problem = _ladder(process.shown())
        values = {"found": found, "problem": problem, "rungs": [] if found is None else _rungs(found)}
        return pages.draw(request, "institution/margin.html", values)

    def runs(request: Request) -> Response:
        agent = process.shown()
        figures = [] if agent is None else agent.figures()
        return pages.draw(request, "institution/runs.html", {"runs": list(reversed(figures))[:MOST_RUNS]})

    pages.entries = [Entry("/", "Overview", overview), Entry("/margin", "Margin", margin), Entry("/runs", "Runs", runs)]
    return pages


def _alarms(process: Process, agent: Agent | None) -> list[tuple[str, str]]:
    found = [("the last round failed", process.problem)]
    if agent is not None:
        state = agent.history.state
        status = None if state is None else state.public.status
        found += [
            ("no flag leaves", agent.alarm),
            ("the operator contradicts itself", agent.contradiction),
            ("the account is not active", None if status in (None, *_IN_ORDER) else str(status)),
        ]
    return [(what, detail) for what, detail in found if detail is not None]


def _ladder(agent: Agent | None) -> tuple[OwnLadder | None, str | None]:
    """Return the ladder, or why there is none."""
    if agent is None:
        return None, "the agent is not open yet"
    with agent.looking(LOOK_SECONDS) as party:
        if party is None:
            return None, "the agent is at work; load the page again in a moment"
        try:
            found = own_ladder(party)
        except (ServiceError, MarginError, DocumentsError) as error:
            return None, str(error)
    return found, None if found is not None else "there is no book in force yet, or no tick with prices"


def _rungs(found: OwnLadder) -> list[dict[str, Any]]:
    rows = [("now", found.ladder.now, found.ladder.now)]
    rows += [(rung.label, rung.maintenance, rung.initial) for rung in found.ladder.rungs]
    least, most = min(min(row[1:]) for row in rows), max(max(row[1:]) for row in rows)
    draw: Callable[[float], Markup] = lambda value: Markup(bar(value, least, most))  # noqa: E731, S704  # numbers alone
    return [
        {"label": label, "maintenance": maintenance, "initial": initial, "bars": (draw(maintenance), draw(initial))}
        for label, maintenance, initial in rows
    ]


def _charts(figures: list[RunFigures]) -> dict[str, Markup]:
    """Return charts of the newest runs; their texts are escaped where they are made."""
    labels = [f"tick {one.price_sequence}" for one in figures]
    surplus: list[float | None] = [float(one.surplus_true) for one in figures]
    shortfall = [float(one.shortfall_true) for one in figures]
    drawn = {
        "surplus": line_chart("Maintenance surplus of each run, USD", labels, surplus),
        "shortfall": stacked_chart("Maintenance shortfall of each run, USD", labels, {"shortfall": shortfall}),
    }
    return {name: Markup(text) for name, text in drawn.items()}  # noqa: S704  # escaped in `charts`
