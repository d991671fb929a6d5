"""After a fork the child must let go of what proves that its parent lives."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Abandons(Protocol):
    """Something that holds locks and connections of this process."""

    def abandon(self) -> None:
        """Let go, in a child, without a word."""


_held: weakref.WeakSet[Abandons] = weakref.WeakSet()
# Never collected in the child: a destructor would say goodbye in the parent's name.
_kept: list[Abandons] = []


def watch(holder: Abandons) -> None:
    """Have it let go in every child of this process."""
    _held.add(holder)


def _in_child() -> None:
    for holder in list(_held):
        _kept.append(holder)
        holder.abandon()
    _held.clear()


os.register_at_fork(after_in_child=_in_child)
