"""The institution's own code in a game: its store, its replica, its ticks, its reading of the log, its decisions.

Real are everything up to the proofs: which entries are followed and which are kept as contradictions, which ticks,
which run is checked and answered, and that it is once. What is checked of a record is checked by
`institution.runs.check_run` on terms that the game marks. Proofs are not made, nothing is decrypted: an answer is the
true one with marks in place of its proofs, for these are tested in `tests/zk` and
`tests/service/test_verification.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.feed import chain as feed_chain
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.institution import answering, coverage, runs
from atomic_margin.service.institution.answering import prepare
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.coverage import Unasked
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.log_watch import MEMORY
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.runs import CheckedRun, DecryptedFlag
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import (
    Base,
    InstitutionStore,
    OwnAnswer,
    OwnDocument,
    OwnKeys,
    OwnSubmission,
    find_sent,
)
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.messages import Entries, EntryItem, LastTick, RunView
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile

from ..bodies import TRUST
from .documents import INSTITUTION, LOG, SEED, TIME
from .genuine import RULES, TERMS, UNIVERSE, GenuineParties, portfolio, prices_at

MAX_AGE = 90
"""Seconds that prices may be old: those of the newest tick, and of the one before it."""


class Shown:
    """What the operator shows the agent, in place of its server."""

    def __init__(self, parties: GenuineParties) -> None:
        self.parties = parties
        self.entries: list[tuple[SignedDocument, SignedDocument]] = []
        self.record: SignedDocument | None = None
        self.forks: dict[int, SignedDocument] = {}

    def page(self, after: int) -> Entries:
        items = [EntryItem(entry=one.to_json(), document=other.to_json()) for one, other in self.entries[after:]]
        return Entries(log=LOG, seed=SEED, entries=tuple(items), more=False)

    def tick(self, number: int) -> SignedDocument:
        if number > self.parties.newest:
            raise RemoteError("there is no such tick", 404)
        return self.forks.get(number) or self.parties.made(number).signed

    def newest_tick(self) -> LastTick:
        parties = self.parties
        last, before = self.tick(parties.newest), parties.last_market(parties.newest)
        return LastTick(
            sequence=parties.newest,
            tick=last.body_hash(),
            document=last.to_json(),
            last_market=None if before is None else before.to_json(),
        )

    def run(self, run_id: str) -> RunView:
        assert self.record is not None
        number = int(self.record.body["price_sequence"])
        before = self.parties.last_market(number)
        return RunView(
            run_id=run_id,
            state="awaiting_answer",
            record=self.record.to_json(),
            tick=self.tick(number).to_json(),
            last_market=None if before is None else before.to_json(),
            evidence=None,
            seconds=None,
            evaluation=None,
            settlement=None,
            shortfall=None,
            problem=None,
        )

    def output(self, run_id: str, name: str) -> bytes:
        return b""


class Keys:
    """In place of the ring of FHE keys, which nothing is decrypted with."""

    def of(self, evaluation_keys: str) -> OwnKeys:
        return OwnKeys(evaluation_keys=evaluation_keys, sequence=1, key_commitments="", openings="")

    def secret(self, own: OwnKeys) -> None:
        return None


class ToldAgent:
    """An institution's agent on a folder, for one game after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = InstitutionStore(folder)
        connection: Any = self.store._engine.raw_connection()
        connection.driver_connection.execute("PRAGMA synchronous=OFF")
        connection.close()

    def begin(self, parties: GenuineParties) -> None:
        """Forget the last game."""
        with self.store.unit_of_work() as session:
            for table in Base.metadata.sorted_tables:
                session.execute(table.delete())
        for path in (*self.folder.glob("contradictions/*"), *self.folder.glob(MEMORY)):
            path.unlink()
        self.parties, self.shown = parties, Shown(parties)
        self.pinned = {
            **TRUST,
            "operator": parties.operator.public_key,
            "prices": RULES.canonical(),
            "universe": UNIVERSE,
            "institutions": {INSTITUTION: parties.institution.public_key},
        }
        self.trust = TrustFile.parse(self.pinned)
        self.begin_under(parties.institution)
        self.kinds: dict[str, int] = {}

    def begin_under(self, identity: Identity) -> None:
        """Begin as another process on the folder does, which has this key there."""
        parties = self.parties
        settings = AgentSettings(
            self.folder,
            INSTITUTION,
            "",
            self.trust,
            100,
            MAX_AGE,
            clock=lambda: prices_at(parties.market),
            unasked_after=0,
        )
        chain = MarketChain(settings, self.store, self.shown.tick)
        universes = Universes(self.folder, TERMS, lambda hash_: None)
        self.history = History(settings, TERMS, identity.public_key, self.store, chain, self.shown.page, universes)
        self.party = Party(
            settings,
            TERMS,
            identity,
            Keys(),  # type: ignore[arg-type]
            self.store,
            self.shown,  # type: ignore[arg-type]
            chain,
            self.history,
            lambda stage: None,
            None,
        )
        self.unasked = Unasked(self.party)

    def know(self, signed: SignedDocument) -> None:
        """Store what the institution signs, before anybody has it."""
        common = {"sha256": signed.body_hash(), "document": signed.to_json(), "stored_at": TIME}
        row: OwnSubmission | OwnAnswer | OwnDocument
        if signed.type == "submission":
            kind = self.kinds[signed.body["commitments"][0]]
            sequence = int(signed.body["sequence"])
            row = OwnSubmission(sequence=sequence, portfolio=portfolio(kind), blindings=[], **common)
        elif signed.type == "answer":
            body = signed.body
            about = {"run_id": body["run_id"], "price_sequence": int(body["price_sequence"]), "run_hash": body["run"]}
            row = OwnAnswer(figures={}, **about, **common)
        else:
            row = OwnDocument(type=signed.type, **common)
        with self.store.unit_of_work() as session:
            if find_sent(session, row.sha256 or "") is None:
                session.add(row)

    def answer(self) -> OwnAnswer | None:
        """Decide about the open run, if there is one; return what was decided about it, now or before."""
        prepare(self.party, Policy.UNLESS_PROVEN)
        run = answering.open_run(self.party)
        return None if run is None else answering.decided(self.party, run)

    def answers(self) -> list[OwnAnswer]:
        """Everything that was ever decided."""
        with self.store.unit_of_work() as session:
            return session.query(OwnAnswer).all()

    @property
    def contradictions(self) -> set[str]:
        return {path.stem for path in self.folder.glob("contradictions/*.json")}


