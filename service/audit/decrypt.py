"""For the institution: do an audit's outputs decrypt to what the recorded ones decrypt to?

    atomic-margin institution compare-audit AUDIT_OUTPUTS --dir INSTITUTION

AUDIT_OUTPUTS is the folder that `atomic-margin audit RUN --outputs` wrote, INSTITUTION the agent's folder. It is the
substitute for equal bytes when no worker had the recorded FFT plan. Only runs that the agent has checked and decrypted
itself are taken, and no value is shown, only whether they agree.

The other words are somebody else's choice. Whoever is told that they decrypt to something else learns a bit about your
keys if the words were made for that: replace the keys first (`atomic-margin institution rotate-keys`), then tell.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.errors import DecryptionOutOfRange
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.audit.errors import BytesMissing, RecordInconsistent, RunUnknown, StoreMissing
from atomic_margin.service.audit.report import MANIFEST
from atomic_margin.service.audit.terms import profile_of
from atomic_margin.service.files import read_json
from atomic_margin.service.institution.key_sets import key_path
from atomic_margin.service.institution.store import InstitutionStore, OwnAnswer
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord

KINDS = ("recorded", "repeated")


@dataclass(frozen=True)
class Comparison:
    """Whether recorded and repeated words of one function decrypt to the same values, and if not, why."""

    function: str
    agree: bool
    reason: str


def compare(outputs: Path, directory: Path) -> list[Comparison]:
    """Decrypt recorded and repeated words of every function in a folder, and compare the values.

    Args:
        outputs: folder that the audit wrote.
        directory: the agent's.

    Raises:
        AuditError: it is not this institution's run, or the words are not those of its record.
        FheError: the secret keys are not there, or words are of another length.
    """
    manifest = _object(read_json(outputs / MANIFEST), "the manifest")
    signed, record = parse_signed(manifest.get("run"), RunRecord)
    if not (directory / "institution.db").is_file():
        raise StoreMissing(f"there is no institution.db in {directory}; give the agent's folder")
    store = InstitutionStore(directory)
    try:
        with store.unit_of_work() as session:
            answers = {row.run_hash for row in session.query(OwnAnswer).filter_by(run_id=record.run_id)}
        own = store.keys(record.evaluation_keys)
    finally:
        store.close()
    if own is None or signed.body_hash() not in answers:
        raise RunUnknown(f"this agent has decrypted no run {record.run_id!r} with this record; nothing is decrypted")
    profile = profile_of(record)
    keys, sizes = InstitutionKeys.load(profile, key_path(directory, own.sequence)), layout_of(profile).messages
    found = []
    functions = _object(manifest.get("functions"), "`functions` of the manifest")
    if not functions:
        raise RecordInconsistent("the manifest names no function; have the audit write its outputs again")
    for function, value in sorted(functions.items()):
        if function not in profile.functions:
            raise RecordInconsistent(f"the manifest names a function that the profile does not have: {function[:40]!r}")
        described = _object(value, f"what the manifest says of {function}")
        words = {kind: _words(outputs, described, kind, sizes[function].size) for kind in KINDS}
        wanted = _recorded_hash(described, function, signed.body_hash(), record)
        if hashlib.sha256(words["recorded"]).hexdigest() != wanted:
            raise RecordInconsistent(f"the recorded {function} words are not those that the record names")
        found.append(_compare(keys, function, words["recorded"], words["repeated"]))
    return found


def _object(value: object, what: str) -> dict[str, Any]:
    """Return `value`, which came from the auditor, if it is a JSON object."""
    if not isinstance(value, dict):
        raise RecordInconsistent(f"{what} is no JSON object; have the audit write its outputs again")
    return value


def _words(outputs: Path, described: dict[str, Any], kind: str, size: int) -> bytes:
    path = outputs / Path(str(described.get(kind))).name
    if not path.is_file():
        raise BytesMissing(f"{path} is not there; have the audit write its outputs again")
    # Before it is read: the file may be of any size.
    if path.stat().st_size != size:
        raise BytesMissing(f"{path} has {path.stat().st_size} bytes instead of {size}; have it written again")
    return path.read_bytes()


def _recorded_hash(described: dict[str, Any], function: str, run_hash: str, record: RunRecord) -> str:
    if record.outputs is not None and function in type(record.outputs).model_fields:
        return str(getattr(record.outputs, function))
    signed, shortfall = parse_signed(described.get("record"), ShortfallRecord)
    signed.verify(frozenset({record.operator}))
    if function != "shortfall" or shortfall.run != run_hash:
        raise RecordInconsistent(f"the record of {function} is about another run")
    return shortfall.output


def _compare(keys: InstitutionKeys, function: str, recorded: bytes, repeated: bytes) -> Comparison:
    try:
        before, now = (keys.decrypt(function, words).values for words in (recorded, repeated))
    except DecryptionOutOfRange as error:
        return Comparison(function, False, str(error))
    agree = np.array_equal(before, now)
    return Comparison(function, agree, "the same values" if agree else "other values")
