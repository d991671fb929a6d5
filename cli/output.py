"""What a command prints: one JSON document, or something for people. Everything else goes to stderr."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 200
_documents: TextIO | None = None
_printed = False


@contextmanager
def reserved_stdout() -> Iterator[None]:
    """Keep stdout for the one JSON document: whatever else is printed, by any library, goes to stderr."""
    global _documents, _printed
    previous, _printed = sys.stdout, False
    # A test may have put something in the place of stdout that has no descriptor of its own.
    own = os.dup(1) if previous is sys.__stdout__ else None
    try:
        previous.flush()
        if own is not None:
            os.dup2(2, 1)
        with open(own, "w", encoding="utf-8") if own is not None else _borrowed(previous) as documents:
            _documents, sys.stdout = documents, sys.stderr
            yield
            documents.flush()
    finally:
        _documents, sys.stdout = None, previous


@contextmanager
def _borrowed(stream: TextIO) -> Iterator[TextIO]:
    yield stream


def show(as_json: bool, document: Any, render: Callable[[], None]) -> None:  # noqa: ANN401
    """Print `document` as JSON, or call what renders it for people."""
    if as_json:
        print_document(document)
    else:
        render()


def print_document(document: Any) -> None:  # noqa: ANN401
    """Print the one JSON document of this process."""
    global _printed
    stream = _documents or sys.stdout
    # ASCII only: git lets paths hold what no encoding can write.
    stream.write(json.dumps(document, indent=2, default=_encode) + "\n")
    stream.flush()
    _printed = True


def has_printed() -> bool:
    """Whether the document was printed already."""
    return _printed


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def console() -> Console:
    """stdout for people. A pipe gets wide lines: a cut-off table is of no use to grep."""
    return _console(sys.stdout)


def side_console() -> Console:
    """stderr for people: progress, hints, errors."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    wide = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(file=stream, width=wide, highlight=False, soft_wrap=False)


def note(text: str, style: str = "dim") -> None:
    """One line on stderr beside the result: a hint (dim) or a warning (yellow)."""
    from rich.text import Text

    side_console().print(Text(text, style=style), soft_wrap=True)


def warn(text: str) -> None:
    """A warning on stderr."""
    note(f"warning: {text}", "yellow")


def complain(message: str) -> None:
    """The one red line of an error."""
    note(f"error: {message}", "bold red")
