"""The steps of a story, measured as they happen. No figure is written by hand.

Every entry of `demo.json` comes from a process: the agent's private figures, the operator's run, the ledger, and the
verifier.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.service.demo.history import monitor_apart
from atomic_margin.service.demo.parties import NAME, Parties, verify_apart
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.protocol.agent_messages import DecidedRuns, RunFigures
from atomic_margin.service.protocol.messages import Bundle, LedgerView, RunView
from atomic_margin.service.protocol.states import OVER, RunState

JsonObject = dict[str, Any]


class Watcher(Protocol):
    """Shows a person what is going on."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def tick(self, entry: JsonObject, private: RunFigures, verdict: JsonObject) -> None:
        """Show a finished tick."""

    def said(self, text: str) -> None:
        """Show that something else happened."""


@dataclass(frozen=True)
class Outputs:
    """Where the results go."""

    directory: Path

    @property
    def attestations(self) -> Path:
        """Folder of the bundles."""
        return self.directory / "attestations"

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.directory / "trust.json"

    @property
    def reports(self) -> Path:
        """Folder of the notices of calls."""
        return self.directory / "reports"

    @property
    def archive(self) -> Path:
        """All of the account in one file."""
        return self.directory / f"{NAME}.archive.zip"

    @property
    def summary(self) -> Path:
        """The figures of every tick."""
        return self.directory / "demo.json"


def play(parties: Parties, outputs: Outputs, watcher: Watcher) -> list[JsonObject]:
    """Play the steps of the parties' story; return the entries of its ticks.

    Raises:
        RemoteError: a process does not answer, refuses, or a run did not end.
    """
    entries: list[JsonObject] = []
    for step in parties.staging.story.steps:
        started = time.perf_counter()
        if step.tick is not None:
            market = parties.staging.path(step.tick)
            entries.append(play_tick(len(entries) + 1, market, parties, outputs, watcher))
        elif step.book is not None:
            watcher.stage(f"encrypting, committing to and proving {step.book}")
            number = parties.submit(step.book)
            watcher.said(f"{step.book}: submission {number}, in {time.perf_counter() - started:.1f} s")
        elif step.universe is not None and step.until is not None:
            watcher.stage("the agent carries its book into another universe")
            parties.revise(step.universe, step.until)
            seconds = time.perf_counter() - started
            watcher.said(f"{step.universe}: the universe from here on, book carried over in {seconds:.1f} s")
        elif step.release is not None:
            entries[-1]["released"] = play_release(step.release, parties, watcher)
    return entries


def play_release(quantities: Mapping[str, int], parties: Parties, watcher: Watcher) -> JsonObject:
    """Have posted collateral back and withdraw it; return what is told of it.

    Raises:
        RemoteError: agent or operator refuse, or do not answer.
    """
    watcher.stage("proving that what remains is initial margin")
    started = time.perf_counter()
    shown, released = parties.have_back(quantities)
    seconds = time.perf_counter() - started
    schedule = CollateralSchedule.parse(read_json(parties.staging.path(parties.staging.story.schedule)))
    whole = ", ".join(
        f"{Decimal(quantity).scaleb(-schedule.by_id[asset].decimals).normalize():f} {asset}"
        for asset, quantity in quantities.items()
    )
    proof = "with a proof that the rest is initial margin" if released.proven else "without a proof"
    watcher.said(
        f"excess: {Decimal(shown.usd):,} USD may come back at tick {shown.price_sequence}; {whole} released {proof}, "
        f"and withdrawn, in {seconds:.1f} s"
    )
    return {
        "excess": float(shown.usd),
        "taken": dict(released.taken),
        "remaining": dict(released.remaining),
        "proven": released.proven,
        "seconds": round(seconds, 3),
    }


