"""Bundles whose settlement is another than the answer asks for, everything signed by the real operator."""

from collections.abc import Callable

import pytest

from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.groups import Group

from .bundles import step_that_fails
from .documents import FUND, Json
from .stages import Stages
from .world import World

pytestmark = pytest.mark.usefixtures("proofs_checked_once")

H = "1a" * 32


def by_operator(stages: Stages, identity: Identity, name: str, changes: Json) -> Json:
    """Return the bundle with another settlement, everything signed by the real operator."""
    body = dict(stages.bundles[name]["body"])
    settlement = {**body["settlement"]["body"], **changes}
    body["settlement"] = identity.sign("settlement", settlement).to_json()
    return identity.sign("attestation", body).to_json()


FIRST = {"asset": "USDC", "quantity": "1", "source": "free", "destination": "posted"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fall", {"run_id": f"{FUND}.9"}),
        ("fall", {"run": H}),
        ("fall", {"answer": H}),
        ("fall", {"operator": H}),
        ("fall", {"institution": "harbour"}),
        ("fall", {"top_up": "1"}),
        ("fall", {"top_up_usd": "1"}),
        ("fall", {"transfers": []}),
        ("fall", {"transfers": [FIRST]}),
        ("fall", {"transfers": [FIRST, FIRST]}),
        ("fall", {"transfers": [{**FIRST, "source": "posted"}]}),
        ("fall", {"transfers": [{**FIRST, "asset": "DOGE"}]}),
        ("fall", {"kind": "liquidation"}),
        ("crash", {"kind": "margin_call"}),
        ("crash", {"transfers": [FIRST]}),
        ("crash", {"transfers": []}),
        ("crash", {"transfers": [{**FIRST, "destination": "liquidation"}]}),
    ],
    ids=str,
)
def test_an_operator_that_settles_otherwise_is_found(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group, name: str, changes: Json
) -> None:
    operator = world_at("crash-done").operator.identity
    assert step_that_fails(by_operator(stages, operator, name, changes), trust, group) == "settlement"


def test_settlements_only_go_with_breaches(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    operator = world_at("crash-done").operator.identity
    fall = stages.bundles["fall"]["body"]
    without = {name: value for name, value in fall.items() if name != "settlement"}
    assert step_that_fails(operator.sign("attestation", without).to_json(), trust, group) == "settlement"
    more = {**stages.bundles["calm"]["body"], "settlement": fall["settlement"]}
    assert step_that_fails(operator.sign("attestation", more).to_json(), trust, group) == "settlement"
