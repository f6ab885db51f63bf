"""Which call takes whom: one table for all of the operator's HTTP face. What is not in it takes who has every scope.

`callers` looks here before a body is read. Whoever may not call learns nothing: the answer is the same whether
there is such an institution or run, or none.
"""

from dataclasses import dataclass

from starlette.routing import compile_path

from atomic_margin.service.errors import NotAuthorised, NotPermitted
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.staff import ALL_SCOPES, Scope
from atomic_margin.service.operator.store.custody_tables import DealingRow, OpeningRow, ResharingRow
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.operator.web.dependencies import Caller


@dataclass(frozen=True)
class Access:
    """Whom a call takes.

    Attributes:
        anybody: everybody; nobody's signature is looked at.
        institution: the institution that the path names, or whose run it names.
        readers: besides, whom that one named a reader; or any reader where the path names nobody.
        sources: price sources of the rules in force.
        custodians: custodians of the account, deal or opening that the path names; or any where it names none.
        scopes: staff with one of these.
    """

    anybody: bool = False
    institution: bool = False
    readers: bool = False
    sources: bool = False
    custodians: bool = False
    scopes: frozenset[Scope] = frozenset()


ANYBODY = Access(anybody=True)
OWN = Access(institution=True)
SHOWN = Access(institution=True, scopes=frozenset({Scope.READ}))
BUNDLES = Access(institution=True, readers=True, scopes=frozenset({Scope.READ}))
SOURCES = Access(sources=True)
CUSTODIANS = Access(custodians=True)
NOT_LISTED = Access(scopes=frozenset())


def staff(scope: Scope) -> Access:
    """Return that of a call of the operator's own people."""
    return Access(scopes=frozenset({scope}))


