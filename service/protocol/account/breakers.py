"""The brakes of the account machine: what does not leave while nobody knows what prices are. Pure."""

from atomic_margin.service.protocol.account.errors import WrongTick
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At


def require_priced(state: Account, at: At, act: str) -> None:
    """Make sure that the newest tick has a market, where a book is in force: it is neither staged nor void.

    While prices are staged, an institution that knows what they do to its book would take out what the next run calls
    for. Entries name the newest tick and the newest one with a market, so everybody who follows the account checks it.

    Args:
        state: of the account.
        at: where the event stands.
        act: what is done, for the message.

    Raises:
        WrongTick: it has none.
    """
    if state.public.book is not None and at.tick != at.market:
        raise WrongTick(
            f"tick {at.tick} is staged, or void: nothing leaves without prices; {act} after the next one that has some",
            "state",
        )
