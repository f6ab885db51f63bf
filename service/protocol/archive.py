"""An examiner's archive: what is in its files, and the manifest that is signed. Pure.

An archive holds one account over a period: every entry with its document and with the salts of that entry alone, the
ticks, the checkpoint and each leaf's path to it, and what documents rest on that are from before. Whoever has it runs
the machine from the state before the first entry to the one after the last, both parts of it: an examiner sees free
collateral, and no position.
"""

import re
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import PlainValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time, WordsHex
from atomic_margin.documents.strict import (
    Document,
    Identifier,
    Label,
    ListOf,
    NonEmptyListOf,
    Part,
    integer_in,
    problem,
)
from atomic_margin.service.protocol.account.state import PrivateState, PublicState
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.evidence import LeafPath, NoteText

JsonObject = dict[str, Any]

MAX_ARCHIVE_FILES = 2048
MAX_ARCHIVED_BYTES = 1 << 31
"""All files together, unpacked."""
MAX_LINE_BYTES = 32 << 20
"""One document: submissions of 4,096 entries have 15 MB."""
MAX_REPORTED_DAYS = 400
MAX_REPORTED_RUNS = 200
"""Of a day there are two files, of a run up to six."""
MAX_REPORTED_ENTRIES = 50_000
"""An archive of more has no reports: they need all entries at once."""

TERMS_FILE = "terms.json"
OPENING_FILE = "opening.json"
EARLIER_FILE = "earlier.jsonl"
TICKS_FILE = "ticks.jsonl"
ENTRIES_FILE = "entries.jsonl"
FLAGS_FILE = "flags.jsonl"
README_FILE = "README.txt"
ARCHIVE_FILES = frozenset({TERMS_FILE, OPENING_FILE, EARLIER_FILE, TICKS_FILE, ENTRIES_FILE, FLAGS_FILE, README_FILE})
_REPORT_FILE = re.compile(
    r"reports/(?:daily-[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|(?:call|response|settlement)-[A-Za-z0-9][A-Za-z0-9._-]{0,63})\.(?:json|html)"
)


def is_report_file(name: str) -> bool:
    """Return whether a file of an archive is a report, by its name."""
    return _REPORT_FILE.fullmatch(name) is not None


def report_file(kind: str, of: str, suffix: str) -> str:
    """Return the name of a report in an archive, of a day or a run."""
    return f"reports/{kind}-{of}.{suffix}"


def _file_name(value: object) -> str:
    if not isinstance(value, str) or not (value in ARCHIVE_FILES or is_report_file(value)):
        raise problem(MalformedDocument, f"an archive has no file of this name: {str(value)[:80]!r}")
    return value


FileName = Annotated[str, PlainValidator(_file_name)]
"""Nothing else can be in an archive, so that no name leads out of the folder that somebody unpacks it into."""


class ArchivedFile(Part):
    """A file of an archive: its name, the SHA-256 of its bytes, and how many there are."""

    name: FileName
    sha256: Hash
    bytes: Annotated[int, integer_in(0, MAX_ARCHIVED_BYTES)]


class ArchiveManifest(Body):
    """What is in an archive, signed by whoever made it.

    Attributes:
        version: of the form.
        institution: whose account.
        account: its pseudonym in the log.
        operator: public key.
        log: origin of the log.
        first: number of the first entry; it is from before the period where a run was open or owed when that began.
        last: number of the last one.
        begins: the period asked for, its first moment.
        ends: its last moment.
        files: all but this one.
        made_at: time.
    """

    TYPE = "archive"
    version: Literal["1"]
    institution: Identifier
    account: Hash
    operator: PublicKey
    log: Label
    first: Counter
    last: Counter
    begins: Time
    ends: Time
    files: NonEmptyListOf[ArchivedFile]
    made_at: Time

    @model_validator(mode="after")
    def _check(self) -> "ArchiveManifest":
        if not 0 < self.first <= self.last:
            raise MalformedDocument("last", "an archive has an entry, numbered from 1")
        names = [file.name for file in self.files]
        if len(names) > MAX_ARCHIVE_FILES or sorted(set(names)) != names:
            raise MalformedDocument("files", f"at most {MAX_ARCHIVE_FILES} files, by name, each once")
        if sum(file.bytes for file in self.files) > MAX_ARCHIVED_BYTES:
            raise MalformedDocument("files", f"at most {MAX_ARCHIVED_BYTES} bytes, unpacked")
        return self


