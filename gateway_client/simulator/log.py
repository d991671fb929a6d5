"""What a simulated provider saw, did, and would bill, one entry per request that reached it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from gateway_client.messages import Usage


@dataclass(slots=True)
class Entry:
    """One request. Times: `at` is Unix time of arrival; `first_byte` and `ended` are seconds after it, None while they
    have not been. `attempt` counts the arrivals of the same request id, `judged` those that found room;
    `claimed_attempt` is what the client said. `in_flight` counts this one. Money is micro-dollars."""

    number: int
    at: float
    request_id: str
    attempt: int
    claimed_attempt: str | None
    format: str
    kind: str
    model: str
    stream: bool
    prompt: int
    max_tokens: int
    fingerprint: str
    in_flight: int
    judged: int = 0
    fault: str = "none"
    refused: str | None = None
    status: int | None = None
    retry_after: float | None = None
    finish: str | None = None
    provider_request_id: str = ""
    first_byte: float | None = None
    ended: float | None = None
    left: bool = False
    sent_tokens: int = 0
    usage: Usage = field(default=Usage(0, 0))
    micro_dollars: int = 0

    def document(self) -> dict[str, Any]:
        """The entry as JSON."""
        found = {name: getattr(self, name) for name in _FIELDS}
        return found | {"usage": _usage(self.usage)}

    def bill_line(self) -> dict[str, Any]:
        """The entry as a line of a bill."""
        return {
            "request_id": self.request_id,
            "attempt": self.claimed_attempt if self.claimed_attempt is not None else str(self.attempt),
            "model": self.model,
            **_usage(self.usage),
            "micro_dollars": self.micro_dollars,
            "at": self.at,
            "provider_request_id": self.provider_request_id,
        }


# `asdict` copies deeply, which takes longer than answering a request.
_FIELDS = tuple(one.name for one in fields(Entry))


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input": usage.input,
        "output": usage.output,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
    }


class Log:
    """Entries in order of arrival; each is written to the file, if there is one, when it has ended."""

    def __init__(self, file: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._file: TextIO | None = file.open("a", encoding="utf-8") if file else None

    def open(self, entry: Entry) -> None:
        self.entries.append(entry)

    def ended(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry.document(), separators=(",", ":")) + "\n")
            self._file.flush()

    def bill(self) -> Iterator[dict[str, Any]]:
        """A line for every request that has ended and was answered or cost something."""
        for entry in self.entries:
            if entry.ended is not None and (entry.micro_dollars or entry.usage.total):
                yield entry.bill_line()

    def clear(self) -> None:
        self.entries.clear()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
