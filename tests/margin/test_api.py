"""The public names."""

import types

import atomic_margin.margin as package


def test_all_is_complete_and_leads_to_no_module() -> None:
    public = {
        name
        for name, item in vars(package).items()
        if not name.startswith("_") and not isinstance(item, types.ModuleType)
    }
    assert set(package.__all__) == public
    assert len(package.__all__) == len(public)
