"""The operator's HTTP face: FastAPI over the functions of this package.

Bodies are limited while they arrive; signed documents are parsed by our own strict parser, not by the framework, so
that what is verified is what was sent.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.orm import defer

import atomic_margin
from atomic_margin.documents.fields import MAX_COUNTER
from atomic_margin.service import tracing
from atomic_margin.service.errors import NotFound
from atomic_margin.service.http import problems
from atomic_margin.service.http.contract import install_contract
from atomic_margin.service.http.reference import install_reference
from atomic_margin.service.log.errors import TileInvalid
from atomic_margin.service.log.tiles import parse_path
from atomic_margin.service.operator.accounts import (
    collateral,
    coverage,
    enrolment,
    giving_up,
    identities,
    netting,
    readers,
    releases,
    submissions,
)
from atomic_margin.service.operator.health import Watch
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import answers, prices, records, ticks
from atomic_margin.service.operator.runs.background import BackgroundWork
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import Run, Tick
from atomic_margin.service.operator.web import examples, views
from atomic_margin.service.operator.web.administration import administration_router
from atomic_margin.service.operator.web.admission import admission_router
from atomic_margin.service.operator.web.agreements import agreements_router, amendments_router
from atomic_margin.service.operator.web.breakers import breakers_router
from atomic_margin.service.operator.web.custodians import custodians_router
from atomic_margin.service.operator.web.dealings import dealings_router
from atomic_margin.service.operator.web.defaults import defaults_router
from atomic_margin.service.operator.web.dependencies import Calling, JsonBody
from atomic_margin.service.operator.web.disputes import disputes_router, resolutions_router
from atomic_margin.service.operator.web.edge import install_edge
from atomic_margin.service.operator.web.ens import ens_router
from atomic_margin.service.operator.web.events import events_router
from atomic_margin.service.operator.web.evidence import evidence_router
from atomic_margin.service.operator.web.lists import lists_router
from atomic_margin.service.operator.web.live import Live
from atomic_margin.service.operator.web.maturities import maturities_router
from atomic_margin.service.operator.web.monitoring import count_requests, monitoring_router
from atomic_margin.service.operator.web.netting import netting_router
from atomic_margin.service.operator.web.openings import openings_router, resharings_router
from atomic_margin.service.operator.web.pages import operator_pages
from atomic_margin.service.operator.web.universes import universes_router
from atomic_margin.service.operator.web.uploads import uploads_router
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    AccountView,
    Attestations,
    Bundle,
    Challenge,
    Entries,
    GivingUpRequest,
    IssuedNonce,
    LastTick,
    OperatorView,
    PriceReceipt,
    RunView,
    TickAccepted,
)
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState

_log = logging.getLogger(__name__)


def create_app(operator: Operator, *, background: bool = True) -> FastAPI:
    """Return the application of an operator; with `background`, runs are evaluated while it serves."""
    work, live = BackgroundWork(operator), Live(operator)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if background:
            work.start()
        version, key = atomic_margin.__version__, operator.identity.public_key
        _log.info("operator started", extra={"version": version, "key": key, "workers": operator.evaluator.workers})
        live.start()
        yield
        live.stop()
        if background:
            work.stop()
        operator.close()
        _log.info("operator stopped")

    app = FastAPI(
        title="atomic-margin operator",
        version=atomic_margin.__version__,
        docs_url=None,
        redoc_url=None,
        # A redirection would go to whatever host the request names.
        redirect_slashes=False,
        summary="Margin verification that never sees a position",
        description=__doc__.split("\n\n")[0] + " Every number in a document is a decimal string. Errors are RFC 9457.",
        lifespan=lifespan,
        responses={"4XX": {"model": problems.Problem, "description": "what is wrong and what to do"}},
    )
    app.state.live = live
    problems.install(app)
    install_contract(app)
    install_reference(app)
    install_edge(app, operator)
    count_requests(app, operator.measures)
    tracing.watch(app)
    watch = Watch(operator, lambda: not background or work.works(), work.is_behind)
    app.include_router(monitoring_router(operator, watch))
    app.include_router(_public(operator))
    app.include_router(evidence_router(operator))
    app.include_router(ens_router(operator))
    app.include_router(universes_router(operator))
    app.include_router(admission_router(operator))
    app.include_router(events_router(operator, live))
    app.include_router(_institutions(operator, work))
    app.include_router(uploads_router(operator))
    app.include_router(_runs(operator, work))
    app.include_router(administration_router(operator))
    app.include_router(disputes_router(operator))
    app.include_router(resolutions_router(operator))
    app.include_router(netting_router(operator))
    app.include_router(maturities_router(operator))
    app.include_router(defaults_router(operator))
    app.include_router(amendments_router(operator))
    app.include_router(agreements_router(operator))
    app.include_router(breakers_router(operator))
    app.include_router(dealings_router(operator))
    app.include_router(custodians_router(operator, work))
    app.include_router(openings_router(operator))
    app.include_router(resharings_router(operator))
    app.include_router(lists_router(operator))
    operator_pages(operator).install(app)
    return app


def _public(operator: Operator) -> APIRouter:
    router = APIRouter(tags=["public"])

    @router.get("/v1/operator")
    def describe() -> OperatorView:
        """The operator's key, policy, and hashes of its terms: to compare with your trust file, not to replace it."""
        return views.operator_view(operator)

    @router.get("/v1/terms/{name}")
    def terms(name: str) -> Any:
        """The published `model`, `universe`, collateral `schedule`, `price_rules`, `waterfall` or `breakers` rules."""
        if name == "price_rules":
            return operator.settings.prices.canonical()
        if name == "waterfall" and operator.settings.waterfall is not None:
            return operator.settings.waterfall.canonical()
        if name == "breakers" and operator.settings.breakers is not None:
            return operator.settings.breakers.canonical()
        if name not in ("model", "universe", "schedule"):
            raise NotFound("there are: model, universe, schedule, price_rules, and waterfall, breakers if any", "name")
        return getattr(operator.terms, name).canonical()

    @router.get("/v1/ticks")
    def last_tick() -> LastTick:
        """The newest tick, void or not: what a source has to name when it signs the next one."""
        return views.last_tick(operator)

    @router.get("/v1/ticks/{sequence:int}")
    def tick(sequence: Annotated[int, Path(ge=0, le=MAX_COUNTER)]) -> SignedDocument:
        """A price tick: the sources' signed documents, and what the operator combined them to, signed by it.

        One without a market is void. Agents follow the ticks one by one.
        """
        with operator.store.reading() as session:
            row = session.get(Tick, sequence)
        if row is None:
            raise NotFound(f"there is no tick {sequence}", "sequence")
        return SignedDocument.parse(row.document)

    @router.get("/v1/log/checkpoint", response_class=PlainTextResponse)
    def checkpoint() -> PlainTextResponse:
        """The newest checkpoint of the log, a signed note with the cosignatures it has so far."""
        with operator.store.reading() as session:
            row = log.newest_checkpoint(session)
        if row is None:
            raise NotFound("no checkpoint is published yet: the log is empty")
        return PlainTextResponse(row.note, headers={"Cache-Control": "no-cache"})

    @router.get("/v1/log/tile/{path:path}", response_class=Response)
    def tile(path: Annotated[str, Path(max_length=64)]) -> Response:
        """A tile of hashes, or a bundle of entries under `entries/`, as C2SP tlog-tiles has them."""
        try:
            wanted = parse_path(f"tile/{path}")
        except TileInvalid as error:
            raise NotFound(str(error), "path") from error
        with operator.store.reading() as session:
            data = log.tile(session, wanted)
        return Response(data, media_type="application/octet-stream", headers={"Cache-Control": "max-age=31536000"})

    return router


