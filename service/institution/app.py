"""The agent's HTTP face for the institution's own back office: submit a portfolio, read figures. Loopback only.

What it returns includes positions' consequences in the clear; it must never be reachable from outside. Every call but
the documentation wants the token in agent.token, so neither another user of the machine nor a page in somebody's
browser can make one.
"""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import atomic_margin
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.margin.market.trades import read_book
from atomic_margin.service.errors import NotAuthorised, RemoteError
from atomic_margin.service.http import problems
from atomic_margin.service.http.contract import install_contract
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.pages import OwnHost
from atomic_margin.service.http.reference import install_reference
from atomic_margin.service.http.strict_json import StrictJson, parsed_body
from atomic_margin.service.institution import agreements, amending, cycles, disputing, obligations
from atomic_margin.service.institution.pages import institution_pages
from atomic_margin.service.institution.process import AgentProcess as AgentProcess
from atomic_margin.service.institution.releases import STEP
from atomic_margin.service.protocol.agent_messages import (
    Adopted,
    AgentStatus,
    AskedToGiveUp,
    DecidedRuns,
    Excess,
    Instruction,
    KeysReplaced,
    Losses,
    LossesSettled,
    LossSigned,
    NettingShown,
    OwnLoss,
    Promise,
    Promised,
    ReaderName,
    ReaderNames,
    ReaderToken,
    Reason,
    Released,
    ReleaseWanted,
    Submitted,
)
from atomic_margin.service.protocol.agreement_messages import Amending, AmendingCustody, AskedToAmend
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dispute_messages import Disputing, Resolving, SignedOf
from atomic_margin.service.protocol.messages import Booked

MAX_BODY_BYTES = 2 << 20


