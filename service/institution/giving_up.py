"""Ask the operator to give up a book that this directory can open no more: what is left after the newest backup.

Without the blindings of a book nothing can be proven about it. If a run on it is due, open or owed, the account would
stay frozen with all it holds. The operator may agree, or not; the agent follows its entry like every other one.
"""

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.events import GivingUp


def ask(party: Party, outbox: Outbox, reason: str) -> str:
    """Ask to give up the book in force and the one that waits; return the hash of what was signed.

    It is not sent again by itself: it is a question, and whoever asks sees that it arrived.

    Raises:
        AgentRefused: no book is in force, or one that this directory can open.
        DocumentError: the reason is no text for a document.
        RemoteError: the operator does not answer, or nothing could be entered of it now.
    """
    state = party.history.state
    book = None if state is None else state.public.book
    if state is None or book is None:
        raise AgentRefused("no book is in force, so that none can be given up; submit one")
    if party.store.submission(book.submission) is not None:
        raise AgentRefused("this directory can open the book in force, and proves it; it gives up no such book")
    waiting = state.public.waiting
    said = {
        "institution": party.settings.institution,
        "operator": party.settings.trust.operator,
        "entry": party.history.head,
        "submission": book.submission,
        "reason": reason,
    }
    said |= {} if waiting is None else {"waiting": waiting.submission}
    said |= {} if book.covered is None else {"covered": str(book.covered)}
    signed = GivingUp.parse(said).signed_by(party.identity)
    outbox.keep(signed)
    party.client.ask_to_give_up(signed.to_json())
    return signed.body_hash()
