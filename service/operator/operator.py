"""The operator as an object: its terms, keys, store, evaluator and settings. Every other module here takes one.

What a crash left open is finished when the background work starts (`background`): files no row names are removed,
interrupted evaluations are scheduled again, and breaches that were verified but not settled are settled.
"""

import fcntl
import hmac
import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from sqlalchemy import select

from atomic_margin.circuits.layout import layout_of
from atomic_margin.documents.strict import instant
from atomic_margin.fhe.evaluator import DEFAULT_MEMORY_BYTES, Evaluator, remove_leftovers
from atomic_margin.fhe.executors.cluster_settings import ClusterSettings
from atomic_margin.fhe.executors.port import GRACE_SECONDS, EvaluationExecutor
from atomic_margin.fhe.executors.process_pool import ProcessPool, threads_of_each
from atomic_margin.fhe.worker import KeyFile
from atomic_margin.margin.market.market import InterpolatedQuote, Market, interpolated_quotes
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import ConfigurationError, NotFound, Refused
from atomic_margin.service.http.limit_table import USUAL_LIMITS, Limits
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.log.checkpoints import WitnessPolicy, log_key
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.operator import clock
from atomic_margin.service.operator.compiled_ticks import CompiledTicks
from atomic_margin.service.operator.holds import Holds
from atomic_margin.service.operator.measures import Measures
from atomic_margin.service.operator.parsed import ParsedDocuments
from atomic_margin.service.operator.rail import LedgerRail, Rail
from atomic_margin.service.operator.retention_rules import USUAL_RETENTION, RetentionRules
from atomic_margin.service.operator.staff import StaffKeys
from atomic_margin.service.operator.store.claims import ClaimsInHand
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.entries import Book
from atomic_margin.service.operator.store.line import Line
from atomic_margin.service.operator.store.ownership import require_own
from atomic_margin.service.operator.store.references import named_blobs
from atomic_margin.service.operator.store.remote_blobs import DEFAULT_CACHE_BYTES, open_blobs
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys, UniverseRow
from atomic_margin.service.operator.store.uploads import Uploads
from atomic_margin.service.pointer.gateway import Gateway
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES, Allowances
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.waterfall import WaterfallRules, check_rules
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.verify.queue import VerificationQueue

_log = logging.getLogger(__name__)

DEFAULT_MIN_FREE_BYTES = 1 << 30
DEFAULT_ORIGIN = "atomic-margin.log"
KEY_FILE = "operator.key"


@dataclass(frozen=True)
class Settings:
    """What an operator chooses.

    Attributes:
        directory: where keys, database and files are; made if absent, readable by its owner only.
        prices: whose prices count, how many sources must agree, and within which bounds.
        answer_seconds: time an institution has to answer a run.
        memory_bytes: address-space limit of each evaluation worker.
        database_url: SQLAlchemy URL; by default SQLite in the directory.
        workers: evaluation workers, which share the cores; as many accounts' runs are evaluated at once.
        policy: whether a run that is proven covered first need not be evaluated.
        proof_seconds: time for that proof.
        log_origin: name of the log, in every checkpoint; by default one made of the operator's key.
        witnesses: URL and key of each witness that is asked to cosign.
        threshold: how many cosignatures a checkpoint needs before anything rests on it, as trust files ask for; by
            default more than half of the witnesses.
        allowances: by how much books of institutions that it admits may have gained more than those they replace.
        checkpoint_seconds: a checkpoint is published at least so often, also of a log that did not grow.
        waterfall: rules of the default waterfall; without them nothing is realised, contributed or closed out.
        breakers: rules about too many settlements at once; without them every breach settles at once.
        blobs_url: where large bytes are, as fsspec names it; by default in the directory.
        blob_cache_bytes: with a URL: room for copies of them in the directory.
        cluster: where runs are evaluated instead of on this machine; key checks stay here.
        grace_seconds: when it is stopped, time that runs in hand have to end before they are cut off and handed back.
        limits: of its HTTP face, and of what institutions upload.
        retention: how long what may go is kept.
        min_free_bytes: with less room on the disk, no enrolment and no tick is taken.
        ens_gateway: answers for an ENS name that points here; without it none is answered for.
        opening_seconds: an opening by custodians of which nothing came by then lapses.
        opening_session_seconds: after so long a session of it makes place for another, whoever says that it failed.
    """

    directory: Path
    prices: PriceRules
    answer_seconds: int = 900
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    database_url: str | None = None
    workers: int = 1
    policy: Policy = Policy.ALWAYS
    proof_seconds: int = 10
    log_origin: str | None = None
    witnesses: tuple[tuple[str, NoteKey], ...] = ()
    checkpoint_seconds: int = 60
    threshold: int | None = None
    allowances: Allowances = USUAL_ALLOWANCES
    waterfall: WaterfallRules | None = None
    breakers: BreakerRules | None = None
    blobs_url: str | None = None
    blob_cache_bytes: int = DEFAULT_CACHE_BYTES
    grace_seconds: int = 30
    cluster: ClusterSettings | None = None
    limits: Limits = USUAL_LIMITS
    min_free_bytes: int = DEFAULT_MIN_FREE_BYTES
    retention: RetentionRules = USUAL_RETENTION
    ens_gateway: Gateway | None = None
    opening_seconds: int = 600
    opening_session_seconds: int = 120

    @property
    def policy_of_log(self) -> WitnessPolicy:
        """Whose cosignatures are wanted."""
        keys = tuple(key for _, key in self.witnesses)
        usual = len(keys) // 2 + 1 if keys else 0
        return WitnessPolicy(keys, usual if self.threshold is None else self.threshold)


