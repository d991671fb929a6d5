"""The rows that are kept of a source's tables, read before a commit and written in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import ColumnElement, LargeBinary, delete, null, select, tuple_
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from registry.schema import SourceRow

# SQLite takes 32,766 variables, and a row has eight; the rest is for rows that are large.
BATCH = 500
_FETCHED = 50  # rows held at once, each as large as a document


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row as it stands after a commit. `label` is what a shared source's tenant column says.

    `body` holds the values in the source's own encoding; None where they are not kept (an erased tenant's)
    or were not asked for.
    """

    relation: str
    identity: str
    link: str
    key: str
    label: str | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class GoneRow:
    """A row that is gone after a commit."""

    relation: str
    identity: str


RowChange = KeptRow | GoneRow


class SourceRows:
    """One source's rows, read on demand and a few at a time."""

    def __init__(self, session: Session, source_id: int) -> None:
        self._session = session
        self._source_id = source_id

    def with_identity(
        self, relation: str, identities: Iterable[str], *, bodies: bool = True
    ) -> Iterator[KeptRow]:
        """The rows with these identities, in no order."""
        yield from self._matching(relation, SourceRow.identity, identities, bodies=bodies)

    def with_key(self, relation: str, keys: Iterable[str]) -> Iterator[KeptRow]:
        """The rows that make the documents with these keys, in no order."""
        yield from self._matching(relation, SourceRow.key, keys)

    def with_link(self, relation: str, links: Iterable[str]) -> Iterator[KeptRow]:
        """The rows that are joined by these links, in no order."""
        yield from self._matching(relation, SourceRow.link, links)

    def every(self, relation: str) -> Iterator[KeptRow]:
        """All rows of a relation, without their bodies."""
        yield from self._select(SourceRow.relation == relation, bodies=False)

    def _matching(
        self,
        relation: str,
        column: InstrumentedAttribute[str],
        values: Iterable[str],
        *,
        bodies: bool = True,
    ) -> Iterator[KeptRow]:
        iterator = iter(values)
        while batch := list(islice(iterator, BATCH)):
            yield from self._select((SourceRow.relation == relation) & column.in_(batch), bodies=bodies)

    def _select(self, where: ColumnElement[bool], *, bodies: bool) -> Iterator[KeptRow]:
        body = SourceRow.body if bodies else sql_cast(null(), LargeBinary)
        query = (
            select(
                SourceRow.relation, SourceRow.identity, SourceRow.link, SourceRow.key, SourceRow.label, body
            )
            .where(SourceRow.source_id == self._source_id, where)
            .execution_options(yield_per=_FETCHED)
        )
        for row in self._session.execute(query):
            yield KeptRow(*row)


def write(session: Session, source_id: int, rows: Sequence[tuple[KeptRow, str]]) -> None:
    """Add rows or put them in place of what was there; each with its scope."""
    if not rows:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(SourceRow)
    values = ("link", "key", "label", "scope", "body")
    replacing = statement.on_conflict_do_update(
        index_elements=["source_id", "relation", "identity"],
        set_={name: statement.excluded[name] for name in values},
    )
    session.execute(
        replacing,
        [
            {
                "source_id": source_id, "relation": row.relation, "identity": row.identity, "link": row.link,
                "key": row.key, "label": row.label, "scope": scope, "body": row.body,
            }
            for row, scope in rows
        ],
    )  # fmt: skip


def forget(session: Session, source_id: int, rows: Sequence[GoneRow]) -> None:
    """Delete these rows."""
    for start in range(0, len(rows), BATCH):
        named = [(row.relation, row.identity) for row in rows[start : start + BATCH]]
        session.execute(
            delete(SourceRow).where(
                SourceRow.source_id == source_id,
                tuple_(SourceRow.relation, SourceRow.identity).in_(named),
            )
        )


def forget_all(session: Session, source_id: int) -> None:
    """Delete every row of a source."""
    session.execute(delete(SourceRow).where(SourceRow.source_id == source_id))
