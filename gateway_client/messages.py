"""The one minimal schema of a call, whatever the provider's wire format.

What every provider has: text, images, tools, JSON-schema output, a finish reason, usage with cached tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from dataclasses import dataclass as plain
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

Json = Mapping[str, Any]
checked = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def _encodable(text: str) -> str:
    """Half a surrogate pair, as broken decoding leaves it, cannot be sent to anyone."""
    text.encode("utf-8")
    return text


Sendable = Annotated[str, AfterValidator(_encodable)]


@dataclass(frozen=True, config=checked)
class Text:
    """A piece of text in a message."""

    text: Sendable
    type: Literal["text"] = "text"


@dataclass(frozen=True, config=checked)
class Image:
    """An image in a message: base64 of its bytes, never a link (a provider must not fetch for us)."""

    data: str
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    type: Literal["image"] = "image"


Part = Annotated[Text | Image, Field(discriminator="type")]


@dataclass(frozen=True, config=checked)
class ToolCall:
    """A tool that the model wants called; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: Sendable


@dataclass(frozen=True, config=checked)
class Message:
    """One turn. A `tool` message answers the call `tool_call_id`; `cache` asks the provider, where it can
    be asked, to cache everything up to and including this message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Sendable | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    cache: bool = False

    @property
    def parts(self) -> tuple[Text | Image, ...]:
        """The content as parts; none for an empty text."""
        if isinstance(self.content, str):
            return (Text(self.content),) if self.content else ()
        return self.content

    @property
    def text(self) -> str:
        """The content's text, images left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, config=checked)
class Tool:
    """A function that the model may ask for; `parameters` is the JSON schema of its arguments."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Sendable
    parameters: dict[str, Any]


@dataclass(frozen=True, config=checked)
class ChatRequest:
    """What is asked of a model. `model` is a name in the catalogue; `max_tokens` bounds what is bought.

    `schema` (a pydantic model or a JSON schema) asks for a JSON answer; `tool_choice` is `auto`, `none`,
    `required` or a tool's name; `user` is already hashed. Raises pydantic's ValidationError (a ValueError)
    for what no provider could answer.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: Annotated[int, Field(ge=1)]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    schema: type[BaseModel] | dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _answerable(self) -> ChatRequest:
        if not any(message.role != "system" for message in self.messages):
            raise ValueError("messages hold nothing but system messages: add what the model is to answer")
        if any(message.role == "tool" and not message.tool_call_id for message in self.messages):
            raise ValueError("a tool message names no tool_call_id: say which call it answers")
        named = self.tool_choice not in ("auto", "none", "required")
        if named and self.tool_choice not in {tool.name for tool in self.tools}:
            raise ValueError(f"tool_choice {self.tool_choice!r} is none of the tools")
        return self

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """The schema asked for, as a JSON schema."""
        if isinstance(self.schema, type):
            return self.schema.model_json_schema()
        return self.schema

    def document(self) -> dict[str, Any]:
        """The request as plain JSON: equal for equal requests, so its digest is a fingerprint."""
        found: dict[str, Any] = _REQUEST.dump_python(replace(self, schema=None), mode="json")
        return found | {"schema": self.json_schema}

    def with_correction(self, answer: str, correction: str) -> ChatRequest:
        """The same request with a bad answer and what was wrong with it told to the model."""
        told = Message("assistant", answer) if answer.strip() else None
        added = (*((told,) if told else ()), Message("user", correction))
        return replace(self, messages=self.messages + added)


_REQUEST = TypeAdapter(ChatRequest)


class FinishReason(StrEnum):
    """Why a model stopped."""

    STOP = "stop"  # it had finished, or met a stop sequence
    LENGTH = "length"  # max_tokens, or the context window, cut it off
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"  # the provider withheld or stopped the answer
    REFUSAL = "refusal"  # the model declined
    OTHER = "other"  # a reason that we do not know: never taken for success


@plain(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt, by one meaning over all providers: no token is in two of the first four.

    `input` is what was neither read from nor written to a cache; `output` includes `reasoning`, which is
    there to be seen and never priced again.
    """

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __post_init__(self) -> None:
        counts = (self.input, self.output, self.cache_read, self.cache_write, self.reasoning)
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"usage counts tokens, which {counts} do not")

    @property
    def prompt(self) -> int:
        """Every token that was sent."""
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """Every token, sent and received."""
        return self.prompt + self.output


@plain(frozen=True, slots=True)
class Reply:
    """What a provider answered, not yet judged. `usage` is None where it was missing or contradicts itself;
    `parsed` is filled by the judgement of a reply that had to be JSON; `raw` is the answer as received
    (for a stream, an equivalent put together from its events)."""

    text: str
    finish: FinishReason | None
    usage: Usage | None
    model_reported: str | None
    provider: str
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    parsed: Any = None
    provider_request_id: str | None = None
    raw: Json = field(default_factory=dict)

    def to_json(self) -> str:
        """The reply for storage; what was parsed is parsed again when it is read."""
        document = asdict(replace(self, parsed=None, raw={}))
        return json.dumps(document | {"raw": dict(self.raw)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, stored: str) -> Reply:
        """A reply as `to_json` wrote it. Raises ValueError for anything else."""
        found: Reply = _REPLY.validate_json(stored)
        return found


_REPLY = TypeAdapter(Reply)


@plain(frozen=True, slots=True)
class StreamEvent:
    """A piece of an answer as it arrives: some text, or a piece of a tool call's arguments (`tool_call`
    carries the index, and the id and name once, with the first piece)."""

    text: str = ""
    tool_call: tuple[int, ToolCall] | None = None


@dataclass(frozen=True, config=checked)
class EmbeddingRequest:
    """Texts to embed, at least one, none empty. `dimensions` shortens vectors where a model can."""

    model: str
    texts: Annotated[tuple[Annotated[Sendable, Field(min_length=1)], ...], Field(min_length=1)]
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    def document(self) -> dict[str, Any]:
        """The request as plain JSON: equal for equal requests, so its digest is a fingerprint."""
        found: dict[str, Any] = _EMBEDDING.dump_python(self, mode="json")
        return found


_EMBEDDING = TypeAdapter(EmbeddingRequest)


@plain(frozen=True, slots=True)
class EmbeddingReply:
    """One vector per text, in the texts' order."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None
    model_reported: str | None
    provider: str
    provider_request_id: str | None = None
    raw: Json = field(default_factory=dict)
