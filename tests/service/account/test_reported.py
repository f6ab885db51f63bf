"""What reports read of every kind of event: documents say what they move, and that is what moved."""

import pytest

from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.reports.daily import aside_of
from atomic_margin.service.reports.facts import AccountFacts, read_entries
from atomic_margin.service.reports.parts import moves_stated
from atomic_margin.service.reports.prices import Prices
from atomic_margin.service.reports.reconciled import check_step

from .genuine import TERMS
from .test_machine_table import LIVE


def facts_of(kind: EventKind) -> AccountFacts:
    parties, document = LIVE[kind]()
    parties.enter(document)
    facts = read_entries(parties.entries, parties.salts, parties.operator.public_key)
    assert facts.steps[-1].entry.kind is kind
    return facts


@pytest.mark.parametrize("kind", LIVE, ids=str)
def test_whatever_moves_is_what_its_document_says(kind: EventKind) -> None:
    facts = facts_of(kind)
    for number, step in enumerate(facts.steps, 1):
        check_step(facts, number)
        assert not facts.moves(number) or moves_stated(step)


def test_kinds_that_move_are_these() -> None:
    moving = {kind for kind in LIVE if (facts := facts_of(kind)).moves(len(facts.steps))}
    assert moving >= {
        EventKind.DEPOSITED,
        EventKind.POSTED,
        EventKind.WITHDRAWN,
        EventKind.MARGIN_CALLED,
        EventKind.LIQUIDATED,
        EventKind.RELEASED,
        EventKind.SUBSTITUTED,
        EventKind.MATURED,
        EventKind.FREE_MATURED,
        EventKind.RETURN_PROMISED,
        EventKind.NETTED,
        EventKind.LOSSES_SETTLED,
        EventKind.DEFAULT_CLOSED,
        EventKind.COLLATERAL_SEGREGATED,
    }


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (EventKind.RETURN_PROMISED, "promised return"),
        (EventKind.FUND_CONTRIBUTED, "guarantee fund"),
        (EventKind.LIQUIDATED, "segregated"),
    ],
    ids=str,
)
def test_what_is_no_balance_is_shown_beside_them(kind: EventKind, where: str) -> None:
    facts = facts_of(kind)
    aside = aside_of(Prices(TERMS.schedule, {}), facts.steps[-1], None)
    assert [one["where"] for one in aside] == [where]
    if kind is not EventKind.FUND_CONTRIBUTED:
        # All that left the balances is there.
        moved = sum(move.quantity for move in facts.moves(len(facts.steps)))
        assert int(aside[0]["quantity"]) == -moved
