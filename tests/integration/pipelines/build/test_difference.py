"""Document sets and manifests made by difference are those made from the whole log: random histories.

The other side is a model in plain Python that folds the commits: it knows neither SQL nor the base.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.documents import DocumentSet, document_set
from pipelines.build.manifest import DELETION_REJECTED, manifest
from pipelines.build.preparation import input_digest, needing_preparation
from pipelines.capture.append import append_commit
from pipelines.sources.source import Change, Commit, Delete, Unreadable, Upsert
from registry import changelog, generations, models, tenants
from registry.changelog import DocumentKey, PinnedAt
from registry.database import Registry
from registry.schema import Change as ChangeRow
from registry.schema import Generation, ParsedDocument, TenantCommit
from tests.support.registry_rows import Model, add_source

START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIGURATION = BuildConfiguration("p1", "c1", "t1", 256, "english-1", Model.id, 1)
UNREADABLE = "unreadable"
KEYS = "abc"
TEXTS = ("one", "two", "broken-for-p1", "broken-for-p2")
_names = itertools.count()


@dataclass(frozen=True)
class Step:
    """What a commit does: key to text, `None` for a deletion, `UNREADABLE`, or `>b` for a rename to b."""

    source: int
    does: dict[str, str | None]
    snapshot: bool = False
    rejected: bool = False


STEPS = st.builds(
    Step,
    st.integers(0, 1),
    st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(
            st.sampled_from(TEXTS),
            st.none(),
            st.just(UNREADABLE),
            st.sampled_from([f">{key}" for key in KEYS]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([False] * 5 + [True]),
    st.sampled_from([False] * 3 + [True]),
)
HISTORIES = st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=1, max_size=5)
# Before each build: the parser's version, and whether the second source is still there.
BUILDS = st.lists(st.tuples(st.sampled_from(["p1", "p1", "p2"]), st.booleans()), min_size=5, max_size=5)


@dataclass(frozen=True)
class Version:
    """A version in the model: the commit that made it, what it says, whether its deletion was rejected."""

    seq: int
    text: str
    kept: bool = False


class Folded:
    """One source as the model knows it. `ended` notes when each key was truly deleted."""

    def __init__(self) -> None:
        self.there: dict[str, Version] = {}
        self.absent: set[str] = set()  # deleted at the source, also where the deletion was rejected
        self.ended: dict[str, list[int]] = {}

    def present(self) -> dict[str, Version]:
        return {key: version for key, version in self.there.items() if key not in self.absent}

    def apply(self, seq: int, changes: Sequence[Change], rejected: bool) -> None:
        before = self.present()
        arriving = {c.key: said(c) for c in changes if not isinstance(c, Delete)}
        appeared = {
            text
            for key, text in arriving.items()
            if text != UNREADABLE and not (key in before and before[key].text == text)
        }
        for change in changes:
            if isinstance(change, Delete) and change.key in before:
                # A rename is none of the deletions that a person decides on.
                if rejected and before[change.key].text not in appeared:
                    self.there[change.key] = replace(self.there[change.key], kept=True)
                    self.absent.add(change.key)
                else:
                    del self.there[change.key]
                    self.ended.setdefault(change.key, []).append(seq)
        for key, text in arriving.items():
            if not (key in before and before[key].text == text):
                self.there[key] = Version(seq, text)
                self.absent.discard(key)


def said(change: Change) -> str:
    return change.content.decode() if isinstance(change, Upsert) else UNREADABLE


@dataclass(frozen=True)
class Row:
    """What both sides say of one document."""

    state: str
    served: int | None
    wanted: int
    failed: bool
    rejected: bool


class History:
    """Two sources of a tenant of its own, the model beside them, and the generations built so far."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.tenant = tenants.create(session, f"tenant-{next(_names)}", START).id
        self.sources = [add_source(session, self.tenant, f"docs-{n}") for n in range(2)]
        self.models = [Folded(), Folded()]
        self.pinned = [0, 0]
        self.built: dict[DocumentKey, Row] = {}
        self.base: Generation | None = None
        self.parsed_by: str | None = None
        self.commits = 0
        models.register(session, Model(), START)

    def commit(self, step: Step) -> None:
        model, source = self.models[step.source], self.sources[step.source]
        changes = resolved(step, model.present())
        if not changes:
            return
        self.commits += 1
        at = START + timedelta(minutes=self.commits)
        commit = Commit(f"c{self.commits}", at, changes, snapshot=step.snapshot)
        before = source.last_seq
        append_commit(self.session, source, commit, at)
        if source.last_seq == before:
            return
        seq = source.last_seq
        if step.rejected:
            changelog.set_hold(self.session, self.tenant, source.id, [seq], "rejected", "a person", at)
        gone = set(model.present()) - {change.key for change in changes} if step.snapshot else set()
        model.apply(seq, [*changes, *map(Delete, sorted(gone))], step.rejected)

    def pins(self, both: bool) -> list[PinnedAt]:
        """The newest commit of each source; a source without one has no pin, a removed one neither."""
        found = []
        for source in self.sources if both else self.sources[:1]:
            query = select(TenantCommit).where(TenantCommit.source_id == source.id, TenantCommit.seq > 0)
            newest = self.session.scalars(query.order_by(TenantCommit.seq.desc())).first()
            if newest is not None:
                found.append(
                    PinnedAt(source.id, newest.seq, newest.epoch, newest.position, newest.committed_at, True)
                )
        return found

    def expected(self, pins: Sequence[PinnedAt], parser: str) -> dict[DocumentKey, Row]:
        """The manifest by the model: the version at the pin, the last served one, or quarantine."""
        found = {}
        for number, source in enumerate(self.sources):
            if source.id not in {pin.source_id for pin in pins}:
                continue
            model = self.models[number]
            for key, version in model.there.items():
                document = DocumentKey(source.id, key)
                found[document] = self._decided(document, version, model, number, parser)
        return found

    def _decided(
        self, document: DocumentKey, version: Version, model: Folded, number: int, parser: str
    ) -> Row:
        if reads(version.text, parser):
            state = "stale" if version.kept else "live"
            return Row(state, version.seq, version.seq, False, version.kept)
        before = self.built.get(document)
        returned = any(seq > self.pinned[number] for seq in model.ended.get(document.key, ()))
        if before is None or before.served is None or returned:
            return Row("quarantined", None, version.seq, True, False)
        if not reads(self._text(document, before.served), parser):
            return Row("quarantined", None, version.seq, True, False)
        return Row("stale", before.served, version.seq, True, False)

    def _text(self, document: DocumentKey, seq: int) -> str:
        query = select(ChangeRow).where(
            ChangeRow.source_id == document.source_id, ChangeRow.key == document.key, ChangeRow.seq == seq
        )
        found = self.session.scalars(query.where(ChangeRow.op != "delete")).one()
        return self.texts[found.content_sha256] if found.op == "upsert" else UNREADABLE

    @property
    def texts(self) -> dict[str, str]:
        from pipelines.sources.fingerprint import content_digest

        return {content_digest(text.encode()): text for text in TEXTS}

    def seqs(self, ids: Sequence[int]) -> dict[int, int]:
        return {i: change.seq for i, change in changelog.changes_by_id(self.session, list(ids)).items()}

    def build(self, pins: list[PinnedAt], parser: str) -> tuple[DocumentSet, dict[DocumentKey, Row]]:
        """What the product makes of it, by difference from the base, written as the next generation."""
        configuration = replace(CONFIGURATION, parser=parser)
        base_hash = (
            None if self.parsed_by is None else replace(CONFIGURATION, parser=self.parsed_by).parse_hash
        )
        documents = document_set(self.session, self.tenant, self.base, pins)
        ids = needing_preparation(documents.wanted, configuration.parse_hash, base_hash)
        self._prepare(ids, configuration)
        rows = manifest(self.session, self.tenant, documents.wanted, configuration.parse_hash, base_hash)
        seqs = self.seqs([i for row in rows for i in (row.wanted_id, row.change_id) if i is not None])
        found = {
            DocumentKey(row.source_id, row.key): Row(
                row.state,
                None if row.change_id is None else seqs[row.change_id],
                seqs[row.wanted_id],
                row.failed,
                row.error == DELETION_REJECTED,
            )
            for row in rows
        }
        self._publish(rows, pins)
        self.built, self.parsed_by = found, parser
        self.pinned = [next((p.seq for p in pins if p.source_id == s.id), 0) for s in self.sources]
        return documents, found

    def _prepare(self, ids: Sequence[int], configuration: BuildConfiguration) -> None:
        for change in changelog.changes_by_id(self.session, list(ids)).values():
            mark = {"input_sha256": input_digest(change), "build": configuration.parse_hash}
            query = select(ParsedDocument).filter_by(tenant_id=self.tenant, **mark)
            if change.op == "upsert" and self.session.scalars(query).first() is None:
                fails = not reads(self.texts[change.content_sha256], configuration.parser)
                chunks, error = (0, "broken") if fails else (1, "")
                self.session.add(ParsedDocument(tenant_id=self.tenant, chunks=chunks, error=error, **mark))
        self.session.flush()

    def _publish(self, rows: Sequence[Any], pins: list[PinnedAt]) -> None:
        number = self.base.number if self.base else None
        self.base = generations.begin(
            self.session, self.tenant, identity="", base=number, build={}, model_id=Model.id,
            average_length_step=0, pins=pins, fencing_token=1, run="run", now=START,
        )  # fmt: skip
        generations.add_documents(self.session, [row.as_row(self.tenant, self.base.number) for row in rows])
        self.session.flush()


