"""What a position in the log is worth: the server, slot, publication and tables that it was read with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.errors import SchemaDrift
from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres import publication
from pipelines.sources.postgres.catalog import describe, marked
from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.layout import Layout
from pipelines.sources.postgres.server import Connection, ServerIdentity, ServerState
from pipelines.sources.postgres.slot import SlotState

# Options that change what is kept or made of a row.
_MEANING = {
    "table", "key", "body", "title", "url", "metadata", "tenant_column", "format", "publication", "child_table",
    "child_parent", "child_order", "child_body", "child_title", "child_references",
}  # fmt: skip


# Counted up whenever `as_state` gives something else: what an older version wrote begins a new epoch.
STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Following:
    """How the log is read. `marks` change whenever what is kept can no longer be trusted to equal the tables:
    a column's type, number or history, the replica identity, the publication's membership, the options.
    `files` (by table OID) change when the tables are rewritten or emptied, too."""

    server: ServerIdentity
    documents: Documents
    marks: Mapping[str, str]
    filters: dict[int, str]
    files: Mapping[int, int]

    def as_state(self) -> dict[str, Any]:
        """JSON-able, for the cursor."""
        return {
            "version": STATE_VERSION,
            "server": asdict(self.server),
            "layout": self.documents.layout.as_state(),
            "marks": dict(self.marks),
        }


def following(
    connection: Connection, state: ServerState, options: PostgresOptions, published: str
) -> Following:
    """How the log can be read from now on. Raises SchemaDrift, SourceError where it cannot."""
    layout, tables = describe(connection, state.database, options)
    found = publication.check(connection, published, tables)
    marks = {"options": marked(options.model_dump(mode="json", include=_MEANING)), "publication": found.mark}
    for relation, table in zip(("table", "child_table"), tables, strict=False):
        marks[f"{relation}: columns"] = table.columns
        marks[f"{relation}: replica identity"] = table.identity
        marks[f"{relation}: partitions"] = table.partitions
    files = {oid: file for table in tables for oid, file in table.files.items()}
    return Following(state.identity, Documents(layout, options), marks, found.filters, files)


def kept_documents(state: Mapping[str, Any], options: PostgresOptions) -> Documents:
    """How rows were read up to a cursor, whatever has become of the tables since."""
    return Documents(Layout.from_state(state["layout"]), options)


def is_readable(state: Mapping[str, Any]) -> bool:
    """Whether a cursor's state was written by `as_state`, and by a version that wrote what this one does."""
    return state.get("version") == STATE_VERSION


def broken_history(
    position: int, state: Mapping[str, Any], server: ServerState, slot: SlotState | None
) -> str:
    """Why the log cannot be read on from a position; empty where it can."""
    if not is_readable(state):
        return "the position is not one that this version writes"
    before = ServerIdentity(**state["server"])
    if before.system != server.identity.system:
        return "it is another server (its system identifier is another)"
    if before.timeline != server.identity.timeline:
        return f"the server failed over or was restored (timeline {before.timeline} to {server.identity.timeline})"
    if server.flushed < position:
        return "the server's log ends before the position: it was restored"
    if slot is None:
        return "the replication slot is gone"
    if slot.lost:
        return "the server gave the replication slot up (wal_status lost): what it had retained is gone"
    if slot.confirmed > position:
        return "the replication slot was read by something else, or is a new one"
    return ""


def changed_marks(state: Mapping[str, Any], now: Following) -> str:
    """What has changed about the tables; empty where nothing did. Raises SchemaDrift where a name without a
    schema means the table of another schema now: that may be anybody's."""
    if not is_readable(state):
        return ""
    before: Mapping[str, str] = state["marks"]
    if before["options"] == now.marks["options"]:
        _check_schemas(Layout.from_state(state["layout"]), now.documents.layout)
    changed = [name for name, mark in now.marks.items() if before.get(name) != mark]
    return f"changed at the source: {', '.join(changed)}" if changed else ""


def _check_schemas(before: Layout, now: Layout) -> None:
    followed = {"table": (before.page, now.page), "child_table": (before.section, now.section)}
    for option, (then, table) in followed.items():
        if then and table and then.oid != table.oid and then.schema != table.schema:
            raise SchemaDrift(
                f"table {table.name} was that of schema {then.schema} and is that of schema {table.schema} now (the "
                "role's search path changed, or a table that comes first in it was made): name the one that is "
                f"meant (`holdfast source set`, --option {option}={then.schema}.{then.name}). What is captured stays"
            )
