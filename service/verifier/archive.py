"""Replay an examiner's archive offline: to the same states and balances, with every proof and every leaf checked.

Anchors come from the trust file alone. The archive is the operator's word in writing: what it leaves out before or
after its entries, or of other accounts, a monitor of the log sees, not this.
"""

from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.profile import PROFILES
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.archives import ArchiveReader
from atomic_margin.service.errors import ArchiveInvalid, ServiceError
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.log.checkpoints import Believed, Checkpoint, WitnessPolicy, believe, log_key
from atomic_margin.service.log.evidence import check_cosigned
from atomic_margin.service.log.proofs import check_inclusion
from atomic_margin.service.protocol.account.entries import Chain, Entry, followed, salted_hash
from atomic_margin.service.protocol.account.events import UniverseRevision, read_event
from atomic_margin.service.protocol.account.identities import keys_of, keys_shown, require_keys, signer_among
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.account.state import NOTHING, Account
from atomic_margin.service.protocol.archive import (
    EARLIER_FILE,
    ENTRIES_FILE,
    FLAGS_FILE,
    OPENING_FILE,
    README,
    README_FILE,
    TERMS_FILE,
    TICKS_FILE,
    ArchivedEntry,
    ArchivedFlag,
    ArchiveManifest,
    ArchiveOpening,
    ArchiveTerms,
    ShownSalts,
    is_report_file,
)
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.evidence import LeafPath
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.replayed import NotedDocument, Replayed, ReplayedStep, ReportMaker
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms, terms_hash
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.archived_documents import ArchivedDocuments
from atomic_margin.service.verifier.archived_entry import Ground, Happened
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError, ProofError
from atomic_margin.zk.groups import Group

ARCHIVE_STEPS = (
    "manifest", "trust anchors", "checkpoint", "ticks", "opening", "entries", "documents", "reports", "files",
)  # fmt: skip
"""What is checked, in order; entries and the proofs of their documents together."""


class ArchiveReport(NamedTuple):
    """What an archive shows.

    Attributes:
        manifest: as it was signed.
        account: after the last entry.
        kinds: how often each thing happened.
        ticks: how many there are.
        proofs: how many were verified.
        checkpoint: that every entry is in.
        believed: whether witnesses of a trust file stand for it.
        signed_by: who signed the manifest.
        reports: how many files of reports there are.
        without_agreement: runs, and entries of other proofs, that counted no agreement though the trust file pins some
            for the institution: all from before the account came under its first one.
    """

    manifest: ArchiveManifest
    account: Account
    kinds: Mapping[str, int]
    ticks: int
    proofs: int
    checkpoint: Believed
    believed: bool
    signed_by: Literal["operator", "institution"]
    reports: int
    without_agreement: tuple[str, ...] = ()