def resolved(step: Step, present: dict[str, Version]) -> list[Change]:
    """The step as changes of one commit, at most one a key, as a source would say it."""
    changes: dict[str, Change] = {}
    for key, what in step.does.items():
        if key in changes:
            continue
        if what is None:
            if key in present and not step.snapshot:
                changes[key] = Delete(key)
        elif what == UNREADABLE:
            changes[key] = Unreadable(key, "no permission")
        elif not what.startswith(">"):
            changes[key] = put(key, what)
        elif moves(key, what[1:], step, present, changes):
            changes[key] = Delete(key)
            changes[what[1:]] = put(what[1:], present[key].text)
    return list(changes.values())


def moves(key: str, to: str, step: Step, present: dict[str, Version], changes: dict[str, Change]) -> bool:
    free = to not in changes and to not in step.does
    return free and not step.snapshot and key in present and present[key].text != UNREADABLE


def put(key: str, text: str) -> Upsert:
    return Upsert(key=key, title="", uri="", content=text.encode(), media_type="text/plain")


def reads(text: str, parser: str) -> bool:
    return text != UNREADABLE and not (text.startswith("broken") and parser in text)


def of(does: dict[str, str | None], *, rejected: bool = False, snapshot: bool = False) -> Step:
    """A commit of the first source."""
    return Step(0, does, snapshot, rejected)


