"""An examiner's archive: made from a real operator's directory, replayed offline, and what could be changed in it."""

import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.archives import MANIFEST, ArchiveReader, ArchiveWriter
from atomic_margin.service.audit import archive as making
from atomic_margin.service.audit.archive import Period, make_archive
from atomic_margin.service.audit.errors import NothingToArchive
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ArchiveInvalid
from atomic_margin.service.files import write_json
from atomic_margin.service.log import netted as netted_log
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.settlement import hook, ledger
from atomic_margin.service.protocol.archive import ENTRIES_FILE, FLAGS_FILE, OPENING_FILE, TERMS_FILE, TICKS_FILE
from atomic_margin.service.protocol.documents import Answer, Transfer
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.reports.archived import archived_reports
from atomic_margin.service.verifier.archive import ARCHIVE_STEPS, ArchiveReport, verify_archive
from atomic_margin.zk.groups import load_group

from .. import postgres
from .documents import FUND, OTHER, Json
from .netting import Netted
from .world import World

Open = Callable[[str], World]
ALWAYS = Period(datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc))


def archived(world: World, path: Path, period: Period = ALWAYS, name: str = FUND) -> Path:
    """Have the operator publish its log, and write the archive."""
    publisher = Publisher(world.operator)
    publisher.publish()
    publisher.close()
    store = ReadOnlyStore(world.directory, postgres.url_of(world.directory))
    # No bundle has the terms before there is an answer.
    terms = None if world.bundles() else (world.terms.model, world.terms.universe, world.terms.schedule)
    try:
        make_archive(store, name, period, path, world.operator.identity, terms)
    finally:
        store.close()
    return path


def verified(path: Path, trust: Json | TrustFile) -> ArchiveReport:
    anchors = trust if isinstance(trust, TrustFile) else TrustFile.parse(trust)
    with ArchiveReader(path) as reader:
        return verify_archive(reader, anchors, load_group(), archived_reports)


def refused(path: Path, world: World) -> tuple[str, str]:
    with pytest.raises(ArchiveInvalid) as caught:
        verified(path, world.trust())
    return caught.value.step, caught.value.detail


STAGES = ["enrolled", "submitted", "calm-open", "calm-done", "fall-open", "fall-done", "crash-done"]


@pytest.mark.parametrize("stage", STAGES)
def test_it_replays_to_the_same_states_and_balances(world_at: Open, tmp_path: Path, stage: str) -> None:
    world = world_at(stage)
    found = verified(archived(world, tmp_path / "a.zip"), world.trust())
    assert found.account == world.account()
    assert dict(found.account.private.free) == world.held(ledger.free(FUND))
    assert dict(found.account.public.posted) == world.held(ledger.posted(FUND))
    assert sum(found.kinds.values()) == len(world.entries())
    assert found.manifest.account not in json.dumps(world.trust())
    assert world.operator.account(FUND).seed.encode() not in (tmp_path / "a.zip").read_bytes()


@pytest.mark.parametrize("first", [2, 5, 9, 13])
def test_a_part_begins_with_the_state_before_it(world_at: Open, tmp_path: Path, first: int) -> None:
    """Wherever it is cut, what the later documents rest on goes along."""
    world = world_at("crash-done")
    found = verified(cut(world, tmp_path / "a.zip", first), world.trust())
    assert found.account == world.account()
    assert (found.manifest.first, found.manifest.last) == (first, len(world.entries()))


def cut(world: World, path: Path, first: int, last: int | None = None) -> Path:
    """Write the archive of some entries, as if these had been made in the period."""
    with pytest.MonkeyPatch.context() as patched:
        rows = making._rows

        def chosen(*arguments: Any) -> Any:
            return [row for row in rows(*arguments) if first <= row.number and (last is None or row.number <= last)]

        patched.setattr(making, "_rows", chosen)
        return archived(world, path)


