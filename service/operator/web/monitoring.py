"""What machines ask about the operator: whether it lives, whether it can work, and its figures for Prometheus."""

import time
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

import atomic_margin
from atomic_margin.documents.clock import CLOCK
from atomic_margin.service.http.problems import MEDIA_TYPE, Problem, problem
from atomic_margin.service.operator.disk import free_bytes
from atomic_margin.service.operator.health import Standing, Watch
from atomic_margin.service.operator.measures import PREFIX, Measures
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.staff import Scope
from atomic_margin.service.operator.web.dependencies import require_scope
from atomic_margin.service.protocol.messages import Health
from atomic_margin.service.protocol.states import RunState, ShortfallState

UNKNOWN = "unknown"
"""Route and method of a request that no call takes: callers must not make series."""
NOT_READY: dict[str, Any] = {
    "description": "what keeps the operator from its work, and what to do",
    "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def monitoring_router(operator: Operator, watch: Watch) -> APIRouter:
    """Return health, readiness and figures."""
    router = APIRouter(tags=["public"])
    operator.measures.registry.register(_Figures(operator, watch))

    @router.get("/healthz")
    def healthz() -> Health:
        """Say that the server answers. It looks at nothing: a process whose database is away need not be restarted."""
        return Health(status="ok", version=atomic_margin.__version__)

    @router.get("/readyz", response_model=Health, responses={503: NOT_READY})
    def readyz(request: Request) -> Response:
        """Say that the operator can do its work, or with status 503 what keeps it from that."""
        problems = watch.look().problems
        if problems:
            said = "; ".join(f"{name}: {sentence}" for name, sentence in sorted(problems.items()))
            return problem(request, 503, "not-ready", "The operator cannot do its work now", said, None)
        return Response(
            Health(status="ok", version=atomic_margin.__version__).model_dump_json(), media_type="application/json"
        )

    @router.get(
        "/metrics",
        response_class=PlainTextResponse,
        tags=["operator"],
        dependencies=[Depends(require_scope(Scope.READ))],
    )
    def metrics() -> Response:
        """Figures in the text format of Prometheus, for the operator's people; no account is named."""
        return Response(generate_latest(operator.measures.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def count_requests(app: FastAPI, measures: Measures) -> None:
    """Have every request of an application counted, by the template of its route."""
    app.add_middleware(_Counting, measures=measures)


class _Counting:
    """ASGI middleware, the outermost: what others refuse is counted too."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # 499 if it ends without an answer: its sender went away.
        started, status = time.perf_counter(), 499

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            method = scope["method"] if scope["method"] in METHODS else UNKNOWN
            self._measures.requests.labels(route, method, str(status)).inc()
            self._measures.request_seconds.labels(route).observe(time.perf_counter() - started)


class _Figures(Collector):
    """Gauges that are looked up when somebody asks for them."""

    def __init__(self, operator: Operator, watch: Watch) -> None:
        self._operator, self._watch = operator, watch

    def describe(self) -> Iterable[Metric]:
        # The registry would look at the database when this is registered.
        return []

    def collect(self) -> Iterable[Metric]:
        standing = self._watch.look()
        settings, evaluator = self._operator.settings, self._operator.evaluator
        yield _gauge("ready", "1 if nothing keeps the operator from its work.", float(not standing.problems))
        yield _gauge("disk_free_bytes", "Room on the disk of the data directory.", free_bytes(settings.directory))
        yield _gauge("disk_wanted_bytes", "Room that is kept free there.", settings.min_free_bytes)
        yield _gauge(
            "clock_offset_seconds", "This machine's clock less what entries are dated by.", CLOCK.offset_seconds()
        )
        yield _gauge("workers", "Evaluations that can run at once.", evaluator.workers)
        yield _gauge("workers_working", "1 if every thread of the background work lives.", _lives(standing))
        known = () if standing.observed is None else standing.observed.keys
        warm = sum(evaluator.is_warm(keys) for keys in known)
        yield _gauge("keys_warm", "Accounts whose keys a worker has in memory.", warm)
        yield _gauge("witnesses", "Witnesses that are asked to cosign.", len(settings.witnesses))
        yield from _observed(standing, len(settings.witnesses))


def _observed(standing: Standing, witnesses: int) -> Iterable[Metric]:
    seen = standing.observed
    if seen is None:
        return
    for name, counts in (("accounts", seen.accounts), ("runs", seen.runs), ("shortfalls", seen.shortfalls)):
        family = GaugeMetricFamily(f"{PREFIX}_{name}", f"How many {name} are in each state.", labels=["state"])
        for state, number in counts.items():
            family.add_metric([str(state)], number)
        yield family
    yield _gauge("runs_due", "Runs that wait to be evaluated.", seen.runs[RunState.SCHEDULED])
    yield _gauge("runs_due_oldest_seconds", "Age of the oldest tick that a run waits on.", seen.due_seconds)
    yield _gauge("runs_stuck", "Evaluations that take longer than they may.", standing.stuck)
    yield _gauge("shortfalls_waiting", "Shortfalls not evaluated yet.", seen.shortfalls[ShortfallState.WAITING])
    yield _gauge("tick", "Number of the newest tick.", seen.tick)
    yield _gauge("log_leaves", "Leaves of the log.", seen.leaves)
    yield _gauge("log_published_leaves", "Leaves under the newest checkpoint.", seen.published)
    yield _gauge("cosignatures_missing", "Witnesses that have not cosigned it yet.", witnesses - seen.cosignatures)
    yield _gauge("database_bytes", "Size of the database.", seen.database_bytes)


def _lives(standing: Standing) -> float:
    return float("workers" not in standing.problems)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value=value)
