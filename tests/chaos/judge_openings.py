"""Says of openings what is wrong with them, from the account's entries and what each custodian stored.

What custodians printed, or told the operator, is not asked. The judge knows the book, and so what is found is true or
not.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.margin.rows.top_up import step_units
from atomic_margin.service.custodian.folder import DATABASE
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import SettlementRow
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_claims import lacking

from ..e2e.small import PORTFOLIO
from ..service.documents import example_terms
from .custody import folders, names
from .judge import Seen

_K = EventKind
OPENED = frozenset({_K.OPENED_COVERED, _K.OPENED_IN_BREACH})
ENDS = OPENED | {_K.OPENING_LAPSED, _K.COVERED, _K.BREACH_PROVEN}
"""By one of these an opening is over: it was found, nothing came of it, or the institution answered."""


class Truth(NamedTuple):
    """What custodians have to find of a run.

    Attributes:
        breach: whether a maintenance row is negative.
        maintenance_row: on a breach, the least one.
        initial_row: likewise.
        top_up_usd: what that row lacks, in currency.
    """

    breach: bool
    maintenance_row: int | None = None
    initial_row: int | None = None
    top_up_usd: str = "0"


def truth(record: RunRecord, prices: dict[str, Any]) -> Truth:
    """Return what is true of the book of all houses in a run, by its prices as the sources know them."""
    terms = example_terms()
    matrices = terms.compile(Market.parse(prices), record.posted, record, record.agreed)
    book = encode(Portfolio.parse(PORTFOLIO), terms.universe, terms.columns(record))

    def rows(kind: MarginKind) -> list[int]:
        matrix = matrices.of(kind, "proof")
        return [
            sum(int(weight) * int(value) for weight, value in zip(row, book, strict=True)) + int(offset)
            for row, offset in zip(matrix.weights, matrix.collateral, strict=True)
        ]

    maintenance, initial = rows("maintenance"), rows("initial")
    if min(maintenance) >= 0:
        return Truth(False)
    matrix = matrices.of("initial", "proof")
    step = step_units(matrix.unit_exponent, terms.call_step(record.agreed, record), record.gross_limit)
    units = lacking(min(initial), 1, step)
    usd = format(matrix.usd(units), "f")
    return Truth(True, maintenance.index(min(maintenance)), initial.index(min(initial)), usd)


def truths(seen: Seen, markets: Mapping[str, dict[str, Any]]) -> dict[str, Truth]:
    """Return what is true of every run with a record, by the hash of that."""
    found = {}
    for entry, document in seen.entries:
        if entry.body["kind"] == str(_K.RUN_RECORDED) and document.body["run_id"] in markets:
            record = RunRecord.parse(document.body)
            found[document.body_hash()] = truth(record, markets[record.run_id])
    return found


class Found(NamedTuple):
    """What a custodian's database has of a run: what was computed, or what it signed."""

    breach: bool
    maintenance_row: int | None
    initial_row: int | None


@dataclass
class Remembered:
    """What custodians' databases said, at every look: nothing of it may ever change or be lost.

    Attributes:
        found: by custodian and the hash of the run's record.
        wrong: what did.
    """

    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def look(self, root: Path) -> None:
        """Read every database, of custodians that run or not."""
        for folder in folders(root):
            now = found_of(folder)
            for run, found in now.items():
                before = self.found.setdefault((folder.name, run), found)
                if before != found:
                    self.wrong.append(f"{folder.name} found {before} of run {run[:16]}, and later {found}")
            for (name, run), found in self.found.items():
                if name == folder.name and run not in now:
                    self.wrong.append(f"{folder.name} found {found} of run {run[:16]}, and forgot it")


def _rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    if not (folder / DATABASE).exists():
        return []
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True, timeout=20)) as database:
        return database.execute(query).fetchall()


def found_of(folder: Path) -> dict[str, Found]:
    """Return what a custodian computed, by the hash of the run's record."""
    rows = _rows(folder, "SELECT run, breach, maintenance_row, initial_row FROM found")
    return {run: Found(bool(breach), maintenance, initial) for run, breach, maintenance, initial in rows}


def nothing_open(folder: Path) -> bool:
    """Return whether a custodian has no opening that goes on."""
    return _rows(folder, "SELECT count(*) FROM openings WHERE state NOT IN ('over', 'refused')") == [(0,)]


def ends(seen: Seen) -> dict[str, int]:
    """Return how many openings ended how: `opened`, `lapsed`, `answered`."""
    kinds = [EventKind(entry.body["kind"]) for entry, _ in seen.entries]
    opened, lapsed = sum(kind in OPENED for kind in kinds), kinds.count(_K.OPENING_LAPSED)
    return {"opened": opened, "lapsed": lapsed, "answered": kinds.count(_K.OPENING_REQUESTED) - opened - lapsed}


