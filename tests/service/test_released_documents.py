"""What a released history's documents say, by prices, schedule and trust file; and which reader checks what."""

import inspect
import itertools
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from atomic_margin.service.errors import Refused
from atomic_margin.service.institution import custody as agent_custody
from atomic_margin.service.institution import defaults as agent_defaults
from atomic_margin.service.institution.history import History
from atomic_margin.service.log import netted as netted_log
from atomic_margin.service.log.errors import DeadlineOpen
from atomic_margin.service.operator.accounts import defaults, disputes, maturities, universes
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.events import EventKind, Overdue
from atomic_margin.service.protocol.account.machine import OF_INSTITUTION
from atomic_margin.service.protocol.disputes import DisputeLapse
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.released import KEPT_BACK, ReleasedHistory, release
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.archived_documents import _CHECKS
from atomic_margin.service.verifier.errors import Contradiction, Unpinned
from atomic_margin.service.verifier.released_documents import COUNTING, SHOWN, SUBMITTING, _Documents

from .account import in_custody
from .account.documents import INSTITUTION, Parties
from .account.opened import Whole, log_of
from .account.story import asked, recorded
from .agreements import agreement
from .bodies import TRUST
from .documents import FUND, Json, example
from .false_settlement import settled_for
from .netting import Netted
from .test_agreement_amendments import amended
from .test_archive import _shifted
from .test_defaults import BILL as SOLD
from .test_defaults import FAIR
from .test_disputes import BEGAN, LATE, disputed, opened
from .test_maturities import AFTER, BILL
from .test_maturities import run as run_at
from .test_maturities import world as maturing_world
from .test_monitor_released import Watch, history
from .waterfalls import RULES, with_rules
from .world import World

pytestmark = pytest.mark.long

maturing = maturing_world
SOON = "2026-11-20T08:00:01Z"
Open = Callable[[str], World]
K = EventKind


def all_shown(world: World, name: str = FUND) -> Json:
    """A history of which every document is opened."""
    salts, entries = Salts(world.operator.account(name).seed), world.entries(name)
    value = release(entries, salts, world.key)
    for number, (item, (_, document)) in enumerate(zip(value["entries"], entries, strict=True), 1):
        item |= {"document_salt": salts.of("document", number), "document": document.canonical()}
    return value


@pytest.mark.parametrize("less", [False, True])
def test_what_matured_pays_what_the_schedule_says(
    maturing: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, less: bool
) -> None:
    run_at(maturing, 1, AFTER)
    dated = maturing.terms.schedule.dated
    right = dated[BILL]
    dated[BILL] = right.model_copy(update={"quantity": 9_999}) if less else right
    try:
        maturities.mature(maturing.operator, BILL)
    finally:
        dated[BILL] = right
    watch = Watch(maturing, tmp_path, monkeypatch)
    posted, whole = history(maturing), all_shown(maturing)
    if not less:
        assert watch.holds(posted)["entries"] == watch.holds(whole)["entries"]
        return
    for value in (posted, whole):
        reason, shown = watch.contradicted(value)
        assert "'matured', is not what schedule and prices say: 15000000 units of TBILL-2027-02 pay 1500" in reason
        assert [one["kind"] for one in shown] == ["checkpoint", "tick", "schedule", "released"]


