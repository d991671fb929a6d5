"""How long work tells how far it is: to whoever looks on, and to the registry."""

from __future__ import annotations

from typing import Protocol

from pipelines.build.fence import Fence
from registry import builds
from registry.clock import Clock
from registry.crash_points import crash_point
from registry.database import Registry

WRITTEN_EVERY = 1.0


class Progress(Protocol):
    """Told of each stage's size and advance; shown as a bar, logged, or ignored.

    `total` is what this run has to do; `ready` is what was done before, by a run that was killed or because
    it did not change.
    """

    def begin(self, stage: str, total: int, ready: int = 0) -> None: ...

    def advance(self, stage: str, by: int = 1) -> None: ...


class Silent:
    """Shows nothing."""

    def begin(self, stage: str, total: int, ready: int = 0) -> None:
        return None

    def advance(self, stage: str, by: int = 1) -> None:
        return None


def registered(
    shown: Progress, registry: Registry, fence: Fence, run: str, kind: builds.Kind, reason: str, clock: Clock
) -> RegisteredProgress:
    """The same progress, kept in the registry too until the build ends.

    Raises IngestRefused where the run was fenced off, TenantSuspended.
    """
    with registry.write() as session:
        fence.check(session)
        builds.begin(session, fence.tenant_id, run, kind, reason, clock())
    crash_point("progress:registered")
    return RegisteredProgress(shown, registry, fence.tenant_id, run, clock)


class RegisteredProgress:
    """Keeps a build's progress in the registry, at most once a second, and hands everything on."""

    def __init__(self, shown: Progress, registry: Registry, tenant_id: str, run: str, clock: Clock) -> None:
        self._shown = shown
        self._registry = registry
        self._tenant_id = tenant_id
        self._run = run
        self._clock = clock
        self._done = 0
        self._written = clock()

    def begin(self, stage: str, total: int, ready: int = 0) -> None:
        self._shown.begin(stage, total, ready)
        self._done, self._written = ready, self._clock()
        with self._registry.write() as session:
            builds.note_stage(session, self._tenant_id, self._run, stage, total + ready, ready, self._written)
        crash_point("progress:stage-noted")

    def advance(self, stage: str, by: int = 1) -> None:
        self._shown.advance(stage, by)
        self._done += by
        now = self._clock()
        if (now - self._written).total_seconds() >= WRITTEN_EVERY:
            self._written = now
            with self._registry.write() as session:
                builds.note_done(session, self._tenant_id, self._run, self._done, now)
            crash_point("progress:done-noted")
