"""The demo's custodians: any two of four have a book together, and each is a process with a folder of its own.

For `demo_custodians`. They agree to one policy, which operator and institution do too; the fourth may be away.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.service.custodian.folder import Folder
from atomic_margin.service.demo.processes import command, free_port, running
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol.custody import CustodyPolicy

JsonObject = dict[str, Any]

CUSTODIANS, THRESHOLD, ABSENT = 4, 2, 1
OPENING_AFTER_SECONDS = 2
"""After the answer was overdue. A policy of the trade says an hour or more; nobody waits for a demo so long."""


@dataclass(frozen=True)
class Custody:
    """The custodians' folders and what they agreed to.

    Attributes:
        folders: of each.
        policy: its file.
        lines: what the policy says of each.
    """

    folders: tuple[Path, ...]
    policy: Path
    lines: tuple[JsonObject, ...]


def make_custody(folder: Path, *, opening_after_seconds: int = OPENING_AFTER_SECONDS, openings: int = 3) -> Custody:
    """Make the custodians' keys, write the policy that names them, and have each agree to it.

    Args:
        folder: of all of them; made.
        opening_after_seconds: when a book may be opened after the answer was overdue.
        openings: of one book, at most.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = tuple(folder / f"custodian-{number}" for number in range(1, CUSTODIANS + 1))
    lines = []
    made = [Folder.make(own) for own in folders]
    for point, own in enumerate(made, 1):
        lines.append(
            {
                "point": str(point),
                "name": own.directory.name,
                "identity": own.identity.public_key,
                "encryption_key": own.encryption_key,
            }
        )
    policy = folder / "custody.json"
    write_json(
        policy,
        {
            "format": "atomic-margin/custody/1",
            "name": "custody of the demo",
            "threshold": str(THRESHOLD),
            "absent": str(ABSENT),
            "custodians": lines,
            "deal_seconds": "600",
            "opening_after_seconds": str(opening_after_seconds),
            "openings": str(openings),
        },
    )
    agreed = CustodyPolicy.parse(json.loads(policy.read_text()))
    for own in made:
        own.agree(agreed)
    return Custody(folders, policy, tuple(lines))


@contextmanager
def custodians(custody: Custody, operator: str, trust: Path, logs: Path) -> Iterator[ExitStack]:
    """Run the custodians; each stops at the end of the block.

    Args:
        custody: their folders.
        operator: URL.
        trust: file that each believes.
        logs: folder of what they print.
    """
    with ExitStack() as stack:
        for own in custody.folders:
            serve = command(
                "custodian", "serve", "--dir", str(own), "--operator", operator, "--trust", str(trust),
                "--engine-port", str(free_port()), "--interval", "0.5",
            )  # fmt: skip
            stack.enter_context(running(serve, logs / f"{own.name}.log"))
        yield stack
