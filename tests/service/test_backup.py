"""Backups: one state of everything, back in either kind of database, and nothing from a damaged file."""

import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import BackupInvalid, ConfigurationError
from atomic_margin.service.operator import backup as module
from atomic_margin.service.operator import portable
from atomic_margin.service.operator.backup import Place, back_up, restore
from atomic_margin.service.operator.replay import check
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.protocol.signing import Identity

from .. import postgres
from .documents import FUND
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]


def rows(store: Store) -> dict[str, list[bytes]]:
    with store.reading() as session:
        return {table.name: list(table.lines) for table in portable.export(session.connection())}


def place(world: World) -> Place:
    return Place(world.directory, postgres.url_of(world.directory))


def kept(world: World, path: Path, **options: bool) -> dict[str, Any]:
    return back_up(place(world), path, **options)


def reopened(world: World, directory: Path, key: bool = True) -> World:
    """Open what was restored as the operator that was."""
    world.close()
    if key:
        for name in module.KEY_FILES:
            shutil.copy(world.directory / name, directory)
    return World(directory, world.source, world.funds, world.rules)


def test_everything_comes_back_and_the_operator_goes_on(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-open")
    file, target = tmp_path / "one.backup", tmp_path / "restored"
    said = kept(world, file)
    before = rows(world.operator.store)
    with world.operator.store.reading() as session:
        assert said["log_size"] == str(log.size(session))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert restore(file, Place(target, postgres.url_of(target))) == said
    assert sorted(path.name for path in target.iterdir() if not path.name.startswith("operator.db-")) == (
        ["blobs"] if postgres.wanted() else ["blobs", "operator.db"]
    )
    again = reopened(world, target)
    assert rows(again.operator.store) == before
    run_id = f"{FUND}.2"
    again.answer(run_id, again.prove_answer(run_id))
    assert run_id in again.settlements()
    # Numbers that the database gives follow those that were put in.
    again.deposit(FUND, "USDC", 5, "after")
    with again.operator.store.reading() as session:
        check(session, again.key, 1)
    again.close()


def test_it_moves_between_the_two_kinds_of_database(world_at: Open, tmp_path: Path) -> None:
    world = world_at("fall-done")
    before, there = rows(world.operator.store), tmp_path / "there"
    kept(world, tmp_path / "one.backup")
    url = None if postgres.wanted() else postgres.server().of(there)
    restore(tmp_path / "one.backup", Place(there, url))
    with closing(Store(url) if url else postgres.in_file(there)) as other:
        assert rows(other) == before
    back_up(Place(there, url), tmp_path / "two.backup")
    back = tmp_path / "back"
    restore(tmp_path / "two.backup", Place(back, postgres.url_of(back)))
    with closing(Store.in_directory(back)) as other:
        assert rows(other) == before
    if url:
        postgres.server().drop_under(there)


def test_it_is_one_state_although_the_operator_goes_on(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    before, export = rows(world.operator.store), portable.export
    deposits = iter(range(1000))

    def busy(connection: Any) -> Any:
        for table in export(connection):
            world.deposit(FUND, "USDC", 1, f"meanwhile-{next(deposits)}")
            yield table

    monkeypatch.setattr(portable, "export", busy)
    kept(world, tmp_path / "one.backup")
    monkeypatch.undo()
    assert next(deposits) > 20
    target = tmp_path / "restored"
    restore(tmp_path / "one.backup", Place(target, postgres.url_of(target)))
    with closing(Store.in_directory(target)) as store:
        assert rows(store) == before


def test_keys_are_in_it_only_when_asked_for(world_at: Open, tmp_path: Path) -> None:
    world = world_at("submitted")
    secrets = [(world.directory / name).read_bytes() for name in module.KEY_FILES]
    kept(world, tmp_path / "without.backup")
    kept(world, tmp_path / "with.backup", with_keys=True)
    for name, wanted in (("without", False), ("with", True)):
        with zipfile.ZipFile(tmp_path / f"{name}.backup") as archive:
            found = [archive.read(member) for member in archive.namelist()]
        assert [any(secret.strip() in data for data in found) for secret in secrets] == [wanted, wanted]
    target = tmp_path / "restored"
    restore(tmp_path / "with.backup", Place(target, postgres.url_of(target)))
    again = reopened(world, target, key=False)
    assert again.key == world.key
    assert all(stat.S_IMODE((target / name).stat().st_mode) == 0o600 for name in module.KEY_FILES)
    again.close()


def test_an_operator_without_its_key_does_not_go_on_under_another(world_at: Open, tmp_path: Path) -> None:
    world = world_at("submitted")
    kept(world, tmp_path / "one.backup")
    target = tmp_path / "restored"
    restore(tmp_path / "one.backup", Place(target, postgres.url_of(target)))
    with pytest.raises(ConfigurationError, match=f"is operator {world.key}'s: put its key back, as .*operator.key"):
        reopened(world, target, key=False)
    assert not (target / "operator.key").exists()
    Identity.load_or_create(target / "operator.key")
    with pytest.raises(ConfigurationError, match="is the key of"):
        reopened(world, target, key=False)


def test_nothing_is_replaced(world_at: Open, tmp_path: Path) -> None:
    world = world_at("bare")
    file = tmp_path / "one.backup"
    kept(world, file)
    with pytest.raises(ConfigurationError, match="is there already; a backup replaces nothing"):
        kept(world, file)
    with pytest.raises(ConfigurationError, match="is not empty; restore to a new folder"):
        restore(file, place(world))
    if postgres.wanted():
        with pytest.raises(ConfigurationError, match="the database has rows in accounts; restore to an empty one"):
            restore(file, Place(tmp_path / "new", postgres.url_of(world.directory)))
        assert not (tmp_path / "new").exists()
    with pytest.raises(ConfigurationError, match=r"operator\.db is not there"):
        back_up(Place(tmp_path / "nowhere"), tmp_path / "two.backup")


def changed(file: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Write a backup again with other members."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


def blob_changed(name: str, data: bytes) -> bytes:
    return data + b"x" if name.startswith("blobs/") else data


def table_changed(name: str, data: bytes) -> bytes:
    return data.replace(b'"active"', b'"frozen"') if name == "tables/accounts.jsonl" else data


def table_gone(name: str, data: bytes) -> bytes | None:
    return None if name == "tables/ticks.jsonl" else data


def manifest_changed(**changes: object) -> Callable[[str, bytes], bytes]:
    def change(name: str, data: bytes) -> bytes:
        return json.dumps(json.loads(data) | changes).encode() if name == "manifest.json" else data

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (blob_changed, "has another hash than its manifest says"),
        (table_changed, "accounts.jsonl of the backup has another hash than its manifest says"),
        (table_gone, "other members than its manifest names"),
        (manifest_changed(format="atomic-margin/backup/9"), "its format is 'atomic-margin/backup/9'"),
        (manifest_changed(version="9999"), "there are no tables of version 9999"),
        (manifest_changed(tables={}), "tables of version .* are not those of the backup"),
        (lambda name, data: None if name == "manifest.json" else data, "is no backup, or damaged"),
    ],
)
def test_nothing_is_made_of_a_backup_that_is_damaged(
    change: Callable[[str, bytes], bytes | None], said: str, world_at: Open, tmp_path: Path
) -> None:
    kept(world_at("bare"), tmp_path / "one.backup")
    broken, target = changed(tmp_path / "one.backup", tmp_path / "broken.backup", change), tmp_path / "restored"
    with pytest.raises((BackupInvalid, ConfigurationError), match=said):
        restore(broken, Place(target, postgres.url_of(target)))
    assert not target.exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_file_that_is_no_backup_is_named(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    with pytest.raises(BackupInvalid, match="junk is no backup, or damaged"):
        restore(tmp_path / "junk", Place(tmp_path / "restored"))


def test_a_backup_that_fails_leaves_no_file(world_at: Open, tmp_path: Path) -> None:
    world = world_at("bare")
    name = next(iter(world.operator.blobs.names()))
    world.operator.blobs.path(name).write_bytes(b"changed")
    with pytest.raises(Exception, match="has another hash than its name: it is damaged"):
        kept(world, tmp_path / "one.backup")
    assert not list(tmp_path.glob("*.backup*"))
    assert not list(tmp_path.glob(".one*"))


def test_a_backup_of_an_older_version_gets_the_tables_of_this_one(tmp_path: Path) -> None:
    with closing(postgres.in_file(tmp_path, "0001")) as store, store.unit_of_work() as session:
        session.execute(text("INSERT INTO halts (number, sha256, document) VALUES (1, 'a', '{}')"))
    said = back_up(Place(tmp_path), tmp_path / "one.backup")
    assert (said["version"], said["log_size"], said["last_entry"]) == ("0001", "0", None)
    # To SQLite whatever else is tried: databases that tests are given on a server have this version's tables already.
    target = tmp_path / "restored"
    restore(tmp_path / "one.backup", Place(target))
    with closing(postgres.in_file(target)) as store, store.reading() as session:
        assert session.execute(select(text("sha256")).select_from(text("halts"))).scalars().all() == ["a"]


def test_the_commands(world_at: Open, tmp_path: Path) -> None:
    world = world_at("bare")
    file, target, run = tmp_path / "one.backup", tmp_path / "restored", CliRunner().invoke
    url, there = postgres.url_of(world.directory), postgres.url_of(target)
    made = run(app, ["operator", "backup", "--dir", str(world.directory), "--to", str(file),
                     *(["--database", url] if url else [])])  # fmt: skip
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    assert (said["operator"], said["with_keys"]) == (world.key, False)
    back = run(app, ["operator", "restore", str(file), "--dir", str(target), *(["--database", there] if there else [])])
    assert back.exit_code == 0, back.output
    assert json.loads(back.stdout) == said
    assert f"put operator.key and admin.token into {target} before you start it" in back.stderr
    twice = run(app, ["operator", "restore", str(file), "--dir", str(target)])
    assert (twice.exit_code, "is not empty" in twice.output) == (2, True)
