"""A bounded store of what was computed, for values that never change; the one not asked for longest goes first.

Safe to call from several threads. Two that ask for one key at once may both compute it, and one value is kept.

>>> kept = Kept(2)
>>> [kept.of(key, lambda: key * 2) for key in "abca"]
['aa', 'bb', 'cc', 'aa']
>>> len(kept)
2
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most ``limit`` values by key."""

    def __init__(self, limit: int) -> None:
        """Start with none.

        Raises:
            ValueError: there is room for none.
        """
        if limit < 1:
            raise ValueError(f"keep at least one value, got {limit}")
        self.limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value of a key, if it is kept."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> V:
        """Keep a value unless the key has one; return what is kept."""
        with self._lock:
            found = self._values.setdefault(key, value)
            self._values.move_to_end(key)
            while len(self._values) > self.limit:
                self._values.popitem(last=False)
            return found

    def of(self, key: K, compute: Callable[[], V]) -> V:
        """Return the value of a key, computed if it is not kept."""
        found = self.get(key)
        return self.put(key, compute()) if found is None else found

    def __len__(self) -> int:
        return len(self._values)
