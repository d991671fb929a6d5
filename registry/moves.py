"""Which deletions end a document, and which are one half of a rename whose other half still stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

Arrival = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A key that went in commit `seq` of a source; `moved` where its content appeared under another key."""

    source_id: int
    key: str
    seq: int
    moved: bool
    content: str


def ended(deletions: Iterable[Deletion], arrivals: Mapping[Arrival, Collection[str]]) -> set[tuple[int, str]]:
    """(source, key) of each document that went: deleted outright, or moved and deleted where it had moved to.

    `arrivals` names the keys that took over a content: {(source, seq, content): keys}. From the newest
    commit to the oldest, so that what became of a document's new key is known when the old one is judged.
    Where more documents of one content moved than keys with it still stand, the last of them by key went.
    """
    gone: set[tuple[int, str]] = set()
    next_ends: dict[tuple[int, str], bool] = {}
    newest_first = sorted(deletions, key=lambda d: (d.source_id, d.seq), reverse=True)
    for _, commit in groupby(newest_first, key=lambda d: (d.source_id, d.seq)):
        of_commit = list(commit)
        standing = {
            arrival: sum(not next_ends.get((arrival[0], key), False) for key in arrivals.get(arrival, ()))
            for arrival in {(d.source_id, d.seq, d.content) for d in of_commit if d.moved}
        }
        for d in sorted(of_commit, key=lambda d: d.key):
            arrival = (d.source_id, d.seq, d.content)
            ends = not (d.moved and standing[arrival] > 0)
            if not ends:
                standing[arrival] -= 1
            next_ends[d.source_id, d.key] = ends
            if ends:
                gone.add((d.source_id, d.key))
    return gone
