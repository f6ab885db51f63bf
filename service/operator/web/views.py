"""What the operator's HTTP face shows of accounts and runs, and the two bodies the operator itself sends."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from atomic_margin.service.errors import NotFound
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import shortfalls
from atomic_margin.service.operator.runs.evaluation import latest_evaluated
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import Account, Run, SettlementRow, ShortfallRow, SubmissionRow, Tick

JsonObject = dict[str, Any]

SHOWN_RUNS = 32


class Admission(BaseModel):
    """Admit an institution."""

    model_config = ConfigDict(extra="forbid", strict=True)
    institution: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", examples=["fund"])
    name: str = Field(pattern=r"^[ -~]{1,64}$", examples=["Example Fund LP"])
    identity: str = Field(pattern=r"^[0-9a-f]{64}$", examples=["9f" * 32], description="Ed25519 public key")


class Deposit(BaseModel):
    """Collateral that arrived."""

    model_config = ConfigDict(extra="forbid", strict=True)
    institution: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", examples=["fund"])
    asset: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["USDC"])
    quantity: str = Field(pattern=r"^[1-9][0-9]{0,18}$", examples=["25000000000000"], description="smallest units")
    reference: str = Field(pattern=r"^[A-Za-z0-9._:/-]{1,64}$", examples=["custodian-2026-11-20-0017"])


def account_view(operator: Operator, account: Account) -> JsonObject:
    """Return an account's state, balances, next sequence numbers, newest runs and newest shortfalls, oldest first."""
    name = account.institution
    with operator.store.unit_of_work() as session:
        query = select(Run).where(Run.institution == name).order_by(Run.price_sequence.desc(), Run.exact.desc())
        runs = {run.run_id: run for run in session.scalars(query.limit(SHOWN_RUNS))}
        newest = latest_evaluated(session, name)
        if newest is not None:
            # However many runs are scheduled behind it: this is the one that takes an answer.
            runs.setdefault(newest.run_id, newest)
        last = session.scalar(select(func.max(SubmissionRow.sequence)).where(SubmissionRow.institution == name))
        held = {
            "free": ledger.balances(session, ledger.free(name)),
            "posted": ledger.balances(session, ledger.posted(name)),
        }
        recorded = shortfalls.recorded(session, name, SHOWN_RUNS)
    return {
        "institution": name,
        "state": account.state,
        "next_submission": str((last or 0) + 1),
        "next_instruction": str(account.instruction_sequence + 1),
        "next_keys": str(account.key_sequence + 1),
        "evaluation_keys": account.evaluation_keys,
        "policy": operator.settings.policy.value,
        "collateral": {
            place: {asset: str(quantity) for asset, quantity in assets.items()} for place, assets in held.items()
        },
        "runs": [
            {"run_id": run.run_id, "state": run.state, "price_sequence": str(run.price_sequence)}
            for run in sorted(runs.values(), key=lambda run: (run.price_sequence, run.exact))
        ],
        "shortfalls": recorded,
    }


def run_view(operator: Operator, run: Run) -> JsonObject:
    """Return a run's state, signed record, tick, matrices, seconds, settlement and the state of its shortfall."""
    with operator.store.unit_of_work() as session:
        settlement = session.get(SettlementRow, run.run_id)
        tick = session.get_one(Tick, run.price_sequence)
        shortfall = session.get(ShortfallRow, run.run_id)
    return {
        "run_id": run.run_id,
        "state": run.state,
        "record": run.record,
        "tick": tick.document,
        "matrices": run.matrices,
        "seconds": run.seconds,
        "evaluation": run.evaluation,
        "settlement": None if settlement is None else settlement.document,
        "shortfall": None if shortfall is None else _shortfall_view(shortfall),
        "problem": run.problem,
    }


def _shortfall_view(row: ShortfallRow) -> JsonObject:
    return {"state": row.state, "record": row.record, "seconds": row.seconds, "problem": row.problem}


def output_of(operator: Operator, run: Run, function: str) -> bytes:
    """Return the words of one output.

    Raises:
        NotFound: no such output, or it is not evaluated.
    """
    with operator.store.unit_of_work() as session:
        shortfall = session.get(ShortfallRow, run.run_id)
    outputs = {"surplus": run.surplus_output, "breach": run.breach_output}
    words = {**outputs, shortfalls.FUNCTION: None if shortfall is None else shortfall.output}.get(function)
    if words is None:
        raise NotFound(f"run {run.run_id!r} has no output {function!r}", "function")
    return words
