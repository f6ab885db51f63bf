"""What stands before the operator's calls, outermost first: gate, bodies, signatures of them, keys of requests.

For `web.app`. What each of them is, is in `service.http`; what they take, in `service.http.limit_table`.
"""

from fastapi import FastAPI

from atomic_margin.service.http.callers import caller_of
from atomic_margin.service.http.gate import Gate
from atomic_margin.service.http.idempotency import Idempotency
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.peers import peer_of
from atomic_margin.service.http.strict_json import StrictJson
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.idempotency import KeptAnswers
from atomic_margin.service.operator.web.body_limits import BodyLimits
from atomic_margin.service.operator.web.callers import Callers
from atomic_margin.service.operator.web.signed_bodies import Epochs, SignedBodies


def install_edge(app: FastAPI, operator: Operator) -> None:
    """Put the middleware around the application."""
    limits = operator.settings.limits
    callers = Callers(operator, app.router.routes)
    app.add_middleware(StrictJson)
    # The last one that is added is the outermost.
    app.add_middleware(Idempotency, caller_of=caller_of, keeper=KeptAnswers(operator.store.unit_of_work, now))
    app.add_middleware(SignedBodies)
    app.add_middleware(
        BodyLimit,
        limit_of=BodyLimits(operator.terms.profile, app.router.routes),
        idle_seconds=limits.idle_seconds,
        total_seconds=limits.body_seconds,
    )
    app.add_middleware(Gate, limits=limits, name_of=callers.name_of, admit=callers.admit, peer_of=peer_of)
    app.add_middleware(Epochs, epoch=lambda: callers.replays.epoch)
