"""The minimum return of a collateral agreement: what it measures, and that operator, agent and readers hold to it."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralSchedule, select_return
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AgentRefused, ArchiveInvalid, Refused
from atomic_margin.service.institution import amending
from atomic_margin.service.institution import releases as own_releases
from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.operator.accounts import releases as operator_releases
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.account.agreements import agreed_in_force, agreement_in_force
from atomic_margin.service.protocol.account.release_documents import ReleaseClaim
from atomic_margin.service.protocol.account.releases import remaining_of
from atomic_margin.service.protocol.returns import check_return
from atomic_margin.service.protocol.trust import TrustFile

from .agreements import agreement
from .documents import FUND, example, example_terms
from .resident import Resident
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents
from .test_archive import archived, verified
from .test_maturities import BILL
from .test_releases import USDC, agrees, covered, made, quantities, take
from .watching import Watch, history

pytestmark = pytest.mark.long

MINIMUM = agreement(minimum_return_amount="50000")
BITCOIN = 10**8
Held = dict[str, int]


def claim(posted: Held, taken: Held, given: Held | None = None, tick: int = 1) -> ReleaseClaim:
    left = remaining_of(posted, taken, given or {})
    moves = {"posted": posted, "taken": taken, "remaining": left} | ({} if given is None else {"given": given})
    return ReleaseClaim.parse(
        {
            "institution": FUND,
            "operator": "9a" * 32,
            "sequence": "1",
            "entry": "0" * 64,
            "price_sequence": str(tick),
            "tick": "0" * 64,
            **{name: {asset: str(quantity) for asset, quantity in held.items()} for name, held in moves.items()},
        }
    )


def check(
    under: CollateralAgreement | None,
    posted: Held,
    taken: Held,
    given: Held | None = None,
    market: str | None = "market-1",
    tick: int = 1,
) -> None:
    prices = None if market is None else Market.parse(example(market))
    check_return(claim(posted, taken, given, tick), agreement_in_force(under), example_terms(), prices)


# A dollar coin is worth 0.9999 here, less a haircut of 2 %; so a million of them 979,902 USD.
MILLION = 10**6 * USDC


@pytest.mark.parametrize(
    ("minimum", "good"), [("979902", True), ("979901.01", True), ("979902.01", False), ("1000000", False), ("0", True)]
)
def test_what_leaves_is_worth_the_minimum_after_haircut(minimum: str, good: bool) -> None:
    under = agreement(minimum_return_amount=minimum)
    if good:
        check(under, {"USDC": 3 * MILLION}, {"USDC": MILLION})
        return
    with pytest.raises(Refused, match=f"979902 USD leave after haircut, and the agreement returns {minimum} ") as wrong:
        check(under, {"USDC": 3 * MILLION}, {"USDC": MILLION})
    assert wrong.value.field == "taken"


def test_all_that_is_posted_comes_back_whatever_it_is_worth() -> None:
    check(MINIMUM, {"USDC": USDC, "BTC": 1}, {"USDC": USDC, "BTC": 1})
    with pytest.raises(Refused, match="or everything"):
        check(MINIMUM, {"USDC": USDC, "BTC": 1}, {"USDC": USDC})


def test_without_an_agreement_and_before_prices_there_is_no_minimum() -> None:
    check(None, {"USDC": MILLION}, {"USDC": 1})
    check(MINIMUM, {"USDC": MILLION}, {"USDC": 1}, market=None, tick=0)
    with pytest.raises(Refused, match="prices of tick 1 are not at hand") as wrong:
        check(MINIMUM, {"USDC": MILLION}, {"USDC": 1}, market=None)
    assert wrong.value.field == "price_sequence"


def test_a_substitution_returns_the_difference() -> None:
    """A grain of another asset makes no substitution of a return."""
    posted = {"USDC": 3 * MILLION}
    check(MINIMUM, posted, {"USDC": MILLION}, {"BTC": 100 * BITCOIN})
    with pytest.raises(Refused, match="give as much as is taken"):
        check(MINIMUM, posted, {"USDC": 10_000 * USDC}, {"BTC": 1})
    check(MINIMUM, posted, {"USDC": MILLION}, {"BTC": 1})


def test_what_counts_for_nothing_returns_nothing() -> None:
    """Beyond the last concentration tier nothing is worth anything, and it may come back bit by bit."""
    heap = {"BTC": 10**6 * BITCOIN}
    check(MINIMUM, heap, {"BTC": 1})


def test_what_is_not_priced_is_no_return() -> None:
    with pytest.raises(Refused, match="cannot be valued at this tick") as wrong:
        check(MINIMUM, {"USDC": MILLION, "GOLD": 1}, {"GOLD": 1})
    assert wrong.value.field == "taken"


# With the operator's store and the agent's code


def under(resident: Resident, terms: CollateralAgreement) -> None:
    """Have both sides agree to other terms, and the book proven covered under them."""
    with resident.agent.signing() as (party, outbox):
        asked = amending.ask(party, outbox, terms, 100)
    agreements.agree(resident.world.operator, FUND, asked)
    resident.agent.answer_due()
    covered(resident)


def test_the_agent_says_what_is_too_little_before_it_proves_anything(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(resident, MINIMUM)
    monkeypatch.setattr(own_releases, "prove_sufficiency", None)
    words = "1000 USD leave after haircut, and the agreement returns 50000 USD .* institution excess"
    with pytest.raises(AgentRefused, match=words):
        resident.agent.release({"USDC": 1021 * USDC - USDC // 2})
    assert not resident.line.sent("/releases")


def test_an_operator_takes_no_return_below_the_minimum(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    under(resident, MINIMUM)
    with monkeypatch.context() as careless:
        careless.setattr(own_releases, "check_return", lambda *_: None)
        small = made(resident, {"USDC": 51_000 * USDC})
        dressed = made(resident, {"USDC": 51_000 * USDC}, {"BTC": 1})
    for signed in (small, dressed):
        with pytest.raises(Refused, match="the agreement returns 50000 USD") as refused:
            take(resident, signed)
        assert refused.value.field == "taken"
    agrees(resident)
    resident.agent.release({"USDC": 51_026 * USDC})
    resident.agent.release({"USDC": 1000 * USDC}, {"BTC": 2 * 10**6})
    agrees(resident)


def test_without_a_book_there_is_a_minimum_from_the_first_prices_on(resident: Resident, tmp_path: Path) -> None:
    world = resident.world
    world.agreement = MINIMUM
    other = world.enrol("other")
    world.deposit("other", "USDC", 10, "for-other")
    world.instruct("other", "post", "USDC", 10)

    def released(quantity: int, tick: int) -> None:
        public = world.account("other").public
        about = claim(dict(public.posted), {"USDC": quantity}, tick=tick).canonical()
        about |= {"institution": "other", "operator": world.key, "sequence": str(public.instructions + 1)}
        about |= {"entry": world.head("other"), "tick": public_tick(tick)}
        agreed = agreed_in_force(public)
        assert agreed is not None
        about |= {"agreed": agreed.canonical()}
        operator_releases.take_release(world.operator, "other", other.identity.sign("release", about).to_json())

    def public_tick(number: int) -> str:
        if number == 0:
            return "0" * 64
        with world.operator.store.unit_of_work() as session:
            return session.get_one(Tick, number).sha256

    released(4, 0)
    world.tick(1)
    with pytest.raises(Refused, match="1 USD leave after haircut, and the agreement returns 50000"):
        released(3, 1)
    released(6, 1)
    assert dict(world.account("other").public.posted) == {}
    trust = world.trust() | {"agreements": {"other": [MINIMUM.canonical()]}}
    found = verified(archived(world, tmp_path / "other.zip", name="other"), trust)
    assert found.account == world.account("other")


def test_excess_is_rounded_to_the_agreement_and_nothing_below_its_minimum(resident: Resident) -> None:
    under(resident, agreement(minimum_return_amount="90000", rounding="10000"))
    found = resident.agent.excess()
    # Of 9x,xxx USD; chosen a cent below the amount, it is worth the minimum all the same.
    assert (found.usd, found.minimum_usd, list(found.back)) == ("90000", "90000", ["USDC"])
    assert resident.agent.release(quantities(found.back)).taken == found.back
    rest = resident.agent.excess(1)
    assert (rest.usd, rest.back, rest.minimum_usd) == ("0", {}, "90000")
    agrees(resident)


def test_excess_leaves_a_coin_that_is_worth_too_little_now(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a schedule that takes bitcoin last, which is chosen by what it is worth where it rises."""

    def bitcoin_first(amount: Decimal, held: Held, *rest: Any) -> Any:
        return select_return(amount, {"BTC": held["BTC"]} if "BTC" in held else held, *rest)

    monkeypatch.setattr(own_releases, "select_return", bitcoin_first)
    resident.world.deposit(FUND, "BTC", 4 * BITCOIN, "more bitcoin")
    resident.agent.instruct("post", "BTC", 4 * BITCOIN)
    under(resident, agreement(rounding="10000"))

    def found(minimum: str) -> tuple[str, list[str]]:
        with resident.agent.signing() as (party, _):
            state = resident.state
            assert state.public.agreement is not None
            terms = state.public.agreement.model_copy(update={"minimum_return_amount": Decimal(minimum)})
            public = state.public.model_copy(update={"agreement": terms})
            shown = own_releases.excess(party, state.model_copy(update={"public": public}))
        return shown.usd, list(shown.back)

    amount, back = found("0")
    assert back == ["BTC"]
    steady, back = found(amount)
    assert steady == amount
    assert "USDC" in back
    assert "BTC" not in back
    assert found(str(int(amount) + 1)) == ("0", [])


