"""The capturer: reads sources to their end under a lease each, without ever importing a model."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from pipelines.capture.append import Appended, append_commit
from pipelines.capture.mass_deletion import hold_mass_deletions, release_restored
from pipelines.errors import CaptureBusy, SourceError, SourceUnavailable
from pipelines.lease_keeping import kept
from pipelines.pin.pins import seconds_to_quiet
from pipelines.sources.kinds import open_source
from pipelines.sources.source import Commit, Cursor, SlotHolder
from pipelines.sources.source import Source as OpenSource
from registry import leases, slots, sources
from registry.changelog import RegisteredHeads
from registry.clock import Clock, utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import LeaseHeld, LeaseLost
from registry.locking import FOR_UPDATE
from registry.schema import Source, SourceCommit

log = logging.getLogger("holdfast.capture")

BUSY_PAUSE = 0.05
LOOK_RECORDED_EVERY = 5.0


@dataclass(slots=True)
class Captured:
    """What one look at one source brought."""

    source: str
    position: str | None = None
    commits: int = 0
    upserts: int = 0
    deletes: int = 0
    unreadable: int = 0
    held: list[int] = field(default_factory=list)
    error: str = ""
    busy: bool = False

    def then(self, later: Captured) -> Captured:
        """Two looks at one source as one."""
        return Captured(
            self.source,
            later.position,
            self.commits + later.commits,
            self.upserts + later.upserts,
            self.deletes + later.deletes,
            self.unreadable + later.unreadable,
            self.held + later.held,
            later.error,
            later.busy,
        )


class Capturer:
    """Catches sources up. `cache` is a folder for mirrors of remote repositories."""

    def __init__(
        self,
        registry: Registry,
        cache: Path,
        lease_seconds: float,
        clock: Clock = utc_now,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._ttl = lease_seconds
        self._clock = clock
        self._pause = pause
        self._holder = leases.Holder.current(f"capturer-{uuid.uuid4().hex[:8]}")

    def catch_up_all(self, tenant_id: str | None = None, patience: float = 0) -> list[Captured]:
        """Read every source (of a tenant, shared ones included) to its end, one after another.

        A source that another process is reading is tried again for `patience` seconds.
        """
        with self._registry.read() as session:
            found = sources.capturable(session, tenant_id) if tenant_id else sources.present(session)
        return [self._patiently(source.id, patience) for source in found]

    def source_ids(self) -> list[int]:
        """Every source that is there to be looked at."""
        with self._registry.read() as session:
            return [source.id for source in sources.present(session)]

    def _patiently(self, source_id: int, patience: float) -> Captured:
        captured = self.catch_up(source_id)
        while captured.busy and patience > 0:
            self._pause(BUSY_PAUSE)
            patience -= BUSY_PAUSE
            captured = self.catch_up(source_id)
        return captured

    def catch_up(self, source_id: int) -> Captured:
        """Read one source to its end. A source that cannot be read is noted, never raised."""
        source = self._source(source_id)
        captured = Captured(source.name, source.position)
        try:
            with self._lease(source_id) as token:
                # Read again under the lease: whoever held it before may have moved the position.
                source = self._source(source_id)
                captured.position = source.position
                try:
                    self._read(source, captured, token)
                except SourceError as error:
                    self._note_failure(source, captured, token, error)
        except (CaptureBusy, LeaseLost):
            captured.busy = True
        return captured

    def _note_failure(self, source: Source, captured: Captured, token: int, error: SourceError) -> None:
        log.warning("source %s cannot be read: %s", source.name, error)
        with self._registry.write() as session:
            sources.record_failure(session, source.id, self._clock(), str(error))
            self._fence(session, source.id, token)
        captured.error = str(error)
        crash_point("capture:failure-recorded")
        if not isinstance(error, SourceUnavailable):
            self._record_slot_of_failing(source, token)

    def _record_slot_of_failing(self, source: Source, token: int) -> None:
        """A source that stands still retains more and more: that must be seen while it does."""
        try:
            opened = open_source(source.kind, source.uri, source.options, self._clock, self._cache)
            self._record_slot(source.id, opened, token)
        except SourceError as error:
            log.info("source %s: its slot cannot be looked at either: %s", source.name, error)

    def _source(self, source_id: int) -> Source:
        with self._registry.read() as session:
            return session.get_one(Source, source_id)

    def _read(self, source: Source, captured: Captured, token: int) -> None:
        opened = open_source(source.kind, source.uri, source.options, self._clock, self._cache)
        cursor = None if source.position is None else Cursor(source.position, source.cursor_state)
        # Asked before the read: what is committed while it goes on may be missing from it.
        known_up_to = opened.now()
        with self._registry.read() as session:
            for commit in opened.read(cursor, RegisteredHeads(session, source.id)):
                self._append(source, opened, commit, captured, token)
                # The next commit is read against the heads that this one left, not a snapshot before it.
                session.rollback()
        if captured.commits or self._look_is_news(source):
            with self._registry.write() as session:
                sources.record_look(session, source.id, self._clock(), known_up_to)
                self._fence(session, source.id, token)
            crash_point("capture:look-recorded")
            self._record_slot(source.id, opened, token)

    def _look_is_news(self, source: Source) -> bool:
        """Whether a look that found nothing is worth a transaction: often, while it may tell that a source is quiet."""
        if source.checked_at is None or source.error:
            return True
        with self._registry.read() as session:
            newest = session.get(SourceCommit, (source.id, source.last_seq))
        quiet_in = seconds_to_quiet(source, newest.committed_at if newest else None)
        every = min(quiet_in / 4, LOOK_RECORDED_EVERY) if quiet_in else LOOK_RECORDED_EVERY
        return (self._clock() - source.checked_at).total_seconds() >= every

    def _record_slot(self, source_id: int, opened: OpenSource, token: int) -> None:
        if not isinstance(opened, SlotHolder):
            return
        health = opened.slot_health()
        with self._registry.write() as session:
            if health is None:
                slots.forget(session, source_id)
            else:
                slots.record(
                    session, source_id, self._clock(), name=health.name, wal_status=health.wal_status,
                    retained_bytes=health.retained_bytes, safe_bytes=health.safe_wal_size,
                    limit_bytes=health.limit_bytes, oldest=health.oldest,
                )  # fmt: skip
            self._fence(session, source_id, token)
        crash_point("capture:slot-recorded")

    def _append(
        self, read: Source, opened: OpenSource, commit: Commit, captured: Captured, token: int
    ) -> None:
        now = self._clock()
        with self._registry.write() as session:
            source = session.get_one(Source, read.id, with_for_update=FOR_UPDATE)
            appended = append_commit(session, source, commit, now)
            if appended is not None:
                captured.held += self._hold(session, source, appended)
            # The fence stands in the same transaction: a capturer that lost its lease appends nothing.
            self._fence(session, read.id, token)
            crash_point("capture:before-commit")
        crash_point("capture:after-commit")
        opened.acknowledge(commit.position)
        crash_point("capture:after-acknowledge")
        captured.position = commit.position
        if appended is not None:
            captured.commits += 1
            captured.upserts += appended.upserts.total()
            captured.deletes += appended.deletes.total()
            captured.unreadable += appended.unreadable

    def _fence(self, session: Session, source_id: int, token: int) -> None:
        """Keep the lease, in the transaction that relies on it and as its last step: sources are locked before leases.

        Raises LeaseLost.
        """
        leases.renew(session, leases.capture_lease(source_id), token, self._ttl, self._clock())

    def _hold(self, session: Session, source: Source, appended: Appended) -> list[int]:
        held: list[int] = []
        for scope in sorted(appended.scopes):
            if scope.startswith("?"):
                continue
            if appended.upserts[scope]:
                release_restored(session, scope, source.id, self._clock())
            if appended.deletes[scope]:
                held += hold_mass_deletions(session, scope, source, self._clock())
        return held

    @contextmanager
    def _lease(self, source_id: int) -> Iterator[int]:
        name = leases.capture_lease(source_id)
        try:
            with self._registry.write() as session:
                token = leases.acquire(session, name, self._holder, self._ttl, self._clock())
        except LeaseHeld as error:
            raise CaptureBusy(str(error)) from error
        crash_point("capture:lease-taken")
        try:
            # A first read may take longer than the lease before it has anything to append.
            with kept(self._registry, name, token, self._ttl, self._clock):
                yield token
        finally:
            with self._registry.write() as session:
                leases.release(session, name, token)
            crash_point("capture:lease-released")
