"""The group G1 of BLS12-381 behind one interface. Anyone may call it.

``reference`` is py_ecc: slow and easy to read. ``arkworks`` is native code, about fifty times faster. Both accept and
produce the same bytes.

>>> load_group("reference").name
'reference'
"""

import functools

from atomic_margin.zk.errors import BackendUnavailable
from atomic_margin.zk.groups.interface import ORDER, POINT_BYTES, SCALAR_BYTES, Group, Point, Scalar

__all__ = ["ORDER", "POINT_BYTES", "SCALAR_BYTES", "Group", "Point", "Scalar", "load_group"]


@functools.cache
def load_group(name: str = "auto") -> Group:
    """Return the backend called ``name``; ``auto`` takes arkworks if it is installed, otherwise the reference.

    Raises:
        BackendUnavailable: there is no backend of that name, or it is not installed.
    """
    if name == "auto":
        try:
            return load_group("arkworks")
        except BackendUnavailable:
            return load_group("reference")
    # The backends are imported on demand: each costs a noticeable part of a second, and usually one is enough.
    if name == "arkworks":
        try:
            from atomic_margin.zk.groups.arkworks import ArkworksGroup
        except ImportError as error:
            raise BackendUnavailable(
                "the arkworks backend needs the package py-arkworks-bls12381: install it or use 'reference'"
            ) from error
        return ArkworksGroup()
    if name == "reference":
        from atomic_margin.zk.groups.reference import ReferenceGroup

        return ReferenceGroup()
    raise BackendUnavailable(f"no group backend is called {name!r}: use 'auto', 'arkworks' or 'reference'")