def test_what_is_missing_is_delivered_by_what_the_agreement_takes_and_lasts(resident: Resident) -> None:
    """A bill is cheapest to deliver, but for one that ends before the call would be settled."""
    resident.world.play(1)
    resident.agent.answer_due()
    resident.world.deposit(FUND, BILL, 10**9, "bills")
    resident.agent.answer_due()

    def delivered(matures: str, pinned: bool = True, **terms: Any) -> list[str]:
        under, schedule = agreement(independent_amount="50000", **terms), example("collateral-schedule")
        for asset in schedule["assets"]:
            if asset["id"] == BILL:
                asset |= {"dated": {"matures": matures, "pays": "USDC", "quantity": "10000", "unpaid_days": "2"}}
                del asset["eligibility"]
        schedule["format"] = "atomic-margin/collateral-schedule/3"
        trust = resident.world.trust() | ({"agreements": {FUND: [under.canonical()]}} if pinned else {})
        with resident.agent.signing() as (party, _):
            state = resident.state
            public = state.public.model_copy(update={"agreement": agreement_in_force(under)})
            party = replace(
                party,
                settings=replace(party.settings, trust=TrustFile.parse(trust)),
                terms=replace(party.terms, schedule=CollateralSchedule.parse(schedule)),
            )
            found = own_releases.excess(party, state.model_copy(update={"public": public}))
        assert int(found.short_usd) > 0
        return list(found.deliver)

    # Prices are of 08:00: a call then is settled by 17:00.
    assert delivered("2026-11-20T17:00:01Z") == [BILL]
    assert delivered("2026-11-20T17:00:00Z") == ["USDC"]
    assert delivered("2026-11-20T17:00:00Z", settlement_time="16:59") == [BILL]
    assert delivered("2027-02-16T00:00:00Z", eligible=["USDC"]) == ["USDC"]
    # An amended agreement that is pinned nowhere yet has no times here, but its assets are in the account.
    assert delivered("2026-11-20T17:00:00Z", pinned=False) == [BILL]
    assert delivered("2026-11-20T17:00:00Z", pinned=False, eligible=["USDC"]) == ["USDC"]


def test_readers_refuse_a_return_below_the_minimum(
    proving: Resident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A friendly operator lets it pass: an archive and a released history tell."""
    under(proving, MINIMUM)
    proving.agent.release({"USDC": 51_026 * USDC})
    world = proving.world
    pins = {"agreements": {FUND: [MINIMUM.canonical()]}, "keys": {FUND: [proving.agent.key_commitments]}}
    watch = Watch(world, tmp_path, monkeypatch, **pins)
    watch.holds(history(world))
    assert verified(archived(world, tmp_path / "good.zip"), world.trust() | pins).account == world.account()
    with monkeypatch.context() as friends:
        friends.setattr(own_releases, "check_return", lambda *_: None)
        friends.setattr(operator_releases, "check_return", lambda *_: None)
        take(proving, made(proving, {"USDC": 1000 * USDC}))
    reason, documents = watch.contradicted(history(world))
    assert "'released', is not what may come back: 980 USD leave after haircut, and the agreement returns 5" in reason
    assert documents[-1]["document"]["body"]["taken"] == {"USDC": str(1000 * USDC)}
    with pytest.raises(ArchiveInvalid, match="the agreement returns 50000 USD"):
        verified(archived(world, tmp_path / "bad.zip"), world.trust() | pins)