BOTH = [("p1", True)] * 5
AGAIN = [("p1", True), ("p1", True), ("p2", True), ("p1", True), ("p1", True)]
FIRST = of({"a": "one", "b": "two"})


@example([[FIRST], [of({"a": None}), of({"a": UNREADABLE})], [of({"c": "one"})]], BOTH)
@example([[FIRST], [of({"a": None}), of({"a": "broken-for-p1"})]], BOTH)
@example([[FIRST], [of({"a": ">c"}), of({"a": UNREADABLE})], [of({"c": ">a"})]], BOTH)
@example([[FIRST], [of({"a": None}, rejected=True)], [of({"b": "one"})], [of({"a": "two"})]], BOTH)
@example([[FIRST], [of({"a": None}, rejected=True), of({"a": UNREADABLE})], [of({"c": "one"})]], BOTH)
@example([[FIRST], [of({"a": None}, rejected=True), of({"a": "two"})]], BOTH)
@example([[FIRST], [of({"a": None}, rejected=True), of({"b": None})], [of({"c": "one"})]], AGAIN)
@example([[FIRST], [of({"a": ">c", "b": None}, rejected=True)], [of({"c": UNREADABLE})]], BOTH)
@example([[FIRST], [of({"a": ">c", "b": None}, rejected=True), of({"a": UNREADABLE})]], BOTH)
@example([[FIRST], [of({"a": UNREADABLE})], [of({"c": "one"})], [of({"a": "one"})]], BOTH)
@example([[of({"a": "broken-for-p2"})], [of({"a": UNREADABLE})], [of({"b": "one"})]], AGAIN)
@example([[FIRST], [of({"c": "broken-for-p2"})], [of({"b": "one"})], [of({"b": None})]], AGAIN)
@example([[FIRST], [of({"b": "one"}, snapshot=True)], [of({"a": "one"}, snapshot=True)]], BOTH)
@example(
    [[FIRST, Step(1, {"a": "two"})], [of({"c": "one"})], [of({"c": "two"})]],
    [("p1", n != 1) for n in range(5)],
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES, BUILDS)
def test_by_difference_is_from_the_whole_log(
    registry: Registry, history: list[list[Step]], builds: list[tuple[str, bool]]
) -> None:
    with registry.write() as session:
        told = History(session)
        for steps, (parser, both) in zip(history, builds, strict=False):
            for step in steps:
                told.commit(step)
            check_build(told, parser, both)


def check_build(told: History, parser: str, both: bool) -> None:
    pins, before = told.pins(both), dict(told.built)
    expected = told.expected(pins, parser)
    whole = document_set(told.session, told.tenant, None, pins)
    documents, found = told.build(pins, parser)
    assert [(w.document, w.change_id, w.kept) for w in documents.wanted] == [
        (w.document, w.change_id, w.kept) for w in whole.wanted
    ]
    assert {DocumentKey(row.source_id, row.key) for row in documents.gone} == before.keys() - found.keys()
    assert documents.added == len(found.keys() - before.keys())
    assert documents.changed == sum(found[k].wanted != before[k].wanted for k in found.keys() & before.keys())
    assert not whole.gone
    assert found == expected
