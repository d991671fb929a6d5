"""What one attempt on the wire is given, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway_client.errors import GatewayError
from gateway_client.ledger.entries import Settlement
from gateway_client.messages import ChatRequest, EmbeddingRequest, StreamEvent
from gateway_client.records import AnyReply

Request = ChatRequest | EmbeddingRequest
Emit = Callable[[StreamEvent], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, and how large. Seconds, but for `most_bytes`."""

    whole: float
    first_token: float
    stall: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """How an attempt ended. Either `reply` or `error`; `rejected` means that nothing is to be settled yet.

    `transient`: the same request may succeed later, here or elsewhere. `elsewhere`: only another model can help.
    """

    settlement: Settlement
    reply: AnyReply | None = None
    error: GatewayError | None = None
    rejected: bool = False
    transient: bool = False
    elsewhere: bool = False
    first_token: float | None = None
