"""What was so, from the writers' histories alone, at the positions that the change log names."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from tests.acceptance.consistency.history import History
from tests.acceptance.consistency.pages import Page
from tests.acceptance.consistency.record import Record
from tests.acceptance.consistency.visibility import Timeline, View
from tests.acceptance.consistency.writer import Expected, Writer


@dataclass
class Accident:
    """A captured commit that took almost everything, with the one that mended it and when it was confirmed."""

    commit: int
    mended: int | None
    confirmed: tuple[int, int] | None


class Logged:
    """One source's change log: for each registered commit the transaction that it brought the log to."""

    def __init__(self, record: Record, source: str) -> None:
        self.writer: Writer = record.writers[source]
        self.history: History = self.writer.history
        self.positions = record.registered[source]
        placed = [self.history.index(position) for position in self.positions]
        self.unknown = [p for p, index in zip(self.positions, placed, strict=True) if index is None]
        self.indices = [index for index in placed if index is not None]
        self._commit_of = {p: n for n, p in enumerate(p for p in self.positions if p not in self.unknown)}

    def commit(self, position: str) -> int | None:
        """The number of the registered commit at a position."""
        return self._commit_of.get(position)

    def at_least(self, transaction: int) -> int | None:
        """The first registered commit that has a transaction in it, or equals the source after it.

        None where there is neither: the transaction was lost.
        """
        following = bisect_left(self.indices, transaction)
        before = following - 1
        if before >= 0 and self._same(self.indices[before], transaction):
            return before
        return following if following < len(self.indices) else None

    def at_most(self, transaction: int) -> int:
        """The last registered commit that had nothing of a later transaction."""
        return bisect_right(self.indices, transaction) - 1

    def _same(self, one: int, other: int) -> bool:
        return self.history.commits[one].rows == self.history.commits[other].rows


class Truth:
    """The record read as histories."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.logs = {source: Logged(record, source) for source in record.writers}
        self._timelines: dict[tuple[str, str], Timeline] = {}
        self._documents: dict[tuple[str, Page], Expected] = {}
        self._accidents: dict[tuple[str, str], list[Accident]] = {}

    def timeline(self, tenant: str, source: str) -> Timeline:
        """A tenant's documents at each registered commit of a source."""
        if (tenant, source) not in self._timelines:
            log = self.logs[source]
            views = [self.view(log.writer, index, tenant) for index in log.indices]
            waiting = [accident.commit for accident in self.accidents(tenant, source)]
            self._timelines[tenant, source] = Timeline(views, waiting)
        return self._timelines[tenant, source]

    def view(self, writer: Writer, index: int, tenant: str) -> View:
        """A tenant's documents after a transaction."""
        pages = writer.history.of_tenant(index, tenant).values()
        documents = [self._expected(writer, page) for page in pages]
        return {document.document: document for document in documents}

    def _expected(self, writer: Writer, page: Page) -> Expected:
        asked = (writer.history.source, page)
        if asked not in self._documents:
            self._documents[asked] = writer.expected(page)
        return self._documents[asked]

    def accidents(self, tenant: str, source: str) -> list[Accident]:
        """The accidents of a tenant."""
        if (tenant, source) not in self._accidents:
            commits = self.logs[source].history.commits
            found = [
                self._accident(tenant, source, index)
                for index, commit in enumerate(commits)
                if tenant in commit.accidents
            ]
            self._accidents[tenant, source] = [accident for accident in found if accident is not None]
        return self._accidents[tenant, source]

    def _accident(self, tenant: str, source: str, index: int) -> Accident | None:
        log = self.logs[source]
        commit = bisect_left(log.indices, index)
        if commit == 0 or commit == len(log.indices):
            return None
        lost = log.history.of_tenant(index - 1, tenant).keys() - log.history.of_tenant(index, tenant).keys()
        mended = next(
            (n for n in range(index, len(log.history.commits)) if lost <= log.history.commits[n].rows.keys()),
            None,
        )
        until = log.history.commits[mended].began if mended is not None else None
        happened = log.history.commits[index].ended
        decisions = [
            (c.began, c.ended)
            for c in self.record.confirmed
            if c.tenant == tenant and c.began > happened and (until is None or c.ended < until)
        ]
        mended_commit = None if mended is None else bisect_left(log.indices, mended)
        return Accident(commit, mended_commit, decisions[0] if decisions else None)

    def is_anothers(self, tenant: str, source: str, key: str, commit: int) -> bool:
        """Whether a document was another tenant's, and not this one's, at a registered commit."""
        return any(
            key in self.timeline(other, source).views[commit]
            for other, sources in self.record.sources.items()
            if other != tenant and source in sources
        )
