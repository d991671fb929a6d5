"""What the parsers of all event streams share: bytes become events, until the stream's own end mark."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway_client.errors import Truncated
from gateway_client.messages import StreamEvent
from gateway_client.providers.characters import Characters
from gateway_client.providers.sse import Event, EventDecoder


class EventStream(ABC):
    """One streamed answer: see StreamParser."""

    def __init__(self) -> None:
        self._events = EventDecoder()
        self._text: list[str] = []
        self._characters = Characters()
        self._done = False
        self.thoughts = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def finished(self) -> bool:
        return self._done

    def feed(self, data: bytes) -> list[StreamEvent]:
        """See StreamParser. What follows the end mark is not read."""
        found: list[StreamEvent] = []
        for event in () if self._done else self._events.feed(data):
            if not self._done:
                found += self._take(event)
        return found

    @abstractmethod
    def _take(self, event: Event) -> list[StreamEvent]:
        """The pieces of one event; sets `_done` at the end mark."""

    def _say(self, piece: str) -> list[StreamEvent]:
        """A piece of text, if there is any."""
        piece = self._characters.take(piece)
        if not piece:
            return []
        self._text.append(piece)
        return [StreamEvent(text=piece)]


def truncated(lacking: str) -> Truncated:
    """The error for a stream that ended before its end."""
    return Truncated(f"the stream ended without {lacking}", kind="truncated", status=200)