_ACCOUNT = "/v1/institutions/{institution}"
_DEAL, _OPENING = "/v1/custodian/dealings/{deal}", "/v1/custodian/openings/{request}"
_RESHARING = "/v1/custodian/resharings/{resharing}"
TABLE: dict[tuple[str, str], Access] = {
    ("GET", "/openapi.json"): ANYBODY,
    ("GET", "/docs"): ANYBODY,
    ("GET", "/docs/oauth2-redirect"): ANYBODY,
    ("GET", "/redoc"): ANYBODY,
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    # The pages ask everybody to sign in, and take nothing else for it: see `service.http.pages`.
    ("GET", "/"): ANYBODY,
    ("GET", "/favicon.ico"): ANYBODY,
    ("GET", "/pages{path:path}"): ANYBODY,
    ("HEAD", "/pages{path:path}"): ANYBODY,
    ("POST", "/pages{path:path}"): ANYBODY,
    ("GET", "/metrics"): staff(Scope.READ),
    ("GET", "/v1/operator"): ANYBODY,
    ("GET", "/v1/terms/{name}"): ANYBODY,
    ("GET", "/v1/universes"): ANYBODY,
    ("GET", "/v1/universes/{sha256}"): ANYBODY,
    ("GET", "/v1/ticks"): ANYBODY,
    ("GET", "/v1/ticks/{sequence}"): ANYBODY,
    ("GET", "/v1/log/checkpoint"): ANYBODY,
    ("GET", "/v1/log/tile/{path:path}"): ANYBODY,
    ("GET", "/v1/log/evidence"): ANYBODY,
    ("GET", "/v1/ens/{sender}/{data}.json"): ANYBODY,
    # A set of documents that sources signed, whoever brings it: nobody who holds one can be kept from making the tick.
    ("POST", "/v1/ticks"): ANYBODY,
    ("POST", "/v1/prices"): SOURCES,
    ("GET", _ACCOUNT): SHOWN,
    ("GET", f"{_ACCOUNT}/entries"): SHOWN,
    ("GET", f"{_ACCOUNT}/events"): SHOWN,
    # What the log says anyway; the staff are told whose an entry is.
    ("GET", "/v1/events"): ANYBODY,
    # Only whether a name goes with a key: an agent asks before it makes keys.
    ("GET", f"{_ACCOUNT}/admission"): ANYBODY,
    ("POST", f"{_ACCOUNT}/uploads"): OWN,
    ("HEAD", f"{_ACCOUNT}/uploads/{{sha256}}"): OWN,
    ("PATCH", f"{_ACCOUNT}/uploads/{{sha256}}"): OWN,
    ("POST", f"{_ACCOUNT}/enrolment"): OWN,
    ("POST", f"{_ACCOUNT}/enrolment/confirmation"): OWN,
    ("POST", f"{_ACCOUNT}/nonce"): OWN,
    ("DELETE", f"{_ACCOUNT}/uploads/{{sha256}}"): OWN,
    ("POST", f"{_ACCOUNT}/submissions"): OWN,
    ("POST", f"{_ACCOUNT}/collateral"): OWN,
    ("POST", f"{_ACCOUNT}/coverage"): OWN,
    ("POST", f"{_ACCOUNT}/releases"): OWN,
    ("POST", f"{_ACCOUNT}/readers"): OWN,
    ("POST", f"{_ACCOUNT}/identity"): OWN,
    ("POST", f"{_ACCOUNT}/obligations"): OWN,
    ("POST", f"{_ACCOUNT}/giving-up"): OWN,
    ("GET", f"{_ACCOUNT}/giving-up"): SHOWN,
    ("POST", f"{_ACCOUNT}/amendment"): OWN,
    ("GET", f"{_ACCOUNT}/amendment"): SHOWN,
    ("POST", f"{_ACCOUNT}/disputes"): OWN,
    ("GET", f"{_ACCOUNT}/disputes"): SHOWN,
    ("POST", f"{_ACCOUNT}/disputes/withdrawal"): OWN,
    ("POST", f"{_ACCOUNT}/disputes/resolution"): OWN,
    ("POST", f"{_ACCOUNT}/loss"): OWN,
    ("GET", f"{_ACCOUNT}/loss"): SHOWN,
    ("GET", f"{_ACCOUNT}/default"): SHOWN,
    ("POST", f"{_ACCOUNT}/dealings"): OWN,
    ("GET", f"{_ACCOUNT}/dealings/{{deal}}"): OWN,
    ("POST", f"{_ACCOUNT}/dealings/{{deal}}/shares"): OWN,
    ("GET", "/v1/custodian/policies"): CUSTODIANS,
    ("GET", "/v1/custodian/accounts/{institution}/history"): CUSTODIANS,
    ("GET", "/v1/custodian/dealings"): CUSTODIANS,
    ("GET", _DEAL): CUSTODIANS,
    ("GET", f"{_DEAL}/coefficients"): CUSTODIANS,
    ("GET", f"{_DEAL}/box"): CUSTODIANS,
    ("POST", f"{_DEAL}/receipt"): CUSTODIANS,
    ("POST", f"{_DEAL}/complaint"): CUSTODIANS,
    ("GET", "/v1/custodian/openings"): CUSTODIANS,
    ("GET", _OPENING): CUSTODIANS,
    ("POST", f"{_OPENING}/part"): CUSTODIANS,
    ("POST", f"{_OPENING}/refusal"): CUSTODIANS,
    ("POST", f"{_OPENING}/rows"): CUSTODIANS,
    ("GET", f"{_OPENING}/rows"): CUSTODIANS,
    ("POST", f"{_OPENING}/finding"): CUSTODIANS,
    ("POST", f"{_OPENING}/void"): CUSTODIANS,
    # Who has a part in a re-sharing is looked at where it is.
    ("GET", "/v1/custodian/resharings"): CUSTODIANS,
    ("GET", f"{_RESHARING}/deals"): CUSTODIANS,
    ("POST", f"{_RESHARING}/shares"): CUSTODIANS,
    ("POST", f"{_RESHARING}/receipt"): CUSTODIANS,
    ("POST", f"{_RESHARING}/complaint"): CUSTODIANS,
    ("GET", "/v1/runs/{run_id}"): SHOWN,
    ("GET", "/v1/runs/{run_id}/outputs/{function}"): SHOWN,
    ("POST", "/v1/runs/{run_id}/answer"): OWN,
    ("GET", "/v1/attestations"): BUNDLES,
    ("GET", "/v1/attestations/{run_id}"): BUNDLES,
    ("GET", "/v1/institutions"): staff(Scope.READ),
    ("GET", "/v1/accounts"): staff(Scope.READ),
    ("GET", "/v1/runs"): staff(Scope.READ),
    ("GET", "/v1/rail"): staff(Scope.READ),
    ("GET", "/v1/ledger"): staff(Scope.READ),
    ("GET", "/v1/disputes"): staff(Scope.READ),
    ("GET", "/v1/breakers"): staff(Scope.READ),
    ("POST", "/v1/admissions"): staff(Scope.ADMIT),
    ("POST", "/v1/amendments"): staff(Scope.ADMIT),
    ("POST", "/v1/parties"): staff(Scope.ADMIT),
    ("POST", "/v1/deposits"): staff(Scope.DEPOSIT),
    ("POST", "/v1/fund"): staff(Scope.DEPOSIT),
    ("POST", "/v1/maturities"): staff(Scope.DEPOSIT),
    ("POST", "/v1/ticks/void"): staff(Scope.TICKS),
    ("POST", "/v1/price-rules"): staff(Scope.TICKS),
    ("POST", "/v1/universes"): staff(Scope.TICKS),
    ("GET", "/v1/openings"): staff(Scope.READ),
    ("POST", "/v1/openings"): staff(Scope.SETTLE),
    ("GET", "/v1/resharings"): staff(Scope.READ),
    ("POST", "/v1/resharings"): staff(Scope.SETTLE),
    ("POST", "/v1/netting"): staff(Scope.SETTLE),
    ("POST", "/v1/sales"): staff(Scope.SETTLE),
    ("POST", "/v1/losses"): staff(Scope.SETTLE),
    ("POST", "/v1/close-outs"): staff(Scope.SETTLE),
    ("POST", "/v1/giving-up"): staff(Scope.SETTLE),
    ("POST", "/v1/disputes/proposals"): staff(Scope.SETTLE),
    ("POST", "/v1/disputes/resolutions"): staff(Scope.SETTLE),
    ("POST", "/v1/disputes/lapses"): staff(Scope.SETTLE),
    ("POST", "/v1/breakers/halts"): staff(Scope.HALT),
    ("POST", "/v1/breakers/resumes"): staff(Scope.HALT),
}