class EntrySalts(Part):
    """The salts of one entry: they open its three hashes, and nothing else."""

    document: Hash
    public: Hash
    private: Hash


class ShownSalts(NamedTuple):
    """Salts of one entry, as `account.entries.followed` asks for those of an account.

    Attributes:
        account: pseudonym.
        shown: of the entry.
    """

    account: str
    shown: EntrySalts

    def of(self, part: str, number: int) -> str:
        """Return the salt of one hash; there is one entry alone."""
        found: str = getattr(self.shown, part)
        return found


class ArchivedEntry(Document):
    """An entry with its document, its salts, and its leaf's place in the log."""

    TAG: ClassVar[str] = "archived-entry"
    entry: JsonObject
    document: JsonObject
    salts: EntrySalts
    leaf: LeafPath


class ArchivedFlag(Document):
    """The raw words of a run's breach flag, which a proven breach is decrypted from; `run` is the record's hash."""

    TAG: ClassVar[str] = "archived-flag"
    run: Hash
    words: WordsHex


class ArchiveOpening(Document):
    """The entry before the first one, with the state that it names: where a replay begins."""

    TAG: ClassVar[str] = "archive-opening"
    entry: JsonObject
    salts: EntrySalts
    public: PublicState
    private: PrivateState
    leaf: LeafPath


class ArchiveTerms(Document):
    """What everything is computed by, and the checkpoint.

    Attributes:
        universes: the account's, in order; the revisions lead from one to the next.
        revisions: signed by the operator.
        last_market: signed tick that the first one names as the last with a market, if it is not among the ticks.
        checkpoint: that every leaf is in, with its cosignatures.
    """

    TAG: ClassVar[str] = "archive-terms"
    model: JsonObject
    universes: NonEmptyListOf[JsonObject]
    schedule: JsonObject
    profile: Hash
    revisions: ListOf[JsonObject]
    last_market: JsonObject | None = None
    checkpoint: NoteText


README = f"""An archive of one account: everything that happened to it over a period, as signed documents.

manifest.json    who made the archive, which account and entries; name, size and SHA-256 of every other file; signed
terms.json       margin model, instruments, collateral schedule, and the checkpoint of the log
opening.json     the entry before the first one here, and the state that it names; absent if the account begins here
earlier.jsonl    documents from before that later ones rest on
ticks.jsonl      signed price ticks, without a gap
entries.jsonl    every entry with its document, its salts and its place in the log; if a run was open or owed when
                 the period began, from the entry of its record on
flags.jsonl      what the breach flags of proven breaches were decrypted from
reports/         as .json for machines and as .html to read and print:
                 daily-DAY.*       the statement of each day, in UTC, that has entries here: of the first and the last
                                   day as much as is here; worth is at the newest prices of the day that are here
                 call-RUN.*        of each run that was not proven covered in time: the notice,
                 response-RUN.*    the response, if there was one,
                 settlement-RUN.*  and the advice of what settled it
                 They are of the first {MAX_REPORTED_DAYS} days and {MAX_REPORTED_RUNS} such runs; an archive of more
                 than {MAX_REPORTED_ENTRIES} entries has none. What cannot be made of what is here is left out.

Check all of it offline, against a trust file of your own; every report is made again from the entries:

    atomic-margin verify ARCHIVE --trust trust.json
"""
