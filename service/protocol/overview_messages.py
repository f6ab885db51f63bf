"""Lists that the operator's staff are shown, as types; see `protocol.messages`, whose rules hold here too."""

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.messages import AccountStateName, Count, Held, ResponseBody, RunStateName


class AccountLine(ResponseBody):
    """An account in the list of all."""

    institution: str
    name: str
    state: AccountStateName
    collateral: Held
    entries: Count
    run: str | None
    """The open run."""
    stage: str | None
    """How far it is."""
    deadline: str | None
    """Until when it is to be answered."""


class AccountLines(ResponseBody):
    """Accounts by name, a page of them."""

    accounts: ListOf[AccountLine]
    more: bool
    """Whether there are others after the last one here: ask with ``after``."""


class RunLine(ResponseBody):
    """A run in the list of all."""

    run_id: str
    institution: str
    state: RunStateName
    price_sequence: Count
    deadline: str | None
    seconds: dict[str, str] | None
    """Of its stages in the worker, once evaluated."""
    top_up_usd: str | None
    settlement: str | None
    """Kind of its settlement."""
    published: bool
    """Whether its bundle is."""
    problem: str | None


class RunLines(ResponseBody):
    """Runs, the newest ticks first."""

    runs: ListOf[RunLine]
