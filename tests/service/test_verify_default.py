"""A default is replayed from its documents by whoever has them and the operator's keys; what was bent is refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import AttestationInvalid, ServiceError
from atomic_margin.service.operator.accounts import default_views, defaults
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.default import STEPS, verify_default

from .documents import FUND, Json
from .stages import Stages
from .test_archive import archived, verified
from .test_defaults import BILL, FAIR, LOSS, sold
from .waterfalls import RULES, RULES_JSON, USDC, agreed, capital, members, with_rules
from .world import World

Bend = Callable[[Json, Identity], None]


class Closed:
    """A default that was closed out, as the operator hands it out."""

    def __init__(self, world: World) -> None:
        members(world, **{FUND: 500 * USDC, "harbour": 2_000 * USDC, "curlew": 1_000 * USDC})
        world.answer(f"{FUND}.4")
        sold(world, 7_000_000)
        agreed(world, LOSS)
        sold(world, 7_000_000, "trade-2")
        capital(world)
        defaults.close_out(world.operator, FUND)
        self.file: Json = default_views.default_view(world.operator, FUND).evidence
        self.operator, self.trust = world.operator.identity, world.trust() | {"waterfall": RULES.hash()}

    def bent(self, bend: Bend) -> Json:
        file = copy.deepcopy(self.file)
        bend(file, self.operator)
        return file


@pytest.fixture(scope="module")
def closed(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Closed:
    world = with_rules(stages.open("crash-open", tmp_path_factory.mktemp("closed") / "operator"))
    found = Closed(world)
    world.close()
    return found


def signed_again(file: Json, place: int, operator: Identity, **changes: Any) -> None:
    """Let the operator sign another body for an event; what names it follows, as an operator that lies would do."""
    event = file["events"][place]
    file["events"][place] = operator.sign(event["type"], event["body"] | changes).to_json()
    if event["type"] == "close-out":
        file["fund"][-1] = file["events"][place]


def lines_with(file: Json, **drawn: int) -> list[Json]:
    lines: list[Json] = copy.deepcopy(file["events"][-1]["body"]["lines"])
    for line in lines:
        name = line.get("institution", "capital") if line["layer"] in ("mutual", "capital") else line["layer"]
        if name in drawn:
            line["drawn"] = str(drawn[name])
    return lines


def test_a_default_holds_step_by_step(closed: Closed) -> None:
    steps: list[str] = []
    report = verify_default(closed.file, TrustFile.parse(closed.trust), steps.append)
    assert tuple(steps) == STEPS
    assert (report.institution, len(report.sales), report.default) == (FUND, 2, None)
    assert report.closed is not None
    assert (report.closed.loss, report.closed.uncovered) == (LOSS, 0)


def refused(closed: Closed, step: str, match: str, bend: Bend) -> None:
    with pytest.raises(AttestationInvalid, match=match) as invalid:
        verify_default(closed.bent(bend), TrustFile.parse(closed.trust))
    assert invalid.value.step == step


def test_a_sale_under_its_limit(closed: Closed) -> None:
    def under(file: Json, operator: Identity) -> None:
        signed_again(file, 0, operator, proceeds="1", proceeds_usd="0.000001")

    refused(closed, "sales", "is the least at tick 4", under)


def test_a_limit_that_is_not_of_the_tick(closed: Closed) -> None:
    def lower(file: Json, operator: Identity) -> None:
        signed_again(file, 0, operator, limit="1", proceeds="1", proceeds_usd="0.000001")

    refused(closed, "sales", "the limit is", lower)


def test_what_a_sale_brought_in_is_not_said_to_be_less(closed: Closed) -> None:
    """Else more than the proven amount is sold."""

    def less(file: Json, operator: Identity) -> None:
        signed_again(file, 0, operator, proceeds_usd="1")

    refused(closed, "sales", "is worth 69440.8113", less)


def test_a_sale_that_is_shown_twice_or_not_at_all(closed: Closed) -> None:
    refused(closed, "waterfall", "stage sequence number is 2, got 1", lambda file, _: file["events"].insert(
        1, file["events"][0]))  # fmt: skip
    refused(closed, "waterfall", "signed after 1 sales, and there are 0", lambda file, _: file["events"].pop(0))


def test_a_line_that_is_dropped(closed: Closed) -> None:
    def dropped(file: Json, operator: Identity) -> None:
        signed_again(file, -1, operator, lines=file["events"][-1]["body"]["lines"][:-1])

    refused(closed, ["fund", "waterfall"][1], "other lines bear the loss", dropped)


def test_a_member_that_is_left_out(closed: Closed) -> None:
    """The rest pays more, by lines that add up."""

    def favoured(file: Json, operator: Identity) -> None:
        body = file["events"][-1]["body"]
        others = {name: one for name, one in body["contributions"].items() if name != "curlew"}
        lines = [line for line in lines_with(file, harbour=1_354_000_001) if line.get("institution") != "curlew"]
        signed_again(file, -1, operator, contributions=others, lines=lines)

    refused(closed, "fund", "something else than curlew has in the fund", favoured)


def test_another_order_and_a_rounding_that_is_off_by_one(closed: Closed) -> None:
    def spared(file: Json, operator: Identity) -> None:
        signed_again(file, -1, operator, lines=lines_with(file, capital=0, harbour=1_902_666_667))

    def off(file: Json, operator: Identity) -> None:
        signed_again(file, -1, operator, lines=lines_with(file, harbour=902_666_668, curlew=451_333_333))

    for bend in (spared, off):
        refused(closed, "waterfall", "other lines bear the loss", bend)


def test_a_loss_that_the_institution_did_not_sign(closed: Closed) -> None:
    def forged(file: Json, operator: Identity) -> None:
        body = file["events"][1]["body"] | {"loss": str(2 * LOSS)}
        file["events"][1] = operator.sign("loss-agreement", body).to_json()

    refused(closed, "loss", "not trusted", forged)
    refused(closed, "loss", "not of the loss that the institution signed", lambda file, _: file["events"].pop(1))


def test_another_liquidation_answer_or_top_up(closed: Closed) -> None:
    def more(file: Json, operator: Identity) -> None:
        settlement = file["settlement"]["body"] | {"top_up_usd": "900000"}
        file["settlement"] = operator.sign("settlement", settlement).to_json()

    refused(closed, "liquidation", "it settles .* the answer proved", more)

    def other(file: Json, operator: Identity) -> None:
        settlement = file["settlement"]["body"] | {"answer": "1a" * 32}
        file["settlement"] = operator.sign("settlement", settlement).to_json()

    refused(closed, "liquidation", "another answer", other)

    def mine(file: Json, operator: Identity) -> None:
        file["answer"] = operator.sign("answer", file["answer"]["body"]).to_json()

    refused(closed, "liquidation", "not trusted", mine)


def test_prices_that_no_source_signed(closed: Closed) -> None:
    def cheap(file: Json, operator: Identity) -> None:
        tick = copy.deepcopy(file["ticks"][0]["tick"]["body"])
        tick["market"]["collateral"][BILL] = "0.5"
        file["ticks"][0]["tick"] = operator.sign("tick", tick).to_json()

    with pytest.raises(AttestationInvalid) as invalid:
        verify_default(closed.bent(cheap), TrustFile.parse(closed.trust))
    assert invalid.value.step == "prices"
    refused(closed, "sales", "has not the tick that stage 1 is at", lambda file, _: file["ticks"].clear())


def test_rules_and_keys_are_those_that_are_pinned(closed: Closed) -> None:
    others = {"version": "2"}
    for changes, match in (
        ({"waterfall": "1a" * 32}, "under other waterfall rules"),
        ({"waterfall": None}, "pins no waterfall rules"),
        ({"schedule": "1a" * 32}, "not the collateral schedule"),
        ({"institutions": {}}, "has no key of"),
    ):
        with pytest.raises(AttestationInvalid, match=match) as invalid:
            verify_default(closed.file, TrustFile.parse({**closed.trust, **changes}))
        assert invalid.value.step == "trust anchors"

    def milder(file: Json, operator: Identity) -> None:
        signed_again(file, 0, operator, rules=RULES_JSON | others | {"discounts": {BILL: "0.9"}})

    refused(closed, "trust anchors", "under other waterfall rules", milder)


def test_documents_of_the_fund_follow_one_another(closed: Closed) -> None:
    refused(closed, "fund", "does not follow document 0", lambda file, _: file["fund"].pop(0))
    refused(closed, "fund", "has to be the close-out", lambda file, _: file["fund"].pop())

    def forged(file: Json, _: Identity) -> None:
        stranger, first = Identity.generate(), SignedDocument.parse(file["fund"][0])
        file["fund"][0] = stranger.sign("fund-contribution", first.body).to_json()

    refused(closed, "fund", "none of the operator's", forged)


def test_a_default_that_goes_on_is_replayed_as_far_as_it_is(world_at: Callable[[str], World]) -> None:
    world = with_rules(world_at("crash-done"))
    trust = TrustFile.parse(world.trust() | {"waterfall": RULES.hash()})
    view = default_views.default_view(world.operator, FUND)
    assert (view.top_up_usd, view.stages, view.loss, view.uncovered) == ("100000", 0, None, 0)
    sold(world, 1_000)
    view = default_views.default_view(world.operator, FUND)
    report = verify_default(view.evidence, trust)
    assert report.default is not None
    assert (report.closed, report.default.held["USDC"]) == (None, 340_000 * USDC + 1_000 * FAIR)


def test_an_archive_shows_sales_and_is_refused_without_the_rules(
    world_at: Callable[[str], World], tmp_path: Path
) -> None:
    world = with_rules(world_at("crash-done"))
    sold(world, 1_000)
    path = archived(world, tmp_path / "archive")
    verified(path, world.trust() | {"waterfall": RULES.hash()})
    for pinned in ("1a" * 32, None):
        with pytest.raises(ServiceError, match="other waterfall rules"):
            verified(path, world.trust() | {"waterfall": pinned})
