"""Link what atomic-margin requires without extras, from this interpreter's packages, into a new folder.

For `scripts/try_wheel.sh`: the folder on a path is what `pip install` of the wheel alone would bring.

    .venv/bin/python scripts/core_packages.py FOLDER
"""

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required(name: str) -> set[str]:
    """Return the distributions that `name` requires here without extras, and what those require."""
    found: set[str] = set()
    waiting = [(name, "")]
    while waiting:
        current, extra = waiting.pop()
        for line in distribution(current).requires or []:
            requirement = Requirement(line)
            wanted = canonicalize_name(requirement.name)
            if (requirement.marker is None or requirement.marker.evaluate({"extra": extra})) and wanted not in found:
                found.add(wanted)
                waiting += [(wanted, part) for part in ("", *requirement.extras)]
    return found


def link(name: str, folder: Path) -> None:
    """Link the top level of a distribution's files, such as its packages and its metadata."""
    own = distribution(name)
    for part in sorted({file.parts[0] for file in own.files or [] if file.parts[0] not in ("..", "__pycache__")}):
        if not (folder / part).exists():
            (folder / part).symlink_to(Path(str(own.locate_file(part))))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir()
    for package in sorted(required("atomic-margin")):
        link(package, target)
