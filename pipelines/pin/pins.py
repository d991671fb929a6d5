"""The pins of a run: for each source of a tenant, the position that the next generation equals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipelines.pin.quiet_point import Choice, CommitTime, choose
from pipelines.sources.options import parse_options
from registry import changelog, generations, sources
from registry.changelog import PinnedAt
from registry.schema import Change, GenerationPin, Source, TenantCommit


@dataclass(frozen=True, slots=True)
class Pins:
    """The chosen pins, and the held commits that some of them stopped before."""

    pins: tuple[PinnedAt, ...]
    stopped_before: dict[str, list[str]]
    waiting: tuple[str, ...]

    @property
    def quiescent(self) -> bool:
        """Whether every source was quiet at its pin."""
        return all(pin.quiescent for pin in self.pins)


def choose_pins(session: Session, tenant_id: str, now: datetime | None = None) -> Pins:
    """Pin every source of a tenant. One that is down, or has nothing new, keeps the live generation's pin.

    A source is known to be quiet up to its last look. With `now` the time since then is guessed to have been
    quiet too: good enough to ask for a run, which looks again, and never to pin by.
    """
    live = generations.live(session, tenant_id)
    pinned = generations.pins(session, tenant_id, live.number) if live else {}
    pins: list[PinnedAt] = []
    stopped: dict[str, list[str]] = {}
    waiting: list[str] = []
    for source in sources.of_tenant(session, tenant_id):
        previous = pinned.get(source.id)
        commits = changelog.tenant_commits(session, tenant_id, source.id, previous.seq if previous else 0)
        held = [commit for commit in commits if commit.hold == "held"]
        if held:
            stopped[source.name] = [commit.position for commit in held]
        choice = _choose(source, commits, held, _accidents(session, tenant_id, source.id, commits), now)
        if choice is not None:
            pins.append(_pinned_at(source, commits, choice))
        elif previous is not None:
            pins.append(_kept(previous))
        if choice is None and commits and not held:
            waiting.append(source.name)
    return Pins(tuple(pins), stopped, tuple(waiting))


def _choose(
    source: Source,
    commits: list[TenantCommit],
    held: list[TenantCommit],
    accidents: set[int],
    now: datetime | None,
) -> Choice | None:
    timing = parse_options(source.kind, source.options)
    return choose(
        [CommitTime(commit.seq, commit.committed_at) for commit in commits],
        source_now(source, now),
        timing.quiescence,
        timing.max_staleness,
        held[0].seq if held else None,
        accidents,
    )


def _accidents(session: Session, tenant_id: str, source_id: int, commits: list[TenantCommit]) -> set[int]:
    """Commits from a mass deletion that was held up to the one that brought the last of its documents back.

    Nobody ever confirmed that deletion: to publish a state within it would make it true after all.
    """
    found: set[int] = set()
    for commit in commits:
        if commit.hold == "restored":
            mended = _mended_at(session, tenant_id, source_id, commit.seq)
            found.update(c.seq for c in commits if commit.seq <= c.seq < mended)
    return found


def _mended_at(session: Session, tenant_id: str, source_id: int, seq: int) -> int:
    of_source = (Change.scope == tenant_id, Change.source_id == source_id)
    deleted = select(Change.key).where(
        *of_source, Change.seq == seq, Change.op == "delete", Change.moved.is_(False)
    )
    query = (
        select(func.min(Change.seq))
        .where(*of_source, Change.seq > seq, Change.op != "delete", Change.key.in_(deleted))
        .group_by(Change.key)
    )
    return max(session.scalars(query), default=seq + 1)


def source_now(source: Source, now: datetime | None) -> datetime:
    """The time on the source's clock up to which its commits are known; with `now`, what it may be by now.

    While the source cannot be read, nothing has passed: what it committed meanwhile is not known.
    """
    if source.source_time is None or source.checked_at is None:
        return datetime.min.replace(tzinfo=UTC) if now is None else now
    if source.error or now is None:
        return source.source_time
    return source.source_time + (now - source.checked_at)


def seconds_to_quiet(source: Source, newest: datetime | None) -> float:
    """How long after its last look a source would have to stay as it is to be quiet; 0 where it is."""
    if newest is None or source.source_time is None:
        return 0.0
    window = parse_options(source.kind, source.options).quiescence
    return max(window - (source.source_time - newest).total_seconds(), 0.0)


def longest_wait(session: Session, tenant_id: str, patience: float) -> float:
    """Seconds until the last of a tenant's sources with unpublished commits is quiet, if nothing else happens.

    Sources that would take longer than `patience`, and those that cannot be read, are not waited for.
    """
    live = generations.live(session, tenant_id)
    pinned = generations.pins(session, tenant_id, live.number) if live else {}
    waits: list[float] = []
    for source in sources.of_tenant(session, tenant_id):
        seq = pinned[source.id].seq if source.id in pinned else 0
        commits = changelog.tenant_commits(session, tenant_id, source.id, seq)
        if commits and not source.error:
            waits.append(seconds_to_quiet(source, commits[-1].committed_at))
    return max((wait for wait in waits if wait <= patience), default=0.0)


def _pinned_at(source: Source, commits: list[TenantCommit], choice: Choice) -> PinnedAt:
    commit = next(commit for commit in commits if commit.seq == choice.seq)
    return PinnedAt(
        source.id, commit.seq, commit.epoch, commit.position, commit.committed_at, choice.quiescent
    )


def _kept(pin: GenerationPin) -> PinnedAt:
    return PinnedAt(pin.source_id, pin.seq, pin.epoch, pin.position, pin.committed_at, pin.quiescent)


def oldest_unpublished(session: Session, tenant_id: str) -> TenantCommit | None:
    """The commit that was captured first among those that the live generation does not hold."""
    live = generations.live(session, tenant_id)
    pinned = generations.pins(session, tenant_id, live.number) if live else {}
    found: list[TenantCommit] = []
    for source in sources.of_tenant(session, tenant_id):
        previous = pinned.get(source.id)
        query = (
            select(TenantCommit)
            .where(
                TenantCommit.scope == tenant_id,
                TenantCommit.source_id == source.id,
                TenantCommit.seq > (previous.seq if previous else 0),
            )
            .order_by(TenantCommit.seq)
            .limit(1)
        )
        found += session.scalars(query).all()
    return min(found, key=lambda commit: commit.captured_at, default=None)
