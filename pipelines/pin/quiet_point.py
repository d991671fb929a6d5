"""Where to pin: the newest quiet point, or the newest commit once waiting has lasted too long."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class CommitTime:
    """A captured commit of one tenant: its number and when it was made, on the source's clock."""

    seq: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """The commit to pin at, and whether the source was quiet there."""

    seq: int
    quiescent: bool


def choose(
    commits: Sequence[CommitTime],
    source_now: datetime,
    quiescence: float,
    max_staleness: float,
    barrier: int | None = None,
    excluded: Set[int] = frozenset(),
) -> Choice | None:
    """The pin among unpublished commits (in order); None where waiting is right.

    A commit is quiet when no other followed within `quiescence` seconds. Without a quiet one, the newest is
    taken once the oldest is older than `max_staleness` seconds. Nothing from `barrier` on is ever taken,
    nor what is `excluded`.
    """
    if not commits:
        return None
    window = timedelta(seconds=quiescence)
    ends = [commit.committed_at for commit in commits[1:]] + [source_now]
    allowed = [
        (commit, end)
        for commit, end in zip(commits, ends, strict=True)
        if (barrier is None or commit.seq < barrier) and commit.seq not in excluded
    ]
    if not allowed:
        return None
    for commit, end in reversed(allowed):
        if end - commit.committed_at >= window:
            return Choice(commit.seq, True)
    oldest, newest = commits[0], allowed[-1][0]
    if source_now - oldest.committed_at > timedelta(seconds=max_staleness):
        return Choice(newest.seq, False)
    return None
