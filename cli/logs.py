"""Logs go to stderr: quiet for a command that answers, spoken for a process that runs."""

from __future__ import annotations

import logging
import sys

from registry.settings import Settings

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what stderr is at the time: a progress display takes its place for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None:
        raise AttributeError("this handler follows sys.stderr")


def configure(settings: Settings, *, spoken: bool) -> None:
    """Log at HOLDFAST_LOG_LEVEL where `spoken`; else only warnings, unless the level is DEBUG."""
    wanted = logging.getLevelNamesMapping()[settings.log_level]
    level = wanted if spoken or wanted == logging.DEBUG else max(wanted, logging.WARNING)
    handler = _Stderr()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_is_no_interruption)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING) if level != logging.DEBUG else logging.INFO)
    logging.getLogger("holdfast").setLevel(level)
    if level != logging.DEBUG:
        # What Dagster has to say of a run is in its event log, and the outcome says what became of it.
        handler.addFilter(lambda record: not record.name.startswith("dagster"))


def _is_no_interruption(record: logging.LogRecord) -> bool:
    """False for what a library says because Ctrl-C found it at work: the command itself tells of that."""
    return not (record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt))
