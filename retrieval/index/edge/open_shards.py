"""The shards that this process keeps open: at most so many, least recently used closed first.

A shard that is pushed out while queries run on it closes after the last of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be kept open."""

    def close(self) -> None: ...


Key = TypeVar("Key", bound=Hashable)
Opened = TypeVar("Opened", bound=Closable)


class _Entry(Generic[Opened]):
    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.opened: Opened | None = None
        self.users = 0
        self.evicted = False


class OpenShards(Generic[Key, Opened]):
    """Safe to share between threads; opens one key once however many ask, and two keys at the same time."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"at least one shard must be kept open, not {capacity}")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry[Opened]] = OrderedDict()

    @contextmanager
    def use(self, key: Key, opener: Callable[[], Opened]) -> Iterator[Opened]:
        """The open shard of a key, opened by `opener` where it is not; kept open at least until the end."""
        entry = self._enter(key)
        try:
            with entry.opening:
                if entry.opened is None:
                    entry.opened = opener()
                opened = entry.opened
            yield opened
        finally:
            self._leave(entry)

    def discard(self, key: Key) -> None:
        """Close what is open under a key, after its last query."""
        with self._lock:
            entry = self._entries.pop(key, None)
            idle = self._evict([entry] if entry else [])
        _close(idle)

    def close(self) -> None:
        """Close everything, each after its last query."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
            idle = self._evict(entries)
        _close(idle)

    def open_keys(self) -> list[Key]:
        """What is open, least recently used first."""
        with self._lock:
            return list(self._entries)

    def _enter(self, key: Key) -> _Entry[Opened]:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
            self._entries.move_to_end(key)
            excess = len(self._entries) - self._capacity
            idle = self._evict([self._entries.popitem(last=False)[1] for _ in range(excess)])
        _close(idle)
        return entry

    def _leave(self, entry: _Entry[Opened]) -> None:
        with self._lock:
            entry.users -= 1
            idle = [entry] if entry.evicted and not entry.users else []
        _close(idle)

    def _evict(self, entries: list[_Entry[Opened]]) -> list[_Entry[Opened]]:
        """Mark entries as evicted; those without a query are the caller's to close, outside the lock."""
        for entry in entries:
            entry.evicted = True
        return [entry for entry in entries if not entry.users]


def _close(entries: list[_Entry[Opened]]) -> None:
    for entry in entries:
        if entry.opened is not None:
            entry.opened.close()
            entry.opened = None
