"""A story in which an institution goes silent at a breach, and custodians open its book."""

import time
from dataclasses import dataclass
from typing import Any

from atomic_margin.service.demo.parties import NAME, Parties, verify_apart
from atomic_margin.service.demo.play import Outputs, Watcher, play_tick
from atomic_margin.service.errors import AskedTooEarly, RemoteError
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol.custodian_messages import OpeningAsked, OpeningStanding
from atomic_margin.service.protocol.messages import Bundle, LedgerView, RunView
from atomic_margin.service.protocol.states import OVER, RunState

JsonObject = dict[str, Any]

ANSWER_SECONDS = 12
OPENING_SECONDS = 120
TOO_EARLY = f"urn:atomic-margin:problem:{AskedTooEarly.slug}"


@dataclass(frozen=True)
class Silence:
    """What became of a run that nobody answered.

    Attributes:
        entry: as `demo.json` has it.
        verdict: of the verifier about its bundle.
    """

    entry: JsonObject
    verdict: JsonObject


def play_silence(parties: Parties, outputs: Outputs, watcher: Watcher) -> tuple[list[JsonObject], Silence]:
    """Play all ticks but the last; then have the institution go silent, and its book opened at the last.

    Raises:
        RemoteError: a process does not answer, or what happens is not what a silent institution comes to.
    """
    *answered, last = [step.tick for step in parties.staging.story.steps if step.tick is not None]
    entries = [
        play_tick(number, parties.staging.path(tick), parties, outputs, watcher)
        for number, tick in enumerate(answered, 1)
    ]
    parties.silence()
    watcher.said(f"{NAME} goes silent: its agent is gone, and with it the only keys that decrypt its flag")
    return entries, _opened(len(entries) + 1, parties.staging.path(last), parties, outputs, watcher)


def _ask(parties: Parties) -> float:
    """Ask for the opening once the policy's time is over; return when it was asked for."""
    until = time.perf_counter() + OPENING_SECONDS
    while True:
        asked = time.perf_counter()
        try:
            parties.operator.send("/v1/openings", OpeningAsked(institution=NAME), OpeningStanding)
        except RemoteError as error:
            if error.problem.get("type") != TOO_EARLY or asked > until:
                raise
            time.sleep(0.5)
        else:
            return asked


def _opened(number: int, market: Any, parties: Parties, outputs: Outputs, watcher: Watcher) -> Silence:
    run_id = parties.send_tick(market)
    watcher.stage(f"tick {number}: evaluated on ciphertexts; the time to answer runs out")
    parties.operator.wait(
        f"/v1/runs/{run_id}", RunView, lambda run: run.state is RunState.UNPROVEN, 180, lambda _: None
    )
    watcher.said(f"tick {number}: no answer in time; the account is frozen, and the operator asks its custodians")
    asked = _ask(parties)
    watcher.stage("three of four custodians compute together, and one of them proves what they find")
    run = parties.operator.wait(
        f"/v1/runs/{run_id}",
        RunView,
        lambda run: run.state in OVER and run.state is not RunState.UNPROVEN,
        OPENING_SECONDS,
        lambda _: None,
    )
    opened = time.perf_counter()
    if run.settlement is None:
        raise RemoteError(f"run {run_id} ended {run.state}, and not by a settlement")
    bundle, published = outputs.attestations / f"tick-{number}.json", f"/v1/attestations/{run_id}"
    watcher.stage("a separate process verifies the bundle")
    parties.operator.wait(published, Bundle, lambda shown: shown.log is not None, 60, lambda _: None)
    write_json(bundle, parties.operator.get(published))
    verdict = verify_apart(bundle, outputs.trust)
    settlement = run.settlement["body"]
    totals = parties.operator.read("/v1/ledger", LedgerView).totals
    entry = {
        "tick": number,
        "run": run_id,
        "answer": "opened by custodians",
        "answer_verified": bool(verdict["valid"]) and verdict["exit_status"] == 0,
        "flag": settlement["flag"],
        "top_up": float(settlement["top_up_usd"]),
        "settlement": settlement["kind"],
        "ledger_sum": sum(abs(total) for total in totals.values()),
        "seconds": {"asked_to_settled": round(opened - asked, 3)},
    }
    watcher.said(
        f"tick {number}: a row is negative, says a proof about the institution's own commitments, and one row lacks "
        f"{entry['top_up']:,.0f} USD; {str(settlement['kind']).replace('_', ' ')}, "
        f"{opened - asked:.1f} s after the operator asked; verifier says "
        f"{'valid' if entry['answer_verified'] else 'NOT valid'}"
    )
    return Silence(entry, verdict)