class Operator:
    """One operator, without its HTTP face and its background work."""

    def __init__(self, settings: Settings, terms: Terms, evaluator: Evaluator | None = None) -> None:
        """Open the data directory. A given evaluator serves runs and key checks alike; by default they are apart."""
        if settings.policy_of_log.needed > len(settings.witnesses):
            count = len(settings.witnesses)
            raise ConfigurationError(f"{settings.threshold} cosignatures are wanted, and there are {count} witnesses")
        if settings.opening_session_seconds > settings.opening_seconds:
            raise ConfigurationError(
                f"a session of an opening may take {settings.opening_session_seconds} s, and the opening lapses after "
                f"{settings.opening_seconds} s: give opening_seconds room for a session at least"
            )
        if settings.waterfall is not None:
            check_rules(settings.waterfall, terms.schedule)
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.settings = settings
        self.terms = terms
        self.compiled_ticks = CompiledTicks(terms)
        self.parsed = ParsedDocuments(terms.profile)
        self.measures = Measures()
        self.admin_token = load_token(settings.directory / "admin.token")
        self.staff = StaffKeys(settings.directory)
        self.holds = Holds(settings.directory)
        self._directory_lock = _lock_directory(settings.directory / "lock")
        url = settings.database_url
        try:
            self.store = Store.in_directory(settings.directory) if url is None else Store(url)
            require_own(self.store, settings.directory / KEY_FILE)
        except BaseException:
            self._directory_lock.close()
            raise
        self.identity = Identity.load_or_create(settings.directory / KEY_FILE)
        self.log_key = log_key(
            settings.log_origin or f"{DEFAULT_ORIGIN}/{self.identity.public_key[:16]}", self.identity.public_key
        )
        clock.begin(self.store)
        self.blobs = open_blobs(settings.directory, settings.blobs_url, settings.blob_cache_bytes)
        layout = layout_of(terms.profile)
        longest = max(layout.evaluation_key_bytes, layout.messages["input"].size)
        self.uploads = Uploads(settings.directory / "uploads", settings.limits, longest)
        self.evaluator = self._new_executor(evaluator)
        self._shared_evaluator = evaluator
        self.claims = ClaimsInHand()
        # Whoever starts an operator on a chain puts that rail here, before anything settles.
        self.rail: Rail = LedgerRail()
        # Runs to be evaluated, and those that are to be proven first.
        self.line, self.line_to_ask = Line(), Line()
        # Set when what is in hand is cut off, which is nobody's failure then.
        self.stopping = threading.Event()
        self._key_checks = threading.Lock()
        self._key_checker: Evaluator | None = None
        # Held by whoever announces a universe, and admits: an account is told of every one since its own.
        self.announcing = threading.Lock()
        self.ends: dict[str, datetime] = {}
        self._take_revisions()
        self.group: Group = load_group()
        self.proofs = VerificationQueue(self.group)

    def check_market(self, market: Market) -> None:
        """Make sure prices value every instrument of every universe in force, and all collateral that counts.

        Raises:
            DocumentError: naming the field.
        """
        for universe in self._in_force(market):
            self.terms.check_market(market, universe.hash())

    def interpolated(self, market: Market) -> list[InterpolatedQuote]:
        """Return what options of universes in force are priced from although nobody quoted it, each once.

        Raises:
            DocumentError: naming the field of a price that is missing.
        """
        found = (interpolated_quotes(market, universe) for universe in self._in_force(market))
        return list(dict.fromkeys(quote for quotes in found for quote in quotes))

    def _in_force(self, market: Market) -> list[Universe]:
        ends = [(universe, self.ends.get(universe.hash())) for universe in self.terms.universes]
        return [universe for universe, end in ends if end is None or market.as_of <= end]

    def _take_revisions(self) -> None:
        """Take the universes that were announced before this process began."""
        with self.store.reading() as session:
            rows = session.scalars(select(UniverseRow).order_by(UniverseRow.number)).all()
        for row in rows:
            self.ends[self.terms.universe.hash()] = instant(row.until)
            self.terms.take_revision(Universe.parse(row.document))

    @property
    def book(self) -> Book:
        """What entries of accounts are made with."""
        return Book(self.identity, self.log_key)

    @property
    def shared_evaluator(self) -> Evaluator | None:
        """The evaluator that was given for all that is evaluated, if one was."""
        return self._shared_evaluator

    def remove_orphans(self) -> int:
        """Remove files that no row names, left by a crash: of blobs, of worker processes."""
        with self.store.reading() as session:
            named = named_blobs(session)
        return self.blobs.keep_only(named) + remove_leftovers()

    def account(self, institution: str) -> Account:
        """Return an institution's account.

        Raises:
            NotFound: the operator never admitted it.
        """
        with self.store.reading() as session:
            account = session.get(Account, institution)
        if account is None:
            raise NotFound(f"institution {institution!r} is not admitted here; ask the operator to admit it")
        return account

    def enrolled_keys(self, institution: str, evaluation_keys: str) -> EnrolledKeys:
        """Return the keys with that hash.

        Raises:
            Refused: the institution has not enrolled them.
        """
        with self.store.reading() as session:
            row = session.get(EnrolledKeys, evaluation_keys)
        if row is None or row.institution != institution or not row.confirmed:
            raise Refused(f"institution {institution!r} has not enrolled these evaluation keys", "evaluation_keys")
        return row

    def key_pair(self, row: EnrolledKeys) -> KeyPair:
        """Return the key commitments that came with enrolled keys."""
        return self.parsed.key_pair(row)

    def key_file(self, row: EnrolledKeys) -> KeyFile:
        """Return where enrolled evaluation keys are, for the worker."""
        return KeyFile(
            self.blobs.path(row.evaluation_keys), row.evaluation_keys, self.blobs.get(row.known_answer_input)
        )

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        """Try uploaded keys in a worker process of their own, one upload at a time.

        Keys that abort the process, or exhaust it, must not touch the runs of anybody else.
        """
        with self._key_checks:
            if self._shared_evaluator is not None:
                return self._shared_evaluator.check_keys(keys, challenges)
            with self._new_evaluator() as self._key_checker:
                return self._key_checker.check_keys(keys, challenges)

    def _new_executor(self, evaluator: Evaluator | None) -> EvaluationExecutor:
        settings = self.settings
        if evaluator is not None:
            return ProcessPool([evaluator])
        if settings.cluster is None:
            return ProcessPool(self._new_evaluators())
        # Its library is of an extra.
        from atomic_margin.fhe.executors.cluster import Cluster

        if settings.cluster.exposed:
            _log.warning(
                "%s is plain TCP to another machine: whoever is on the way reads evaluation keys and ciphertexts, and "
                "runs programs here; use tls:// and certificates",
                settings.cluster.scheduler,
            )
        return Cluster(self.terms.profile, settings.cluster, jobs=settings.workers)

    def _new_evaluators(self) -> list[Evaluator]:
        workers = self.settings.workers
        return [self._new_evaluator(threads_of_each(workers)) for _ in range(workers)]

    def _new_evaluator(self, threads: int | None = None) -> Evaluator:
        return Evaluator(self.terms.profile, memory_bytes=self.settings.memory_bytes, threads=threads)

    def is_admin(self, token: str | None) -> bool:
        """Return whether a token is the first of the staff's, which has every scope."""
        return token is not None and hmac.compare_digest(token.encode(), self.admin_token.encode())

    def close(self, seconds: float = GRACE_SECONDS) -> None:
        """Stop the workers, after `seconds` whatever they do, and release the database."""
        self.evaluator.close(seconds)
        self.rail.close()
        if self._key_checker is not None:
            # One that hangs must not keep the process from ending.
            self._key_checker.close(0)
        self.store.close()
        self._directory_lock.close()


def _lock_directory(path: Path) -> IO[bytes]:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigurationError(f"another operator runs on {path.parent}; stop it or use another folder") from None
    return file