def _institutions(operator: Operator, work: BackgroundWork) -> APIRouter:
    router = APIRouter(prefix="/v1/institutions/{institution}", tags=["institution"])

    @router.post(
        "/enrolment",
        status_code=201,
        openapi_extra=examples.signed_json("enrolment"),
    )
    def enrol(institution: str, document: JsonBody) -> Challenge:
        """Enrol evaluation keys and known-answer words that were uploaded before; check what comes back.

        Takes some seconds: the keys are tried in a worker process before they are stored.
        """
        return enrolment.enrol(operator, institution, document)

    @router.post(
        "/enrolment/confirmation",
        openapi_extra=examples.signed_json("enrolment-confirmation"),
    )
    def confirm(institution: str, document: JsonBody) -> AccountStanding:
        """Confirm the known-answer test; it activates the account. No decrypted bit is sent."""
        enrolment.confirm(operator, institution, document)
        work.wake()
        return AccountStanding(state=AccountState.ACTIVE)

    @router.post("/nonce", status_code=201)
    def nonce(institution: str) -> IssuedNonce:
        """Get the nonce of the next submission."""
        return IssuedNonce(nonce=enrolment.issue_nonce(operator, institution))

    @router.post("/submissions", status_code=201, openapi_extra=examples.signed_json("submission"))
    def submit(institution: str, document: JsonBody) -> SignedDocument:
        """Submit an encrypted portfolio with its proofs; returns the signed entry. Takes about a second."""
        return submissions.submit(operator, institution, document, records.open_due)

    @router.post(
        "/collateral",
        status_code=201,
        openapi_extra=examples.signed_json("collateral-instruction"),
    )
    def instruct(institution: str, document: JsonBody) -> SignedDocument:
        """Post or withdraw one's own free collateral; returns the signed entry."""
        return collateral.instruct(operator, institution, document)

    @router.post("/coverage", status_code=201, openapi_extra=examples.signed_json("coverage"))
    def cover(institution: str, document: JsonBody) -> SignedDocument:
        """Prove the book in force covered at the newest tick, without being asked; returns the signed entry.

        For an account that owes an answer, or whose run at this tick has not begun.
        """
        entry = coverage.take_coverage(operator, institution, document)
        work.wake()
        return entry

    @router.post("/releases", status_code=201, openapi_extra=examples.signed_json("release"))
    def release(institution: str, document: JsonBody) -> SignedDocument:
        """Let posted collateral become free, or substitute it, with the proof that asks for; returns the signed entry.

        It is about the account's last entry and the newest tick; after either it is void.
        """
        return releases.take_release(operator, institution, document)

    @router.post("/readers", status_code=201, openapi_extra=examples.signed_json("readers"))
    def name_readers(institution: str, document: JsonBody) -> SignedDocument:
        """Say who may read the institution's bundles, all of them by name; returns the signed entry."""
        return readers.name_readers(operator, institution, document)

    @router.post("/identity", status_code=201, openapi_extra=examples.signed_json("identity-rotation"))
    def rotate_identity(institution: str, document: JsonBody) -> SignedDocument:
        """Put another identity key in the place of the one that signs this request; returns the signed entry.

        Both keys sign the document. The old one opens nothing from then on.
        """
        return identities.rotate(operator, institution, document)

    @router.post("/obligations", status_code=201, openapi_extra=examples.signed_json("obligation"))
    def promise(institution: str, document: JsonBody) -> SignedDocument:
        """Promise a delivery or a return by a day, which a cycle nets; returns the signed entry."""
        return netting.promise(operator, institution, document)

    @router.post("/giving-up", status_code=202, openapi_extra=examples.signed_json("giving-up"))
    def ask_to_give_up(institution: str, document: JsonBody) -> GivingUpRequest:
        """Ask to give up books that the institution can open no more; the operator's people agree, or do not."""
        return giving_up.ask(operator, institution, document)

    @router.get("/giving-up")
    def asked_to_give_up(institution: str) -> GivingUpRequest:
        """What the institution asks to give up, and whether it still can be."""
        return giving_up.asked(operator, operator.account(institution).institution)

    @router.get("/entries")
    def entries(institution: str, after: Annotated[int, Query(ge=0, le=MAX_COUNTER)] = 0) -> Entries:
        """Entries of an account after one of them, with the documents they are about: what an agent replays."""
        return views.entries_view(operator, operator.account(institution), after)

    @router.get("")
    def account(institution: str) -> AccountView:
        """State, ledger balances, next sequence numbers and runs of an account."""
        return views.account_view(operator, operator.account(institution))

    return router


