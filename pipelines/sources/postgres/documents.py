"""How a row, and the rows of its sections, become one document."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from pipelines.sources.options import PostgresOptions
from pipelines.sources.postgres.column_values import BPCHAR, content, json_value, text
from pipelines.sources.postgres.joining import link, order
from pipelines.sources.postgres.layout import PAGE, SECTION, Layout, TableLayout, reference_column
from pipelines.sources.postgres.packed_values import pack, unpack
from pipelines.sources.source import Unreadable, Upsert
from pipelines.sources.storable import key_flaw, stand_in, value_flaw
from registry.source_rows import KeptRow

MEDIA_TYPES = {
    "markdown": "text/markdown",
    "html": "text/html",
    "rst": "text/x-rst",
    "plain": "text/plain",
}
MAX_LABEL = 60  # characters of a tenant column's value; longer ones can be no tenant's name
KeptValues = Sequence[bytes | None]


class Documents:
    """The mapping that options and layout mean: rows to keep, and documents of kept rows."""

    def __init__(self, layout: Layout, options: PostgresOptions) -> None:
        self.layout = layout
        self.options = options

    def kept(self, relation: str, identity: str, values: KeptValues) -> KeptRow:
        """The row to keep of these values of the layout's columns. A section's label is its page's: not yet known."""
        named = _named(self.layout.of(relation), values)
        if relation == SECTION:
            joined = self._link(SECTION, named, self._option("child_parent"))
            return KeptRow(SECTION, identity, joined, "", None, pack(values))
        joined = self._link(PAGE, named, reference_column(self.options)) if self.layout.section else ""
        return KeptRow(PAGE, identity, joined, self._key(named, identity), self.label(named), pack(values))

    def label(self, named: Mapping[str, bytes | None]) -> str | None:
        """What the tenant column says, None where there is none."""
        if self.options.tenant_column is None:
            return None
        label = text(named[self.options.tenant_column])
        return stand_in(label, 40) if label and (key_flaw(label) or len(label) > MAX_LABEL) else label

    def document(self, page: KeptRow, sections: Iterable[KeptRow]) -> Upsert | Unreadable:
        """The document of a page and its sections, all of which have their bodies."""
        assert page.body is not None
        named = _named(self.layout.page, unpack(page.body))
        raw_key = named[self.options.key]
        if raw_key is None:
            return Unreadable(page.key, "its row has no key", page.label)
        title, url = text(self._named(named, "title")), self._named(named, "url")
        uri = self._uri(page.key) if url is None else text(url)
        types = dict(zip(self.layout.page.columns, self.layout.page.types, strict=True))
        metadata = {name: json_value(named[name], types[name]) for name in self.options.metadata}
        if flaw := key_flaw(text(raw_key)):
            return Unreadable(page.key, f"its key {flaw}", page.label)
        for what, value in (("title", title), ("url", uri), ("metadata", metadata)):
            if flaw := value_flaw(value):
                return Unreadable(page.key, f"its {what} {flaw}", page.label)
        body = self._body(named, types, sections)
        return Upsert(page.key, title, uri, body, MEDIA_TYPES[self.options.format], metadata, page.label)

    def _body(
        self, named: Mapping[str, bytes | None], types: Mapping[str, int], sections: Iterable[KeptRow]
    ) -> bytes:
        own = self.options.body
        lead = content(named[own], types[own]) if own else b""
        if self.layout.section is None:
            return lead
        parts = [lead] if lead.strip() else []
        return b"\n\n".join(parts + self._sections(self.layout.section, sections))

    def _sections(self, table: TableLayout, sections: Iterable[KeptRow]) -> list[bytes]:
        types = dict(zip(table.columns, table.types, strict=True))
        by, body = self._option("child_order"), self._option("child_body")
        ordered = []
        for row in sections:
            assert row.body is not None
            named = _named(table, unpack(row.body))
            heading = self._heading(text(self._named(named, "child_title")))
            written = heading + content(named[body], types[body])
            ordered.append((order(named[by], types[by]), row.identity, written))
        return [written for *_, written in sorted(ordered)]

    def _heading(self, title: str) -> bytes:
        line = " ".join(title.split())
        if not line:
            return b""
        if self.options.format == "html":
            heading = f"<h2>{html.escape(line)}</h2>\n"
        elif self.options.format == "rst":
            heading = f"{line}\n{'-' * (2 * len(line))}\n\n"
        else:
            heading = f"## {line}\n\n" if self.options.format == "markdown" else f"{line}\n\n"
        return heading.encode("utf-8", "surrogateescape")

    def _link(self, relation: str, named: Mapping[str, bytes | None], column: str) -> str:
        return link(named[column], self.layout.of(relation).type_of(column))

    def _key(self, named: Mapping[str, bytes | None], identity: str) -> str:
        value = named[self.options.key]
        if value is None:
            return stand_in(f"\x00 row without a key {identity}", 24)
        name = text(value)
        return stand_in(name) if key_flaw(name) else name

    def _uri(self, key: str) -> str:
        return f"{self.layout.database}/{self.layout.page.spelled}/{quote(key)}"

    def _named(self, named: Mapping[str, bytes | None], option: str) -> bytes | None:
        column = getattr(self.options, option)
        return None if column is None else named[column]

    def _option(self, name: str) -> str:
        column = getattr(self.options, name)
        assert isinstance(column, str)
        return column


def _named(table: TableLayout, values: KeptValues) -> dict[str, bytes | None]:
    """Values by column; those of a char(n) without the blanks that fill it up, which are no part of them."""
    return {
        name: value.rstrip(b" ") if value and kind == BPCHAR else value
        for name, kind, value in zip(table.columns, table.types, values, strict=True)
    }