def create_app(process: AgentProcess, token: str) -> FastAPI:
    """Return the application of one agent, opened by `token`."""
    bearer = HTTPBearer(auto_error=False, description="the token in agent.token")

    def require_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        presented = "" if credentials is None else credentials.credentials
        if not hmac.compare_digest(presented.encode(), token.encode()):
            raise NotAuthorised("send `Authorization: Bearer` with the token in the institution's agent.token")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        process.start()
        yield
        process.stop()

    app = FastAPI(
        title="atomic-margin institution agent",
        version=atomic_margin.__version__,
        docs_url=None,
        redoc_url=None,
        # A redirection would go to whatever host the request names.
        redirect_slashes=False,
        description="For the institution's own back office, on loopback. Errors are RFC 9457 problem documents.",
        lifespan=lifespan,
        dependencies=[Depends(require_token)],
        responses={"4XX": {"model": problems.Problem, "description": "what is wrong and what to do"}},
    )
    problems.install(app)
    install_contract(app)
    install_reference(app)
    app.add_middleware(StrictJson)
    app.add_middleware(BodyLimit, limit_of=lambda _: MAX_BODY_BYTES)

    @app.exception_handler(RemoteError)
    def _remote(request: Request, error: RemoteError) -> Any:
        return problems.problem(request, 502, "operator", "The operator refuses or does not answer", str(error), None)

    @app.get("/v1/status")
    def status() -> AgentStatus:
        """Stage and problem of the agent; account, last run, its deadline and settlement; what has a date that is near.

        Figures of the last run are the institution's own.
        """
        return process.status()

    @app.post("/v1/portfolio", status_code=201)
    def portfolio(document: Annotated[Any, Depends(parsed_body)]) -> Submitted:
        """Encrypt, commit to, prove and submit a portfolio, or what trades leave, netted in the newest universe."""
        agent = process.agent()
        return Submitted(submission_sequence=agent.submit(read_book(document, agent.terms.universe)))

    @app.post("/v1/keys", status_code=201)
    def keys() -> KeysReplaced:
        """Replace the FHE keys and bring the submitted book under new ones."""
        process.agent().rotate_keys()
        return KeysReplaced(key_commitments=process.agent().key_commitments)

    @app.post("/v1/adopt", status_code=201)
    def adopt() -> Adopted:
        """Take over documents with this institution's signature that its directory does not know."""
        return Adopted(documents=process.opened().adopt())

    @app.post("/v1/giving-up", status_code=201)
    def give_up(why: Reason) -> AskedToGiveUp:
        """Ask the operator to give up the book in force, which the directory can open no more."""
        return AskedToGiveUp(giving_up=process.opened().give_up(why.reason))

    @app.post("/v1/loss", status_code=201)
    def agree_loss(agreed: OwnLoss) -> LossSigned:
        """Sign what closing out the book of this institution's default has lost; the operator agrees, or does not."""
        with process.opened().signing() as (party, outbox):
            return LossSigned(agreement=agreements.agree(party, outbox, int(agreed.loss), agreed.reason))

    @app.post("/v1/amendment", status_code=201)
    def amend(asked: Amending) -> AskedToAmend:
        """Ask the operator for other terms of collateral."""
        agreement = CollateralAgreement.parse(asked.agreement)
        with process.opened().signing() as (party, outbox):
            return AskedToAmend(amendment=amending.ask(party, outbox, agreement, asked.ticks))

    @app.post("/v1/custody-amendment", status_code=201)
    def amend_custody(asked: AmendingCustody) -> AskedToAmend:
        """Ask the operator for other custodians, or for none."""
        policy = None if asked.custody is None else CustodyPolicy.parse(asked.custody)
        with process.opened().signing() as (party, outbox):
            return AskedToAmend(amendment=amending.ask_custody(party, outbox, policy, asked.ticks))

    @app.post("/v1/collateral", status_code=201)
    def collateral(instruction: Instruction) -> Booked:
        """Post or withdraw free collateral at the operator."""
        process.agent().instruct(instruction.action, instruction.asset, int(instruction.quantity))
        return Booked()

    @app.post("/v1/releases", status_code=201)
    def release(wanted: ReleaseWanted) -> Released:
        """Have posted collateral back, or put other collateral in its place."""
        taken, given = ({a: int(q) for a, q in (part or {}).items()} for part in (wanted.taken, wanted.given))
        return process.agent().release(taken, given if wanted.given else None)

    @app.get("/v1/excess")
    def excess(step: Annotated[int, Query(ge=1, le=10**12)] = STEP) -> Excess:
        """What is posted beyond initial margin, or what is missing, at the newest tick; it stays here."""
        return process.agent().excess(step)

    @app.post("/v1/losses", status_code=201)
    def settle(losses: Losses) -> LossesSettled:
        """Settle losses by posted collateral: it leaves, and the book in force is submitted with as much more cash."""
        usd = None if losses.usd is None else int(losses.usd)
        return process.agent().settle(losses.asset, int(losses.quantity), usd)

    @app.post("/v1/obligations", status_code=201)
    def promise(asked: Promise) -> Promised:
        """Promise a delivery or a return by a day; the operator's cycle nets it."""
        with process.agent().signing() as (party, outbox):
            return Promised(obligation=obligations.promise(party, outbox, asked))

    @app.get("/v1/netting/{cycle}")
    def netting(cycle: Annotated[int, Path(ge=1, le=10**9)]) -> NettingShown:
        """The account's part of a cycle of netting, with what others need to check it."""
        with process.opened().signing() as (party, _):
            return NettingShown(netting=cycles.file_of(party, cycle))

    @app.get("/v1/readers")
    def readers() -> ReaderNames:
        """Who may read the institution's bundles at the operator."""
        return ReaderNames(readers=tuple(process.agent().readers()))

    @app.post("/v1/readers", status_code=201)
    def name_reader(reader: ReaderName) -> ReaderToken:
        """Let somebody read the institution's bundles, by a key of theirs, or a token to hand over, shown once."""
        return ReaderToken(name=reader.name, token=process.agent().name_reader(reader.name, reader.public_key))

    @app.delete("/v1/readers/{name}")
    def remove_reader(name: Annotated[str, Path(max_length=64)]) -> ReaderNames:
        """Let somebody read the institution's bundles no more."""
        process.agent().remove_reader(name)
        return ReaderNames(readers=tuple(process.agent().readers()))

    @app.post("/v1/disputes", status_code=201)
    def dispute(said: Disputing) -> SignedOf:
        """Dispute an entry of the account: nothing leaves it meanwhile."""
        with process.opened().signing() as (party, outbox):
            return SignedOf(document=disputing.dispute(party, outbox, said))

    @app.post("/v1/disputes/resolution", status_code=201)
    def resolve(said: Resolving) -> SignedOf:
        """Offer what ends the open dispute; the operator's people agree, or do not."""
        with process.opened().signing() as (party, outbox):
            return SignedOf(document=disputing.resolve(party, outbox, said.offer, said.ticks))

    @app.post("/v1/disputes/withdrawal", status_code=201)
    def withdraw_dispute() -> SignedOf:
        """Withdraw the open dispute."""
        with process.opened().signing() as (party, outbox):
            return SignedOf(document=disputing.withdraw(party, outbox))

    @app.get("/v1/runs")
    def runs() -> DecidedRuns:
        """Private figures of every answered run."""
        return DecidedRuns(runs=process.agent().figures())

    institution_pages(process, token).install(app)
    app.add_middleware(OwnHost)
    return app
