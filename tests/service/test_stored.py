"""What commands read that ask no server: which database is meant, on both kinds, and that an audit writes nothing."""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from typer.testing import CliRunner

from atomic_margin.service.audit.errors import StoreMissing
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.cli.configuration import FILE_NAME
from atomic_margin.service.cli.main import app
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.errors import DatabaseUnusable
from atomic_margin.service.operator.store.addresses import DATABASE_FILE
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import HaltRow

from .. import postgres
from .documents import FUND
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]


def add(store: Store, number: int) -> None:
    with store.unit_of_work() as session:
        session.add(HaltRow(number=number, sha256=f"{number:064x}", document={}))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_audit_sees_one_state_and_cannot_write(kind: str, tmp_path: Path) -> None:
    url = postgres.server().of(tmp_path) if kind == "postgresql" else f"sqlite:///{tmp_path / 'audited.db'}"
    with closing(Store(url)) as written, closing(ReadOnlyStore(tmp_path, url)) as read:
        add(written, 1)
        count = select(func.count()).select_from(HaltRow)
        with read.session() as session:
            assert session.scalar(count) == 1
            add(written, 2)
            assert session.scalar(count) == 1
        with read.session() as session:
            assert session.scalar(count) == 2
        changed = insert(HaltRow).values(number=3, sha256="a" * 64, document={})
        with pytest.raises(StoreMissing, match=r"(?i)read-?only"), read.session() as session:
            session.execute(changed)
    if kind == "postgresql":
        postgres.server().drop_under(tmp_path)


def test_a_server_that_does_not_answer_is_one_line_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://margin:secret@127.0.0.1:{free_port()}/margin"
    with pytest.raises(DatabaseUnusable, match=r"margin:\*\*\*@127.0.0.1") as refused:
        ReadOnlyStore(tmp_path, url)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result


def commands(directory: Path, folder: Path) -> dict[str, list[object]]:
    """One of each of the commands that read what an operator has stored."""
    of, folder = ("--dir", directory), folder / "written"
    folder.mkdir()
    return {
        "replay": ["operator", "replay", "--check", *of],
        "prune": ["operator", "prune", "--dry-run", *of],
        "backup": ["operator", "backup", *of, "--to", folder / "one.backup"],
        "hold": ["operator", "hold", FUND, "--reason", "key reported stolen", *of],
        "archive": ["archive", "--account", FUND, *of, "--out", folder / "one.zip"],
        "audit": ["audit", "nobody.1", *of, "--json", folder / "one.json"],
    }


def elsewhere(world: World) -> str:
    """Return the URL of a world's database, which is not in its directory."""
    world.close()
    if postgres.wanted():
        return postgres.server().of(world.directory)
    moved = world.directory.parent / "elsewhere.db"
    shutil.move(world.directory / DATABASE_FILE, moved)
    return f"sqlite:///{moved}"


@pytest.mark.parametrize(
    "where",
    [
        "option",
        "environment",
        pytest.param(
            "file", marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is in the library from 3.11 on")
        ),
    ],
)
def test_commands_read_the_database_that_the_server_is_told_of(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world = world_at("calm-done")
    url, more = elsewhere(world), list[str]()
    if where == "option":
        more = ["--database", url]
    elif where == "environment":
        monkeypatch.setenv("ATOMIC_MARGIN_OPERATOR_DATABASE", url)
    else:
        (world.directory / FILE_NAME).write_text(f"[operator]\ndatabase = {json.dumps(url)}\n")
    said = {name: call(*words, *more) for name, words in commands(world.directory, tmp_path).items()}
    assert json.loads(said["replay"].stdout)["accounts"] == 1, said["replay"].output
    assert "MB would go" in said["prune"].stdout
    assert json.loads(said["backup"].stdout)["operator"] == world.key
    assert json.loads(said["hold"].stdout)["institution"] == FUND
    assert "no checkpoint" in said["archive"].output or said["archive"].exit_code == 0, said["archive"].output
    assert f"the newest are: {FUND}.1" in said["audit"].output
    assert not (world.directory / DATABASE_FILE).exists()


def test_commands_make_no_database_where_there_is_none(world_at: Open, tmp_path: Path) -> None:
    world = world_at("calm-done")
    elsewhere(world)
    for name, words in commands(world.directory, tmp_path).items():
        result = call(*words)
        assert (result.exit_code, f"{DATABASE_FILE}" in result.output.replace("\n", "")) == (2, True), name
    assert not (world.directory / DATABASE_FILE).exists()
