"""What a request asks of a simulated provider, whichever wire format it came in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PER_MESSAGE = 4
PER_IMAGE = 1_000
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `prompt` is its tokens by the simulator's own count; `schema` what the answer must be, `answer_tool`
    the tool whose arguments it must be instead; `tool` a tool that must be called, with its schema."""

    format: str
    kind: str  # chat or embeddings
    version: str
    prompt: int
    stream: bool = False
    max_tokens: int = 16
    include_usage: bool = True
    last: str = ""
    schema: Mapping[str, Any] | None = None
    tool: tuple[str, Mapping[str, Any]] | None = None
    texts: tuple[str, ...] = ()
    dimensions: int = 64
    base64: bool = False
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


class NotUnderstood(ValueError):
    """A body that a provider answers 400."""


def tokens(value: object) -> int:
    """The simulator's tokenizer: four bytes of UTF-8 a token, rounded up; JSON as its text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


def chat_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a chat in either format. Raises NotUnderstood."""
    messages = body.get("messages")
    if not isinstance(body.get("model"), str) or not isinstance(messages, list) or not messages:
        raise NotUnderstood("model and messages are required")
    if not all(isinstance(message, dict) for message in messages):
        raise NotUnderstood("a message is no object")
    return messages


def chat_tokens(body: Mapping[str, Any], messages: list[dict[str, Any]], *extras: str) -> int:
    """Tokens of the messages, and of whatever the fields `extras` hold as JSON."""
    extra = sum(tokens(body[key]) for key in extras if body.get(key))
    return extra + sum(PER_MESSAGE + content_tokens(message.get("content")) for message in messages)


def most_tokens(wanted: object, told: str) -> int:
    """A limit on the answer. Raises NotUnderstood with what is told."""
    if type(wanted) is not int or wanted < 1:
        raise NotUnderstood(told)
    return wanted


def content_tokens(content: object) -> int:
    """Tokens of a message's content: text, or parts in either format."""
    if not isinstance(content, list):
        return tokens(content) if content else 0
    return sum(_part_tokens(part) for part in content)


def _part_tokens(part: object) -> int:
    if not isinstance(part, dict):
        raise NotUnderstood("a content part is no object")
    if part.get("type") in ("image", "image_url"):
        return PER_IMAGE
    if part.get("type") == "tool_result":
        return content_tokens(part.get("content"))
    kept = {key: value for key, value in part.items() if key not in ("type", "cache_control")}
    return tokens(kept["text"]) if set(kept) == {"text"} else tokens(kept)


def content_text(content: object) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
