"""What the operator signed that contradicts itself, kept as files for whoever has to judge it. It costs no keys.

One file is one contradiction, format ``atomic-margin/contradiction/1``: `reason`, and the documents by what they are.
It may name what the institution alone knows of its account, so it stays in the institution's folder until somebody
hands it over. Up to version 0.1 the folder was called `disputes`; what is in one is still shown, and is not moved.
"""

from pathlib import Path
from typing import Any

from atomic_margin.service.files import replace_json

JsonObject = dict[str, Any]


class Contradictions:
    """The folder `contradictions` of an institution's directory."""

    def __init__(self, directory: Path) -> None:
        """Use it; it is made when there is something to keep."""
        self.folder, self._before = directory / "contradictions", directory / "disputes"

    def keep(self, name: str, reason: str, evidence: JsonObject) -> None:
        """Keep documents under a name that tells them from others; what is kept under it already stays."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        replace_json(path, {"format": "atomic-margin/contradiction/1", "reason": reason} | evidence)

    @property
    def shown(self) -> str | None:
        """What there is, or None."""
        found = [
            f"{', '.join(names)} in {folder}"
            for folder in (self.folder, self._before)
            if (names := sorted(path.name for path in folder.glob("*.json")))
        ]
        return f"what the operator signed contradicts itself: {'; '.join(found)}" if found else None
