"""An operator that settles a breach for another sum than was proven, with all else as it has to be."""

from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.service.operator.settlement import hook
from atomic_margin.service.protocol.documents import Settlement

from .documents import FUND
from .world import World


def settled_for(world: World, monkeypatch: pytest.MonkeyPatch, usd: str | None, run_id: str = f"{FUND}.2") -> None:
    """Answer a breach, which is settled for that sum in USD: what moves is right by it, and the units are proven."""
    rightful, parse = hook.rightful_transfers, Settlement.parse

    def parsed(cls: type[Settlement], value: Any) -> Settlement:
        return parse({**value, "top_up_usd": usd} if isinstance(value, dict) else value)

    with monkeypatch.context() as cheat:
        if usd is not None:
            cheat.setattr(hook, "rightful_transfers", lambda t, m, _, **held: rightful(t, m, Decimal(usd), **held))
            cheat.setattr(Settlement, "parse", classmethod(parsed))
        world.answer(run_id)