def test_another_schedule_or_tick_than_is_pinned_and_logged_shows_nothing(
    maturing: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_at(maturing, 1, AFTER)
    maturities.mature(maturing.operator, BILL)
    watch, value = Watch(maturing, tmp_path, monkeypatch), history(maturing)
    served = watch.fetch

    def bent(at: str, change: Callable[[Json], None]) -> None:
        def fetch(path: str, limit: int) -> bytes:
            data = served(path, limit)
            if path != at:
                return data
            body = json.loads(data)
            change(body)
            return json.dumps(body).encode()

        monkeypatch.setattr(watch, "fetch", fetch)

    bent("v1/terms/schedule", lambda body: body["assets"].reverse())
    assert "is not the one that the trust file pins" in watch.refused(value)
    bent("v1/terms/schedule", lambda body: body.pop("assets"))
    assert "the schedule that is served is none" in watch.refused(value)
    # After its leaf was followed.
    monkeypatch.setattr(watch, "fetch", served)
    watch.holds(value)
    bent("v1/ticks/1", lambda signed: signed["body"].update(received_at="2026-11-20T09:00:01Z"))
    assert "tick 1 that is served is not the one of the log" in watch.refused(value)


@pytest.mark.parametrize("usd", [None, "99999999", "1"])
def test_a_settlement_is_of_what_the_answer_proved(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usd: str | None
) -> None:
    world = world_at("fall-open")
    settled_for(world, monkeypatch, usd)
    watch = Watch(world, tmp_path, monkeypatch)
    if usd is None:
        watch.holds(history(world))
        return
    reason, shown = watch.contradicted(history(world))
    assert f"is not what was proven: it settles {usd} USD" in reason
    assert [one["kind"] for one in shown] == ["checkpoint", "released", "released"]


@pytest.mark.parametrize("cheap", [False, True])
def test_a_sale_keeps_its_limit(world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheap: bool) -> None:
    world = with_rules(world_at("crash-done"))
    with monkeypatch.context() as cheat:
        if cheap:
            cheat.setattr(defaults, "check_sale", lambda *_: None)
            cheat.setattr(defaults, "least_proceeds", lambda *_: 1)
        proceeds = 1_000 * FAIR // (2 if cheap else 1)
        defaults.realise(world.operator, FUND, SOLD, 1_000, proceeds, "trade-1", "a stage")
    value, watch = history(world), Watch(world, tmp_path, monkeypatch, waterfall=RULES.hash())
    if cheap:
        assert "'collateral sold', is not what schedule and prices say: the limit is" in watch.contradicted(value)[0]
    else:
        watch.holds(value)
    for pins in ({"waterfall": "1a" * 32}, {}):
        watch = Watch(world, tmp_path, monkeypatch, **pins)
        assert "'collateral sold', a sale is under other waterfall rules" in watch.refused(value)


@pytest.mark.parametrize("bent", [False, True])
def test_a_cycle_that_is_shown_is_in_its_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bent: bool) -> None:
    netted = Netted(tmp_path / "data", {"east": "lei-one", "west": "lei-one"})
    netted.promise("east", "delivery", 300)
    netted.promise("west", "return", 200)
    with pytest.MonkeyPatch.context() as patched:
        if bent:
            patched.setattr(netted_log.CycleTree, "_place", _shifted(netted_log.CycleTree._place))
        netted.net(netted.key("lei-one"))
    netted.world.tick(1)
    watch = Watch(netted.world, tmp_path, monkeypatch)
    value = all_shown(netted.world, "east")
    if bent:
        assert "what it shows is not in its tree" in watch.contradicted(value)[0]
    else:
        watch.holds(value)
    netted.world.close()


@pytest.mark.long
@pytest.mark.parametrize("wrong", [None, "begins", "ends"])
def test_a_dispute_lapses_by_the_times_of_prices(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str | None
) -> None:
    world = world_at("calm-done")
    disputed(world)
    world.tick(2, as_of=LATE if wrong is None else "2026-12-05T08:00:00Z" if wrong == "begins" else SOON)
    found, last = opened(world), world.client.get("/v1/ticks").json()["document"]
    first = {"price_sequence": str(found.price_sequence), "tick": found.tick, "priced_at": BEGAN}
    late = Watch(world, tmp_path, monkeypatch)
    newest = {"price_sequence": last["body"]["sequence"], "tick": hash_of(last), "priced_at": LATE}
    if wrong == "begins":
        first["priced_at"], newest["priced_at"] = SOON, "2026-12-05T08:00:00Z"
    body = {"institution": FUND, "operator": world.key, "dispute": found.dispute, "begins": first, "ends": newest}
    signed = DisputeLapse.parse({**body, "declared_at": LATE}).signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        disputes._end(session, world.operator, FUND, signed)
    if wrong is None:
        late.holds(history(world))
    else:
        assert f"say: the dispute {wrong} at prices of" in late.contradicted(history(world))[0]


def hash_of(document: Json) -> str:
    return SignedDocument.parse(document).body_hash()


def test_runs_without_an_agreement_where_some_are_pinned(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("calm-done")
    terms, other = agreement(independent_amount="1000"), agreement(threshold="7")
    pins = {"agreements": {FUND: [terms.canonical()]}}
    watch = Watch(world, tmp_path, monkeypatch, **pins)
    assert f"the account is under none: {FUND}.1 counted none" in watch.refused(history(world))
    amended(world, terms)
    assert watch.holds(history(world))["without_agreement"] == [f"{FUND}.1"]
    world.play(2)
    assert watch.holds(history(world))["without_agreement"] == [f"{FUND}.1"]
    for pinned in ({}, {"agreements": {FUND: [other.canonical()]}}):
        watch = Watch(world, tmp_path, monkeypatch, **pinned)
        assert "'run recorded', the account was under the agreement" in watch.refused(history(world))


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ({"schedule": "1a" * 32}, "under other terms than the trust file pins"),
        ({"model": "1a" * 32}, "under other terms than the trust file pins"),
        ({"profile": "1a" * 32}, "under other terms than the trust file pins"),
        ({"institutions": {FUND: None}}, "names another key of"),
        ({"institutions": {}}, f"does not name '{FUND}'; add the key that the institution gave you, with `trust"),
        ({"universe": "1a" * 32}, "no revision leads from the universe that the trust file pins to the account's"),
        ({"keys": {FUND: ["1a" * 32]}}, "'submitted', the trust file pins no such keys of"),
        ({"keys": {}}, "'submitted', the trust file pins no such keys of"),
    ],
    ids=["schedule", "model", "profile", "identity", "institution", "universe", "keys", "no keys"],
)
def test_an_account_under_other_terms_speaks_against_nobody(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Json, said: str
) -> None:
    world = world_at("calm-done")
    if pins.get("institutions"):
        pins = {"institutions": {FUND: world.key}}
    assert said in Watch(world, tmp_path, monkeypatch, **pins).refused(history(world))