_VERIFIED: dict[bytes, Market] = {}


def _verified_once(tick: PriceTick, rules: PriceRules, before: PriceTick | None, operator: str) -> Market:
    """Verify a tick that was found good before no more than once."""
    key = canonical_bytes([tick.canonical(), None if before is None else before.canonical()])
    if key not in _VERIFIED:
        _VERIFIED[key] = verify_tick(tick, rules, before, operator)
    return _VERIFIED[key]


def marked(monkeypatch: pytest.MonkeyPatch, parties: Callable[[], GenuineParties]) -> None:
    """Put marks in the place of proofs and of what is decrypted."""

    def decide(
        run: CheckedRun,
        submission: Submission,
        own: OwnSubmission,
        flag: DecryptedFlag | None,
        openings: object,
        terms: Terms,
        identity: Identity,
        *,
        entry: str,
    ) -> SignedDocument:
        record: RunRecord = run.record
        missing = max(-int(run.matrices.maintenance_proof.surplus(run.z).min()), 0)
        about = {
            "institution": record.institution,
            "operator": record.operator,
            "run_id": record.run_id,
            "run": run.run_hash,
            "entry": entry,
            "submission": own.sha256,
            "price_sequence": str(record.price_sequence),
        }
        outcome = "breach" if missing else "covered"
        return Answer.parse(parties().answer_body(about, outcome, missing)).signed_by(identity)

    def decrypted(run: CheckedRun, keys: InstitutionKeys, output_of: object) -> DecryptedFlag:
        return DecryptedFlag(run.plaintext_flag, b"")

    for module in (feed_chain, runs):
        monkeypatch.setattr(module, "verify_tick", _verified_once)
    monkeypatch.setattr(answering, "decide", decide)
    monkeypatch.setattr(answering, "decrypt_and_compare", decrypted)
    monkeypatch.setattr(coverage, "coverage_statement", lambda *_: None)
    monkeypatch.setattr(coverage, "prove_sufficiency", lambda *_: b"\0")