def _runs(operator: Operator, work: BackgroundWork) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["runs"])

    def run_for(run_id: str, *, words: bool = False) -> Run:
        left = [] if words else [defer(Run.surplus_output), defer(Run.breach_output)]
        with operator.store.reading() as session:
            run = session.get(Run, run_id, options=left)
        if run is None:
            raise NotFound(f"there is no run {run_id!r}", "run_id")
        return run

    @router.post(
        "/ticks",
        status_code=202,
        openapi_extra=examples.price_set(),
    )
    def take_tick(document: JsonBody) -> TickAccepted:
        """Combine the prices that sources signed into a tick and schedule a run for every watched account.

        Anybody may bring it: the sources' signatures count. A tick that fails is refused with the reason, and
        its number stays free: other sources may still sign.
        """
        scheduled = ticks.take_tick(operator, document)
        work.wake()
        return TickAccepted(runs=tuple(scheduled))

    @router.post("/prices", status_code=201, openapi_extra=examples.signed_json("price"))
    def take_price(document: JsonBody) -> PriceReceipt:
        """Take one source's signed prices for the next tick, which will combine them with all others it was sent.

        A source of the rules signs the request, too; what it brings may be another's. The leaf, with
        `/v1/log/evidence` of it, is the receipt; the same document again has the same one.
        """
        return prices.take_price(operator, document)

    @router.get("/runs/{run_id}")
    def run(run_id: str) -> RunView:
        """State and signed record of a run and, once settled, settlement and shortfall record."""
        return views.run_view(operator, run_for(run_id))

    @router.get("/runs/{run_id}/outputs/{function}", response_class=Response)
    def output(run_id: str, function: str) -> Response:
        """Raw words of an output ciphertext: `surplus` or `breach`, and `shortfall` once it is recorded."""
        words = views.output_of(operator, run_for(run_id, words=True), function)
        return Response(words, media_type="application/octet-stream")

    @router.get("/attestations")
    def attestations(caller: Calling) -> Attestations:
        """Runs whose bundles the caller may read: the institution's own, and of those that named it a reader."""
        return Attestations(runs=readers.readable(operator, None if caller.is_staff else caller.readable))

    @router.get("/attestations/{run_id}")
    def attestation(run_id: str) -> Bundle:
        """A bundle for `atomic-margin verify`, for the operator, its institution, and whom that one names.

        Beside the signed document stands what shows its entries in the log, as soon as enough witnesses cosigned them.
        """
        return views.bundle(operator, run_id)

    @router.post(
        "/runs/{run_id}/answer",
        openapi_extra=examples.signed_json("answer"),
    )
    def answer(run_id: str, document: JsonBody) -> SignedDocument:
        """Take the institution's signed answer; a verified breach is settled before this returns."""
        entry = answers.take_answer(operator, run_id, document)
        work.wake()
        return entry

    return router
