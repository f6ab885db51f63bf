"""The operator's pages: accounts, runs, ledger, log, alarms, and a bundle that is checked. For its staff.

They need the scope `read`: whoever shows a token of staff signs in with it. Every value comes from `overviews`.
"""

from urllib.parse import urlencode

from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atomic_margin.service.http.pages import Entry, Pages, uploaded
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.staff import Scope
from atomic_margin.service.operator.web import overviews
from atomic_margin.service.operator.web.alarms import log_head
from atomic_margin.service.operator.web.callers import Callers
from atomic_margin.service.operator.web.checking import MAX_BUNDLE_BYTES, check_bundle
from atomic_margin.service.reports.charts import line_chart, stacked_chart

MAX_NAME = 64


def operator_pages(operator: Operator) -> Pages:
    """Return the pages of an operator."""
    callers = Callers(operator, ())

    def check_token(token: str) -> None:
        callers.by_token(f"Bearer {token}").require_scope(Scope.READ)

    pages = Pages("operator", "Operator", "admin.token", check_token)

    def overview(request: Request) -> Response:
        found = overviews.overview(operator)
        charts = _charts(found.series)
        return pages.draw(request, "operator/overview.html", {"found": found, "charts": charts})

    def accounts(request: Request) -> Response:
        after = _after(request)
        listed = overviews.accounts(operator, after)
        more = urlencode({"after": listed.accounts[-1].institution}) if listed.more else None
        return pages.draw(request, "operator/accounts.html", {"accounts": listed.accounts, "more": more})

    def account(request: Request) -> Response:
        found = overviews.account(operator, request.path_params["institution"][:MAX_NAME])
        return pages.draw(request, "operator/account.html", {"found": found})

    def runs(request: Request) -> Response:
        found = overviews.runs(operator)
        return pages.draw(request, "operator/runs.html", {"runs": found.runs, "most": overviews.MOST_RUNS})

    def ledger(request: Request) -> Response:
        found = overviews.ledger_page(operator, _after(request))
        more = None if found.more is None else urlencode({"after": found.more})
        return pages.draw(request, "operator/ledger.html", {"found": found, "more": more})

    def log(request: Request) -> Response:
        return pages.draw(request, "operator/log.html", {"head": log_head(operator)})

    def verify(request: Request) -> Response:
        return pages.draw(request, "operator/verify.html", {"checked": None, "file": None, "can_refresh": False})

    def check(request: Request, form: FormData) -> Response:
        upload = uploaded(form, "bundle")
        if upload is None:
            raise HTTPException(422, "choose a bundle, as `operator bundles` saves it; go back and try again")
        checked = check_bundle(operator, upload.file.read(MAX_BUNDLE_BYTES + 1))
        return pages.draw(request, "operator/verify.html", {"checked": checked, "file": upload.filename})

    pages.entries = [
        Entry("/", "Overview", overview),
        Entry("/accounts", "Accounts", accounts),
        Entry("/runs", "Runs", runs),
        Entry("/ledger", "Ledger", ledger),
        Entry("/log", "Log", log),
        Entry("/verify", "Verify", verify),
    ]
    pages.others = [
        Route("/accounts/{institution}", pages.showing(account), methods=["GET"]),
        Route("/verify", pages.taking(check), methods=["POST"]),
    ]
    return pages


def _after(request: Request) -> str:
    after = request.query_params.get("after", "")
    if len(after) > MAX_NAME + 16 or not after.isprintable():
        raise HTTPException(422, "this is no name that a list could go on after; begin the list again")
    return after


def _charts(series: overviews.Series) -> dict[str, Markup]:
    """Return the charts as SVG; their texts are escaped where they are made."""
    labels = [f"tick {number}" for number in series.ticks]
    layers = {f"state-{state}": [float(one) for one in counts] for state, counts in series.states.items()}
    drawn = {
        "states": stacked_chart("Runs at each tick, by state", labels, layers or {"none": [0.0] * len(labels)}),
        "calls": stacked_chart("Settlements at each tick", labels, {"calls": [float(one) for one in series.calls]}),
        "top_ups": stacked_chart("Top-ups at each tick, USD", labels, {"top-ups": list(series.top_ups)}),
        "seconds": line_chart("Mean seconds of an evaluation at each tick", labels, series.seconds),
    }
    return {name: Markup(text) for name, text in drawn.items()}  # noqa: S704  # escaped in `charts`
