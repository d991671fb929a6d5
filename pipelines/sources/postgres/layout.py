"""Which columns of which tables make documents, as found in the catalog and kept with the position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.sources.options import PostgresOptions

PAGE, SECTION = "page", "section"


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table: `identity` tells its rows apart in the log, `columns` (with their type OIDs) are kept.

    `types` say how values are written: those under the domains that are `declared`. `ancestors`: the OIDs of
    the tables that it is a partition of.
    """

    oid: int
    schema: str
    name: str
    identity: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[int, ...]
    declared: tuple[int, ...]
    ancestors: tuple[int, ...]

    def type_of(self, column: str) -> int:
        """The OID of the type of a column that is kept; what lies under it where that is a domain."""
        return self.types[self.columns.index(column)]

    @property
    def spelled(self) -> str:
        """As people write it."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The table of documents, and that of their sections where there is one."""

    database: str
    page: TableLayout
    section: TableLayout | None

    def of(self, relation: str) -> TableLayout:
        """The table of pages or sections."""
        table = self.page if relation == PAGE else self.section
        assert table is not None
        return table

    def relation_of(self, oid: int) -> str | None:
        """Whether the table with this OID holds pages or sections; None for any other."""
        if oid == self.page.oid:
            return PAGE
        return SECTION if self.section is not None and oid == self.section.oid else None

    def is_ancestor(self, oid: int) -> bool:
        """Whether either is a partition, however far down, of the table with this OID."""
        tables = (self.page,) if self.section is None else (self.page, self.section)
        return any(oid in table.ancestors for table in tables)

    def as_state(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Layout:
        """What `as_state` gave."""
        section = state["section"]
        return cls(state["database"], _table(state["page"]), None if section is None else _table(section))


def page_columns(options: PostgresOptions) -> tuple[str, ...]:
    """The columns of the documents' table that are kept, each once."""
    named = [options.key, options.body, options.title, options.url, *options.metadata, options.tenant_column]
    reference = reference_column(options) if options.child_table else None
    return tuple(dict.fromkeys(name for name in (*named, reference) if name))


def section_columns(options: PostgresOptions) -> tuple[str, ...]:
    """The columns of the sections' table that are kept, each once."""
    named = (options.child_parent, options.child_order, options.child_title, options.child_body)
    return tuple(dict.fromkeys(name for name in named if name))


def reference_column(options: PostgresOptions) -> str:
    """The column of the documents' table that sections refer to."""
    return options.child_references or options.key


def _table(state: Mapping[str, Any]) -> TableLayout:
    return TableLayout(
        state["oid"],
        state["schema"],
        state["name"],
        tuple(state["identity"]),
        tuple(state["columns"]),
        tuple(state["types"]),
        tuple(state["declared"]),
        tuple(state["ancestors"]),
    )
