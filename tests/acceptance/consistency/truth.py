"""What was so, from the writers' histories alone, at the positions that the change log names."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.acceptance.consistency.history import History
from tests.acceptance.consistency.pages import Page
from tests.acceptance.consistency.record import Audited, Record, Served
from tests.acceptance.consistency.visibility import Timeline, View
from tests.acceptance.consistency.writer import Expected, Writer


@dataclass
class Accident:
    """A captured commit that took almost everything, with the one that mended it.

    When a person confirmed or rejected it, if anybody did: begun, ended.
    """

    commit: int
    lost: frozenset[str]
    mended: int | None
    confirmed: tuple[int, int] | None
    rejected: tuple[int, int] | None

    def decided_before(self, moment: int | None) -> bool:
        """Whether a person may have decided by then (None: at any time)."""
        decisions = [decision for decision in (self.confirmed, self.rejected) if decision is not None]
        return any(moment is None or began < moment for began, _ in decisions)


class Logged:
    """One source's change log: for each registered commit the transaction that it brought the log to.

    Rows of a tenant that was erased are not captured any more: they make no difference.
    """

    def __init__(self, record: Record, source: str) -> None:
        self._erased = frozenset(record.erased)
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
        return self.differs(one, other) is False

    def differs(self, one: int, other: int) -> bool:
        """Whether the rows after two transactions differ for anybody who is there to see it."""
        before, after = self.history.commits[one].rows, self.history.commits[other].rows
        if before == after:
            return False
        kept = [{k: p for k, p in rows.items() if p.tenant not in self._erased} for rows in (before, after)]
        return not self._erased or kept[0] != kept[1]


@dataclass(frozen=True, slots=True)
class LastGood:
    """The version that was served last, if it must stay, and the first commit that a version may be from."""

    kept: Served | None
    since: int


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
            views = list(self._with_kept(tenant, source))
            waiting = [accident.commit for accident in self.accidents(tenant, source)]
            self._timelines[tenant, source] = Timeline(views, waiting)
        return self._timelines[tenant, source]

    def _with_kept(self, tenant: str, source: str) -> Iterator[View]:
        """The documents at each commit, and what stays although it went: nobody confirmed the mass deletion."""
        log = self.logs[source]
        accidents = {a.commit: a.lost for a in self.accidents(tenant, source) if a.confirmed is None}
        before: View = {}
        kept: dict[str, Expected] = {}
        for commit, index in enumerate(log.indices):
            view = self.view(log.writer, index, tenant)
            lost = accidents.get(commit, frozenset()) & before.keys()
            kept.update({key: replace(before[key], stale=True) for key in lost})
            kept = {key: document for key, document in kept.items() if key not in view}
            yield {**view, **kept}
            before = view

    def view(self, writer: Writer, index: int, tenant: str) -> View:
        """The documents that a source had for a tenant after a transaction."""
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
        first = next(
            (
                made
                for made in self.record.decided
                if made.tenant == tenant and made.began > happened and (until is None or made.ended < until)
            ),
            None,
        )
        when = {first.decision: (first.began, first.ended)} if first is not None else {}
        documents = frozenset(
            self._expected(log.writer, page).document
            for key, page in log.history.of_tenant(index - 1, tenant).items()
            if key in lost
        )
        mended_commit = None if mended is None else bisect_left(log.indices, mended)
        return Accident(commit, documents, mended_commit, when.get("confirmed"), when.get("rejected"))

    def newest(self, tenant: str, source: str) -> View:
        """A tenant's documents when all was quiet: after the last transaction, as far as it is captured."""
        log = self.logs[source]
        view = self.view(log.writer, len(log.history.commits) - 1, tenant)
        kept = self.timeline(tenant, source).views[-1] if log.indices else {}
        return {
            **{key: document for key, document in kept.items() if document.stale and key not in view},
            **view,
        }

    def last_good(self, audited: Audited, source: str, key: str, commit: int) -> LastGood:
        """What a generation may serve of a document that nobody can read at its position.

        What the generation before it served stays, unless the document went in between; a version after that
        one, that could be read, will do as well.
        """
        timeline = self.timeline(audited.tenant, source)
        log, views = self.logs[source], timeline.views
        since = commit
        while since > 0 and key in views[since - 1]:
            since -= 1
        base = self.record.audited.get((audited.tenant, audited.base)) if audited.base is not None else None
        kept = base.documents.get((source, key)) if base is not None else None
        pinned = log.commit(base.positions[source]) if base is not None and kept is not None else None
        if kept is None or pinned is None or pinned < since:
            return LastGood(None, since)
        return LastGood(kept, log.commit(kept.position) or 0)

    def refused(self, tenant: str, source: str) -> frozenset[str]:
        """Documents whose deletion a person rejected, at any time."""
        found = [a.lost for a in self.accidents(tenant, source) if a.rejected is not None]
        return frozenset[str]().union(*found)

    def is_anothers(self, tenant: str, source: str, key: str, commit: int) -> bool:
        """Whether a document was another tenant's, and not this one's, at a registered commit."""
        return any(
            key in self.timeline(other, source).views[commit]
            for other, sources in self.record.sources.items()
            if other != tenant and source in sources
        )