def play_tick(number: int, market: Path, parties: Parties, outputs: Outputs, watcher: Watcher) -> JsonObject:
    """Send one tick, wait until its run is over, verify the bundle apart, and return the tick's entry.

    Raises:
        RemoteError: a process does not answer, or the run did not end.
    """
    started = time.perf_counter()
    run_id = parties.send_tick(market)

    def watch(run: RunView) -> None:
        doing = "the institution decrypts and proves"
        if run.state in (RunState.SCHEDULED, RunState.EVALUATING):
            doing = "evaluating on ciphertexts"
        watcher.stage(f"tick {number}: {doing}")

    run = parties.operator.wait(f"/v1/runs/{run_id}", RunView, lambda view: view.state in OVER, 180, watch)
    over = time.perf_counter()
    if run.state not in (RunState.COVERED, RunState.SETTLED):
        raise RemoteError(f"run {run_id} ended {run.state}: {run.problem or 'no answer in time'}")
    parties.agent.wait(
        "/v1/runs", DecidedRuns, lambda seen: any(item.run_id == run_id for item in seen.runs), 30, lambda _: None
    )
    private = parties.figures(run_id)
    bundle, published = outputs.attestations / f"tick-{number}.json", f"/v1/attestations/{run_id}"
    watcher.stage(f"tick {number}: the witness cosigns what happened")
    parties.operator.wait(published, Bundle, lambda shown: shown.log is not None, 60, lambda _: None)
    write_json(bundle, parties.operator.get(published))
    watcher.stage(f"tick {number}: a separate process verifies the bundle")
    verify_started = time.perf_counter()
    verdict = verify_apart(bundle, outputs.trust)
    verified = time.perf_counter()
    totals = parties.operator.read("/v1/ledger", LedgerView).totals
    entry = {
        "tick": number,
        "run": run_id,
        "plaintext_breach": private.plaintext_breach,
        "decrypted_breach": private.decrypted_breach,
        "shortfall_true": float(private.shortfall_true),
        "top_up": float(private.top_up),
        "answer_verified": bool(verdict["valid"]) and verdict["exit_status"] == 0,
        "settlement": "none" if run.settlement is None else run.settlement["body"]["kind"],
        "checkpoint": verdict.get("log"),
        "ledger_sum": sum(abs(total) for total in totals.values()),
        "seconds": {
            **{f"evaluate_{name}": float(value) for name, value in (run.seconds or {}).items()},
            **{f"institution_{name}": float(value) for name, value in private.seconds.items()},
            "tick_to_settled": round(over - started, 3),
            "verify_process": round(verified - verify_started, 3),
        },
    }
    watcher.tick(entry, private, verdict)
    return entry


def read_history(parties: Parties, outputs: Outputs, watcher: Watcher) -> JsonObject:
    """Have a separate process read all of the operator's log; return what it says.

    Raises:
        RemoteError: it cannot be read.
    """
    watcher.stage("a separate process reads all of the log")
    return monitor_apart(parties.operator.url, outputs.trust)


def problems_of(entries: list[JsonObject], history: JsonObject, archive: JsonObject) -> list[str]:
    """Return what in the entries, in the log and in the archive contradicts the protocol, in sentences."""
    found = [] if history["holds"] else [f"the log contradicts itself: {history['reason']}"]
    if history["holds"] and not history["witnesses"]:
        found.append("no witness stands for the log")
    if not archive["valid"]:
        found.append(f"the archive does not verify: {archive.get('reason')}")
    elif not archive["agrees"]:
        found.append("the archive is replayed to another state or to other balances than the operator shows")
    for entry in entries:
        name = f"tick {entry['tick']}"
        if not entry.get("released", {"proven": True})["proven"]:
            found.append(f"{name}: collateral came back without a proof")
        if entry["decrypted_breach"] != entry["plaintext_breach"]:
            found.append(f"{name}: the decrypted flag is not the plaintext one")
        if not entry["answer_verified"]:
            found.append(f"{name}: the bundle does not verify")
        elif entry["checkpoint"] is None:
            found.append(f"{name}: the verifier believed no checkpoint")
        if entry["ledger_sum"]:
            found.append(f"{name}: the ledger does not sum to zero")
        if (entry["settlement"] != "none") != bool(entry["decrypted_breach"]):
            found.append(f"{name}: settlement and flag do not go together")
    return found