def test_revisions_lead_from_the_pinned_universe_to_the_account_s(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("calm-done")
    first = world.terms.universes[0]
    revised = {**example("universe"), "name": "the next one"}
    before, new = history(world), universes.announce(world.operator, revised, "2027-01-01T00:00:00Z")
    world.enrol("late")
    after = history(world)
    late = release(world.entries("late"), Salts(world.operator.account("late").seed), world.key)
    for pinned, value in itertools.product((first.hash(), new), (before, after, late)):
        Watch(world, tmp_path, monkeypatch, universe=pinned).holds(value)
    watch = Watch(world, tmp_path, monkeypatch, universe=new)
    served = watch.fetch
    none, other = "no revision leads", "v1/universes has no revisions of this operator"
    for answer, said in ((b'{"revisions": []}', none), (b'{"revisions": [{}]}', other), (b"[]", other)):
        bent = lambda path, limit, answer=answer: answer if path == "v1/universes" else served(path, limit)  # noqa: E731
        monkeypatch.setattr(watch, "fetch", bent)
        assert said in watch.refused(before)
        watch.holds(after)


@pytest.mark.parametrize("make", [recorded, asked], ids=["answer overdue", "proof overdue"])
def test_no_time_is_over_before_its_deadline(make: Callable[[], Parties], monkeypatch: pytest.MonkeyPatch) -> None:
    # Keys of such an account have no points.
    monkeypatch.setattr(_Documents, "submitted", lambda *_: None)
    parties = make()
    trust = TrustFile.parse(TRUST)
    record = RunRecord.parse(parties.entries[-1][1].body)
    for declared, early in ((record.deadline, False), ("2026-11-27T11:59:59Z", True)):
        documents = _Documents(trust, log_of(parties, [entry for entry, _ in parties.entries]))
        for item in ReleasedHistory.parse(Whole(parties).opened()).entries:
            documents.take(item)
        body = Overdue.parse(parties.overdue(declared_at=declared).body)
        if not early:
            documents.overdue(body)
            continue
        with pytest.raises(Refused, match="declared overdue before"):
            documents.overdue(body)
        documents.trust = trust.model_copy(update={"log": SimpleNamespace()})
        with pytest.raises(DeadlineOpen, match="no checkpoint shows"):
            documents.overdue(body)


# Who checks what beside the account machine, which all three run on every step.


@pytest.mark.parametrize(
    ("openings", "points", "said"),
    [
        (None, (1, 2), None),
        (2, (1, 2), None),
        (3, (1, 2), "the trust file pins no custody policy"),
        (2, (1, 7), "'opened covered', is not what custodians signed: the policy has no custodian at"),
        (2, (1, 1), "'opened covered', is not what custodians signed: the custodian at point 1 signed"),
    ],
    ids=["nothing pinned", "right", "other policy", "a stranger", "one twice"],
)
def test_what_custodians_found_is_signed_by_those_of_the_policy(
    openings: int | None, points: tuple[int, ...], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Documents, "submitted", lambda *_: None)
    parties = in_custody.asked()
    pinned = {} if openings is None else {"custody": {INSTITUTION: [in_custody.policy(openings).canonical()]}}
    trust = TrustFile.parse(TRUST | pinned)
    monkeypatch.setitem(in_custody.CUSTODIANS, 7, in_custody.CUSTODIANS[5])
    parties.enter(in_custody.opened(parties, points=points))
    documents = _Documents(trust, log_of(parties, [entry for entry, _ in parties.entries]))
    *before, last = ReleasedHistory.parse(Whole(parties).opened()).entries
    with pytest.raises((Unpinned, Contradiction), match=said) if said else nullcontext():
        for item in before:
            documents.take(item)
        documents.take(last)


MACHINE = "nothing that the machine does not say"
CHECKED: dict[EventKind, tuple[bool | str, bool | str, bool | str]] = {
    K.ADMITTED: (True, True, "its keys lead over the pinned one: of the whole archive, before the entries"),
    K.UNIVERSE_REVISED: (True, "no book is looked at", "of the archive's terms, before the entries"),
    K.DEPOSITED: ("what arrived, the institution knows", "kept back", "what arrived, the institution knows"),
    K.RUN_OPENED: ("what the record says is compared with it", MACHINE, "what the record says is compared with it"),
    K.RUN_RECORDED: ("before it is answered: `runs`", True, True),
    K.RUN_VOID: (MACHINE, MACHINE, MACHINE),
    K.PROOF_OVERDUE: (True, True, True),
    K.ANSWER_OVERDUE: (True, True, True),
    K.RESHARED: (True, True, True),
    K.MARGIN_CALLED: (True, True, True),
    K.LIQUIDATED: (True, True, True),
    K.DISPUTE_LAPSED: (True, True, True),
    K.PARTY_NAMED: ("by the institution, in what it promises", "kept back", MACHINE),
    K.NETTED: (True, True, True),
    K.COLLATERAL_SOLD: (True, True, True),
    K.DEFAULT_CLOSED: (True, True, True),
    K.FUND_CONTRIBUTED: (True, True, True),
    K.FUND_DRAWN: (True, True, True),
    K.MATURED: (True, True, True),
    K.FREE_MATURED: (True, True, True),
    K.COLLATERAL_SEGREGATED: (MACHINE, MACHINE, MACHINE),
    K.HALTED: (MACHINE, MACHINE, MACHINE),
    K.RESUMED: (MACHINE, MACHINE, MACHINE),
    K.OPENING_REQUESTED: (MACHINE, MACHINE, MACHINE),
    K.OPENING_LAPSED: (MACHINE, MACHINE, MACHINE),
    K.OPENED_COVERED: (True, True, True),
    K.OPENED_IN_BREACH: (True, True, True),
}
"""Of every kind of the operator's: whether an agent, a released history and an archive check more, or why not."""
TYPES = {
    K.ADMITTED: "admission", K.UNIVERSE_REVISED: "universe-revision", K.PROOF_OVERDUE: "overdue",
    K.ANSWER_OVERDUE: "overdue", K.MARGIN_CALLED: "settlement", K.LIQUIDATED: "settlement",
    K.DISPUTE_LAPSED: "dispute-lapse", K.NETTED: "netting", K.COLLATERAL_SOLD: "sale", K.DEFAULT_CLOSED: "close-out",
    K.FUND_CONTRIBUTED: "fund-contribution", K.FUND_DRAWN: "fund-draw", K.MATURED: "maturity",
    K.FREE_MATURED: "maturity", K.RESHARED: "resharing", K.OPENED_COVERED: "opened", K.OPENED_IN_BREACH: "opened",
}  # fmt: skip
RULED = {K.COLLATERAL_SOLD, K.DEFAULT_CLOSED, K.FUND_CONTRIBUTED, K.FUND_DRAWN}
OTHERWISE = {K.ADMITTED, K.PROOF_OVERDUE, K.ANSWER_OVERDUE, K.RESHARED} | RULED
"""Of a released history: by the type of the document."""


def test_every_reader_checks_what_the_others_do_or_says_why_not() -> None:
    assert set(CHECKED) == set(K) - OF_INSTITUTION
    agent = inspect.getsource(History._check_event)
    for kind, (by_agent, by_history, by_archive) in CHECKED.items():
        looked = kind in TYPES and (
            f'"{TYPES[kind]}"' in agent or TYPES[kind] in agent_custody.CHECKED | agent_defaults.CHECKED
        )
        assert (by_agent is True) == looked, kind
        assert (by_history is True) == (kind in SHOWN or kind in COUNTING or kind in OTHERWISE), kind
        assert (by_archive is True) == (kind in _CHECKS), kind
        assert (by_history == "kept back") <= (kind in KEPT_BACK), kind
    # Of the institution's own: a dispute is about what there is, and proofs hold.
    own = {kind for kind in _CHECKS if kind in OF_INSTITUTION}
    shown = {kind for kind in {*SHOWN, *SUBMITTING} if kind in OF_INSTITUTION}
    assert shown == {K.SUBMITTED, K.LOSSES_SETTLED, K.RELEASED, K.SUBSTITUTED}
    assert own == {
        K.KEYS_ENROLLED, K.SUBMITTED, K.LOSSES_SETTLED, K.COVERED, K.BREACH_PROVEN, K.COVERED_UNASKED, K.RELEASED,
        K.SUBSTITUTED, K.DISPUTED,
    }  # fmt: skip
