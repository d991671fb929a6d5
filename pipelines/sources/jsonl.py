"""Documents in a .jsonl file: a line is an object of `_id`, `title`, `text`, `metadata` (BEIR's corpus)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import quote

from pipelines.sources.source import Unreadable, Upsert
from pipelines.sources.storable import key_flaw, stand_in, text_flaw, value_flaw

LINE_LIMIT = 64 * 2**20
MEDIA_TYPE = "text/plain"
_BOM = b"\xef\xbb\xbf"
_LEADING_ID = re.compile(r'\s*\{\s*"_id"\s*:\s*("(?:[^"\\]|\\.)+"|\d+)\s*,')


class Lines(Protocol):
    """A binary file as far as lines are read from it."""

    def readline(self, limit: int, /) -> bytes: ...


class _MalformedError(Exception):
    """This line is no document; `name` is its `_id` where it has one."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.name = reason, name


def line_prefix(path: str) -> str:
    """What the keys of a .jsonl file's lines begin with."""
    return f"{path}#"


def line_changes(stream: Lines, path: str, uri: str) -> Iterator[Upsert | Unreadable]:
    """One change a line, keys `path#_id` unique; holds one line and the ids in memory.

    The first of several lines with one `_id` is the document; the others, and lines that are no
    documents, are Unreadable under a key that names the line.
    """
    names: dict[str, int] = {}
    for number, raw in _lines(stream):
        change: Upsert | Unreadable
        try:
            change = _document(raw, path, uri)
        except _MalformedError as flaw:
            change = _unreadable(path, names, number, flaw)
        else:
            name = change.key.removeprefix(line_prefix(path))
            if name in names:
                reason = f"line {number} repeats the _id of line {names[name]}; the first one counts"
                change = Unreadable(
                    f"{line_prefix(path)}{_free(names, f'{name}@line{number}', number)}", reason
                )
            else:
                names[name] = number
        yield change


def _lines(stream: Lines) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1. Of an overlong line only the start: never valid JSON."""
    number = 0
    while raw := stream.readline(LINE_LIMIT):
        number += 1
        if len(raw) >= LINE_LIMIT and not raw.endswith(b"\n"):
            while (rest := stream.readline(2**20)) and not rest.endswith(b"\n"):
                pass
            yield number, b"\x00"
            continue
        if number == 1:
            raw = raw.removeprefix(_BOM)
        if raw.strip():
            yield number, raw


def _document(raw: bytes, path: str, uri: str) -> Upsert:
    if raw == b"\x00":
        raise _MalformedError(f"is longer than {LINE_LIMIT} bytes")
    line = _parsed(raw)
    name = _name(line.get("_id"))
    text, title, metadata = line.get("text"), line.get("title"), line.get("metadata")
    if not isinstance(text, str):
        raise _MalformedError("has no text", name)
    if not isinstance(title, str | None):
        raise _MalformedError("has a title that is no string", name)
    if not isinstance(metadata, dict | None):
        raise _MalformedError("has metadata that are no object", name)
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise _MalformedError("has text that is not valid Unicode", name) from None
    for what, flaw in (("title", text_flaw(title or "")), ("metadata", value_flaw(metadata))):
        if flaw:
            raise _MalformedError(f"has a {what} that {flaw}", name)
    key = f"{line_prefix(path)}{name}"
    return Upsert(key, title or "", f"{uri}#{quote(name)}", content, MEDIA_TYPE, metadata or {})


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw.decode())
    except UnicodeDecodeError:
        raise _MalformedError("is not UTF-8", _leading_id(raw)) from None
    except json.JSONDecodeError as error:
        raise _MalformedError(f"is not JSON: {error.msg} at column {error.colno}", _leading_id(raw)) from None
    except (ValueError, RecursionError):
        raise _MalformedError("is not JSON that can be read", _leading_id(raw)) from None
    if not isinstance(line, dict):
        raise _MalformedError("is not a JSON object")
    return line


def _leading_id(raw: bytes) -> str | None:
    """The _id that a broken line begins with: its document is unreadable then, not gone."""
    match = _LEADING_ID.match(raw.decode(errors="replace"))
    if match is None:
        return None
    try:
        name = str(json.loads(match[1]))
    except ValueError:
        return None
    return None if key_flaw(name) else name


def _name(value: object) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise _MalformedError("has no _id (a string or an integer)")
    name = str(value)
    if flaw := key_flaw(name):
        raise _MalformedError(f"has an _id that {flaw}", stand_in(name))
    return name


def _unreadable(path: str, names: dict[str, int], number: int, flaw: _MalformedError) -> Unreadable:
    """Under its own key where the line has one, so that a document that breaks is not taken for deleted."""
    wanted = (
        flaw.name if flaw.name is not None and flaw.name not in names else f"{flaw.name or ''}@line{number}"
    )
    return Unreadable(f"{line_prefix(path)}{_free(names, wanted, number)}", f"line {number} {flaw.reason}")


def _free(names: dict[str, int], wanted: str, number: int) -> str:
    """`wanted`, made longer until no other line has it; taken from then on."""
    while wanted in names:
        wanted = f"{wanted}@line{number}"
    names[wanted] = number
    return wanted
