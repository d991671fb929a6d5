"""Server-sent events from bytes, however they are cut (WHATWG HTML, 9.2.6 "Interpreting an event stream").

Stricter than the standard in two ways, because half an answer must not pass for one: a field that is not
in the standard is an error (it is ignored there), and whoever reads can see what was left undispatched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway_client.errors import MalformedResponse

LARGEST_EVENT = 16 * 1024 * 1024  # bytes; beyond it, a server is not speaking to us
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type (empty where none was given) and its data lines, joined by newlines."""

    type: str
    data: str


class EventDecoder:
    """Feed it bytes; it gives the events that they complete."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_carriage_return = False
        self._first = True
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    @property
    def unfinished(self) -> bool:
        """Whether something was received that no event has carried out: a cut line, or a cut event."""
        return bool(self._line or self._data or self._type)

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in these bytes. Raises MalformedResponse."""
        if self._after_carriage_return and data:
            self._after_carriage_return = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\r"):
            self._after_carriage_return = True
        *ended, rest = _LINE_END.split(data)
        events = []
        for piece in ended:
            self._line += piece
            event = self._take(self._complete_line())
            if event is not None:
                events.append(event)
        self._line += rest
        self._check_size()
        return events

    def finish(self) -> Event | None:
        """The data whose last line break or whose empty line is missing at the stream's end; the standard drops it."""
        if self._line:
            line = self._complete_line()
            if not line.startswith(b"data:") or not line.isascii():
                return None
            self._take(line)
        return self._dispatch()

    def _complete_line(self) -> bytes:
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        return line

    def _take(self, line: bytes) -> Event | None:
        """One line: an empty one dispatches the event."""
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return None
        field, _, value = _decoded(line).partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._size += len(line)
            self._check_size()
        elif field == "event":
            self._type = value
        elif field not in ("id", "retry"):
            raise MalformedResponse(
                "the stream holds a line that is no server-sent event", kind="malformed", status=200
            )
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._type, "\n".join(self._data)) if self._data else None
        self._type, self._data, self._size = "", [], 0
        return event

    def _check_size(self) -> None:
        if self._size + len(self._line) > LARGEST_EVENT:
            raise MalformedResponse(
                f"the stream holds an event of more than {LARGEST_EVENT} bytes", kind="malformed", status=200
            )


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as broken:
        raise MalformedResponse("the stream is not UTF-8", kind="malformed", status=200) from broken