def verify_archive(
    reader: ArchiveReader,
    trust: TrustFile,
    group: Group,
    reports: ReportMaker,
    on_step: Callable[[str], None] = lambda step: None,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> ArchiveReport:
    """Check an archive against trust anchors, and replay it.

    Args:
        reader: of the archive.
        trust: the verifier's anchors.
        group: backend of the proofs.
        reports: makes the reports again: `reports.archived.archived_reports`.
        on_step: called with the name of each step that held, of `ARCHIVE_STEPS`.
        on_progress: called with the number of entries that were followed, and of all.

    Raises:
        ArchiveInvalid: the first step that does not hold, and why.
    """

    @contextmanager
    def step(name: str) -> Iterator[None]:
        try:
            yield
        except (GeneratorError, BackendUnavailable):
            # The verifier's own installation is at fault, not the archive.
            raise
        except ArchiveInvalid as error:
            raise ArchiveInvalid(error.detail, name) from error
        except (ServiceError, DocumentsError, MarginError, CircuitError, ProofError) as error:
            path = getattr(error, "field", None)
            detail = str(error) if path is None or str(error).startswith(path) else f"{path}: {error}"
            raise ArchiveInvalid(detail, name) from error
        on_step(name)

    manifest = reader.manifest
    # (1) The trusted operator, or the institution, signed what the archive is.
    with step("manifest"):
        pinned = trust.institutions.get(manifest.institution)
        if pinned is None:
            raise ArchiveInvalid(f"institution {manifest.institution!r} is not in the trust file")
        keys = keys_shown(pinned, _rotations(reader), manifest.institution, trust.operator)
        # An archive that shows a rotation was made after it.
        reader.signed.verify(frozenset({trust.operator, keys[-1]}))
        if manifest.operator != trust.operator:
            raise ArchiveInvalid("it is of another operator than the trust file's")
    # (2) Model, schedule and profile are the trusted ones; the trusted universe is one that the operator listed.
    with step("trust anchors"):
        said = ArchiveTerms.parse(parse_json(reader.data(TERMS_FILE), TERMS_FILE))
        terms = _terms(said, trust)
    # (3) The checkpoint is of the operator's log, and enough trusted witnesses cosigned it, if the trust file asks.
    with step("checkpoint"):
        believed = _believed(said, manifest, trust)
    # (4) Ticks have no gap, and enough trusted sources signed each.
    with step("ticks"):
        ticks = _Ticks(reader, said, trust)
    replay = _Replay(reader, trust, terms, ticks, believed, group, keys)
    # (5) The operator signed the state before the first entry, and what rests on documents from before has them.
    with step("opening"):
        replay.open()
    # (6) Each entry follows, as the machine says, is in the log, and is what its hashes hide.
    with step("entries"):
        replay.follow(on_progress)
    # (7) What was put off holds too.
    with step("documents"):
        replay.documents.conclude()
        without = replay.documents.without_agreement(replay.account)
    # (8) Every report is what these entries and ticks give, and none is missing.
    with step("reports"):
        count = _check_reports(reader, reports(replay.replayed))
    # (9) What explains the archive is what its form says; there is no other file.
    with step("files"):
        _check_bytes(reader, README_FILE, README.encode())
    found = replay.kinds, len(ticks.ticks), replay.documents.proofs
    signed_by: Literal["operator", "institution"]
    signed_by = "operator" if reader.signed.signer == trust.operator else "institution"
    return ArchiveReport(manifest, replay.account, *found, believed, trust.log is not None, signed_by, count, without)


def _rotations(reader: ArchiveReader) -> Iterator[object]:
    """Yield the rotations of the institution's identity key that an archive has, in order."""
    named = IdentityRotation.TYPE.encode()
    for name in (EARLIER_FILE, ENTRIES_FILE):
        for line in reader.lines(name):
            # Few lines have one, and the others are read later.
            if named not in line:
                continue
            value = parse_json(line, name)
            document = value if name == EARLIER_FILE else ArchivedEntry.parse(value).document
            if isinstance(document, dict) and document.get("type") == IdentityRotation.TYPE:
                yield document


def _check_reports(reader: ArchiveReader, made: Iterator[tuple[str, bytes]]) -> int:
    """Make sure that the reports of an archive are those that were made again; return how many files they are."""
    wanted = set()
    for name, data in made:
        _check_bytes(reader, name, data)
        wanted.add(name)
    for name in reader.names():
        if is_report_file(name) and name not in wanted:
            raise ArchiveInvalid(f"{name} is no report that the entries of the archive give")
    return len(wanted)


def _check_bytes(reader: ArchiveReader, name: str, data: bytes) -> None:
    at = 0
    for chunk in reader.chunks(name):
        if data[at : at + len(chunk)] != chunk:
            raise ArchiveInvalid(f"{name} is another one than the archive gives")
        at += len(chunk)
    whole = at == len(data)
    if not whole:
        raise ArchiveInvalid(f"{name} is another one than the archive gives")


def _terms(said: ArchiveTerms, trust: TrustFile) -> Terms:
    profiles = [profile for profile in PROFILES.values() if profile.hash() == trust.profile]
    if not profiles or said.profile != trust.profile:
        raise ArchiveInvalid("the profile is not the trusted one, or unknown to this version of atomic-margin")
    terms = Terms.parse(said.model, said.universes[0], said.schedule, profiles[0])
    for name, hash_ in terms.hashes.items():
        if getattr(trust, name) != hash_:
            raise ArchiveInvalid(f"not the {name} of the trust file")
    if len(said.revisions) != len(said.universes) - 1:
        raise ArchiveInvalid("each universe but the first comes with its revision")
    for document, universe in zip(said.revisions, said.universes[1:], strict=True):
        signed, revision = parse_signed(document, UniverseRevision)
        signed.verify(frozenset({trust.operator}))
        before, parsed = terms.universe.hash(), Universe.parse(universe)
        if (revision.before, revision.universe) != (before, parsed.hash()):
            raise ArchiveInvalid("the revisions do not lead from one universe to the next")
        terms.take_revision(parsed)
    if trust.universe not in {universe.hash() for universe in terms.universes}:
        raise ArchiveInvalid("the universe of the trust file is none of the operator's here")
    return terms


def _believed(said: ArchiveTerms, manifest: ArchiveManifest, trust: TrustFile) -> Believed:
    if trust.log is not None:
        if trust.log.origin != manifest.log:
            raise ArchiveInvalid(f"it is of the log {manifest.log}, the trust file's is {trust.log.origin}")
        return check_cosigned(said.checkpoint, trust.log)
    key = log_key(manifest.log, trust.operator)
    return believe(Checkpoint.parse(said.checkpoint), key, WitnessPolicy((), 0), 0)


class _Ticks:
    """The ticks of an archive, each of which follows the one before."""

    def __init__(self, reader: ArchiveReader, said: ArchiveTerms, trust: TrustFile) -> None:
        self.ticks: dict[int, PriceTick] = {}
        self._hashes = {0: NOTHING}
        self._markets: list[int] = []
        last = None if said.last_market is None else SignedDocument.parse(said.last_market)
        if last is not None:
            self._note(last)
        known: Known | None = None
        for line in reader.lines(TICKS_FILE):
            signed = SignedDocument.parse(parse_json(line, TICKS_FILE))
            if known is None:
                known = begin(signed, last, trust.prices, trust.operator)
            else:
                known = follow(known, signed, trust.prices, trust.operator)
            self._note(signed)

    def _note(self, signed: SignedDocument) -> None:
        tick = PriceTick.parse(signed.body)
        self.ticks[tick.sequence] = tick
        self._hashes[tick.sequence] = signed.body_hash()
        if tick.market is not None:
            self._markets.append(tick.sequence)

    def require(self, entry: Entry) -> None:
        """Make sure that an entry names ticks of the archive, and the newest one with a market.

        Raises:
            ArchiveInvalid: it does not.
        """
        position = bisect_right(self._markets, entry.tick_sequence)
        newest = self._markets[position - 1] if position else 0
        for number, hash_ in ((entry.tick_sequence, entry.tick), (entry.market_sequence, entry.market)):
            if self._hashes.get(number) != hash_:
                raise ArchiveInvalid(f"entry {entry.number} names another tick {number} than the archive has")
        if entry.market_sequence != newest:
            raise ArchiveInvalid(f"entry {entry.number} names tick {entry.market_sequence} as the newest with a market")


class _Replay:
    """Follows the entries of an archive."""

    def __init__(
        self,
        reader: ArchiveReader,
        trust: TrustFile,
        terms: Terms,
        ticks: _Ticks,
        believed: Believed,
        group: Group,
        keys: tuple[str, ...],
    ) -> None:
        self._identities = keys
        self._reader, self._trust, self._terms, self._ticks, self._believed = reader, trust, terms, ticks, believed
        self._leaf = -1
        self.chain, self.kinds = Chain(), Tally[str]()
        flags = {flag.run: bytes.fromhex(flag.words) for flag in self._flags()}
        self.documents = ArchivedDocuments(Ground(terms, trust, ticks.ticks, flags, group))
        self.replayed = Replayed(trust.operator, terms.schedule, ticks=ticks.ticks)

    @property
    def account(self) -> Account:
        """The account after the last entry."""
        if self.chain.state is None:
            raise TypeError("an archive has an entry")
        return self.chain.state

    def _flags(self) -> Iterator[ArchivedFlag]:
        for line in self._reader.lines(FLAGS_FILE):
            yield ArchivedFlag.parse(parse_json(line, FLAGS_FILE))

    def open(self) -> None:
        """Take the state before the first entry, and the documents from before."""
        manifest = self._reader.manifest
        if self._reader.has(OPENING_FILE):
            opening = ArchiveOpening.parse(parse_json(self._reader.data(OPENING_FILE), OPENING_FILE))
            signed, entry = parse_signed(opening.entry, Entry)
            signed.verify(frozenset({self._trust.operator}))
            self._check_placed(signed, entry, opening.leaf)
            for part, value in (("public", opening.public), ("private", opening.private)):
                if salted_hash(getattr(opening.salts, part), value.canonical()) != getattr(entry, part):
                    raise ArchiveInvalid(f"the {part} part of entry {entry.number} is not the one that the entry names")
            self.chain = Chain(
                entry.number, signed.body_hash(), Account(public=opening.public, private=opening.private)
            )
            account = Account(public=opening.public, private=opening.private)
            self._check_account(account)
            self.replayed.opening = ReplayedStep(entry, signed.body_hash(), account, None)
            self.documents.note(entry.number, signed.body_hash(), entry.kind)
        if self.chain.number != manifest.first - 1:
            raise ArchiveInvalid(
                f"it begins with entry {manifest.first}, and shows the state after {self.chain.number}"
            )
        # What is from before was entered under the keys that the account had by then.
        keys = self._identities[:1] if self.chain.state is None else keys_of(self.chain.state.public)
        earlier = {}
        for line in self._reader.lines(EARLIER_FILE):
            document = SignedDocument.parse(parse_json(line, EARLIER_FILE))
            if document.type == IdentityRotation.TYPE:
                continue
            self.documents.take_earlier(document, signer_among(document, keys))
            earlier[document.body_hash()] = document
        self.documents.check_earlier(earlier, keys)

    def follow(self, on_progress: Callable[[int, int], None]) -> None:
        """Follow every entry, and check what its document proves."""
        manifest = self._reader.manifest
        for line in self._reader.lines(ENTRIES_FILE):
            item = ArchivedEntry.parse(parse_json(line, ENTRIES_FILE))
            signed, document = SignedDocument.parse(item.entry), SignedDocument.parse(item.document)
            before = self.chain.state
            salts = ShownSalts(manifest.account, item.salts)
            try:
                self.chain = followed(self.chain, signed, document, salts, self._trust.operator)
                entry, after = Entry.parse(signed.body), self.chain.state
                if after is None:
                    raise TypeError("an entry was followed to no state")
                self._ticks.require(entry)
                leaf = self._check_placed(signed, entry, item.leaf)
                run = None if before is None else before.public.run
                event = read_event(document, run is None or run.owes, verified=document.body_hash())
                self._check_account(after)
                happened = Happened(entry.number, event, document, before, after, leaf, signed.body_hash())
                self.documents.take(happened)
                noted = NotedDocument.of(document, event.document)
                count = manifest.last - manifest.first + 1
                self.replayed.note(count, ReplayedStep(entry, self.chain.head, after, noted))
            except (ServiceError, DocumentsError, MarginError, ProofError) as error:
                if isinstance(error, ArchiveInvalid) and error.step == "documents":
                    raise
                raise ArchiveInvalid(f"entry {self.chain.number}: {error}") from error
            self.kinds[str(event.kind)] += 1
            on_progress(self.chain.number - manifest.first + 1, manifest.last - manifest.first + 1)
        if self.chain.number != manifest.last:
            raise ArchiveInvalid(f"it ends with entry {self.chain.number}, the manifest says {manifest.last}")
        if keys_of(self.account.public) != self._identities:
            raise ArchiveInvalid("it shows rotations of the identity key that the account does not have")

    def _check_placed(self, signed: SignedDocument, entry: Entry, place: LeafPath) -> bytes:
        """Make sure that an entry is of the account and the log, and that its leaf is in the checkpoint."""
        manifest, head = self._reader.manifest, self._believed.head
        if (entry.log, entry.account) != (manifest.log, manifest.account):
            raise ArchiveInvalid("an entry is of another log or account than the manifest names")
        leaf = entry_leaf(signed).to_bytes()
        path = [bytes.fromhex(hash_) for hash_ in place.path]
        check_inclusion(leaf, place.index, head.size, path, head.root)
        if place.index <= self._leaf:
            raise ArchiveInvalid("entries stand in the log in another order")
        self._leaf = place.index
        return leaf

    def _check_account(self, account: Account) -> None:
        public, manifest = account.public, self._reader.manifest
        for name, found, wanted in (
            ("institution", public.institution, manifest.institution),
            ("operator", public.operator, self._trust.operator),
            ("terms", public.terms, terms_hash(self._terms)),
        ):
            if found != wanted:
                raise ArchiveInvalid(f"the account has another {name} than the trust file")
        require_keys(public, self._identities, "identity")
