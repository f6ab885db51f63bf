"""How old the prices of a run may be that custodians open. Pure.

While an account owes, a run begins at every newest tick once the one before is over: so the open run is behind the
newest tick by its time to answer, and by what evaluating takes. An operator that begins no other run, or is slow to
record one, could wait for the prices and then choose at which of two ticks a silent account is opened. Custodians open
no run that a later tick with prices was known for longer than that.
"""

RUN_OLD_SECONDS = 1800
"""For evaluating a run, checkpoints, and the request. Accounts that owe are evaluated first."""
LONGEST_ANSWER_SECONDS = 86_400
"""Of the time to answer, which the operator writes into each record, so much counts."""


def behind_at_most(answer_seconds: int) -> int:
    """Return for how long a later tick with prices may have been known when an opening of a run is asked for.

    >>> behind_at_most(900)
    2700
    """
    return min(answer_seconds, LONGEST_ANSWER_SECONDS) + RUN_OLD_SECONDS
