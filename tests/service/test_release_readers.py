"""Who reads releases afterwards: monitors, archives and whoever is shown an account; real proofs, and changed ones."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import (
    ArchiveInvalid,
    Refused,
    RemoteError,
    SignatureInvalid,
)
from atomic_margin.service.institution import amending
from atomic_margin.service.operator.accounts import agreements, releases
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol import proven, unasked
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.released import ReleasedHistory, release
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.unasked import verify_release
from atomic_margin.service.verifier import releases as shown
from atomic_margin.service.verifier.releases import Releases
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError
from atomic_margin.zk.groups import Group

from .agreements import agreement
from .documents import FUND, Json, example
from .resident import Resident
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents
from .test_archive import archived, cut, verified
from .test_monitor_released import Watch, history
from .test_releases import USDC, anew, covered, made, take
from .test_returns import under

pytestmark = pytest.mark.long


def check_releases(value: Json, prices: Mapping[str, Market], terms: Terms, group: Group) -> int:
    """Check what came back in a history that is held against no log; return how much that was."""
    releases, found = Releases(), 0
    for item in ReleasedHistory.parse(value).entries:
        signed = None if item.document is None else SignedDocument.parse(item.document)
        if signed is not None and signed.type == Submission.TYPE:
            releases.submitted(item, signed)
        if signed is not None and signed.type == Release.TYPE:
            releases.check(signed, item.public, prices.get(Release.parse(signed.body).tick), terms, group)
            found += 1
    return found


def pins(resident: Resident) -> Json:
    return {"keys": {FUND: [resident.agent.key_commitments]}}


def test_a_release_is_verified_against_the_book_that_it_names(resident: Resident, group: Group) -> None:
    covered(resident)
    signed = made(resident, {"USDC": 1000 * USDC})
    book = resident.submissions[-1]
    submission, terms = Submission.parse(book.document["body"]), resident.world.terms
    others = {name: submission.model_copy(update={name: "other"}) for name in ("institution", "operator")}
    for field, about, hash_ in (
        ("submission", submission, "0" * 64),
        *((n, o, book.sha256) for n, o in others.items()),
    ):
        with pytest.raises(Refused) as refused:
            verify_release(
                signed,
                Release.parse(signed.body),
                submission=about,
                submission_hash=hash_,
                market=Market.parse(example("market-1")),
                terms=terms,
                identity=resident.agent.identity.public_key,
                group=group,
            )
        assert refused.value.field == field


def test_a_monitor_takes_releases_and_substitutions_of_a_released_history(
    resident: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered(resident)
    resident.agent.release({"USDC": 1000 * USDC})
    resident.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    folder = tmp_path / "monitor"
    folder.mkdir()
    found = Watch(resident.world, folder, monkeypatch, **pins(resident)).holds(history(resident.world))
    assert found["entries"] == found["logged"] == str(len(resident.world.entries()))


@pytest.mark.long
def test_proofs_of_releases_are_checked_offline_by_a_released_history(proving: Resident, group: Group) -> None:
    covered(proving)
    proving.agent.release({"USDC": 1000 * USDC})
    proving.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    world = proving.world
    account = world.operator.account(FUND)
    history = release(world.entries(), Salts(account.seed), world.key)
    with world.operator.store.unit_of_work() as session:
        tick = session.get_one(Tick, 1)
        market = Market.parse(tick.document["body"]["market"])
    assert check_releases(history, {tick.sha256: market}, world.terms, group) == 2
    with pytest.raises(Refused, match="there are no prices at this tick"):
        check_releases(history, {}, world.terms, group)
    # Signed by somebody else, about a book whose proofs nobody has.
    stranger = Identity.generate()
    for kind, error, field in (("release", SignatureInvalid, "signer"), ("submission", Refused, "portfolio_proof")):
        value = release(world.entries(), Salts(account.seed), world.key)
        for entry in value["entries"]:
            document = entry.get("document")
            if document is not None and document["type"] == kind == "release":
                entry["document"] = stranger.sign("release", document["body"]).to_json()
            elif document is not None and document["type"] == kind:
                # Proofs are in the hash: who releases other ones releases another book.
                entry["document"] = (
                    world.funds[FUND]
                    .identity.sign("submission", document["body"] | {"portfolio_proof": "00"})
                    .to_json()
                )
                changed = SignedDocument.parse(entry["document"]).body_hash()
                for other in value["entries"]:
                    about = other.get("document")
                    if about is not None and about["type"] == "release":
                        about["body"]["submission"] = changed
        with pytest.raises(error) as refused:
            check_releases(value, {tick.sha256: market}, world.terms, group)
        assert refused.value.field == field
    # At other prices there was no margin.
    fall = Market.parse({**example("market-4"), "sequence": "1"})
    with pytest.raises(Refused):
        check_releases(history, {tick.sha256: fall}, world.terms, group)


FRIENDLY = ("proof", "no margin", "worth", "book")


@pytest.mark.parametrize("how", FRIENDLY)
def test_a_friendly_operator_is_contradicted_by_what_it_let_go(
    proving: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It lets its friend have back what margin needs; both have signed that."""
    covered(proving)
    world, large = proving.world, 200_000 * USDC
    watch = Watch(world, tmp_path, monkeypatch, **pins(proving))
    small = made(proving, {"USDC": USDC}, {"BTC": 1})
    taken = more(small, large)
    signed = {
        "proof": lambda: anew(proving, made(proving, {"USDC": USDC}), sufficiency_proof="00"),
        "no margin": lambda: anew(proving, small, **taken),
        "worth": lambda: anew(proving, small, **taken, sufficiency_proof=None, matrix=None),
        "book": lambda: small,
    }[how]()
    with monkeypatch.context() as friendly:
        friendly.setattr(releases, "verify_release", lambda *_, **__: None)
        take(proving, signed)
    if how == "book":
        # Another reader finds the proof of the book wrong: the operator took it.
        watch.holds(history(world))
        monkeypatch.setattr(shown, "verify_committed", refuse)
    kind = "substituted" if "given" in signed.body else "released"
    reason, documents = watch.contradicted(history(world))
    said = {"proof": "sufficiency", "no margin": "about other rows", "worth": "worth", "book": "no such book"}[how]
    assert f"'{kind}', is not what may come back: " in reason
    assert said in reason or how == "proof"
    kinds = ["checkpoint", "tick", "model", "schedule", "universe", "released", "released"]
    assert [one["kind"] for one in documents] == kinds
    book, last = (one["document"] for one in documents[-2:])
    assert (SignedDocument.parse(book).body_hash(), last) == (signed.body["submission"], signed.to_json())


