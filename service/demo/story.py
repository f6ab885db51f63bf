"""What a demo plays: the documents of one operator and one institution, and what happens, in order.

A story is a file beside its documents, format ``atomic-margin/story/1``; file names in it are relative to its folder.

>>> Story.parse({"format": "atomic-margin/story/1", "profile": "tiny", "steps": [{"tick": "market-1.json"}]}).model
'model-scan.json'
>>> Story.parse({"format": "atomic-margin/story/1", "profile": "tiny", "steps": [{"until": "2027-01-01T00:00:00Z"}]})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.MalformedDocument: steps[0]: a step is one of tick, book, universe and release, and \
until goes with universe
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import Document, IdMap, Label, NonEmptyListOf, Part, Quantity
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_json

STORY = "story.json"
"""Name of the file in a folder of examples."""


class Step(Part):
    """One thing that happens; the name of a file says which documents it takes.

    Attributes:
        tick: prices that every source signs.
        book: what the institution submits: a portfolio, or trades that are netted.
        universe: a revision of it that the operator announces; the agent carries the book over.
        until: end of the universe before, with `universe`.
        release: posted collateral that comes back, smallest units by asset: released with a proof, and withdrawn.
    """

    tick: Label | None = None
    book: Label | None = None
    universe: Label | None = None
    until: Label | None = None
    release: IdMap[Quantity] | None = None


class Story(Document):
    """A demo's documents and steps.

    Attributes:
        profile: FHE profile that the model and the account need.
        model: and the other files are named by what they are; the defaults are those of the examples.
        columns: what the account's commitments cover; left out for all of the universe.
        steps: in order; `portfolio` is submitted before the first.
    """

    TAG: ClassVar[str] = "story"

    format: Literal["atomic-margin/story/1"]
    profile: Label
    model: Label = "model-scan.json"
    universe: Label = "universe.json"
    schedule: Label = "collateral-schedule.json"
    institution: Label = "institution.json"
    collateral: Label = "collateral.json"
    portfolio: Label = "portfolio.json"
    columns: Label | None = None
    steps: NonEmptyListOf[Step]

    @model_validator(mode="after")
    def _check(self) -> "Story":
        for index, step in enumerate(self.steps):
            said = [step.tick, step.book, step.universe, step.release]
            if sum(one is not None for one in said) != 1 or (step.until is None) != (step.universe is None):
                raise MalformedDocument(
                    f"steps[{index}]", "a step is one of tick, book, universe and release, and until goes with universe"
                )
            if step.release is None:
                continue
            if not (step.release and all(step.release.values())):
                raise MalformedDocument(f"steps[{index}].release", "name an asset, and of each a quantity above 0")
            if all(earlier.tick is None for earlier in self.steps[:index]):
                raise MalformedDocument(f"steps[{index}].release", "collateral comes back after a tick, not before")
        return self


@dataclass(frozen=True)
class Staging:
    """A story with the folder that its files are in."""

    story: Story
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> "Staging":
        """Return the story of a folder.

        Raises:
            ConfigurationError: there is none.
            DocumentError: a field of it is wrong.
        """
        path = folder / STORY
        if not path.exists():
            raise ConfigurationError(f"no {STORY} in {folder}; name a folder of examples that has one")
        return cls(Story.parse(read_json(path)), folder)

    def path(self, name: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / name
