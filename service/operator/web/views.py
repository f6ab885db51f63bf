"""What the operator's HTTP face shows of itself, of accounts and of runs."""

from sqlalchemy import select

from atomic_margin.service.errors import EntriesMissing, Gone, NotFound
from atomic_margin.service.operator.attestations import evidence_of, recorded_evidence
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import shortfalls
from atomic_margin.service.operator.runs.rules import beginning
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import behind, bundles, entries
from atomic_margin.service.operator.store.market_chain import last_market_of, newest_tick
from atomic_margin.service.operator.store.tables import (
    SHORTFALL_FUNCTION,
    Account,
    Run,
    SettlementRow,
    ShortfallRow,
    Tick,
)
from atomic_margin.service.protocol.messages import (
    AccountView,
    Bundle,
    Entries,
    EntryItem,
    EvaluationTimes,
    Held,
    LastTick,
    LedgerView,
    OperatorView,
    RunItem,
    RunView,
    ShortfallView,
)
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK

SHOWN_RUNS = 32


def operator_view(operator: Operator) -> OperatorView:
    """Return the operator's key, policy, and hashes of its terms."""
    return OperatorView(
        operator=operator.identity.public_key,
        log=str(operator.log_key),
        price_rules=operator.settings.prices.hash(),
        profile_name=operator.terms.profile.name,
        answer_seconds=operator.settings.answer_seconds,
        policy=operator.settings.policy,
        proof_seconds=operator.settings.proof_seconds,
        **operator.terms.hashes,
        universe=operator.terms.universe.hash(),
    )


def account_view(operator: Operator, account: Account) -> AccountView:
    """Return an account's state, balances, next sequence numbers, newest runs and newest shortfalls, oldest first."""
    name = account.institution
    with operator.store.reading() as session:
        # Not the rows: words, record and evidence of one are a third of a megabyte.
        shown = select(Run.run_id, Run.state, Run.price_sequence, Run.second)
        query = shown.where(Run.institution == name).order_by(Run.price_sequence.desc(), Run.second.desc())
        runs = {run.run_id: run for run in session.execute(query.limit(SHOWN_RUNS))}
        state = entries.state_of(session.get_one(Account, name))
        if state.public.run is not None:
            # However many there are behind it: this is the one that takes an answer.
            begun = session.execute(shown.where(Run.run_id == state.public.run.run_id)).one_or_none()
            if begun is not None:
                runs.setdefault(begun.run_id, begun)
        recorded = shortfalls.recorded(session, name, SHOWN_RUNS)
    return AccountView(
        institution=name,
        state=state.public.status,
        next_submission=state.public.submissions + 1,
        next_instruction=state.public.instructions + 1,
        next_keys=state.public.key_sequence + 1,
        evaluation_keys=state.public.keys,
        policy=operator.settings.policy,
        collateral=Held(free=state.private.free, posted=state.public.posted),
        runs=tuple(
            RunItem(run_id=run.run_id, state=run.state, price_sequence=run.price_sequence)
            for run in sorted(runs.values(), key=lambda run: (run.price_sequence, run.second))
        ),
        shortfalls=tuple(recorded),
    )


SHOWN_ENTRIES = 32


def entries_view(operator: Operator, account: Account, after: int) -> Entries:
    """Return the entries of an account after one of them, with their documents.

    Raises:
        EntriesMissing: there is no such entry.
    """
    with operator.store.reading() as session:
        shown = list(entries.entries_after(session, account.institution, after, SHOWN_ENTRIES))
        newest = session.get_one(Account, account.institution).entries
    if after > newest:
        behind.say(account.institution, after, newest)
        raise EntriesMissing(
            f"the account has {newest} entries here, and you ask for those after {after}: if this operator signed so "
            "many, it was restored from an older backup",
            "after",
        )
    return Entries(
        log=operator.log_key.name,
        seed=account.seed,
        entries=tuple(EntryItem(entry=item.entry.to_json(), document=item.document.to_json()) for item in shown),
        more=after + len(shown) < newest,
    )


def run_view(operator: Operator, run: Run) -> RunView:
    """Return a run's state, signed record, tick, seconds, settlement and the state of its shortfall."""
    with operator.store.reading() as session:
        settlement = session.get(SettlementRow, run.run_id)
        tick = session.get_one(Tick, run.price_sequence)
        last_market = last_market_of(session, tick)
        shortfall = session.get(ShortfallRow, run.run_id)
        evidence = None if run.record is None else recorded_evidence(session, run)
    return RunView(
        run_id=run.run_id,
        state=run.state,
        record=run.record,
        tick=tick.document,
        last_market=last_market,
        evidence=None if evidence is None else evidence.to_json(),
        seconds=run.seconds,
        evaluation=None if run.evaluation is None else EvaluationTimes.parse(run.evaluation),
        settlement=None if settlement is None else settlement.document,
        shortfall=None if shortfall is None else _shortfall_view(shortfall),
        problem=run.problem,
    )


def bundle(operator: Operator, run_id: str) -> Bundle:
    """Return a published bundle, with what shows its entries in the log.

    Raises:
        NotFound: no bundle of that run is published.
    """
    with operator.store.reading() as session:
        document = bundles.load(session, run_id)
        if document is None:
            raise NotFound(f"no bundle of run {run_id!r} is published", "run_id")
        evidence = evidence_of(session, session.get_one(Run, run_id))
    return Bundle.parse({**document, "log": None if evidence is None else evidence.to_json()})


def last_tick(operator: Operator) -> LastTick:
    """Return the newest tick, void or not, with what a source needs to sign the next one."""
    with operator.store.reading() as session:
        row = newest_tick(session)
        if row is None:
            return LastTick(sequence=0, tick=NO_TICK, document=None, last_market=None)
        last_market = last_market_of(session, row)
        waiting = beginning(session, row.sequence + 1)
    signed = SignedDocument.parse(row.document)
    return LastTick(
        sequence=row.sequence,
        tick=signed.body_hash(),
        document=row.document,
        last_market=last_market,
        change=None if waiting is None else waiting.document,
    )


def ledger_view(operator: Operator) -> LedgerView:
    """Return every account's balances, and the sum of every asset, which is zero."""
    with operator.store.reading() as session:
        return LedgerView(accounts=ledger.accounts(session), totals=ledger.totals(session))


def _shortfall_view(row: ShortfallRow) -> ShortfallView:
    return ShortfallView(state=row.state, record=row.record, seconds=row.seconds, problem=row.problem)


def output_of(operator: Operator, run: Run, function: str) -> bytes:
    """Return the words of one output.

    Raises:
        NotFound: no such output, or it is not evaluated.
        Gone: it is kept no longer.
    """
    with operator.store.reading() as session:
        shortfall = session.get(ShortfallRow, run.run_id)
    outputs = {"surplus": run.surplus_output, "breach": run.breach_output}
    words = {**outputs, SHORTFALL_FUNCTION: None if shortfall is None else shortfall.output}.get(function)
    if words is None and _is_recorded(run, shortfall, function):
        raise Gone(
            f"the words of {function!r} of run {run.run_id!r} are kept no longer; its record has their hash, and "
            "`atomic-margin audit` at the operator evaluates them again",
            "function",
        )
    if words is None:
        raise NotFound(f"run {run.run_id!r} has no output {function!r}", "function")
    return words


def _is_recorded(run: Run, shortfall: ShortfallRow | None, function: str) -> bool:
    """Return whether a signed record names the words of an output."""
    if function == SHORTFALL_FUNCTION:
        return shortfall is not None and shortfall.record is not None
    return run.record is not None and function in (run.record["body"].get("outputs") or {})
