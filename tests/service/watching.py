"""A monitor on an operator, with histories that institutions release."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli import monitor as command
from atomic_margin.service.cli.main import app
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.released import release

from .documents import FUND, Json
from .told import told as told
from .world import World

Open = Callable[[str], World]
K = EventKind


def history(world: World) -> Json:
    """What the fund releases, made as the agent makes it."""
    account = world.operator.account(FUND)
    return release(world.entries(), Salts(account.seed), world.key)


class Watch:
    """A monitor's command on an operator."""

    def __init__(self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, **pins: Any) -> None:
        self.world, self.folder = world, folder
        write_json(folder / "trust.json", {**world.trust(), **pins})
        monkeypatch.setattr(command, "fetcher", lambda url: self.fetch)

    def fetch(self, path: str, limit: int) -> bytes:
        response = self.world.client.get(f"/{path}")
        assert response.status_code == 200, path
        return response.content

    def look(self, *released: Json) -> Any:
        publisher = Publisher(self.world.operator)
        publisher.publish()
        publisher.close()
        arguments = ["--url", "http://a", "--trust", self.folder / "trust.json", "--dir", self.folder / "watched"]
        arguments += ["--log", self.world.operator.log_key, "--json"]
        for number, one in enumerate(released):
            write_json(self.folder / f"{number}.json", one)
            arguments += ["--released", self.folder / f"{number}.json"]
        result = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
        assert "Traceback" not in result.output
        return result

    def holds(self, released: Json) -> Json:
        result = self.look(released)
        assert result.exit_code == 0, result.output
        (found,) = json.loads(result.stdout)["released"]
        assert isinstance(found, dict)
        return found

    def contradicted(self, released: Json) -> tuple[str, list[Json]]:
        result = self.look(released)
        assert result.exit_code == 1, result.output
        contradiction = read_json(sorted((self.folder / "watched").glob("contradiction-*.json"))[-1])
        return contradiction["reason"], contradiction["documents"]

    def refused(self, released: Json) -> str:
        result = self.look(released)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return str(result.stderr)
