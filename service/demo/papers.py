"""What people file of a demo: the notice of every call as a page, and all of the account as one archive.

Both are made as the operator's people make them, by commands, and the archive is verified in a process of its own.
"""

import json
import time
from typing import Any

from atomic_margin.service.demo.parties import NAME, Parties, verify_apart
from atomic_margin.service.demo.play import Outputs, Watcher
from atomic_margin.service.demo.processes import printed
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.protocol.messages import AccountView

JsonObject = dict[str, Any]

TRIES = 5
"""Of the archive: the newest entry may still wait for its cosigned checkpoint."""


def notices(entries: list[JsonObject], parties: Parties, outputs: Outputs, watcher: Watcher) -> list[str]:
    """Write the notice of every tick that was called; return the names of the files.

    Raises:
        ConfigurationError: the command says why there is none.
    """
    called = [entry for entry in entries if entry["settlement"] == "margin_call"]
    for entry in called:
        watcher.stage(f"tick {entry['tick']}: the notice of the call")
        printed(
            "report", "call", entry["run"], "--operator", parties.operator.url, "--dir", str(parties.directory),
            "--account", NAME, "--out", str(outputs.reports / f"call-{entry['tick']}.html"),
        )  # fmt: skip
    return [f"call-{entry['tick']}.html" for entry in called]


def archive(parties: Parties, outputs: Outputs, watcher: Watcher) -> JsonObject:
    """Write the account's archive, and have a separate process replay it; return what that says.

    `agrees` is whether that came to the state and the balances that the operator shows.

    Raises:
        ConfigurationError: the archive could not be written, however often it was tried.
        RemoteError: the operator does not answer.
    """
    watcher.stage("writing the account's archive")
    for left in reversed(range(TRIES)):
        try:
            made = json.loads(
                printed(
                    "archive", "--account", NAME, "--dir", str(parties.directory), "--out", str(outputs.archive),
                    "--json",
                )
            )  # fmt: skip
            break
        except ConfigurationError:
            if not left:
                raise
            time.sleep(1)
    watcher.stage("a separate process replays the archive")
    verdict = verify_apart(outputs.archive, outputs.trust)
    account = parties.operator.read(f"/v1/institutions/{NAME}", AccountView)
    shown = {"status": str(account.state), **account.collateral.to_json()}
    agrees = bool(verdict["valid"]) and {name: verdict[name] for name in shown} == shown
    return {**verdict, "agrees": agrees, "bytes": made["bytes"]}
