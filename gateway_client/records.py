"""The canonical record of a call, and what the caller gets: the reply with what it took to get it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Reply, ToolCall, Usage
from gateway_client.messages import FinishReason as FinishReason

AnyReply = Reply | EmbeddingReply


@dataclass(slots=True)
class Record:
    """What the store's row of a call says beside its columns. Seconds, tokens, micro-dollars.

    `sends` counts requests to a provider, `attempts` entries of the ledger: one that was rejected for capacity is
    sent again within its attempt. `last_failure` is the kind, the status and the model of the last that failed.
    """

    request_id: str
    trace_parent: str | None = None
    user: str | None = None
    document_ids: Sequence[str] = ()
    streamed: bool = False
    queue_wait: float = 0.0
    first_token: float | None = None
    seconds: float = 0.0
    attempts: int = 0
    sends: int = 0
    rejections: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: int = 0
    models: list[str] = field(default_factory=list)
    last_failure: str = ""

    def count(self, usage: Usage, cost: int) -> None:
        """Add what an attempt was charged."""
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write
        self.reasoning += usage.reasoning
        self.cost += cost

    def to_json(self) -> str:
        """As the store keeps it."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**told, "document_ids": list(self.document_ids)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """As the store kept it."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply with what it took to get it, now or (`stored`) earlier, under the same idempotency key."""

    reply: AnyReply
    model: str
    call: str
    record: Record
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """A complete answer. `model` is the catalogue's name of who answered, `call` the id of its record; `stored` that
    it was bought earlier, under the same idempotency key. `record.cost` is in micro-dollars."""

    reply: Reply
    model: str
    call: str
    record: Record
    stored: bool = False

    @classmethod
    def of(cls, found: Answered) -> Completion:
        """A chat's answer."""
        assert isinstance(found.reply, Reply)
        return cls(found.reply, found.model, found.call, found.record, found.stored)

    @property
    def text(self) -> str:
        return self.reply.text

    @property
    def parsed(self) -> Any:  # noqa: ANN401 - what the caller's schema makes of it
        return self.reply.parsed

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.reply.tool_calls

    @property
    def usage(self) -> Usage | None:
        return self.reply.usage

    @property
    def finish(self) -> FinishReason | None:
        return self.reply.finish

    @property
    def provider(self) -> str:
        return self.reply.provider

    @property
    def model_reported(self) -> str | None:
        return self.reply.model_reported


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of float32 numbers, one per text, with what it took to get them. `stored` as in Completion."""

    reply: EmbeddingReply
    model: str
    call: str
    record: Record
    stored: bool = False

    @classmethod
    def of(cls, found: Answered) -> Embeddings:
        """An embedding's answer."""
        assert isinstance(found.reply, EmbeddingReply)
        return cls(found.reply, found.model, found.call, found.record, found.stored)

    @property
    def vectors(self) -> tuple[tuple[float, ...], ...]:
        return self.reply.vectors


def hashed(user: str | None) -> str | None:
    """A user as the record and the provider may know them."""
    return None if user is None else hashlib.sha256(user.encode()).hexdigest()[:32]


def fingerprint(operation: str, request: ChatRequest | EmbeddingRequest) -> str:
    """Equal for equal bodies of the same operation (chat, stream, embed)."""
    told = {"operation": operation, "request": request.document()}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
