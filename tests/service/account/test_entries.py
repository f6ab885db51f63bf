"""Entries: what the operator makes the institution follows, and nothing else; and what the log hides."""

from typing import Any

import pytest

from atomic_margin.service.protocol.account.entries import Chain, Salts, extended, followed, salted_hash
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryForked,
    EntryGap,
    EntryIllegal,
    EntryRefused,
)
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .documents import LOG, SEED, TIME, Parties, named
from .story import asked, booked, breached, covered, everything, forged, not_proven, owed, recorded, void


def whole_story() -> Parties:
    """An account that saw every kind of event."""
    parties = not_proven()
    parties.enter(parties.second_opened())
    parties.enter(parties.record())
    parties.enter(parties.overdue())
    parties.enter(parties.submission(2, "b"))
    parties.enter(parties.answer("breach"))
    parties.enter(parties.settlement([("USDC", 7, "free", "posted")]))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.void())
    parties.enter(parties.coverage())
    parties.enter(parties.instruction(2, "withdraw", 1))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("covered"))
    parties.tick()
    parties.enter(parties.run_opened())
    parties.enter(parties.record())
    parties.enter(parties.answer("breach"))
    parties.enter(parties.settlement(everything(parties)))
    return parties


def refused(
    parties: Parties, entry: SignedDocument, document: SignedDocument, error: type[EntryRefused], match: str
) -> None:
    with pytest.raises(EntryRefused, match=match) as caught:
        followed(parties.chain, entry, document, parties.salts, parties.operator.public_key)
    assert type(caught.value) is error
    # What the operator signed is kept.
    assert caught.value.evidence["entry"] == entry.to_json()


def test_what_is_extended_is_followed() -> None:
    parties = whole_story()
    assert {entry.body["kind"] for entry, _ in parties.entries} == {
        "admitted", "deposited", "keys enrolled", "keys confirmed", "submitted", "posted", "withdrawn", "run opened",
        "run recorded", "run void", "proof overdue", "answer overdue", "covered", "breach proven", "margin called",
        "liquidated", "covered unasked",
    }  # fmt: skip
    chain = Chain()
    for number, (entry, document) in enumerate(parties.entries, 1):
        chain = followed(chain, entry, document, parties.salts, parties.operator.public_key)
        assert (chain.number, chain.head) == (number, entry.body_hash())
    assert chain == parties.chain


@pytest.mark.parametrize("stage", [booked, recorded, covered, owed, breached, asked, void])
def test_an_entry_that_does_not_follow_is_a_gap(stage: Any) -> None:
    parties = stage()
    document = parties.deposit(5)
    for changes, match in (
        ({"number": str(parties.chain.number + 2)}, "does not follow entry"),
        ({"number": str(parties.chain.number - 1)}, "does not follow entry"),
        ({"previous": parties.entries[-2][0].body_hash()}, "does not follow entry"),
        ({"previous": named("other")}, "does not follow entry"),
    ):
        refused(parties, forged(parties, document, "deposited", **changes), document, EntryGap, match)


def test_a_left_out_entry_is_a_gap() -> None:
    parties = covered()
    before = parties.chain
    parties.enter(parties.deposit(1))
    parties.enter(parties.deposit(2))
    entry, document = parties.entries[-1]
    parties.chain = before
    refused(parties, entry, document, EntryGap, "does not follow entry")


def test_two_entries_of_one_number_are_a_fork() -> None:
    parties = covered()
    before = parties.chain
    parties.enter(parties.deposit(1))
    document = parties.deposit(2)
    _, other = extended(before, document, parties.at, parties.salts, LOG, parties.operator, TIME)
    refused(parties, other, document, EntryForked, "two entries of number")
    # The same document entered at another time is another entry.
    _, again = extended(
        before, parties.entries[-1][1], parties.at, parties.salts, LOG, parties.operator, "2026-11-27T12:00:01Z"
    )
    refused(parties, again, parties.entries[-1][1], EntryForked, "two entries of number")
    # The same entry again is none.
    refused(parties, *parties.entries[-1], EntryGap, "does not follow")


