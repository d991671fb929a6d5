"""From the log's messages to changes of the rows that are kept: by identity, with the kept columns alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.sources.postgres.catalog import check_columns
from pipelines.sources.postgres.layout import Layout, TableLayout
from pipelines.sources.postgres.messages import (
    UNCHANGED,
    Delete,
    Insert,
    Relation,
    RowMessage,
    Truncate,
    Update,
    Value,
    Values,
)
from pipelines.sources.postgres.packed_values import digest


class NotKept(Exception):
    """The log says less than is needed, and what it leaves out was not kept: only a new snapshot is honest."""


@dataclass(frozen=True, slots=True)
class Put:
    """A row came, or changed: `before` is the identity that it had, None for one that came.

    `values` are those of the layout's columns; UNCHANGED where the log does not repeat a large value.
    """

    relation: str
    identity: str
    before: str | None
    values: Values

    @property
    def partial(self) -> bool:
        """Whether values are left out."""
        return any(value is UNCHANGED for value in self.values)

    def whole_values(self) -> list[bytes | None]:
        """The values of a row that leaves none out."""
        return [value for value in self.values if value is not UNCHANGED]

    @property
    def size(self) -> int:
        """Bytes, about."""
        return sum(len(value) for value in self.values if isinstance(value, bytes))


@dataclass(frozen=True, slots=True)
class Gone:
    """A row went."""

    relation: str
    identity: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Emptied:
    """Every row of a table went."""

    relation: str
    size: int = 0


RowEvent = Put | Gone | Emptied


class RowEvents:
    """Reads row messages by the tables as they were at that place in the log."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._relations: dict[int, Relation] = {}
        self._places: dict[int, tuple[list[int], list[int]]] = {}

    def learn(self, relation: Relation) -> None:
        """A table is like this from here on."""
        self._relations[relation.oid] = relation
        self._places.pop(relation.oid, None)

    def events(self, message: RowMessage) -> Iterator[RowEvent]:
        """What a message says of our tables; nothing for any other's. Raises SchemaDrift, NotKept."""
        touched = message.relations if isinstance(message, Truncate) else (message.relation,)
        if any(map(self._layout.is_ancestor, touched)):
            raise NotKept("a table was published under the name of one that it is a partition of")
        if isinstance(message, Truncate):
            for oid in message.relations:
                if (emptied := self._layout.relation_of(oid)) is not None:
                    yield Emptied(emptied)
            return
        relation = self._layout.relation_of(message.relation)
        if relation is not None:
            yield self._event(relation, message)

    def _event(self, relation: str, message: Insert | Update | Delete) -> RowEvent:
        identity, columns = self._positions(relation, message.relation)
        if isinstance(message, Delete):
            return Gone(relation, self._identity(relation, identity, message.old))
        if isinstance(message, Insert):
            return Put(
                relation, self._identity(relation, identity, message.new), None, _at(message.new, columns)
            )
        new = message.new if message.old is None else self._filled(message, identity)
        now = self._identity(relation, identity, new)
        before = now if message.old is None else self._identity(relation, identity, message.old)
        return Put(relation, now, before, _at(new, columns))

    def _filled(self, update: Update, identity: Sequence[int]) -> Values:
        """The new row with what the old one says of values that it leaves out."""
        assert update.old is not None
        given = identity if update.old_is_key else range(len(update.old))
        old = update.old
        return tuple(
            old[place] if value is UNCHANGED and place in given else value
            for place, value in enumerate(update.new)
        )

    def _identity(self, relation: str, places: Sequence[int], values: Values) -> str:
        found = [values[place] for place in places]
        whole = [value for value in found if value is not UNCHANGED]
        if len(whole) < len(found) or all(value is None for value in whole):
            raise NotKept(
                f"the log does not say which row of table {self._layout.of(relation).spelled} changed: its "
                "replica identity was another for a while"
            )
        return digest(whole)

    def _positions(self, relation: str, oid: int) -> tuple[list[int], list[int]]:
        if oid not in self._places:
            table, seen = self._layout.of(relation), self._relations[oid]
            self._places[oid] = _places(table, seen)
        return self._places[oid]


def _places(table: TableLayout, seen: Relation) -> tuple[list[int], list[int]]:
    names = [column.name for column in seen.columns]
    check_columns(table.spelled, [*table.identity, *table.columns], names, " any more")
    types = {column.name: column.type_oid for column in seen.columns}
    if retyped := [n for n, t in zip(table.columns, table.declared, strict=True) if types[n] != t]:
        raise NotKept(f"column {', '.join(retyped)} of table {table.spelled} has another type from there on")
    return [names.index(name) for name in table.identity], [names.index(name) for name in table.columns]


def _at(values: Values, places: Sequence[int]) -> tuple[Value, ...]:
    return tuple(values[place] for place in places)
