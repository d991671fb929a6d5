"""Where a run's progress goes besides its log: to the terminal of whoever drives it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pipelines.build.progress import Progress

_driver: ContextVar[Progress | None] = ContextVar("driver", default=None)


@contextmanager
def driven_by(progress: Progress) -> Iterator[None]:
    """Show the progress of runs in this context here instead of in their logs."""
    token = _driver.set(progress)
    try:
        yield
    finally:
        _driver.reset(token)


def shown(logged: Progress) -> Progress:
    """The driver's progress, or the log."""
    return _driver.get() or logged
