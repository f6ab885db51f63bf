"""What the operator signed that contradicts itself, kept as files for whoever has to judge it. It costs no keys.

One file is one contradiction, format ``atomic-margin/dispute/1``: `reason`, and the documents by what they are. It may
name what the institution alone knows of its account, so it stays in the institution's folder until somebody hands it
over.
"""

from pathlib import Path
from typing import Any

from atomic_margin.service.files import replace_json

JsonObject = dict[str, Any]


class Disputes:
    """The folder `disputes` of an institution's directory."""

    def __init__(self, directory: Path) -> None:
        """Use it; it is made when there is something to keep."""
        self.folder = directory / "disputes"

    def keep(self, name: str, reason: str, evidence: JsonObject) -> None:
        """Keep documents under a name that tells them from others; what is kept under it already stays."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        replace_json(path, {"format": "atomic-margin/dispute/1", "reason": reason} | evidence)

    @property
    def shown(self) -> str | None:
        """What there is, or None."""
        names = sorted(path.name for path in self.folder.glob("*.json"))
        return f"what the operator signed contradicts itself: {', '.join(names)} in {self.folder}" if names else None
