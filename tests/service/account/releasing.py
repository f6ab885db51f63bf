"""Releases and substitutions for tests of the machine: rightly made at this moment, with a proof that is none."""

from typing import Any

from atomic_margin.service.protocol.account.agreements import agreed_in_force
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.releases import remaining_of
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import Parties, named


def release(
    parties: Parties, taken: dict[str, int], given: dict[str, int] | None = None, *, proof: bool = True, **changes: Any
) -> SignedDocument:
    """Return a release, or with `given` a substitution, at the account's last entry and the newest tick.

    Args:
        parties: whose account.
        taken: becomes free.
        given: is posted for it.
        proof: whether it says that it has one, where a book is in force.
        changes: what else it says; None leaves a field out.
    """
    public = parties.state.public
    body: dict[str, Any] = {
        "sequence": str(public.instructions + 1),
        "entry": parties.chain.head,
        "price_sequence": str(parties.market),
        "tick": parties.at.market_hash,
        "posted": _text(dict(public.posted)),
        "taken": _text(taken),
        "remaining": _text(remaining_of(public.posted, taken, given or {})),
    }
    body |= {} if given is None else {"given": _text(given)}
    if public.book is not None:
        body |= {"submission": public.book.submission}
        body |= {"matrix": named("matrix"), "sufficiency_proof": "00"} if proof else {}
    agreed = agreed_in_force(public)
    body |= {} if agreed is None else {"agreed": agreed.canonical()}
    whole = {name: value for name, value in (body | changes).items() if value is not None}
    return parties.by_institution(Release, whole)


def _text(held: dict[str, int]) -> dict[str, str]:
    return {asset: str(quantity) for asset, quantity in held.items()}
