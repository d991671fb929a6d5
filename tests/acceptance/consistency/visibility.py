"""Which documents of a generation are hidden once the change log has reached a commit: promise 4, spelled out.

A document is hidden if it was absent at any captured commit after the generation's position. One exception:
if its very text appeared under another key in the commit that took it, it stays until that key goes in turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tests.acceptance.consistency.writer import Expected

View = Mapping[str, Expected]  # a tenant's documents in one state of one source


class Timeline:
    """One tenant's documents of one source at each captured commit, and which of them went in each.

    `waiting` has the commits whose deletions wait for a person.
    """

    def __init__(self, views: Sequence[View], waiting: Collection[int] = ()) -> None:
        self.views = views
        self.waiting = frozenset(waiting)
        self._deletions: dict[str, list[int]] = {}
        self._arrived: list[dict[str, list[str]]] = []
        before: View = {}
        for commit, after in enumerate(views):
            for key in before.keys() - after.keys():
                self._deletions.setdefault(key, []).append(commit)
            self._arrived.append(_arrivals(before, after))
            before = after
        self._hidden: dict[tuple[int, int, frozenset[int]], frozenset[str]] = {}

    def hidden(self, since: int, until: int, confirmed: frozenset[int] = frozenset()) -> frozenset[str]:
        """Documents of the state at `since` that are hidden when the log has reached `until`.

        What a waiting commit deletes stays, unless it is among the `confirmed`.
        """
        asked = (since, until, confirmed)
        if asked not in self._hidden:
            self._hidden[asked] = frozenset(
                key for key in self.views[since] if self._went(key, since, until, confirmed)
            )
        return self._hidden[asked]

    def _went(self, key: str, since: int, until: int, confirmed: frozenset[int]) -> bool:
        """Whether any deletion in (since, until] ended the document of this key."""
        return any(self._ends(key, commit, until, confirmed) for commit in self._deleted(key, since, until))

    def _ends(self, key: str, commit: int, until: int, confirmed: frozenset[int]) -> bool:
        """Whether the deletion of `key` in `commit` ended its document: no key that took over lives on."""
        heirs = self._arrived[commit].get(self.views[commit - 1][key].text, ())
        if heirs:
            return all(self._next_ends(heir, commit, until, confirmed) for heir in heirs)
        return commit in confirmed or commit not in self.waiting

    def _next_ends(self, key: str, after: int, until: int, confirmed: frozenset[int]) -> bool:
        following = self._deleted(key, after, until)
        return bool(following) and self._ends(key, following[0], until, confirmed)

    def _deleted(self, key: str, since: int, until: int) -> list[int]:
        """The commits in (since, until] that deleted a key."""
        commits = self._deletions.get(key, [])
        return commits[bisect_right(commits, since) : bisect_right(commits, until)]


def _arrivals(before: View, after: View) -> dict[str, list[str]]:
    """Keys that are new or changed, by their text."""
    found: dict[str, list[str]] = {}
    for key, document in after.items():
        known = before.get(key)
        if known is not document and not _same(known, document):
            found.setdefault(document.text, []).append(key)
    return found


def _same(one: Expected | None, other: Expected) -> bool:
    return one is not None and replace(one, stale=other.stale) == other
