"""Documents composed anew from the rows as a transaction leaves them: one change for each that it touched."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.sources.postgres.documents import Documents
from pipelines.sources.postgres.spill import Spill
from pipelines.sources.source import Change, Delete, Unreadable
from registry.source_rows import KeptRow


def changes(documents: Documents, spill: Spill) -> Iterator[Change]:
    """Net changes in key order, a page's sections in memory at a time."""
    for keys in spill.touched_keys():
        for key in keys:
            if change := _change(documents, spill, key):
                yield change


def is_whole(page: KeptRow, spill: Spill) -> bool:
    """Whether the values of a page and of all its sections are there."""
    return page.body is not None and all(section.body is not None for section in _sections(page, spill))


def _change(documents: Documents, spill: Spill, key: str) -> Change | None:
    pages = spill.pages(key)
    if not pages:
        return Delete(key) if spill.was_there(key) else None
    if len(pages) > 1:
        return Unreadable(key, "several rows have this key; keys must be unique", pages[0].label)
    page = pages[0]
    if not is_whole(page, spill):
        return Unreadable(key, "it belongs to a tenant that was erased", page.label)
    return documents.document(page, _sections(page, spill))


def _sections(page: KeptRow, spill: Spill) -> list[KeptRow]:
    return spill.sections(page.link) if page.link else []
