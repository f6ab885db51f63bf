"""Which price rules a tick is under: those that are pinned, and the changes since that their sources signed. Pure.

A change holds if at least as many sources signed it as the rules that it ends require; the sources it brings have no
say in it. It names the operator and the first tick under it, so it is good for one chain and one number.
"""

from collections.abc import Sequence

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import MalformedRequest, RulesNotSigned, SignatureInvalid
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import NewRules, RulesChange
from atomic_margin.service.protocol.ticks import PriceTick


def said(change: RulesChange) -> NewRules:
    """Return what the first document of a change says; whether all say it, and who signed it, is not checked here.

    Raises:
        RulesNotSigned: it is no document of that type.
    """
    try:
        return parse_signed(change.signed[0].to_json(), NewRules)[1]
    except (DocumentsError, MalformedRequest) as error:
        raise RulesNotSigned(f"this is no change of price rules: {error}", "changes") from error


def changed(rules: PriceRules, change: RulesChange, operator: str) -> NewRules:
    """Return what a change of some rules says, if enough of their sources signed it.

    Args:
        rules: those that it ends.
        change: signed.
        operator: public key of whose ticks are meant.

    Raises:
        RulesNotSigned: too few sources of these rules signed it, one signature is wrong, by another key, or there
            twice; or it is about other rules, or another operator's ticks.
    """
    new = said(change)
    if new.operator != operator:
        raise RulesNotSigned("the change of price rules is about the ticks of another operator", "changes")
    if new.previous != rules.hash():
        raise RulesNotSigned("the change does not begin with the price rules that are in force", "changes")
    signers: set[str] = set()
    for document in change.signed:
        if (document.type, document.body) != (change.signed[0].type, change.signed[0].body):
            raise RulesNotSigned("the sources signed different changes of price rules", "changes")
        try:
            document.verify(frozenset(rules.sources))
        except SignatureInvalid as error:
            raise RulesNotSigned(
                f"a change is signed by sources of the rules that it ends: {error}", "changes"
            ) from error
        signers.add(document.signer)
    if len(signers) < len(change.signed) or len(signers) < rules.required:
        raise RulesNotSigned(
            f"{len(signers)} sources signed the change, each once, and the rules that it ends require {rules.required}",
            "changes",
        )
    return new


def rules_after(first: PriceRules, changes: Sequence[RulesChange], sequence: int, operator: str) -> PriceRules:
    """Return the rules of a tick by its number.

    Args:
        first: pinned rules. Changes before the one that ends them do not concern who pinned these.
        changes: all there were, in order.
        sequence: number of the tick.
        operator: public key of who made it.

    Raises:
        RulesNotSigned: see `changed`; or a change begins with a later tick, or not after the one before.
    """
    rules, earliest, pinned = first, 1, first.hash()
    begin = next((index for index, change in enumerate(changes) if said(change).previous == pinned), len(changes))
    for change in changes[begin:]:
        new = changed(rules, change, operator)
        if not earliest <= new.from_sequence <= sequence:
            raise RulesNotSigned(
                f"a change of price rules begins with tick {new.from_sequence}, out of its order in tick {sequence}",
                "changes",
            )
        rules, earliest = new.rules, new.from_sequence + 1
    return rules


def rules_of(tick: PriceTick, first: PriceRules, operator: str) -> PriceRules:
    """Return the rules that a tick is made under, as the changes it carries lead to them from pinned ones.

    Raises:
        RulesNotSigned: see `rules_after`.
    """
    return rules_after(first, tick.changes or (), tick.sequence, operator)


def require_continued(before: PriceTick, tick: PriceTick) -> None:
    """Make sure a tick has the changes of the tick before, and one more at most, which begins with it.

    Raises:
        RulesNotSigned: a change is taken back, or begins with another tick.
    """
    old, new = before.changes or (), tick.changes or ()
    kept, added = new[: len(old)], new[len(old) :]
    if kept != old:
        raise RulesNotSigned(f"tick {tick.sequence} takes a change of price rules back", "changes")
    if any(said(change).from_sequence != tick.sequence for change in added):
        raise RulesNotSigned(
            f"a change of price rules first shows in tick {tick.sequence}, and begins elsewhere", "changes"
        )
