"""`atomic-margin monitor`: read all of an operator's log, or of several, and keep what contradicts itself."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.cli.log_following import LogFollowers
from atomic_margin.service.cli.output import EXIT_REFUSED, EXIT_USAGE, err, out, plain_errors, print_json
from atomic_margin.service.cli.tls import Authorities, trusted
from atomic_margin.service.cli.tls import trust as trust_authorities
from atomic_margin.service.errors import ConfigurationError, RemoteError, ServiceError
from atomic_margin.service.files import read_document, read_json, replace_json, write_json
from atomic_margin.service.log.checkpoints import WitnessPolicy, parse_keys
from atomic_margin.service.log.evidence import policy_of
from atomic_margin.service.log.notes import ED25519, NoteKey
from atomic_margin.service.protocol.released import ReleasedHistory
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction, ReleaseInvalid
from atomic_margin.service.verifier.monitor import Looked, Monitor, Seen, read_seen, seen_to_json
from atomic_margin.service.verifier.released import Checked, LogRead, account_of, check_released, read_log
from atomic_margin.service.verifier.released_documents import check_documents
from atomic_margin.service.verifier.served import Fetch, Served

TIMEOUT_SECONDS = 30
MAX_OPERATORS = 64
MAX_RELEASED_BYTES = 1 << 28
FOLLOWED_SECONDS = 60
"""Between two looks of a monitor that follows, where nothing happens."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass
class Followed:
    """One operator that is followed.

    Attributes:
        monitor: who looks.
        directory: its memory and the contradictions about it.
        seen: what it knows.
        released: histories of accounts at this operator.
        trust: what they are held against.
    """

    monitor: Monitor
    directory: Path
    seen: Seen
    released: tuple[ReleasedHistory, ...] = ()
    trust: TrustFile | None = None

    @classmethod
    def of(
        cls,
        monitor: Monitor,
        directory: Path,
        released: tuple[ReleasedHistory, ...] = (),
        trust: TrustFile | None = None,
    ) -> "Followed":
        """Take up the memory that there is."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = directory / "seen.json"
        return cls(monitor, directory, read_seen(place), released, trust)

    def look(self) -> Looked:
        """Read what is new and remember it."""
        looked = self.monitor.look(self.seen, int(time.time()))
        replace_json(self.directory / "seen.json", seen_to_json(looked.seen))
        self.seen = looked.seen
        return looked

    def check(self) -> list[Checked]:
        """Hold the released histories against what was seen."""
        if not self.released or self.trust is None or self.seen.checkpoint is None:
            return []
        accounts = frozenset(account_of(history, self.monitor.operator) for history in self.released)
        log = read_log(Served(self.monitor.fetch), self.seen.checkpoint, accounts, frozenset(self.seen.void))
        return [_checked(history, self.trust, log) for history in self.released]


def _checked(history: ReleasedHistory, trust: TrustFile, log: LogRead) -> Checked:
    found = check_released(history, trust.operator, log)
    return found._replace(without_agreement=check_documents(history, trust, log))


@app.command()
def monitor(
    directory: Annotated[
        Path, typer.Option("--dir", help="What this monitor remembers, and the contradictions it found.")
    ],
    url: Annotated[str | None, typer.Option(help="Where the operator serves.")] = None,
    trust: Annotated[Path | None, typer.Option(help="Your trust file: operator, price rules, log, witnesses.")] = None,
    log: Annotated[
        str | None,
        typer.Option(
            help="Key of the log, name+identifier+base64; with it, log and witnesses of the file do not count."
        ),
    ] = None,
    witness: Annotated[list[str] | None, typer.Option(help="With --log: key of a trusted witness; repeatable.")] = None,
    needed: Annotated[int, typer.Option(help="And how many of them must have cosigned.", min=0)] = 0,
    max_age: Annotated[int | None, typer.Option(help="And how many seconds ago at most.", min=1)] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(help="URL=FILE of an operator and your trust file with its log; repeatable, instead of --url."),
    ] = None,
    released: Annotated[
        list[Path] | None,
        typer.Option(help="A history that an institution released to you, to be checked too; repeatable."),
    ] = None,
    ca: Authorities = None,
    every: Annotated[int | None, typer.Option(help="Look again so many seconds later, for ever.", min=1)] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again as soon as a log grew, and every 60 s or --every, for ever.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Read what is new in an operator's log and check every leaf against all before it.

    With --released, all that an account was and did is checked by the rules, and what its documents say by prices, the
    operator's terms and your trust file, proofs of what came back included; ticks are named at which it was passed
    over. The log is read once more for it. With --follow it reads the operator's event stream, and looks when that says
    that something was appended; nothing in the stream is believed.

    Exit status 0: all of it holds. 1: an operator contradicts itself; DIR/contradiction-N.json has the documents that
    show it. 2: something cannot be read, which proves nothing; with --every that is said, and it goes on. Of several
    operators each has a folder of its own in DIR, and all are looked at before it ends.
    """
    trust_authorities(ca)
    with plain_errors():
        explicit = (log, witness or [], needed, max_age)
        histories = tuple(_released(path) for path in released or [])
        if operator and histories:
            raise ConfigurationError("--released goes with --url: histories are of one operator")
        if operator and (url, trust, *explicit) == (None, None, None, [], 0, None):
            followed, addresses = _several(operator, directory), [entry.rpartition("=")[0] for entry in operator]
        elif url is not None and trust is not None and not operator:
            anchors = read_document(trust, TrustFile.parse)
            if log is not None:
                # Log and witnesses of the file do not count.
                anchors = anchors.model_copy(update={"log": None})
            followed, addresses = [Followed.of(_monitor(url, trust, *explicit), directory, histories, anchors)], [url]
        else:
            raise ConfigurationError("give --url and --trust, or --operator URL=FILE for each of several operators")
        every = every or (FOLLOWED_SECONDS if follow else None)
        followers = LogFollowers(addresses) if follow else None
        while True:
            statuses = {_look(one, as_json, every, len(followed) > 1) for one in followed}
            if EXIT_REFUSED in statuses:
                raise typer.Exit(EXIT_REFUSED)
            if every is None:
                raise typer.Exit(max(statuses))
            if followers is None:
                time.sleep(every)
            else:
                followers.wait({address: _size(one) for address, one in zip(addresses, followed, strict=True)}, every)


