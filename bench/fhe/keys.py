"""Throw-away keys for measurements and differential tests, kept on disk only when asked for.

Kept keys are for research: they lie under `research-keys` in the cache of compiled modules, readable by their owner
only, and nothing but this package reads them. A service's keys never come near that directory.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from atomic_margin.circuits.cache import cache_directory
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.profile import Profile

DIRECTORY = "research-keys"


def keys_for(profile: Profile, client_specs: bytes, *, cached: bool) -> tuple[Any, float | None]:
    """Return concrete's `Client` with keys, and the seconds their making took, None when they were on disk.

    Args:
        profile: of the module.
        client_specs: of the compiled module.
        cached: take keys from disk, or put them there.

    Raises:
        CacheUnsafe: others may write to the cache.
    """
    client = cfhe.Client(cfhe.ClientSpecs.deserialize(client_specs))
    place = _place(profile, client_specs) if cached else None
    if place is not None and place.is_file():
        client.keys = type(client.keys).deserialize(place.read_bytes())
        return client, None
    started = perf_counter()
    client.keygen()
    seconds = perf_counter() - started
    if place is not None:
        write_private(place, client.keys.serialize())
    return client, seconds


def write_private(path: Path, data: bytes) -> None:
    """Write a file at once, mode 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    Path(temporary).replace(path)


def _place(profile: Profile, client_specs: bytes) -> Path | None:
    """Return the file of a profile's keys: of these parameters too, because an edited circuit keeps its profile."""
    directory = cache_directory()
    if directory is None:
        return None
    directory = directory / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{profile.hash()}-{hashlib.sha256(client_specs).hexdigest()[:16]}.keys"