def refuse(*_: object) -> None:
    raise Refused("no such book", "portfolio_proof")


@pytest.mark.long
def test_a_cool_down_does_not_end_with_a_substitution_by_nothing(
    proving: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A substitution without a proof is worth as much: so the machine lets it pass in a cool-down."""
    cooling = agreement(cool_down="5")
    under(proving, cooling)
    world, agent = proving.world, proving.agent
    agent.release({"USDC": int(agent.excess().back["USDC"])})
    run_id = world.play(2)
    assert agent.answer_due() == [run_id]
    assert proving.state.public.called == 2
    assert agent.answer_due() == []
    run_id = world.play(1, sequence="3", as_of="2026-11-21T09:00:00Z")
    assert agent.answer_due() == [run_id]
    watch = Watch(world, tmp_path, monkeypatch, **pins(proving), agreements={FUND: [cooling.canonical()]})
    # Something worth as much may take its place; the agent makes no other.
    world.deposit(FUND, "BTC", 10**8, "another bitcoin")
    agent.release({"USDC": 1000 * USDC}, {"BTC": 3 * 10**6})
    assert watch.holds(history(world))["logged"] == str(len(world.entries()))
    small = made(proving, {"USDC": 1000 * USDC}, {"BTC": 3 * 10**6})
    assert "matrix" not in small.body
    with monkeypatch.context() as friendly:
        friendly.setattr(releases, "verify_release", lambda *_, **__: None)
        take(proving, anew(proving, small, **more(small, 50_000 * USDC)))
    reason, _ = watch.contradicted(history(world))
    assert "'substituted', is not what may come back: " in reason
    assert "worth" in reason


def more(signed: SignedDocument, usdc: int) -> Json:
    """Changes by which a document takes so much and gives what it gives."""
    rest = int(signed.body["posted"]["USDC"]) - usdc
    return {"taken": {"USDC": str(usdc)}, "remaining": {**signed.body["remaining"], "USDC": str(rest)}}


@pytest.mark.parametrize("error", [GeneratorError, BackendUnavailable])
def test_what_this_installation_cannot_verify_speaks_against_nobody(
    resident: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    covered(resident)
    resident.agent.release({"USDC": 1000 * USDC})
    watch = Watch(resident.world, tmp_path, monkeypatch, **pins(resident))

    def fails(*_: object) -> None:
        raise error("not here")

    monkeypatch.setattr(unasked, "require_proven", proven.require_proven)
    monkeypatch.setattr(proven, "verify_claim", fails)
    result = watch.look(history(resident.world))
    assert (result.exit_code, "not here" in result.output) == (2, True)
    assert not list((tmp_path / "watched").glob("contradiction-*"))


def test_every_part_of_an_honest_history_holds(
    proving: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its first agreement, a part that counted something is refused, which says what to do."""
    terms = agreement(minimum_return_amount="500")
    covered(proving)
    proving.agent.release({"USDC": 1000 * USDC})
    with proving.agent.signing() as (party, outbox):
        asked = amending.ask(party, outbox, terms, 100)
    agreements.agree(proving.world.operator, FUND, asked)
    run_id = proving.world.play(1, sequence="2", as_of="2026-11-21T09:00:00Z")
    assert proving.agent.answer_due() == [run_id]
    proving.agent.release({"USDC": 2000 * USDC})
    proving.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    watch = Watch(proving.world, tmp_path, monkeypatch, **pins(proving), agreements={FUND: [terms.canonical()]})
    whole = history(proving.world)
    kinds = [item["entry"]["body"]["kind"] for item in whole["entries"]]
    first = kinds.index(EventKind.AGREEMENT_AMENDED)
    for number in range(1, len(kinds) + 1):
        part = {**whole, "entries": whole["entries"][:number]}
        if EventKind.RUN_RECORDED in kinds[:number] and number <= first:
            assert "look at a part that goes on to its first agreement" in watch.refused(part)
        else:
            assert watch.holds(part)["entries"] == str(number)


@pytest.mark.parametrize("bent", ["model", "schedule", "universe", "missing", "tick"])
def test_terms_that_are_not_the_pinned_ones_speak_against_nobody(
    resident: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bent: str
) -> None:
    covered(resident)
    watch = Watch(resident.world, tmp_path, monkeypatch, **pins(resident))
    fetch, asked = watch.fetch, list[str]()

    def other(path: str, limit: int) -> bytes:
        asked.append(path)
        if bent in path and path.startswith(("v1/terms", "v1/universes")):
            return json.dumps({**json.loads(fetch(path, limit)), "name": "another"}).encode()
        if bent == "missing" and path.startswith("v1/terms"):
            raise RemoteError(f"{path} answers with status 404", 404)
        return fetch(path, limit)

    monkeypatch.setattr(watch, "fetch", other)
    watch.holds(history(resident.world))
    # Nothing came back, and nothing more is read.
    assert not [path for path in asked if path.startswith(("v1/terms", "v1/universes"))]
    resident.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    if bent == "tick":
        watch.holds(history(resident.world))
        found = [path for path in asked if path.startswith(("v1/terms", "v1/universes"))]
        assert [path.rpartition("/")[0] for path in found] == ["v1/universes", "v1/terms", "v1/terms"]
        return
    said = {"missing": "answers with status 404"}.get(bent, f"the {bent} that is served is ")
    assert said in watch.refused(history(resident.world))


def test_an_archive_shows_that_what_came_back_was_not_needed(
    proving: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered(proving)
    world = proving.world
    trust = {**world.trust(), "keys": {FUND: [proving.agent.key_commitments]}}
    proving.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    first = len(world.entries())
    proving.agent.release({"USDC": 1000 * USDC})
    assert verified(archived(world, tmp_path / "whole.zip"), trust).account == world.account()
    # Of a part, too: the book that it is about goes along.
    assert verified(cut(world, tmp_path / "part.zip", first + 1), trust).account == world.account()
    # An operator that lets its friend have back what margin needs signs that it did.
    small = made(proving, {"USDC": USDC}, {"BTC": 1})
    left = {**small.body["remaining"], "USDC": str(int(small.body["posted"]["USDC"]) - 200_000 * USDC)}
    large = {"taken": {"USDC": str(200_000 * USDC)}, "remaining": left}
    with monkeypatch.context() as friendly:
        friendly.setattr(releases, "verify_release", lambda *_, **__: None)
        take(proving, anew(proving, small, **large, sufficiency_proof=None, matrix=None))
    with pytest.raises(ArchiveInvalid, match="worth"):
        verified(archived(world, tmp_path / "friend.zip"), trust)
