"""Cycles of netting: what the agent checks of them in the log by itself, and the file with which others check.

By its entry alone a cycle is what the account machine allows (`protocol.account.netting`) and leads to the root that it
names (`log.netted`). The log says the rest: that there is one cycle of each number, the same for all, and that none
passed over what this account had promised. An operator that leaves an account out of a cycle, or shows it another
one, has signed both.
"""

import logging
from typing import Any

from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.log_watch import LogContradicts, LogWatch, NotLogged
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnAccount, OwnEntry, find_sent
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.account.state import Pending
from atomic_margin.service.protocol.leaves import entry_leaf, leaf_of_netting
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.chains import CycleSeen
from atomic_margin.service.verifier.errors import MonitorError
from atomic_margin.service.verifier.netting import FORMAT, PROMISED

JsonObject = dict[str, Any]
CHECKED = "cycles"
"""Note of the last entry about a cycle that was looked for in the log."""
_ADVICE = "hand it to other accounts of the cycle and to your supervisor, and dispute the entry"
_log = logging.getLogger(__name__)


def check(party: Party) -> bool:
    """Find the cycles that the account was in, and those that it should have been in; return whether all is well.

    Where the log is not cosigned or cannot be read, the next round looks again. What an operator signed against itself
    is kept, and shown in the agent's status until somebody moves it; runs are answered by their own rule, for they do
    not depend on it, and to be overdue would cost the institution alone.
    """
    watch, state = party.watch, party.history.state
    netting = None if state is None else state.private.netting
    if watch is None or netting is None:
        return True
    rows = _netted(party, int(party.store.note(CHECKED) or 0))
    if not rows and not netting.pending:
        return True
    well = True
    try:
        watch.require(_salts(party).account, rows[-1].number if rows else 0, lambda number: _leaf(party, number))
        seen = {cycle.number: cycle for cycle in watch.cycles}
        for row in rows:
            well &= _was_shown(watch, seen, row)
        for promised in netting.pending:
            well &= _was_not_passed_over(party, watch, promised)
    except (NotLogged, LogError, MonitorError, RemoteError) as error:
        party.stage(f"cycles of netting are not in a cosigned log yet: {error}")
        return False
    except LogContradicts as found:
        _log.error("the log contradicts itself: %s; what shows it is kept: %s", found, _ADVICE)
        return False
    if rows:
        party.store.set_note(CHECKED, str(rows[-1].number))
    return well


def file_of(party: Party, cycle: int) -> JsonObject:
    """Return the account's part of a cycle, as `atomic-margin verify-netting` reads it.

    Raises:
        AgentRefused: the account was in no such cycle.
        NotLogged, LogError, MonitorError, RemoteError: the log does not show it, or not yet.
    """
    promised: dict[str, JsonObject] = {}
    salts = _salts(party)
    for row in _rows(party, [*PROMISED, EventKind.NETTED]):
        document, shown = _document(party, row), _shown(party, salts, row)
        if row.kind != EventKind.NETTED:
            promised[document.body_hash()] = shown
            continue
        netting = Netting.parse(document.body)
        if netting.cycle == cycle:
            due = [one for one in promised.values() if one["document"]["body"]["settles"] <= netting.settles]
            file = {"format": FORMAT, "institution": party.settings.institution, "netting": shown, "obligations": due}
            rotations = [_shown(party, salts, one) for one in _rows(party, [EventKind.IDENTITY_ROTATED])]
            file |= {"rotations": rotations} if rotations else {}
            if party.watch is None:
                return file
            party.watch.require(salts.account, row.number, lambda number: _leaf(party, number))
            leaves = [leaf_of_netting(netting).to_bytes(), entry_leaf(SignedDocument.parse(row.entry)).to_bytes()]
            return file | {"evidence": party.watch.evidence(leaves)}
        for line in netting.lines:
            promised.pop(line.line.obligation, None)
    raise AgentRefused(
        f"the account was in no cycle {cycle} of netting, as far as its entries were followed; the operator's table "
        "(`operator net`) has the number"
    )


def _shown(party: Party, salts: Salts, row: OwnEntry) -> JsonObject:
    """Return an entry with its document, and what opens the one for the other."""
    document = _document(party, row).to_json()
    return {"entry": row.entry, "document": document, "salt": salts.of("document", row.number)}


def _was_shown(watch: LogWatch, seen: dict[int, CycleSeen], row: OwnEntry) -> bool:
    netting = Netting.parse((row.document or {})["body"])
    own, found = leaf_of_netting(netting), seen.get(netting.cycle)
    if found is not None and found.is_of(own):
        return True
    what = "no cycle" if found is None else "another cycle"
    return _contradicted(
        watch,
        f"cycle-{row.sha256[:24]}",
        f"entry {row.number} nets this account in cycle {netting.cycle}, and the log has {what} of that number",
        [] if found is None else [found.leaf],
        {"entry": row.entry, "document": row.document, "leaf": own.to_bytes().decode()},
    )


def _was_not_passed_over(party: Party, watch: LogWatch, promised: Pending) -> bool:
    """Make sure that no cycle came after an obligation, of its day or later, without it."""
    name = f"passed-over-{promised.obligation[:24]}"
    if watch.kept(name):
        return False
    passed = [cycle for cycle in watch.cycles if cycle.settles >= promised.settles]
    if not passed:
        return True
    # Only here are all leaves read again: it does not happen at an honest operator but for what it took too late.
    with party.store.unit_of_work() as session:
        row = session.query(OwnEntry).filter_by(document_hash=promised.obligation).one()
    place = watch.place(entry_leaf(SignedDocument.parse(row.entry)).to_bytes())
    for cycle in passed:
        if place is not None and place < cycle.leaf:
            return _contradicted(
                watch,
                name,
                f"cycle {cycle.number} of {cycle.settles} passed over obligation {promised.sequence}, a "
                f"{promised.direction} of {promised.quantity} {promised.asset} by {promised.settles} that entry "
                f"{row.number} has",
                [place, cycle.leaf],
                {"entry": row.entry, "document": _document(party, row).to_json()},
            )
    return True


def _contradicted(watch: LogWatch, name: str, reason: str, leaves: list[int], evidence: JsonObject) -> bool:
    try:
        watch.contradict(name, reason, leaves, evidence)
    except LogContradicts as found:
        _log.error("%s; what shows it is kept: %s", found, _ADVICE)
    return False


def _netted(party: Party, after: int) -> list[OwnEntry]:
    return [row for row in _rows(party, [EventKind.NETTED]) if row.number > after]


def _rows(party: Party, kinds: list[EventKind]) -> list[OwnEntry]:
    with party.store.unit_of_work() as session:
        query = session.query(OwnEntry).filter(OwnEntry.kind.in_([str(kind) for kind in kinds]))
        return list(query.order_by(OwnEntry.number))


def _document(party: Party, row: OwnEntry) -> SignedDocument:
    if row.document is not None:
        return SignedDocument.parse(row.document)
    with party.store.unit_of_work() as session:
        sent = find_sent(session, row.document_hash)
    if sent is None or sent.document is None:
        raise AgentRefused(f"the document of entry {row.number} is not here; bring the newest backup of the directory")
    return SignedDocument.parse(sent.document)


def _salts(party: Party) -> Salts:
    with party.store.unit_of_work() as session:
        return Salts(session.get_one(OwnAccount, 1).seed)


def _leaf(party: Party, number: int) -> bytes | None:
    with party.store.unit_of_work() as session:
        row = session.get(OwnEntry, number)
    return None if row is None else entry_leaf(SignedDocument.parse(row.entry)).to_bytes()
