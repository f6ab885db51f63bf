"""What the institution's store refuses: masks that were used before."""

from pathlib import Path

import pytest

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.store import InstitutionStore


def test_masks_are_used_once_even_after_a_restart(tmp_path: Path) -> None:
    store = InstitutionStore(tmp_path)
    store.use_masks(bytes(32))
    store.use_masks(bytes(31) + b"\1")
    store.close()
    again = InstitutionStore(tmp_path)
    with pytest.raises(AgentRefused, match="used before"):
        again.use_masks(bytes(32))
    again.close()