def test_an_entry_of_another_signer_is_forged() -> None:
    parties = covered()
    document = parties.deposit(1)
    stranger = Identity.generate()
    _, entry = extended(parties.chain, document, parties.at, parties.salts, LOG, parties.operator, TIME)
    foreign = stranger.sign("entry", entry.body)
    refused(parties, foreign, document, EntryForged, "not the operator's")
    bent = SignedDocument.parse(entry.to_json() | {"body": entry.body | {"entered_at": "2026-11-27T12:00:01Z"}})
    refused(parties, bent, document, EntryForged, "not the operator's")
    refused(parties, parties.operator.sign("entry", {}), document, EntryForged, "not the operator's")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"operator": Identity.generate().public_key}, "names another operator"),
        ({"account": named("other")}, "names another account"),
        ({"kind": "posted"}, "says 'posted', its document 'deposited'"),
        ({"document": named("other")}, "another hash of document"),
        ({"public": named("other")}, "another hash of public"),
        ({"private": named("other")}, "another hash of private"),
    ],
)
def test_an_entry_that_says_something_else_is_forged(changes: dict[str, str], match: str) -> None:
    parties = covered()
    document = parties.deposit(1)
    after, entry = extended(parties.chain, document, parties.at, parties.salts, LOG, parties.operator, TIME)
    bent = parties.operator.sign("entry", entry.body | changes)
    refused(parties, bent, document, EntryForged, match)
    assert followed(parties.chain, entry, document, parties.salts, parties.operator.public_key) == after


def test_an_entry_for_the_wrong_state_is_forged() -> None:
    """The state before, as if nothing had happened."""
    parties = recorded()
    for document, kind in (
        (parties.submission(2, "b"), "submitted"),
        (parties.answer("covered"), "covered"),
        (parties.deposit(1), "deposited"),
    ):
        refused(parties, forged(parties, document, kind), document, EntryForged, "another hash of public|private")


def test_an_entry_about_another_document_is_forged() -> None:
    parties = covered()
    document, other = parties.deposit(1), parties.deposit(2)
    _, entry = extended(parties.chain, document, parties.at, parties.salts, LOG, parties.operator, TIME)
    refused(parties, entry, other, EntryForged, "another hash of document")
    # A signature is part of the document: that of another key is another one.
    unsigned = SignedDocument.parse(document.to_json() | {"signature": "00" * 64})
    refused(parties, entry, unsigned, EntryIllegal, "signature")


def test_an_entry_of_what_is_not_legal_is_refused() -> None:
    parties = covered()
    for document, kind, match in (
        (parties.run_opened(), "run opened", "it had a run"),
        (parties.admission(), "admitted", "is active; 'admitted' is not possible"),
        (parties.operator.sign("shortfall", {}), "deposited", "no event of an account"),
    ):
        refused(parties, forged(parties, document, kind), document, EntryIllegal, match)


def test_an_entry_under_an_older_tick_or_another_of_its_number_is_refused() -> None:
    parties = covered()
    parties.tick()
    parties.enter(parties.deposit(1))
    document = parties.deposit(2)
    older = {"tick": named("tick", 1), "tick_sequence": "1", "market": named("tick", 1), "market_sequence": "1"}
    other = {"tick": named("other"), "market": named("other")}
    for changes in (older, other):
        entry = forged(parties, document, "deposited", **changes)
        refused(parties, entry, document, EntryIllegal, "the one before at 2")


def test_salts_hide() -> None:
    """Two accounts that are the same have nothing in the log in common, nor have two entries of one account."""
    salts, other = Salts(SEED), Salts("5f" * 32)
    assert salts.account == Salts(SEED).account
    found = [
        salts.account, other.account,
        *(one.of(part, number) for one in (salts, other) for part in ("document", "public") for number in (1, 2)),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert salts.of("public", 1) == Salts(SEED).of("public", 1)
    same = {"balance": "0"}
    hashes = {salted_hash(salts.of("public", number), same) for number in (1, 2)} | {
        salted_hash(other.of("public", 1), same)
    }
    assert len(hashes) == 3
    assert salted_hash(salts.of("public", 1), same) == salted_hash(Salts(SEED).of("public", 1), same)


def test_the_same_history_with_the_same_seed_gives_the_same_entries() -> None:
    parties = recorded()
    chain, again = Chain(), []
    for entry, document in parties.entries:
        place = parties.at if int(entry.body["tick_sequence"]) else Parties().at
        chain, made = extended(chain, document, place, parties.salts, LOG, parties.operator, TIME)
        again.append(made)
    assert again == [entry for entry, _ in parties.entries]
    chain, hidden = Chain(), []
    for entry, document in parties.entries:
        place = parties.at if int(entry.body["tick_sequence"]) else Parties().at
        chain, made = extended(chain, document, place, Salts("5f" * 32), LOG, parties.operator, TIME)
        hidden.append(made)
    for ours, theirs in zip(again, hidden, strict=True):
        shared = ("account", "document", "public", "private")
        assert not {ours.body[name] for name in shared} & {theirs.body[name] for name in shared}
