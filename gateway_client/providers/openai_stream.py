"""OpenAI's stream: chunks of a completion, then usage, then `[DONE]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway_client.errors import ProviderError
from gateway_client.messages import Reply, StreamEvent, ToolCall, Usage
from gateway_client.providers.event_stream import EventStream, truncated
from gateway_client.providers.openai_usage import usage_of
from gateway_client.providers.sse import Event
from gateway_client.providers.wire import items, json_object, malformed, mapping, some_text, text, whole

END = "[DONE]"
ReplyOf = Callable[[Mapping[str, Any], Mapping[str, Any]], Reply]


class OpenAIStream(EventStream):
    """One streamed answer. `reply_of` reads a whole completion, `error_of` an error object."""

    def __init__(self, reply_of: ReplyOf, error_of: Callable[[Mapping[str, Any]], ProviderError]) -> None:
        super().__init__()
        self._reply_of = reply_of
        self._error_of = error_of
        self._head: dict[str, Any] = {}
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: Mapping[str, Any] = {}

    @property
    def usage(self) -> Usage | None:
        return usage_of(self._usage)

    def close(self) -> Reply:
        """See StreamParser."""
        if not self._done or self._finish is None:
            raise truncated("its end mark" if not self._done else "a finish reason")
        calls = [
            {
                "id": call["id"],
                "type": "function",
                "function": {key: call[key] for key in ("name", "arguments")},
            }
            for _, call in sorted(self._calls.items())
        ]
        message = {"role": "assistant", "content": self.text, "refusal": "".join(self._refusal) or None}
        choice = {
            "index": 0,
            "finish_reason": self._finish,
            "message": message | ({"tool_calls": calls} if calls else {}),
        }
        body = {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage or None}
        return self._reply_of(body, choice)

    def _take(self, event: Event) -> list[StreamEvent]:
        if event.data.strip() == END:
            self._done = True
            return []
        chunk = json_object(event.data)
        if chunk.get("error") or event.type == "error":
            raise self._error_of(chunk)
        for key in ("id", "model", "created", "system_fingerprint"):
            if chunk.get(key):  # some servers begin with a chunk whose names are empty
                self._head.setdefault(key, chunk[key])
        self._check_model(chunk)
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = [mapping(choice) for choice in items(chunk.get("choices"))]
        return [event for choice in choices if not choice.get("index") for event in self._choice(choice)]

    def _check_model(self, chunk: Mapping[str, Any]) -> None:
        named = some_text(chunk.get("model"))
        if named is not None and named != self._head["model"]:
            raise malformed("the stream names two models")

    def _choice(self, choice: Mapping[str, Any]) -> list[StreamEvent]:
        delta = mapping(choice.get("delta"))
        self._finish = some_text(choice.get("finish_reason")) or self._finish
        self._refusal.append(text(delta.get("refusal")))
        return self._say(text(delta.get("content"))) + [
            self._tool_call(mapping(call)) for call in items(delta.get("tool_calls"))
        ]

    def _tool_call(self, piece: Mapping[str, Any]) -> StreamEvent:
        index = whole(piece.get("index", 0))
        if index is None:
            raise malformed("a tool call in the stream has no index")
        function = mapping(piece.get("function"))
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        new = ToolCall(text(piece.get("id")), text(function.get("name")), text(function.get("arguments")))
        call["id"] = call["id"] or new.id
        call["name"] = call["name"] or new.name
        call["arguments"] += new.arguments
        return StreamEvent(tool_call=(index, new))
