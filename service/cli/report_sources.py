"""Where `atomic-margin report` reads accounts and prices: files that were handed out, or an operator's server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.service.cli.calls import call as call_over_http
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.http.tokens import read_token
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.released import ReleasedHistory
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.reports.errors import HistoryUnusable, NothingToReport
from atomic_margin.service.reports.facts import AccountFacts, read_entries, read_released
from atomic_margin.service.reports.parts import JsonObject
from atomic_margin.service.reports.prices import Prices, newest_until, read_tick

MAX_HISTORY_BYTES = 1 << 30
MAX_PAGES = 100_000
TOKEN_FILE = "admin.token"  # noqa: S105  # the name of the file, not a token


@dataclass
class Sources:
    """Where a report is read from; an operator is asked for the ticks that are needed for its run, or its day's end."""

    history: list[Path] | None
    bundles: list[Path] | None
    ticks: list[Path] | None
    schedule: Path | None
    trust: Path | None
    operator: str | None
    directory: Path | None
    accounts: list[str] | None
    command: str
    run: str | None = None
    day: date | None = None
    _trust: TrustFile | None = field(default=None, init=False)

    def read(self) -> tuple[list[AccountFacts], Prices]:
        """Return the accounts and the prices.

        Raises:
            ConfigurationError: options do not go together, or a file cannot be read.
            ReportError, RemoteError: what they name does not hold, or nobody answers.
        """
        self._trust = None if self.trust is None else read_document(self.trust, TrustFile.parse)
        if (self.operator is None) == (not self.history):
            raise ConfigurationError("give --history FILE, or --operator URL with --dir and --account")
        facts, schedule, ticks = self._from_files() if self.operator is None else self._from_operator(self.operator)
        wanted = set(self.accounts or ())
        found = [one for one in facts if not wanted or one.institution in wanted]
        missing = wanted - {one.institution for one in found}
        if missing:
            raise NothingToReport(f"no history given is of {', '.join(sorted(missing))}")
        if self._trust is not None and schedule.hash() != self._trust.schedule:
            raise HistoryUnusable("the collateral schedule is another one than the trust file names")
        return found, Prices.of(schedule, ticks, found[0].operator)

    def one(self) -> tuple[AccountFacts, Prices]:
        """Return the one account that a report is of, and the prices."""
        facts, prices = self.read()
        if len(facts) != 1:
            raise ConfigurationError(f"this report is of one account, {len(facts)} are given: choose with --account")
        return facts[0], prices

    def _operator_of(self, first: Any) -> str:
        """Return the key of the operator: the trust file's, or the one that a first entry names."""
        if self._trust is not None:
            return self._trust.operator
        try:
            return str(first["body"]["operator"])
        except (KeyError, TypeError):
            raise HistoryUnusable("the history's first entry names no operator") from None

    def _from_files(self) -> tuple[list[AccountFacts], CollateralSchedule, list[Any]]:
        facts = []
        for path in self.history or ():
            try:
                released = ReleasedHistory.parse(read_json(path, limit=MAX_HISTORY_BYTES))
            except DocumentsError as error:
                raise HistoryUnusable(f"{path} is no history of this version: {error}") from error
            if not released.entries:
                raise HistoryUnusable(f"{path} has no entry")
            facts.append(read_released(released, self._operator_of(released.entries[0].entry)))
        bundles = [_body(path) for path in _files(self.bundles)]
        ticks = [read_json(path) for path in _files(self.ticks)]
        ticks += [bundle[name] for bundle in bundles for name in ("tick", "last_market") if name in bundle]
        if self.schedule is not None:
            schedule = read_document(self.schedule, CollateralSchedule.parse)
        elif bundles:
            schedule = CollateralSchedule.parse(bundles[0]["schedule"])
        else:
            raise ConfigurationError("give the operator's collateral schedule with --schedule, or --bundles with one")
        return facts, schedule, ticks

    def _from_operator(self, address: str) -> tuple[list[AccountFacts], CollateralSchedule, list[Any]]:
        if self.directory is None or not self.accounts:
            raise ConfigurationError("--operator goes with --dir, for its token, and --account")
        token, url = read_token(self.directory / TOKEN_FILE), address.rstrip("/")

        def get(path: str) -> Any:
            advice = "start the operator with `atomic-margin serve`, or give its address with --operator"
            return call_over_http(self.command, "GET", url + path, token=token, whom="the operator", advice=advice)

        facts = [self._account(get, name) for name in self.accounts]
        schedule = CollateralSchedule.parse(get("/v1/terms/schedule"))
        known: dict[int, Any] = {}

        def tick(number: int) -> Any:
            if number not in known:
                known[number] = get(f"/v1/ticks/{number}")
            return known[number]

        needed = {number for one in facts for number in self._named(one)} - {0}
        last = get("/v1/ticks").get("sequence")
        if self.day is not None and last is not None:
            newest = newest_until(self.day, int(last), lambda number: read_tick(tick(number), facts[0].operator))
            needed |= set() if newest is None else {newest}
        return facts, schedule, [tick(number) for number in sorted(needed)]

    def _named(self, facts: AccountFacts) -> set[int]:
        """Return the numbers of the ticks that an account's entries name: about the run, or last on the day."""
        if self.run is not None:
            return {int(step.body.get("price_sequence", 0)) for step in facts.about_run(self.run)}
        closing = None if self.day is None else facts.until(self.day)
        return set() if closing is None else {closing.entry.market_sequence}

    def _account(self, get: Callable[[str], Any], name: str) -> AccountFacts:
        entries: list[tuple[SignedDocument, SignedDocument]] = []
        for _ in range(MAX_PAGES):
            page = get(f"/v1/institutions/{quote(name, safe='')}/entries?after={len(entries)}")
            new = [
                (SignedDocument.parse(one["entry"]), SignedDocument.parse(one["document"])) for one in page["entries"]
            ]
            entries += new
            if not page["more"] or not new:
                break
        if not entries:
            raise NothingToReport(f"{name} has no entry at this operator")
        return read_entries(entries, Salts(page["seed"]), self._operator_of(entries[0][0].to_json()))


def _files(paths: list[Path] | None) -> list[Path]:
    """Return files, those in folders among them."""
    return [file for path in paths or () for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]


def _body(path: Path) -> JsonObject:
    value = read_json(path)
    body = value.get("body") if isinstance(value, dict) else None
    if not isinstance(body, dict) or not {"tick", "schedule"} <= body.keys():
        raise HistoryUnusable(f"{path} is no attestation bundle: it has no tick and schedule")
    return body
