"""What a caller may say of a call, by name: one list of options for both clients, and the request that they make."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError

from gateway_client.errors import InvalidCall
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import new_id
from gateway_client.messages import ChatRequest, EmbeddingRequest, Message, Tool
from gateway_client.records import Record, hashed

OnUnknown = Literal["fail", "buy"]
Given = Mapping[str, Any] | Message
LONGEST_KEY = 200
# What a caller meets most, in words; pydantic's own speak of its validation.
_PLAIN = {
    "too_short": "empty, at least {min_length} is needed",
    "string_too_short": "empty, at least {min_length} character is needed",
}

P = ParamSpec("P")
S = TypeVar("S")
Options = TypeVar("Options")
R = TypeVar("R")


@dataclass(kw_only=True)
class CallOptions(ABC):
    """What every call may say: who calls, on whose account, and for how long.

    `deadline` is in seconds, for the whole call. `max_cost` caps this call, `max_run_cost` all calls of `run`
    (an agent's loop), both in micro-dollars. A call whose `idempotency_key` has an outcome is not sent again;
    `on_unknown` says what to do where one may have been bought whose reply is not known.
    """

    operation: ClassVar[str]

    tenant: str
    model: str
    lane: Lane | str = Lane.INTERACTIVE
    feature: str = "default"
    deadline: float | None = None
    idempotency_key: str | None = None
    on_unknown: OnUnknown = "fail"
    run: str = ""
    max_cost: int | None = None
    max_run_cost: int | None = None
    trace_parent: str | None = None
    request_id: str | None = None

    def check(self) -> None:
        """Raises InvalidCall for what no call may say."""
        key, sent = self.idempotency_key, self.request_id
        if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
            raise InvalidCall(f"an idempotency key must be 1 to {LONGEST_KEY} printable characters")
        if self.on_unknown not in ("fail", "buy"):
            raise InvalidCall(f"on_unknown is {self.on_unknown!r}: say 'fail' or 'buy'")
        if sent is not None and not (0 < len(sent) <= LONGEST_KEY and sent.isascii() and sent.isprintable()):
            raise InvalidCall(
                f"a request_id must be 1 to {LONGEST_KEY} printable ASCII characters: it is a header"
            )

    def record(self) -> Record:
        """The record of a call that is about to begin."""
        return Record(self.request_id or new_id(), self.trace_parent)

    @abstractmethod
    def request(self) -> ChatRequest | EmbeddingRequest:
        """What is asked of the model. Raises InvalidCall."""


@dataclass(kw_only=True)
class ChatOptions(CallOptions):
    """What a chat may say besides."""

    operation: ClassVar[str] = "chat"

    messages: Sequence[Given]
    max_tokens: int
    tools: Sequence[Tool | Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    schema: type[BaseModel] | dict[str, Any] | None = None
    temperature: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    user: str | None = None
    document_ids: Sequence[str] = ()

    def record(self) -> Record:
        made = super().record()
        made.user, made.document_ids = hashed(self.user), list(self.document_ids)
        return made

    def request(self) -> ChatRequest:
        try:
            return ChatRequest(
                model=self.model,
                messages=tuple(m if isinstance(m, Message) else Message(**m) for m in self.messages),
                max_tokens=self.max_tokens,
                tools=tuple(t if isinstance(t, Tool) else Tool(**t) for t in self.tools),
                tool_choice=self.tool_choice,
                schema=self.schema,
                temperature=self.temperature,
                stop=tuple(self.stop),
                seed=self.seed,
                user=hashed(self.user),
            )
        except (ValidationError, TypeError) as invalid:
            raise InvalidCall(_told(invalid)) from invalid


@dataclass(kw_only=True)
class StreamOptions(ChatOptions):
    """What a stream may say besides. With `buffer` pieces are handed out when the answer is complete."""

    operation: ClassVar[str] = "stream"

    buffer: bool = False

    def record(self) -> Record:
        made = super().record()
        made.streamed = True
        return made


@dataclass(kw_only=True)
class EmbedOptions(CallOptions):
    """What an embedding may say besides."""

    operation: ClassVar[str] = "embed"

    texts: Sequence[str]
    dimensions: int | None = None
    lane: Lane | str = Lane.BATCH
    feature: str = "embed"

    def request(self) -> EmbeddingRequest:
        # A string has letters, which would be embedded one by one.
        if isinstance(self.texts, str) or not isinstance(self.texts, Iterable):
            raise InvalidCall(f"texts must be a list of strings, not {type(self.texts).__name__}")
        try:
            return EmbeddingRequest(model=self.model, texts=tuple(self.texts), dimensions=self.dimensions)
        except ValidationError as invalid:
            raise InvalidCall(_told(invalid)) from invalid


def takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[S, Options], R]], Callable[Concatenate[S, P], R]]:
    """A method of one object of options, called with the options themselves, by name."""

    def taking(method: Callable[[S, Options], R]) -> Callable[Concatenate[S, P], R]:
        @functools.wraps(method)
        def called(self: S, /, *args: P.args, **named: P.kwargs) -> R:
            return method(self, options(*args, **named))

        shown = inspect.signature(method)
        own = next(iter(shown.parameters.values()))
        named = inspect.signature(options).parameters.values()
        called.__signature__ = shown.replace(parameters=[own, *named])  # type: ignore[attr-defined]
        return called

    return taking


def _told(invalid: ValidationError | TypeError) -> str:
    if isinstance(invalid, TypeError):
        return f"the request cannot be read: {invalid}"
    first = invalid.errors(include_url=False, include_input=False)[0]
    plain = _PLAIN.get(first["type"])
    said = first["msg"] if plain is None else plain.format_map(first["ctx"])
    return f"the request cannot be sent: {'.'.join(map(str, first['loc']))}: {said}"
