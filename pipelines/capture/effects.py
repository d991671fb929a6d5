"""What commits did to the documents of the live generation, seen through renames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change of a commit. `content` is its SHA-256; `moved` marks a delete that is half of a rename."""

    op: str
    key: str
    moved: bool
    content: str


@dataclass(frozen=True, slots=True)
class CommitEffect:
    """What one commit did to documents of the live generation, by their keys there."""

    seq: int
    hold: str
    deleted: frozenset[str]
    restored: frozenset[str]


class LiveDocuments:
    """The documents of the live generation on their way through the commits after it.

    A renamed document is still there under its new key, and gone when that key is deleted.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._stands_for: dict[str, frozenset[str]] = {key: frozenset({key}) for key in keys}
        self._present = set(keys)
        self._bearers = Counter(keys)

    def apply(self, changes: Iterable[KeyChange]) -> tuple[frozenset[str], frozenset[str]]:
        """The live documents that these changes of one commit deleted, and those that they brought back."""
        of_commit = list(changes)
        before: dict[str, bool] = {}
        moved: dict[str, frozenset[str]] = {}
        for change in of_commit:
            if change.op == "delete":
                self._vanish(change.key, before)
                if change.moved and (documents := self._stands_for.pop(change.key, None)):
                    moved[change.content] = moved.get(change.content, frozenset()) | documents
        for change in of_commit:
            if change.op != "delete":
                self._appear(change.key, moved.get(change.content, frozenset()), before)
        after = {document: self._bearers[document] > 0 for document in before}
        return (
            frozenset(d for d, was in before.items() if was and not after[d]),
            frozenset(d for d, was in before.items() if not was and after[d]),
        )

    def _vanish(self, key: str, before: dict[str, bool]) -> None:
        if key in self._present:
            self._present.remove(key)
            self._count(self._stands_for[key], -1, before)

    def _appear(self, key: str, arriving: frozenset[str], before: dict[str, bool]) -> None:
        self._vanish(key, before)
        documents = self._stands_for.get(key, frozenset()) | arriving
        if documents:
            self._stands_for[key] = documents
            self._present.add(key)
            self._count(documents, +1, before)

    def _count(self, documents: frozenset[str], by: int, before: dict[str, bool]) -> None:
        for document in documents:
            before.setdefault(document, self._bearers[document] > 0)
            self._bearers[document] += by
