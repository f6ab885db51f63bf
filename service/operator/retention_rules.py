"""What an operator keeps, and for how long: rules, and what follows from them. Pure.

Never removed is what an account's history, its auditors and the log rest on: entries and the documents they are about,
records of runs, answers, settlements, ticks, bundles, leaves, checkpoints that evidence rests on, and the breach flag's
words of every run that was settled, which its proof is about. Hashes of everything else stay in those documents, so
that whoever has the bytes can show that they are the ones.

What goes is large and can be made again, or is of no use any more: output words of runs that nothing is owed on, keys
that nobody confirmed or uses, ciphertexts of books that were replaced.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, NamedTuple

from atomic_margin.documents.strict import Document, integer_in
from atomic_margin.service.protocol.states import RunState, ShortfallState


class RetentionRules(Document):
    """How long an operator keeps what it may remove.

    Attributes:
        format: of the document.
        words_newest: output words of so many of an account's newest runs stay, for its agent and for audits.
        words_days: and of none that is older, but for those that something is owed on.
        shortfall_days: words of a recorded shortfall stay so long for the institution to fetch them.
        unconfirmed_days: keys that nobody confirmed stay so long.
        keys_days: keys stay so long after others replaced them in every book; runs under them are audited until then.
        ciphertext_days: a book's ciphertext stays so long after its last run, if another book replaced it.
    """

    TAG: ClassVar[str] = "retention-rules"

    format: Literal["atomic-margin/retention-rules/1"] = "atomic-margin/retention-rules/1"
    words_newest: Annotated[int, integer_in(0, 1_000_000)] = 4
    words_days: Annotated[int, integer_in(0, 36_500)] = 7
    shortfall_days: Annotated[int, integer_in(0, 36_500)] = 30
    unconfirmed_days: Annotated[int, integer_in(1, 36_500)] = 2
    keys_days: Annotated[int, integer_in(1, 36_500)] = 30
    ciphertext_days: Annotated[int, integer_in(1, 36_500)] = 30


USUAL_RETENTION = RetentionRules()
"""For operators that say nothing else."""


class RunKept(NamedTuple):
    """A run that has output words.

    Attributes:
        run_id: its name.
        number: of its record.
        state: of the run.
        recorded_at: when it was recorded.
        shortfall: state of its shortfall, None if it has none.
    """

    run_id: str
    number: int
    state: RunState
    recorded_at: datetime
    shortfall: ShortfallState | None


ANSWERED = frozenset({RunState.COVERED, RunState.SETTLED})
"""Runs whose answer was verified, and nothing of it is left to do."""
_SHORTFALL_OVER = (None, ShortfallState.RECORDED, ShortfallState.FAILED)


def words_to_remove(
    rules: RetentionRules, runs: Iterable[RunKept], now: datetime, *, disputed: bool = False
) -> tuple[str, ...]:
    """Return the runs of one account whose words go, oldest first.

    Kept are those of runs that something is owed on, or that could still be answered; of all runs while the account
    disputes something; and of the newest ones.

    Args:
        rules: how many, how long.
        runs: of the account that have words.
        now: the time.
        disputed: whether the account has an open dispute.
    """
    ordered: Sequence[RunKept] = sorted(runs, key=lambda run: run.number, reverse=True)
    if disputed:
        return ()
    oldest = now - timedelta(days=rules.words_days)
    answered = max((run.number for run in ordered if run.state in ANSWERED), default=0)
    found = []
    for place, run in enumerate(ordered):
        if not _is_over(run, answered):
            continue
        if place >= rules.words_newest or run.recorded_at < oldest:
            found.append(run.run_id)
    return tuple(reversed(found))


def _is_over(run: RunKept, answered: int) -> bool:
    """Return whether nothing is owed on a run's words; ``answered`` is the newest answered run of its account."""
    if run.state in ANSWERED:
        return run.shortfall in _SHORTFALL_OVER
    # One that was not answered is owed until a newer one is.
    return run.state in (RunState.UNPROVEN, RunState.GIVEN_UP) and run.number < answered


def is_older(moment: datetime, days: int, now: datetime) -> bool:
    """Return whether a moment is more than so many days ago."""
    return moment < now - timedelta(days=days)