def _size(one: Followed) -> int:
    return 0 if one.seen.checkpoint is None else one.seen.checkpoint.head.size


def _monitor(url: str, trust: Path, log: str | None, witnesses: list[str], needed: int, max_age: int | None) -> Monitor:
    """Return the monitor of one operator: by its trust file, or by what the options say of its log."""
    anchors = read_document(trust, TrustFile.parse)
    if log is None:
        if (witnesses, needed, max_age) != ([], 0, None):
            raise ConfigurationError("--witness, --needed and --max-age go with --log")
        if anchors.log is None:
            raise ConfigurationError(f"{trust} names no log; give its key with --log, or make the file with one")
        key, policy = NoteKey.parse(anchors.log.key), policy_of(anchors.log)
    else:
        key, keys = NoteKey.parse(log), parse_keys(witnesses)
        if key.type != ED25519 or key.public.hex() != anchors.operator:
            raise ConfigurationError(
                "--log is not a key of the operator in the trust file: ask it for the key of its log"
            )
        if needed > len(keys):
            raise ConfigurationError(f"--needed is {needed}, and {len(keys)} witnesses are named")
        policy = WitnessPolicy(keys, needed, max_age)
    return Monitor(key, anchors.operator, anchors.prices, policy, fetcher(url))


def _released(path: Path) -> ReleasedHistory:
    try:
        return ReleasedHistory.parse(read_json(path, limit=MAX_RELEASED_BYTES))
    except DocumentsError as error:
        raise ReleaseInvalid(f"{path} is no history of this version: {error}") from error


def _several(operators: list[str], directory: Path) -> list[Followed]:
    """Return the operators of --operator, each with a folder named by its log."""
    if len(operators) > MAX_OPERATORS:
        raise ConfigurationError(f"at most {MAX_OPERATORS} operators are followed at once")
    found: dict[str, Followed] = {}
    for entry in operators:
        url, separator, trust = entry.rpartition("=")
        if not separator:
            raise ConfigurationError(f"--operator takes URL=FILE, got {entry[:80]!r}")
        one = _monitor(url, Path(trust), None, [], 0, None)
        name = f"{re.sub('[^A-Za-z0-9.-]', '_', one.log.name)}-{one.log.identifier.hex()}"
        if name in found:
            raise ConfigurationError(f"the log {one.log.name} is followed already; name each operator once")
        found[name] = Followed.of(one, directory / name)
    return list(found.values())


