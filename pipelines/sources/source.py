"""What every source is to capture: an ordered log of atomic commits, read from a cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from registry.source_rows import KeptRow, RowChange


class Consistency(StrEnum):
    """How far a source's commit can be trusted to be a state that existed."""

    TRANSACTIONAL = "transactional"
    READ_TRANSACTION = "read-transaction"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True)
class Upsert:
    """A document as it stands after a commit. `tenant` is what a shared source's tenant column says."""

    key: str
    title: str
    uri: str
    content: bytes
    media_type: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A document that is gone after a commit. `tenant` may be left out: capture knows the key's tenant."""

    key: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that is there but could not be read: it is quarantined, never taken for a deletion."""

    key: str
    reason: str
    tenant: str | None = None


Change = Upsert | Delete | Unreadable


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where capture stands: the last registered position and the source's own small, JSON-able state."""

    position: str
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change of a source: net, at most one change a key.

    `snapshot` says that the changes are the complete state (the first read, or a new epoch after the
    history was rewritten): capture deletes what it knew and does not find there. `changes` may be a
    one-pass iterator, so that a large commit needs bounded memory. `committed_at` is aware UTC, on the
    source's clock. `rows` are what the source wants kept beside its documents, written in the same
    transaction; with a snapshot they are all there is to keep.
    """

    position: str
    committed_at: datetime
    changes: Iterable[Change]
    snapshot: bool = False
    state: Mapping[str, Any] = field(default_factory=dict)
    rows: Iterable[RowChange] = ()


class Rows(Protocol):
    """The rows that a source had kept, as they stand at its newest captured commit. In no order."""

    def with_identity(
        self, relation: str, identities: Iterable[str], *, bodies: bool = True
    ) -> Iterator[KeptRow]: ...
    def with_key(self, relation: str, keys: Iterable[str]) -> Iterator[KeptRow]: ...
    def with_link(self, relation: str, links: Iterable[str]) -> Iterator[KeptRow]: ...
    def every(self, relation: str) -> Iterator[KeptRow]: ...


class Heads(Protocol):
    """The newest captured state of a source, as the registry knows it."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys of the documents that exist now (unreadable ones included), in key order."""
        ...

    def fingerprint(self, key: str) -> str | None:
        """`fingerprint()` of the newest captured version, None where there is no such document."""
        ...

    @property
    def rows(self) -> Rows:
        """What the source keeps beside its documents."""
        ...

    def erased(self, label: str | None) -> bool:
        """Whether rows with this tenant label belong to an erased tenant: what they said is not kept."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What `holdfast source test` shows: the position a read would reach and how many documents are there."""

    position: str
    documents: int
    consistency: Consistency
    note: str = ""


class Source(Protocol):
    """A place where documents live."""

    consistency: Consistency

    def probe(self) -> Probe:
        """Look without capturing. Raises SourceError where the source cannot be read as configured."""
        ...

    def read(self, cursor: Cursor | None, heads: Heads) -> Iterator[Commit]:
        """Commits after the cursor, oldest first; a snapshot where the cursor is None or no longer valid.

        Raises SourceUnavailable where the source cannot be read now: that is never a deletion.
        """
        ...

    def acknowledge(self, position: str) -> None:
        """Called after the registry committed `position`; an upstream log may be trimmed up to there."""
        ...

    def now(self) -> datetime:
        """The source's own clock, aware UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """How much of its server's log a source's replication slot holds back. Bytes.

    `wal_status` is PostgreSQL's: reserved, extended, unreserved, lost. `safe_wal_size` is what may still be
    written before the server gives the slot up, None where nothing limits it. `limit_bytes` is where a person
    should look. `oldest` is the position of the oldest record that is held back.
    """

    name: str
    wal_status: str
    retained_bytes: int
    safe_wal_size: int | None
    limit_bytes: int
    oldest: str


@runtime_checkable
class SlotHolder(Protocol):
    """A source that holds back its server's log until it acknowledged."""

    def slot_health(self) -> SlotHealth | None:
        """How its slot is now, None before there is one. Raises SourceUnavailable."""
        ...


@runtime_checkable
class Disposable(Protocol):
    """A source that made something at the place that it reads from."""

    def dispose(self) -> None:
        """Removes what it made there; what is gone already is no error. Raises SourceUnavailable."""
        ...
