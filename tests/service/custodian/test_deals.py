"""Deals: shares that fit are stored and receipted; what does not is complained about, or refused without a word."""

from collections.abc import Callable

from .played import Scene

Open = Callable[[str], Scene]


def test_shares_that_fit_are_stored_and_then_receipted(scene_at: Open) -> None:
    scene = scene_at("dealt")
    party = scene.party(2)
    assert party.deals.round() == 1
    held = party.deals.held(scene.dealt.dealing.deal)
    assert held is not None
    assert held.shares == scene.dealt.shares[2]
    assert held.deal == scene.dealt.deal
    assert party.deals.round() == 0