def judge_openings(
    root: Path, seen: Seen, markets: Mapping[str, dict[str, Any]], remembered: Remembered, asked: int
) -> list[str]:
    """Return everything that is wrong with the openings of a stopped house, in sentences; nothing if all is well.

    Args:
        root: has the folders of operator and custodians.
        seen: what the operator served at the end.
        markets: prices of every run that was owed.
        remembered: what custodians' databases said meanwhile.
        asked: how many openings were asked for.
    """
    remembered.look(root)
    true, lapsed = truths(seen, markets), _lapsed(seen)
    wrong = [*remembered.wrong, *_ended(seen, asked), *_entered(root, seen, true)]
    for folder in folders(root):
        wrong += _stored(folder, true, lapsed)
    return wrong


def _ended(seen: Seen, asked: int) -> Iterator[str]:
    """Every opening that was asked for is over, by one entry."""
    requests, open_one = 0, None
    for number, (entry, document) in enumerate(seen.entries, 1):
        kind = EventKind(entry.body["kind"])
        if kind is _K.OPENING_REQUESTED:
            requests += 1
            if open_one is not None:
                yield f"entry {number} asks for an opening, and the one before is not over"
            open_one = (document.body_hash(), document.body["run_id"])
        elif kind in OPENED or kind is _K.OPENING_LAPSED:
            if open_one is None or document.body["request"] != open_one[0]:
                yield f"entry {number} is '{kind}', of an opening that is not open"
            open_one = None
        elif kind in ENDS and open_one is not None and document.body["run_id"] == open_one[1]:
            open_one = None
    if open_one is not None:
        yield f"the opening of run {open_one[1]} is not over"
    if requests != asked:
        yield f"{asked} openings were asked for, and entries have {requests}"


def _entered(root: Path, seen: Seen, true: Mapping[str, Truth]) -> Iterator[str]:
    """What was opened is true, was opened once, is signed by who stored it, and is what was settled."""
    by_key, opened = names(root), dict[str, Opened]()
    for entry, document in seen.entries:
        kind = EventKind(entry.body["kind"])
        if kind not in OPENED:
            continue
        body = Opened.parse(document.body)
        if body.run_id in opened:
            yield f"run {body.run_id} was opened more than once"
        opened[body.run_id] = body
        wanted = true.get(body.run)
        said = (body.outcome == "breach", body.initial_row, body.top_up_usd)
        if wanted is None:
            yield f"what was opened of run {body.run_id} is of no run that was owed"
        elif said != (wanted.breach, wanted.initial_row, wanted.top_up_usd):
            yield f"run {body.run_id} was opened as {said}, and the book says {wanted}"
        signers = {by_key.get(verdict["body"]["custodian"]) for verdict in body.verdicts}
        if len(signers) < 2 or None in signers:
            yield f"what was opened of run {body.run_id} is signed by {len(signers)}, or by somebody else"
        for folder in signers - {None}:
            assert folder is not None
            if found_of(folder).get(body.run, Found(not said[0], None, None)).breach != said[0]:
                yield f"{folder.name} signed run {body.run_id} as {body.outcome}, and did not store that it found so"
    with closing(Store.in_directory(root / "operator")) as store, store.reading() as session:
        for row in session.query(SettlementRow):
            body_of = row.document["body"]
            if row.run_id in opened and body_of["top_up_usd"] != opened[row.run_id].top_up_usd:
                yield (
                    f"run {row.run_id} is settled by {body_of['top_up_usd']} USD, and {opened[row.run_id].top_up_usd} "
                    "were found"
                )


def _lapsed(seen: Seen) -> frozenset[str]:
    """Return the requests of openings of which nothing came."""
    lapses = [document for entry, document in seen.entries if entry.body["kind"] == str(_K.OPENING_LAPSED)]
    return frozenset(str(document.body["request"]) for document in lapses)


def _stored(folder: Path, true: Mapping[str, Truth], lapsed: frozenset[str]) -> Iterator[str]:
    """What a custodian stored is true, agrees with what it signed, and is over."""
    found = found_of(folder)
    for run, one in found.items():
        wanted = true.get(run)
        if wanted is None:
            yield f"{folder.name} found something of run {run[:16]}, which was never owed"
        elif one != (wanted.breach, wanted.maintenance_row, wanted.initial_row):
            yield f"{folder.name} found {one} of run {run[:16]}, and the book says {wanted}"
    query = "SELECT request, run, state, reason, finding, verdict FROM openings"
    for request, run, state, reason, finding, verdict in _rows(folder, query):
        what = f"{folder.name}: the opening {request[:16]}"
        if state == "refused":
            # It may be over between two looks. With too few custodians there are sessions until it lapses, and no
            # custodian computes in more than so many; nothing else is a reason here.
            tired = request in lapsed and reason.startswith("TooManySessions")
            if not tired and not reason.startswith("OpeningOver"):
                yield f"{what} was refused: {reason}"
        elif state != "over":
            yield f"{what} is {state}, and all are over"
        if (finding is None) != (verdict is None):
            yield f"{what} has a finding without a verdict, or the other way"
        if finding is None:
            continue
        said, stored = json.loads(finding), found.get(run)
        signed = (said["outcome"] == "breach", None if "initial_row" not in said else int(said["initial_row"]))
        if stored is None or signed != (stored.breach, stored.initial_row):
            yield f"{what} was signed as {signed}, and {stored} is stored as found"
