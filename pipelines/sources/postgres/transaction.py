"""One transaction's row changes, applied in order to the rows that are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.sources.postgres.composing import is_whole
from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.layout import PAGE, SECTION
from pipelines.sources.postgres.messages import UNCHANGED
from pipelines.sources.postgres.packed_values import unpack
from pipelines.sources.postgres.row_events import Emptied, Gone, NotKept, Put, RowEvent
from pipelines.sources.postgres.spill import Spill
from pipelines.sources.source import Heads
from registry.source_rows import KeptRow

BATCH_EVENTS = 500
BATCH_BYTES = 4 * 2**20


@dataclass(slots=True)
class Transaction:
    """Collects what a transaction did, then says what that means. Reads the heads only before `settle` ends.

    What is kept is read from the heads, which still stand before this transaction; nothing is asked of the
    table, which may have moved on.
    """

    documents: Documents
    heads: Heads
    spill: Spill
    _events: list[RowEvent] = field(default_factory=list)
    _bytes: int = 0

    def add(self, event: RowEvent) -> None:
        """The next change of a row. Raises NotKept."""
        self._events.append(event)
        self._bytes += event.size
        if len(self._events) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES:
            self._apply()

    def settle(self) -> bool:
        """All changes are there: finds every document that they touch; False where they touch none.

        Raises NotKept.
        """
        self._apply()
        self._load_what_is_joined()
        if self.documents.options.tenant_column is not None:
            self.spill.label_sections()
        self._check()
        return not self.spill.is_empty()

    def _check(self) -> None:
        """Raises NotKept where a document needs values that were not kept: only an erased tenant's may."""
        if not self.spill.lacks_values():
            return
        for label in self.spill.labels_without_keys():
            if not self.heads.erased(label):
                raise NotKept(f"a page of tenant {label!r} was an erased tenant's")
        for keys in self.spill.touched_keys():
            for key in keys:
                for page in self.spill.pages(key):
                    if not is_whole(page, self.spill) and not self.heads.erased(page.label):
                        raise NotKept(f"document {key!r} needs a value that was not kept")

    def _load_what_is_joined(self) -> None:
        rows = self.heads.rows
        if self.documents.layout.section is not None:
            for links in self.spill.touched_links():
                self.spill.load(rows.with_link(PAGE, links))
            self.spill.touch_pages_of_touched_links()
        for keys in self.spill.touched_keys():
            self.spill.load(rows.with_key(PAGE, keys))
        if self.documents.layout.section is not None:
            for links in self.spill.links_of_touched_pages():
                self.spill.load(rows.with_link(SECTION, links))

    def _apply(self) -> None:
        events, self._events, self._bytes = self._events, [], 0
        self._load_before(events)
        for event in events:
            if isinstance(event, Put):
                self._put(event)
            elif isinstance(event, Gone):
                self.spill.remove(self._known(event.relation, event.identity))
            else:
                self.spill.remove_all(event.relation, self.heads.rows.every(event.relation))

    def _load_before(self, events: list[RowEvent]) -> None:
        """What the batch's rows were. Bodies only where a change leaves values out: others are overwritten."""
        for relation in (PAGE, SECTION):
            wanted: dict[str, bool] = {}
            for event in events:
                if isinstance(event, Emptied) or event.relation != relation:
                    continue
                identity = event.before if isinstance(event, Put) else event.identity
                if identity is not None and not self.spill.is_known(relation, identity):
                    wanted[identity] = wanted.get(identity, False) or (
                        isinstance(event, Put) and event.partial
                    )
            for bodies in (True, False):
                identities = [identity for identity, needed in wanted.items() if needed is bodies]
                self.spill.load(self.heads.rows.with_identity(relation, identities, bodies=bodies))

    def _put(self, event: Put) -> None:
        before = None if event.before is None else self._known(event.relation, event.before)
        if before is not None and event.before != event.identity:
            self.spill.remove(before)
        self.spill.put(self._filled(event, before))

    def _filled(self, event: Put, before: KeptRow | None) -> KeptRow:
        """The row with the values that its change left out; without any where those were not kept."""
        if not event.partial:
            return self._labelled(
                self.documents.kept(event.relation, event.identity, event.whole_values()), before
            )
        if before is None:
            raise NotKept(f"a new {event.relation} leaves values out")
        if before.body is None:
            return self._stub(event, before)
        kept = unpack(before.body)
        values = tuple(old if new is UNCHANGED else new for new, old in zip(event.values, kept, strict=True))
        return self._labelled(self.documents.kept(event.relation, event.identity, values), before)

    def _stub(self, event: Put, before: KeptRow) -> KeptRow:
        # Enough to know whose it is and what it is called; `check` decides whether that is enough.
        values = [b"" if value is UNCHANGED else value for value in event.values]
        named = dict(zip(self.documents.layout.of(event.relation).columns, event.values, strict=True))
        options = self.documents.options
        for needed in (
            (options.key, options.tenant_column) if event.relation == PAGE else (options.child_parent,)
        ):
            if needed is not None and named[needed] is UNCHANGED:
                raise NotKept(f"a {event.relation} of an erased tenant leaves out {needed}")
        row = self.documents.kept(event.relation, event.identity, values)
        return KeptRow(row.relation, row.identity, row.link, row.key, row.label or before.label, None)

    def _labelled(self, row: KeptRow, before: KeptRow | None) -> KeptRow:
        if row.relation == PAGE or before is None:
            return row
        return KeptRow(row.relation, row.identity, row.link, row.key, before.label, row.body)

    def _known(self, relation: str, identity: str) -> KeptRow:
        row = self.spill.present(relation, identity)
        if row is None:
            raise NotKept(f"a {relation} changed that was not known")
        return row
