"""What readers of an archive check of documents beside their proofs: pinned rules, agreements, what is disputed."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atomic_margin.service.errors import ArchiveInvalid, Refused
from atomic_margin.service.operator.accounts import disputes
from atomic_margin.service.protocol.account.events import EventKind, read_event
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.archived_documents import ArchivedDocuments
from atomic_margin.service.verifier.archived_entry import Ground, Happened
from atomic_margin.zk.groups import load_group

from .account import in_default
from .account.documents import Parties
from .account.story import asked, covered, recorded
from .agreements import agreement
from .bodies import TRUST
from .documents import FUND, example_terms
from .false_settlement import settled_for
from .test_agreement_amendments import amended
from .test_archive import archived, cut, verified
from .test_disputes import disputed
from .world import World

Open = Callable[[str], World]
K = EventKind


def reader(**pins: Any) -> ArchivedDocuments:
    trust = TrustFile.parse({**TRUST, **pins})
    return ArchivedDocuments(Ground(example_terms(), trust, {}, {}, load_group()))


def happened(parties: Parties, document: SignedDocument, number: int = 0) -> Happened:
    """What a reader takes of a document that comes next."""
    run, state = parties.state.public.run, Account(public=parties.state.public, private=parties.state.private)
    event = read_event(document, run is None or run.owes)
    return Happened(number or parties.chain.number + 1, event, document, state, state, b"")


RULED: dict[EventKind, Callable[[], tuple[Parties, SignedDocument]]] = {
    K.DEFAULT_CLOSED: lambda: (parties := in_default.agreed(), in_default.close_out(parties)),
    K.FUND_CONTRIBUTED: lambda: (parties := covered(), in_default.contributed(parties)),
    K.FUND_DRAWN: lambda: (parties := in_default.member(), in_default.draw(parties)),
}


@pytest.mark.parametrize("kind", RULED, ids=str)
def test_close_outs_and_the_fund_are_under_the_pinned_rules(kind: EventKind) -> None:
    parties, document = RULED[kind]()
    assert happened(parties, document).event.kind is kind
    reader(waterfall=in_default.RULES.hash()).take(happened(parties, document))
    for pins in ({}, {"waterfall": "1a" * 32}):
        with pytest.raises(Refused, match="other waterfall rules") as refused:
            reader(**pins).take(happened(parties, document))
        assert refused.value.field == "rules"


@pytest.mark.parametrize(("usd", "kind"), [("99999999", K.LIQUIDATED), ("1", K.MARGIN_CALLED)])
def test_a_settlement_is_of_what_the_answer_proved(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usd: str, kind: EventKind
) -> None:
    """It moves just what its own sum in USD has to move, and the units are those of the answer."""
    world = world_at("fall-open")
    settled_for(world, monkeypatch, usd)
    assert world.entries()[-1].entry.body["kind"] == str(kind)
    with pytest.raises(ArchiveInvalid, match=f"it settles {usd} USD, .*; the answer proved"):
        verified(archived(world, tmp_path / "fund.zip"), world.trust())


@pytest.mark.parametrize("make", [recorded, asked], ids=["answer overdue", "proof overdue"])
def test_no_time_is_over_before_its_deadline(make: Callable[[], Parties]) -> None:
    parties = make()
    record = RunRecord.parse(parties.entries[-1][1].body)
    for declared, early in ((record.deadline, False), ("2026-11-27T11:59:59Z", True)):
        documents = reader()
        documents._runs = {str(parties.run.record): SimpleNamespace(record=record, leaf=b"")}  # type: ignore[dict-item]
        following = happened(parties, parties.overdue(declared_at=declared))
        if early:
            with pytest.raises(Refused, match="declared overdue before"):
                documents.take(following)
        else:
            documents.take(following)


@pytest.mark.parametrize("at", [None, 3])
def test_what_is_disputed_is_an_earlier_entry(world_at: Open, tmp_path: Path, at: int | None) -> None:
    world = world_at("calm-done")
    last = len(world.entries())
    about = {} if at is None else {"subject": world.entries()[at - 1].entry.body_hash(), "number": str(at)}
    disputed(world, **about)
    assert verified(archived(world, tmp_path / "a.zip"), world.trust()).kinds["disputed"] == 1
    # Of the entry that a part begins after it has the hash; of those before that it has none.
    assert verified(cut(world, tmp_path / "part.zip", last + 1), world.trust()).kinds["disputed"] == 1


@pytest.mark.parametrize("wrong", [{"subject": "1a" * 32}, {"number": "2"}, {"number": "9999"}], ids=str)
def test_a_dispute_of_what_is_no_entry_is_refused(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    world = world_at("calm-done")
    last = len(world.entries())
    monkeypatch.setattr(disputes, "_require_subject", lambda *_: None)
    disputed(world, **wrong)
    with pytest.raises(ArchiveInvalid, match="no entry of the account that may be disputed"):
        verified(archived(world, tmp_path / "a.zip"), world.trust())
    if "subject" in wrong:
        with pytest.raises(ArchiveInvalid, match="no entry of the account that may be disputed"):
            verified(cut(world, tmp_path / "part.zip", last + 1), world.trust())


def test_runs_without_an_agreement_where_some_are_pinned(world_at: Open, tmp_path: Path) -> None:
    """An account that never comes under one is refused; what was before the first one is named."""
    world = world_at("calm-done")
    terms = agreement(independent_amount="1000")
    trust = {**world.trust(), "agreements": {FUND: [terms.canonical()]}}
    run = f"{FUND}.1"
    with pytest.raises(ArchiveInvalid, match=f"the account is under none: {run} counted none"):
        verified(archived(world, tmp_path / "a.zip"), trust)
    assert verified(tmp_path / "a.zip", world.trust()).without_agreement == ()
    amended(world, terms)
    assert verified(archived(world, tmp_path / "b.zip"), trust).without_agreement == (run,)
    # A trust file that pins none takes what counted none alone.
    world.play(2)
    with pytest.raises(ArchiveInvalid, match="does not pin for it"):
        verified(archived(world, tmp_path / "c.zip"), world.trust())
