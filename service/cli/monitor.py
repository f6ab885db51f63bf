"""`atomic-margin monitor`: read all of an operator's log, and keep what contradicts itself."""

import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from atomic_margin.service.cli.output import EXIT_REFUSED, err, out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError, RemoteError, ServiceError
from atomic_margin.service.files import read_json, replace_json, write_json
from atomic_margin.service.log.checkpoints import WitnessPolicy, parse_keys
from atomic_margin.service.log.notes import ED25519, NoteKey
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Fetch, Looked, Monitor, Seen, seen_from_json, seen_to_json

TIMEOUT_SECONDS = 30

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def monitor(
    url: Annotated[str, typer.Option(help="Where the operator serves.")],
    trust: Annotated[Path, typer.Option(help="Your trust file: the operator's key and the price rules.")],
    log: Annotated[str, typer.Option(help="Key of the log, from its owner: name+identifier+base64.")],
    directory: Annotated[Path, typer.Option("--dir", help="What this monitor remembers, and the disputes it found.")],
    witness: Annotated[list[str] | None, typer.Option(help="Key of a trusted witness; repeatable.")] = None,
    needed: Annotated[int, typer.Option(help="How many of them must have cosigned.", min=0)] = 0,
    max_age: Annotated[int | None, typer.Option(help="And how many seconds ago at most.", min=1)] = None,
    every: Annotated[int | None, typer.Option(help="Look again so many seconds later, for ever.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Read what is new in an operator's log and check every entry against all before it.

    Exit status 0: all of it holds. 1: the operator contradicts itself; DIR/dispute-N.json has the documents that show
    it. 2: something cannot be read, which proves nothing; with --every that is said, and it goes on.
    """
    with plain_errors():
        anchors, key, keys = TrustFile.parse(read_json(trust)), NoteKey.parse(log), parse_keys(witness or [])
        if key.type != ED25519 or key.public.hex() != anchors.operator:
            raise ConfigurationError(
                "--log is not a key of the operator in the trust file: ask it for the key of its log"
            )
        if needed > len(keys):
            raise ConfigurationError(f"--needed is {needed}, and {len(keys)} witnesses are named")
        policy = WitnessPolicy(keys, needed, max_age)
        follower = Monitor(key, anchors.operator, anchors.prices, policy, fetcher(url))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = directory / "seen.json"
        seen = seen_from_json(read_json(place)) if place.exists() else Seen()
        while True:
            try:
                looked = follower.look(seen, int(time.time()))
            except Contradiction as found:
                file = keep(directory, found)
                if as_json:
                    print_json({"holds": False, "reason": str(found), "dispute": str(file)})
                else:
                    err.print(f"[bold red]✗[/] {escape(str(found))}; see {file}", soft_wrap=True)
                raise typer.Exit(EXIT_REFUSED) from None
            except ServiceError as reason:
                # One who watches for ever goes on: a net that fails for a while proves nothing.
                if every is None:
                    raise
                err.print(f"[yellow]?[/] {escape(str(reason))}; looking again in {every} s", soft_wrap=True)
                time.sleep(every)
                continue
            replace_json(place, seen_to_json(looked.seen))
            seen = looked.seen
            report(looked, policy, as_json)
            if every is None:
                return
            time.sleep(every)


def fetcher(url: str) -> Fetch:
    """Return what reads from an operator's server."""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--url is an http or https address, got {url[:80]!r}")

    def fetch(path: str, limit: int) -> bytes:
        whole = f"{url.rstrip('/')}/{path}"
        try:
            with urllib.request.urlopen(whole, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # checked above
                data: bytes = response.read(limit + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise RemoteError(f"{whole} answers with status {error.code}", error.code) from error
        except (OSError, ValueError) as error:
            raise RemoteError(f"{whole} does not answer: {error}; is the operator running?") from error
        if len(data) > limit:
            raise RemoteError(f"{whole} answers with over {limit} bytes")
        return data

    return fetch


def keep(directory: Path, found: Contradiction) -> Path:
    """Write a dispute under the next free number."""
    number = 1
    while (directory / f"dispute-{number}.json").exists():
        number += 1
    file = directory / f"dispute-{number}.json"
    write_json(file, found.bundle())
    return file


def report(looked: Looked, policy: WitnessPolicy, as_json: bool) -> None:
    """Say what a look showed, and who stands for it."""
    believed, ticks = looked.believed, looked.seen.ticks
    if as_json:
        print_json(
            {
                "holds": True,
                "size": str(believed.head.size),
                "new": str(looked.entries),
                "tick": None if ticks is None else str(ticks.sequence),
                "witnesses": {name: str(seconds) for name, seconds in believed.witnesses},
                "needed": str(policy.needed),
            }
        )
        return
    names = ", ".join(name for name, _ in believed.witnesses)
    stands = f"cosigned by {names}" if names else "no witness stands for it: another reader may see another log"
    out.print(
        f"[green]✓[/] {believed.head.size} entries, {looked.entries} new, "
        + ("no tick yet" if ticks is None else f"tick {ticks.sequence}")
        + f"; {escape(stands)}",
        soft_wrap=True,
    )
