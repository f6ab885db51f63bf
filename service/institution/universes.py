"""The universes that an institution knows: the pinned one, and the revisions of it that its account has entries about.

Institution only. Each is kept as a file of its own, so that books in an old one open when the operator lists it no
more.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.protocol.terms import Terms


class Universes:
    """The universes of one institution's directory."""

    def __init__(self, directory: Path, terms: Terms, fetch: Callable[[str], Any]) -> None:
        """Keep them in a folder of the directory.

        Args:
            directory: of the institution.
            terms: pinned; they take every revision.
            fetch: asks the operator for a universe by its hash.
        """
        self._folder, self._terms, self._fetch = directory / "universes", terms, fetch

    def take(self, hash_: str) -> None:
        """Take a revision, the newest.

        Raises:
            AgentRefused: the operator shows no such universe, or one that cannot follow the one before.
            RemoteError: it does not answer.
        """
        if hash_ in {universe.hash() for universe in self._terms.universes}:
            return
        universe = self._found(hash_)
        try:
            self._terms.take_revision(universe)
        except (DocumentsError, MarginError) as error:
            raise AgentRefused(f"universe {hash_} cannot follow the one before: {error}") from error

    def _found(self, hash_: str) -> Universe:
        path = self._folder / f"{hash_}.json"
        kept = path.exists()
        document = json.loads(path.read_text()) if kept else self._fetch(hash_)
        try:
            universe = Universe.parse(document)
        except (DocumentsError, MarginError) as error:
            raise AgentRefused(f"universe {hash_} is malformed: {error}") from error
        if universe.hash() != hash_:
            raise AgentRefused(f"another universe is shown as {hash_}")
        if not kept:
            self._folder.mkdir(exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(universe.canonical()))
            os.replace(temporary, path)
        return universe
