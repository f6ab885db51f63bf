"""Row: "server feeds chosen models or prices to bisect positions". Prices count when k of n pinned sources signed them.

The operator is the cheat: it signs its ticks and records itself, and the agent refuses the run.
"""

import copy
from typing import Any

import pytest

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .attacks import Stage, signed_again
from .test_other_function import check

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved"), pytest.mark.long]


def rerun(stage: Stage, **changes: Any) -> dict[str, Any]:
    """Return the open run as if the operator had made it of another tick, signed and named throughout."""
    view = copy.deepcopy(stage.view(stage.open))
    view["tick"] = signed_again(view["tick"], stage.server, **changes)
    named = {"tick": SignedDocument.parse(view["tick"]).body_hash()}
    view["record"] = signed_again(view["record"], stage.server, **named)
    return view


def test_prices_that_the_operator_changed_are_refused(stage: Stage) -> None:
    check(stage, rerun(stage))
    tick = stage.view(stage.open)["tick"]["body"]
    prices = copy.deepcopy(tick["market"])
    name = min(prices["underlyings"])
    prices["underlyings"][name]["spot"] = "50000"
    with pytest.raises(AgentRefused, match="not what the signed documents combine to"):
        check(stage, rerun(stage, market=prices))


def test_prices_of_too_few_or_strange_sources_are_refused(stage: Stage) -> None:
    """By the agent when the operator cheats, and by the operator when somebody else does."""
    tick = stage.view(stage.open)["tick"]["body"]
    with pytest.raises(AgentRefused, match="1 of 3 sources"):
        check(stage, rerun(stage, prices=tick["prices"][:1]))
    strangers = stage.world.prices(1, 3, sources=tuple(Identity.generate() for _ in range(3)))
    with pytest.raises(AgentRefused):
        check(stage, rerun(stage, prices=strangers["prices"]))
    token = (stage.world.root / "operator" / "admin.token").read_text().strip()
    assert stage.post("/v1/ticks", strangers, token)[0] in (403, 422)
    with pytest.raises(AgentRefused, match="other price rules"):
        check(stage, rerun(stage, rules="5a" * 32))


def test_a_price_sequence_number_is_used_once(stage: Stage) -> None:
    assert stage.post("/v1/ticks", stage.world.prices(4, 2, minutes=9)) == (409, "sequence")