def _look(one: Followed, as_json: bool, every: int | None, several: bool) -> int:
    """Look at one operator and say what was found; return the exit status that alone it would have."""
    origin = one.monitor.log.name
    named = f"{origin}: " if several else ""
    try:
        looked, checked = one.look(), one.check()
    except Contradiction as found:
        file = keep(one.directory, found)
        if as_json:
            print_json({"log": origin, "holds": False, "reason": str(found), "contradiction": str(file)})
        else:
            out.print(f"[bold red]✗[/] {escape(f'{named}{found}; see {file}')}", soft_wrap=True)
        return EXIT_REFUSED
    except ServiceError as reason:
        # One who watches for ever goes on: a net that fails for a while proves nothing.
        if every is None and not several:
            raise
        again = "" if every is None else f"; looking again in {every} s"
        err.print(f"[yellow]?[/] {escape(f'{named}{reason}{again}')}", soft_wrap=True)
        return EXIT_USAGE
    report(looked, one.monitor, as_json, named, checked)
    return 0


def fetcher(url: str) -> Fetch:
    """Return what reads from an operator's server."""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"an operator is at an http or https address, got {url[:80]!r}")

    def fetch(path: str, limit: int) -> bytes:
        whole = f"{url.rstrip('/')}/{path}"
        try:
            with urllib.request.urlopen(whole, timeout=TIMEOUT_SECONDS, context=trusted()) as response:  # noqa: S310  # checked above
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
    """Write a contradiction under the next free number."""
    number = 1
    while (directory / f"contradiction-{number}.json").exists():
        number += 1
    file = directory / f"contradiction-{number}.json"
    write_json(file, found.bundle())
    return file


def report(looked: Looked, follower: Monitor, as_json: bool, named: str = "", checked: Sequence[Checked] = ()) -> None:
    """Say what a look showed, and who stands for it."""
    believed, seen = looked.believed, looked.seen
    if as_json:
        print_json(_summary(looked, follower) | {"released": [_of_history(one) for one in checked]})
        return
    names = ", ".join(name for name, _ in believed.witnesses)
    stands = f"cosigned by {names}" if names else "no witness stands for it: another reader may see another log"
    parts = [
        f"{believed.head.size} leaves, {looked.entries} new",
        "no tick yet" if seen.ticks is None else f"{_many(seen.counts.ticks, 'tick')} up to {seen.ticks.sequence}",
        f"{_many(seen.counts.entries, 'entry')} of {_many(len(seen.accounts), 'account')}",
        f"{_many(seen.counts.runs, 'entry')} about runs",
    ]
    if seen.without_run:
        parts.append(f"{_many(seen.without_run, 'account')} without a run at the newest tick")
    out.print(f"[green]✓[/] {escape(named)}{'; '.join(parts)}; {escape(stands)}", soft_wrap=True)
    for one in checked:
        ticks = ", ".join(map(str, one.skipped))
        skipped = f"no run at tick {ticks}, where one was due" if ticks else "no run left out"
        if one.halted:
            skipped += f"; a halt kept those of tick {', '.join(map(str, one.halted))} from beginning"
        many = f"{one.entries} of {_many(one.logged, 'entry')}"
        if one.without_agreement:
            skipped += f"; {', '.join(one.without_agreement)} counted no agreement, before the account's first one"
        out.print(f"[green]✓[/] {escape(one.institution)}: {many}, each step legal; {escape(skipped)}", soft_wrap=True)


def _of_history(one: Checked) -> dict[str, Any]:
    return {
        "institution": one.institution,
        "account": one.account,
        "entries": str(one.entries),
        "logged": str(one.logged),
        "skipped": [str(number) for number in one.skipped],
        "halted": [str(number) for number in one.halted],
        "without_agreement": list(one.without_agreement),
    }


def _many(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    return f"{count} {what.removesuffix('y')}ies" if what.endswith("y") else f"{count} {what}s"


def _summary(looked: Looked, follower: Monitor) -> dict[str, Any]:
    believed, seen = looked.believed, looked.seen
    return {
        "log": follower.log.name,
        "holds": True,
        "size": str(believed.head.size),
        "root": believed.head.root.hex(),
        "new": str(looked.entries),
        "tick": None if seen.ticks is None else str(seen.ticks.sequence),
        "ticks": str(seen.counts.ticks),
        "entries": str(seen.counts.entries),
        "runs": str(seen.counts.runs),
        "accounts": str(len(seen.accounts)),
        "accounts_without_run": str(seen.without_run),
        "witnesses": {name: str(seconds) for name, seconds in believed.witnesses},
        "needed": str(follower.policy.needed),
    }
