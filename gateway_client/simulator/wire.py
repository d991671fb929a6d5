"""The seam between the simulator and a wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from gateway_client.messages import Usage
from gateway_client.simulator.answer import Answer
from gateway_client.simulator.asked import Asked

ErrorKind = Literal[
    "rate_limited",
    "overloaded",
    "server_error",
    "unauthorized",
    "forbidden",
    "not_found",
    "bad_request",
    "content_policy",
    "context_overflow",
    "out_of_credit",
]


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer as bytes: what comes first, one frame per token, the finish, the end mark."""

    head: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    tail: tuple[bytes, ...]
    end: tuple[bytes, ...]


class WireFormat(Protocol):
    """One wire format, from the server's side."""

    name: str
    id_header: str

    def read(self, path: str, body: Mapping[str, Any]) -> Asked:
        """What a request asks. Raises NotUnderstood."""

    def whole(self, asked: Asked, answer: Answer, reply_id: str) -> dict[str, Any]:
        """The answer in one piece."""

    def frames(self, asked: Asked, answer: Answer, reply_id: str) -> Frames:
        """The answer as a stream."""

    def embeddings(self, asked: Asked, usage: Usage, seed: int) -> dict[str, Any]:
        """Vectors."""

    def error(self, kind: ErrorKind, message: str) -> dict[str, Any]:
        """An error's body."""

    def error_event(self, kind: ErrorKind, message: str) -> bytes:
        """An error within a stream."""

    def limit_headers(self, limits: Mapping[str, tuple[int, int]], seconds: float) -> list[tuple[str, str]]:
        """Headers that tell (limit, remaining) of `requests` and `tokens`, full again in so many seconds."""


def limit_headers(pattern: str, limits: Mapping[str, tuple[int, int]], resets: str) -> list[tuple[str, str]]:
    """Headers named by a pattern of {unit} and {what}: the limit, what remains, and when it resets."""
    return [
        (pattern.format(unit=unit, what=what), told)
        for unit, (limit, remaining) in limits.items()
        for what, told in (("limit", str(limit)), ("remaining", str(remaining)), ("reset", resets))
    ]
