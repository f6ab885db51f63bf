"""Row: "double-pledged or invented collateral". Only what the operator's ledger holds counts, and it moves once."""

from typing import Any

import pytest

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.protocol.documents import CollateralInstruction

from .attacks import Stage

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved")]


def instruct(stage: Stage, action: str, asset: str, quantity: int, sequence: int | None = None) -> Any:
    stage.agent.history.sync(adopt=True)
    body = {
        "institution": NAME,
        "operator": stage.agent.settings.trust.operator,
        "sequence": str(stage.world.account().next_instruction if sequence is None else sequence),
        "entry": stage.agent.history.head,
        "action": action,
        "asset": asset,
        "quantity": str(quantity),
    }
    signed = CollateralInstruction.parse(body).signed_by(stage.agent.identity)
    return stage.post(f"/v1/institutions/{NAME}/collateral", signed.to_json())


def test_more_than_there_is_cannot_be_posted(stage: Stage) -> None:
    free = stage.world.account().collateral.free
    assert free
    for asset, quantity in free.items():
        assert instruct(stage, "post", asset, quantity + 1)[0] == 409
    # Posted already, and never deposited.
    assert instruct(stage, "post", "USDC", 300_000_000_000)[0] == 409
    assert instruct(stage, "withdraw", "USDC", 1)[0] == 409
    assert instruct(stage, "post", "MOON", 1)[0] in (409, 422)


def test_an_instruction_is_carried_out_once(stage: Stage) -> None:
    """The one that posted the collateral, again: it is known and answered, and nothing moves."""
    assert instruct(stage, "post", "TBILL-2027-02", 1, sequence=1)[0] == 409


def test_an_institution_deposits_nothing_itself(stage: Stage) -> None:
    deposit = {"institution": NAME, "asset": "USDC", "quantity": "1000000", "reference": "mine"}
    # Signed by the institution, and with a token that is nobody's.
    assert stage.post("/v1/deposits", deposit)[0] == stage.post("/v1/deposits", deposit, "00" * 32)[0] == 401
    # Nor does the operator book one arrival twice.
    token = (stage.world.root / "operator" / "admin.token").read_text().strip()
    assert stage.post("/v1/deposits", {**deposit, "reference": "custodian-USDC"}, token)[0] == 409
