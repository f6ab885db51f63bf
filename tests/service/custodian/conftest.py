"""The story of an opening, played once; every test gets a copy of the stage it starts from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .played import Scene, Story


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("custodians"))


@pytest.fixture
def scene_at(story: Story, tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    opened: list[Scene] = []

    def at(stage: str) -> Scene:
        opened.append(story.open(stage, tmp_path / f"scene-{len(opened)}"))
        return opened[-1]

    yield at
    for scene in opened:
        scene.close()