_COMPILED = [(method, compile_path(path)[0], access) for (method, path), access in TABLE.items()]
_HARMLESS = [
    compile_path(path)[0] for path in (f"{_ACCOUNT}/identity", f"{_ACCOUNT}/coverage", "/v1/runs/{run_id}/answer")
]


def access_of(method: str, path: str) -> tuple[Access, dict[str, str]] | None:
    """Return whom a call takes, with what its path names; None where the table has no such call."""
    for listed, pattern, access in _COMPILED:
        if listed == method:
            match = pattern.match(path)
            if match is not None:
                return access, match.groupdict()
    return None


def harmless(method: str, path: str) -> bool:
    """Return whether a call of an institution does no harm whoever has its key: it reads, or proves what is so.

    A rotation is looked at where it is entered.
    """
    return method in ("GET", "HEAD") or any(pattern.match(path) for pattern in _HARMLESS)


def require(operator: Operator, access: Access, named: dict[str, str], caller: Caller) -> None:
    """Make sure that a caller may make a call.

    Args:
        operator: who is called.
        access: whom the call takes.
        named: what its path names.
        caller: who calls.

    Raises:
        NotAuthorised: it may not, or there is nothing of that name.
        NotPermitted: it is one of the staff, with other scopes.
    """
    if access.anybody or caller.scopes & access.scopes or (caller.scopes == ALL_SCOPES and access == NOT_LISTED):
        return
    if access.sources and caller.source:
        return
    if access.custodians and _is_dealt(operator, named, caller):
        return
    if access.institution and _is_of(operator, access, named, caller):
        return
    if caller.is_staff:
        wanted = " or ".join(sorted(map(repr, map(str, access.scopes)))) or "that a person can have for this"
        raise NotPermitted(f"{caller.name} has no scope {wanted}; take a key that has, or have one made")
    raise NotAuthorised(_advice(access))


def _is_of(operator: Operator, access: Access, named: dict[str, str], caller: Caller) -> bool:
    allowed = caller.readable if access.readers else {caller.institution} - {None}
    if "institution" in named:
        return named["institution"] in allowed
    if "run_id" not in named:
        return bool(allowed)
    if not allowed:
        return False
    with operator.store.unit_of_work() as session:
        run = session.get(Run, named["run_id"])
    return run is not None and run.institution in allowed


def _is_dealt(operator: Operator, named: dict[str, str], caller: Caller) -> bool:
    """Return whether a custodian may see what a path names, if it names anything."""
    if "institution" in named:
        return named["institution"] in caller.custody
    if caller.custody and named.keys() & {"deal", "request", "resharing"}:
        with operator.store.reading() as session:
            row: DealingRow | OpeningRow | ResharingRow | None
            row = session.get(DealingRow, named["deal"]) if "deal" in named else None
            row = session.get(OpeningRow, named["request"]) if "request" in named else row
            row = session.get(ResharingRow, named["resharing"]) if "resharing" in named else row
        return row is not None and row.institution in caller.custody
    return bool(caller.custody)


def _advice(access: Access) -> str:
    if access.sources:
        return "prices are taken from sources of the price rules in force: sign the request with the source's key"
    if access.custodians:
        return (
            "this is for custodians of the account: sign the request with the identity key that its custody policy "
            "names"
        )
    if access.readers:
        return (
            "bundles are for whom the institution names: send `Authorization: Bearer` with the token that it gave you, "
            "or sign the request with the key that it named"
        )
    if access.institution:
        return "sign the request (RFC 9421) with the identity key of the institution that is in force"
    return (
        "this is for the operator: send `Authorization: Bearer` with the token in admin.token, or one of "
        "`atomic-margin operator key new`"
    )
