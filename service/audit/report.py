"""What an audit says: JSON for machines, sentences for people, and the files for the institution."""

from pathlib import Path
from typing import Any

from atomic_margin.service.audit.errors import BytesMissing
from atomic_margin.service.audit.evidence import STEPS, Evidence
from atomic_margin.service.audit.search import Repetition, Verdict, overall
from atomic_margin.service.files import write_json

JsonObject = dict[str, Any]

MANIFEST = "audit.json"
ADVICE = (
    "Start more workers (--starts), on the type of processor and with the number of cores that the server had, and "
    "under a similar load: plans are chosen by timing. If the recorded plan never comes up, write the audit's own "
    "outputs with --outputs and have the institution compare what they decrypt to: "
    "`atomic-margin institution compare-audit --help`."
)


def as_json(evidence: Evidence, found: list[Repetition], starts: int) -> JsonObject:
    """Return the result of an audit for machines.

    Args:
        evidence: of the run.
        found: what came of its evaluations.
        starts: the limit that was set.
    """
    return {
        "run": evidence.record.run_id,
        "record": evidence.signed.body_hash(),
        "number": str(evidence.record.number),
        "verdict": overall(found).value,
        "held": list(STEPS),
        "starts_limit": starts,
        "evaluations": [_evaluation(repetition) for repetition in found],
    }


def sentences(evidence: Evidence, found: list[Repetition]) -> list[str]:
    """Return what a person is told, one sentence or list to an item; the first word of each is a verdict or label."""
    said = []
    for repetition in found:
        what = f"run {evidence.record.run_id}, {' and '.join(repetition.evaluated.functions)}"
        plan, starts = repetition.evaluated.fft_plan[:16], repetition.starts
        tried = f"{starts} worker{'' if starts == 1 else 's'}"
        if repetition.verdict is Verdict.CONFIRMED:
            said.append(f"confirmed: {what}: the same bytes in a fresh worker with plan {plan}… ({tried} started)")
        elif repetition.verdict is Verdict.REFUTED:
            names = " and ".join(repetition.differs)
            why = f"in a worker with the recorded plan {plan}…"
            if not set(repetition.evaluated.functions) <= set(repetition.words):
                why = "and it has no bootstrap, so no plan can explain it"
            said.append(f"refuted: {what}: {names} gives other bytes, {why} ({tried} started)")
            said += _hashes(repetition, repetition.differs)
        else:
            said.append(f"undecided: {what}: none of {tried} had the recorded plan {plan}…")
            said += [
                f"repeated: {name} gave the recorded bytes; it has no bootstrap and needs no plan"
                for name in repetition.plan_free
            ]
            seen = ", ".join(f"{name[:16]}… ({count})" for name, count in repetition.plans.most_common())
            said.append(f"plans seen: {seen}")
            said += _hashes(repetition, tuple(name for name in repetition.words if name not in repetition.plan_free))
    if overall(found) is Verdict.UNDECIDED:
        said.append(f"what now: {ADVICE}")
    return said


def write_outputs(folder: Path, evidence: Evidence, found: list[Repetition]) -> list[Path]:
    """Write recorded and repeated words, and a manifest with the signed run record, for the institution to decrypt.

    Returns:
        The files, the manifest last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    functions: JsonObject = {}
    for repetition in found:
        for name, words in repetition.words.items():
            functions[name] = {"record": repetition.evaluated.record.to_json()}
            # An institution decrypts both, so there is nothing for it to compare where one is kept no longer.
            recorded = repetition.evaluated.words.get(name)
            if recorded is None:
                raise BytesMissing(
                    f"the recorded words of {name} are kept no longer, so there is nothing to compare; the verdict "
                    "rests on their hash. `serve --retention` says for how long they are kept"
                )
            for kind, data in (("recorded", recorded), ("repeated", words)):
                path = folder / f"{name}.{kind}.words"
                path.write_bytes(data)
                files.append(path)
                functions[name][kind] = path.name
    manifest = folder / MANIFEST
    write_json(manifest, {"run": evidence.signed.to_json(), "functions": functions})
    return [*files, manifest]


def _evaluation(repetition: Repetition) -> JsonObject:
    return {
        "functions": list(repetition.evaluated.functions),
        "verdict": repetition.verdict.value,
        "fft_plan": repetition.evaluated.fft_plan,
        "starts": repetition.starts,
        "plans": dict(repetition.plans.most_common()),
        "recorded": repetition.evaluated.hashes,
        "repeated": repetition.hashes,
        "repeated_under": repetition.plan,
        "differs": list(repetition.differs),
        "repeated_without_plan": list(repetition.plan_free),
    }


def _hashes(repetition: Repetition, names: tuple[str, ...]) -> list[str]:
    recorded, repeated = repetition.evaluated.hashes, repetition.hashes
    return [f"{name}: recorded {recorded[name]}, repeated {repeated[name]}" for name in names]
