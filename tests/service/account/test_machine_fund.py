"""The guarantee fund in the account machine: contributions, draws, and the rules."""

from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.protocol.account.errors import (
    Halted,
    OutOfSequence,
    WrongCollateral,
    WrongDefault,
)
from atomic_margin.service.protocol.waterfall import WaterfallRules

from .documents import INSTITUTION
from .in_default import (
    RULES_JSON,
    contributed,
    draw,
    member,
)  # fmt: skip
from .story import covered, refuses

OTHER_RULES: dict[str, Any] = RULES_JSON | {"version": "2"}


def test_contributions_are_under_one_set_of_rules_and_follow_one_another() -> None:
    parties = member()
    refuses(parties, contributed(parties, 5, 1), OutOfSequence, "the fund's document 1 was about the account")
    refuses(parties, contributed(parties, 5, 2, rules=OTHER_RULES), WrongDefault, "under other waterfall rules")
    parties.enter(contributed(parties, 5, 4))
    share = parties.state.public.fund
    assert share is not None
    assert (share.quantity, share.number, share.asset) == (205, 4, "USDC")


def test_a_member_bears_its_line_once() -> None:
    parties = member()
    document = parties.enter(draw(parties))
    share = parties.state.public.fund
    assert share is not None
    assert (share.quantity, share.number) == (0, 9)
    refuses(parties, document, OutOfSequence, "the fund's document 9 was about the account already")
    # Who has nothing left may contribute under other rules.
    parties.enter(contributed(parties, 5, 10, rules=OTHER_RULES))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"quantity": "199"}, WrongCollateral, "something else is drawn than the account's line bears"),
        ({"institution": INSTITUTION}, WrongDefault, "the account's own default"),
        (
            {"operator": "5866666666666666666666666666666666666666666666666666666666666666"},
            WrongDefault,
            "another operator",
        ),
        ({"rules": OTHER_RULES}, WrongDefault, "nothing in the fund under these waterfall rules"),
        ({"number": "1"}, OutOfSequence, "was about the account already"),
        ({"contributions": {"curlew": "100", INSTITUTION: "150"}}, WrongCollateral, "the close-out counts another"),
        ({"lines": []}, WrongCollateral, "other lines bear the loss"),
        ({"loss": "1351"}, WrongCollateral, "1 of the loss are borne by nobody"),
        ({"loss": "1050"}, WrongCollateral, "other lines bear the loss"),
    ],
    ids=str,
)
def test_a_draw_is_a_line_of_the_whole_waterfall(changes: Any, error: type[Exception], match: str) -> None:
    parties = member()
    refuses(parties, draw(parties, **changes), error, match)


def test_no_member_is_drawn_on_while_settlements_are_halted() -> None:
    parties = member()
    document = draw(parties)
    parties.enter(parties.halt(scope=["settlements"]))
    refuses(parties, document, Halted, "halted settlements")
    parties.enter(parties.resume())
    parties.enter(document)


def test_an_account_without_a_share_bears_nothing() -> None:
    parties = covered()
    refuses(parties, draw(parties), WrongDefault, "nothing in the fund")


def test_rules_have_the_one_order_and_sell_no_cash() -> None:
    for changes, field in (
        ({"order": ["margin", "capital", "contribution", "mutual"]}, "order"),
        ({"order": ["margin"]}, "order"),
        ({"discounts": {"USDC": "0"}}, "discounts"),
        ({"lien": "posted"}, "lien"),
        ({"stage_share": "0"}, "stage_share"),
    ):
        with pytest.raises(DocumentError, match=field):
            WaterfallRules.parse(RULES_JSON | changes)
