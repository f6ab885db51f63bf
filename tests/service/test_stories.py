"""The stories among the examples, by the integers that parties count with and without anything encrypted.

Every model that has a story is called once and liquidated at the end, whatever else happens; the demo plays the same
for real.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Institution, Portfolio
from atomic_margin.margin.market.revisions import carried
from atomic_margin.margin.market.trades import Trades
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.demo.story import STORY, Staging, Step, Story
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.institution.sufficient import Position
from atomic_margin.service.protocol.release_rows import ReleaseRows
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.terms import AccountColumns, Terms

from .documents import EXAMPLES

STORIES = sorted(path.parent for path in EXAMPLES.glob(f"**/{STORY}"))


class Account:
    """An account of a story: what it holds, posts and has free."""

    def __init__(self, staging: Staging) -> None:
        self.staging, story = staging, staging.story
        documents = (self.read(name) for name in (story.model, story.universe, story.schedule))
        self.terms = Terms.parse(*documents, profile_by_name(story.profile))
        holdings = CollateralHoldings.parse(self.read(story.collateral))
        self.posted, self.free = Counter(holdings.posted), Counter(holdings.free)
        self.gross_limit = Institution.parse(self.read(story.institution)).gross_limit
        self.book = Portfolio.parse(self.read(story.portfolio))
        self.market: Market | None = None
        self.forms: set[str] = set()
        self.flags: list[bool] = []
        self.released: list[dict[str, int]] = []

    def read(self, name: str) -> object:
        return json.loads(self.staging.path(name).read_text())

    @property
    def columns(self) -> AccountColumns:
        chosen = self.staging.story.columns
        choice = None if chosen is None else ColumnChoice.parse(self.read(chosen))
        return AccountColumns(self.terms.universe.hash(), self.gross_limit, choice)

    def take(self, step: Step) -> str:
        """Do what a step says; return what its run would be settled as, or nothing."""
        if step.book is not None:
            trades = Trades.parse(self.read(step.book))
            assert trades.opening == self.book, "the trades open from the book that is held"
            self.book = trades.net(self.terms.universe)
        elif step.universe is not None:
            before, after = self.terms.universe, Universe.parse(self.read(step.universe))
            self.terms.take_revision(after)
            self.book = carried(self.book, before, after, self.market)
        elif step.release is not None:
            self.release(step.release)
        elif step.tick is not None:
            return self.run(Market.parse(self.read(step.tick)))
        return ""

    def release(self, quantities: dict[str, int]) -> None:
        """Take posted collateral out for good, with initial margin for what remains, gains counted as zero."""
        assert self.market is not None
        self.posted.subtract(quantities)
        assert min(self.posted.values()) >= 0
        columns, posted = self.columns, dict(self.posted)
        matrices = self.terms.compile(self.market, posted, columns)
        z = self.terms.encode(self.book, columns)
        weights = gains(columns, self.terms, self.market)
        left = [
            shown.least - ReleaseRows.of(shown.rows, weights).gained(z)
            for shown in Position(self.terms, self.market, posted, columns, matrices, z).rows("initial")
        ]
        assert max(left) >= 0
        self.released.append(quantities)

    def run(self, market: Market) -> str:
        self.market, columns = market, self.columns
        self.terms.check_market(market, columns.universe)
        self.terms.check_gross_limit(columns)
        z = self.terms.encode(self.book, columns)
        matrices = self.terms.compile(market, dict(self.posted), columns)
        position = Position(self.terms, market, dict(self.posted), columns, matrices, z)
        self.flags.append(bool((matrices.maintenance_fhe.surplus(z) < 0).any()))
        shown = position.coverage()
        if shown is not None:
            self.forms.add(shown.form)
            return "none"
        call = position.initial().top_up(self.terms, columns)
        held = {name: dict(part) for name, part in (("free", self.free), ("posted", self.posted))}
        rightful = rightful_transfers(self.terms, market, call.usd, counted=held["posted"], **held)
        for move in rightful.transfers:
            assert rightful.kind == "liquidation" or (move.source, move.destination) == ("free", "posted")
            self.free[move.asset] -= move.quantity
            self.posted[move.asset] += move.quantity
        return rightful.kind


def test_every_model_that_can_be_shown_has_a_story() -> None:
    assert EXAMPLES in STORIES


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.relative_to(EXAMPLES).as_posix())
def test_a_story_ends_as_it_is_told(folder: Path) -> None:
    account = Account(Staging.read(folder))
    told = [said for said in map(account.take, account.staging.story.steps) if said]
    assert told == ["none", "margin_call", *["none"] * (len(told) - 3), "liquidation"]
    # The flag that goes out under encryption says the same: nobody is alarmed for nothing.
    assert account.flags == [said != "none" for said in told]
    # The example's account has excess back after the call; the others' stories are about their models.
    assert bool(account.released) == (folder == EXAMPLES)
    exact = "exact" in account.terms.model.FORMS
    assert account.forms == ({"exact"} if exact else {"conservative"})


def test_a_folder_without_a_story_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no story\.json in"):
        Staging.read(tmp_path)


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"tick": "a", "book": "b"},
        {"universe": "u"},
        {"tick": "a", "until": "2027-01-01T00:00:00Z"},
        {"book": "b", "release": {"USDC": "1"}},
    ],
)
def test_a_step_is_one_thing(step: dict[str, object]) -> None:
    with pytest.raises(MalformedDocument, match=r"^steps\[1\]: a step is one of"):
        Story.parse({"format": "atomic-margin/story/1", "profile": "tiny", "steps": [{"tick": "a"}, step]})


@pytest.mark.parametrize(
    ("before", "release", "said"),
    [("tick", {}, "name an asset"), ("tick", {"USDC": "0"}, "name an asset"), ("book", {"USDC": "1"}, "after a tick")],
)
def test_what_comes_back_is_something_and_after_a_tick(before: str, release: dict[str, str], said: str) -> None:
    with pytest.raises(MalformedDocument, match=rf"^steps\[1\]\.release: .*{said}"):
        Story.parse(
            {"format": "atomic-margin/story/1", "profile": "tiny", "steps": [{before: "a"}, {"release": release}]}
        )