def test_an_account_that_is_not_there_and_a_period_without_entries_are_named(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    early = Period(ALWAYS.begins, datetime(1990, 1, 1, tzinfo=timezone.utc))
    with pytest.raises(NothingToArchive, match=r"no account 'nobody' here; there are: larkfield"):
        archived(world, tmp_path / "a.zip", name="nobody")
    with pytest.raises(NothingToArchive, match=r"has no entry from 1970-01-01T00:00:00Z to 1990"):
        archived(world, tmp_path / "a.zip", early)
    assert list(tmp_path.glob("a.zip*")) == []


def test_an_entry_that_no_checkpoint_has_is_waited_for(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    archived(world, tmp_path / "a.zip")
    world.deposit(FUND, "USDC", 5, "later")
    store = ReadOnlyStore(world.directory, postgres.url_of(world.directory))
    with pytest.raises(NothingToArchive, match="has the last entry yet; try again"):
        make_archive(store, FUND, ALWAYS, tmp_path / "b.zip", world.operator.identity)
    store.close()
    # What was there stays as it was: nothing is replaced by half an archive.
    assert verified(tmp_path / "a.zip", world.trust()).account != world.account()


# What somebody could change. Whoever has the operator's key signs what they made.

Change = Callable[[dict[str, bytes]], None]


def changed(path: Path, out: Path, identity: Identity, change: Change, **said: str) -> Path:
    """Write an archive anew with other files and another signature."""
    with ArchiveReader(path) as reader:
        files = {name: reader.data(name) for name in reader.names()}
        body = {**reader.signed.body, **said}
    change(files)
    with ArchiveWriter(out) as writer:
        for name, data in files.items():
            writer.data(name, data)
        del body["files"], body["version"]
        writer.finish(body, identity)
    return out


def lines(files: dict[str, bytes], name: str, change: Callable[[list[Json]], None]) -> None:
    items = [json.loads(line) for line in files[name].splitlines()]
    change(items)
    files[name] = b"".join(canonical_bytes(item) + b"\n" for item in items)


def at(kind: str) -> Callable[[list[Json]], Json]:
    return lambda items: next(item for item in items if item["entry"]["body"]["kind"] == kind)


def _entries(change: Callable[[list[Json]], None]) -> Change:
    return lambda files: lines(files, ENTRIES_FILE, change)


def _swap_documents(items: list[Json]) -> None:
    one, other = (item for item in items if item["entry"]["body"]["kind"] == "deposited")
    one["document"], other["document"] = other["document"], one["document"]


def _less_free(items: list[Json]) -> None:
    at("deposited")(items)["document"]["body"]["quantity"] = "7"


def _other_salt(items: list[Json]) -> None:
    items[3]["salts"]["private"] = "00" * 32


def _other_place(items: list[Json]) -> None:
    items[3]["leaf"]["index"] = items[4]["leaf"]["index"]


def altered(proof: str) -> str:
    """A proof whose last byte is another one."""
    return proof[:-2] + ("01" if proof.endswith("00") else "00")


def _other_proof(items: list[Json]) -> None:
    body = at("covered")(items)["document"]["body"]
    body["sufficiency_proof"] = altered(body["sufficiency_proof"])


def _other_model(files: dict[str, bytes]) -> None:
    files[TERMS_FILE] = files[TERMS_FILE].replace(b'"initial_factor":"1.', b'"initial_factor":"2.')


CHANGES: dict[str, tuple[Change, str, str]] = {
    "an entry is left out": (_entries(lambda items: items.pop(4)), "entries", "does not follow entry"),
    "the last entry is left out": (_entries(lambda items: items.pop()), "entries", "it ends with entry"),
    "two documents change places": (_entries(_swap_documents), "entries", "another hash of document"),
    "a deposit is smaller": (_entries(_less_free), "entries", "signature"),
    "a salt opens nothing": (_entries(_other_salt), "entries", "another hash of private"),
    "an entry stands elsewhere in the log": (_entries(_other_place), "entries", "not in the tree"),
    "a proof is another one": (_entries(_other_proof), "entries", "signature"),
    "a tick is left out": (lambda files: lines(files, TICKS_FILE, lambda items: items.pop(1)), "ticks", "after tick"),
    "the last tick is left out": (
        lambda files: lines(files, TICKS_FILE, lambda items: items.pop()), "entries", "than the archive has",
    ),
    "the flag's words are left out": (
        lambda files: lines(files, FLAGS_FILE, lambda items: items.clear()), "entries", "not at hand",
    ),
    "another model": (
        _other_model, "trust anchors", "not the model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_operator_changes_afterwards_is_named(world_at: Open, tmp_path: Path, name: str) -> None:
    world = world_at("crash-done")
    path = archived(world, tmp_path / "a.zip")
    change, step, reason = CHANGES[name]
    found = refused(changed(path, tmp_path / "b.zip", world.operator.identity, change), world)
    assert found[0] == step
    assert reason in found[1]


def test_an_opening_with_other_balances_is_refused(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-done")
    path = cut(world, tmp_path / "a.zip", 9)

    def richer(files: dict[str, bytes]) -> None:
        opening = json.loads(files[OPENING_FILE])
        opening["private"]["free"]["USDC"] = "900000000000000"
        files[OPENING_FILE] = canonical_bytes(opening)

    found = refused(changed(path, tmp_path / "b.zip", world.operator.identity, richer), world)
    assert found == ("opening", "the private part of entry 8 is not the one that the entry names")


def test_a_proof_that_the_operator_never_verified_is_found(world_at: Open, tmp_path: Path) -> None:
    """An operator that waves through what its friend sends signs an entry about it; the archive shows it."""
    world = world_at("calm-open")
    run_id = next(run for run, state in world.states().items() if state == "awaiting_answer")
    document = world.prove_answer(run_id)
    body = Answer.parse({**document.body, "sufficiency_proof": altered(document.body["sufficiency_proof"])})
    false = body.signed_by(world.funds[FUND].identity)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atomic_margin.service.protocol.verification.require_proven", lambda *_: None)
        world.answer(run_id, false)
    step, reason = refused(archived(world, tmp_path / "a.zip"), world)
    assert (step, "sufficiency_proof" in reason) == ("documents", True)


def test_a_settlement_of_other_assets_is_found(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-open")
    run_id = next(run for run, state in world.states().items() if state == "awaiting_answer")
    right = hook.rightful_transfers

    def favour(*arguments: Any, **named: Any) -> Any:
        found = right(*arguments, **named)
        *rest, last = found.transfers
        more = Transfer.parse({**last.canonical(), "quantity": str(last.quantity + 1)})
        return found._replace(transfers=(*rest, more))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hook, "rightful_transfers", favour)
        world.answer(run_id)
    step, reason = refused(archived(world, tmp_path / "a.zip"), world)
    assert (step, "with other transfers" in reason) == ("entries", True)


def test_a_stranger_signs_none(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    path = archived(world, tmp_path / "a.zip")
    found = refused(changed(path, tmp_path / "b.zip", Identity.generate(), lambda files: None), world)
    assert (found[0], "not trusted" in found[1]) == ("manifest", True)


def test_of_another_institution_or_operator_it_is_refused(world_at: Open, tmp_path: Path) -> None:
    world = world_at("two")
    first, second = archived(world, tmp_path / "a.zip"), archived(world, tmp_path / "b.zip", name=OTHER)
    trust = world.trust()
    assert verified(second, trust).account == world.account(OTHER)
    del trust["institutions"][OTHER], trust["keys"][OTHER]
    with pytest.raises(ArchiveInvalid, match="is not in the trust file"):
        verified(second, trust)
    # Entries of one account under the other's name.
    with ArchiveReader(second) as reader:
        entries = reader.data(ENTRIES_FILE)
    other = changed(
        first, tmp_path / "c.zip", world.operator.identity, lambda files: files.update({ENTRIES_FILE: entries})
    )
    assert refused(other, world)[0] == "entries"


# Hostile files.


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    for name, data in (("text", b"PK\x03\x04 and no more"), ("empty", b""), ("words", b"{}")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ArchiveInvalid, match="is no archive"):
            ArchiveReader(tmp_path / name)


def test_what_its_manifest_does_not_say_is_not_read(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    path = archived(world, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("more.txt", "nobody signed this")
    with pytest.raises(ArchiveInvalid, match=r"not those of its manifest: more\.txt"):
        ArchiveReader(path)


def test_a_file_that_unpacks_to_more_than_is_said_is_not_unpacked(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    path = archived(world, tmp_path / "a.zip")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, bytes(64 << 20) if name == ENTRIES_FILE else old.read(name))
    step, reason = refused(bomb, world)
    # At once: rotations of the key, which say who may sign the manifest, stand among the entries.
    assert (step, reason) == ("manifest", f"{ENTRIES_FILE} has more bytes than the manifest says")


def test_a_manifest_without_end_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MANIFEST, bytes(8 << 20))
    with pytest.raises(ArchiveInvalid, match="has more than"):
        ArchiveReader(tmp_path / "a.zip")


# The commands.


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result


def test_the_commands_write_and_check_it(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-done")
    archived(world, tmp_path / "unused.zip")
    write_json(tmp_path / "trust.json", world.trust())
    path = tmp_path / "fund.zip"
    with postgres.operator_s_database(world.directory):
        written = run("archive", "--account", FUND, "--dir", world.directory, "--out", path, "--json")
    assert written.exit_code == 0, written.output
    said = json.loads(written.stdout)
    assert (said["first"], said["last"], said["bytes"]) == ("1", str(len(world.entries())), str(path.stat().st_size))
    checked = run("verify", path, "--trust", tmp_path / "trust.json", "--json")
    assert checked.exit_code == 0, checked.output
    found = json.loads(checked.stdout)
    assert (found["valid"], found["held"]) == (True, list(ARCHIVE_STEPS))
    assert (found["signed_by"], found["reports"]) == ("operator", "8")
    assert found["status"] == world.state()
    assert found["posted"] == {name: str(units) for name, units in world.held(ledger.posted(FUND)).items()}
    shown = run("verify", path, "--trust", tmp_path / "trust.json")
    assert (shown.exit_code, "valid: larkfield from entry 1" in shown.stdout) == (0, True)
    assert "8 files of reports; it is active in the end\nsigned by the operator" in shown.stdout
    assert "names no log" in shown.stdout


def test_the_command_names_what_does_not_hold(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-done")
    write_json(tmp_path / "trust.json", world.trust())
    path = archived(world, tmp_path / "a.zip")
    bent = changed(path, tmp_path / "b.zip", world.operator.identity, CHANGES["a deposit is smaller"][0])
    result = run("verify", bent, "--trust", tmp_path / "trust.json", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["valid"], found["failed"]) == (1, False, "entries")
    assert found["not_checked"] == ["documents", "reports", "files"]
    for option, value in (("--from", "yesterday"), ("--to", "2026-13-01")):
        result = run("archive", "--account", FUND, "--dir", world.directory, option, value)
        assert (result.exit_code, f"{option} takes a day as 2026-11-01" in result.stderr) == (2, True)


@pytest.mark.parametrize("bent", [False, True])
def test_a_cycle_is_held_against_its_root(tmp_path: Path, bent: bool) -> None:
    netted = Netted(tmp_path / "data", {"east": "lei-one", "west": "lei-one"})
    netted.promise("east", "delivery", 300)
    netted.promise("west", "return", 200)
    with pytest.MonkeyPatch.context() as patched:
        if bent:
            patched.setattr(netted_log.CycleTree, "_place", _shifted(netted_log.CycleTree._place))
        netted.net(netted.key("lei-one"))
    path = archived(netted.world, tmp_path / "east.zip", name="east")
    if bent:
        step, reason = refused(path, netted.world)
        assert (step, "tree" in reason) == ("entries", True)
    else:
        assert verified(path, netted.world.trust()).account == netted.world.account("east")
    netted.world.close()


def _shifted(place: Callable[..., Any]) -> Callable[..., Any]:
    def shifted(self: Any, leaf: Any) -> Any:
        right = place(self, leaf)
        return right.model_copy(update={"path": tuple(reversed(right.path))})

    return shifted
