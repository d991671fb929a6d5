"""OpenAI's stream: chunks of a completion, then usage, then `[DONE]`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from gateway_client.errors import ProviderError
from gateway_client.messages import Reply, StreamEvent, ToolCall, Usage
from gateway_client.providers.characters import Characters
from gateway_client.providers.event_stream import EventStream, truncated
from gateway_client.providers.openai_content import arguments_of, content_of, refusal_in
from gateway_client.providers.openai_usage import usage_of
from gateway_client.providers.sse import Event
from gateway_client.providers.wire import (
    items,
    json_object,
    malformed,
    mapping,
    some_text,
    text,
    whole,
    whole_characters,
)

END = "[DONE]"
_THOUGHT = ("reasoning_content", "reasoning")
CUT = ("length", "max_tokens", "model_length", "content_filter")
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
        self._places: dict[int, int] = {}
        self._pieces: defaultdict[int, Characters] = defaultdict(Characters)
        self._finish: str | None = None
        self._usage: Mapping[str, Any] = {}

    @property
    def usage(self) -> Usage | None:
        return usage_of(self._usage)

    def close(self) -> Reply:
        """See StreamParser."""
        self._done = self._done or self._marked_at_the_end()
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

    def _marked_at_the_end(self) -> bool:
        """Some servers leave out the empty line after their last one."""
        last = self._events.finish()
        return last is not None and last.data.strip() == END

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
        if self._finish not in CUT:  # a later word does not make it whole
            self._finish = some_text(choice.get("finish_reason")) or self._finish
        self.thoughts += any(text(delta.get(name)) for name in _THOUGHT)
        self._refusal.append(text(delta.get("refusal")))
        self._refusal.append(refusal_in(delta.get("content")) or "")
        return self._say(content_of(delta.get("content"))) + [
            self._tool_call(mapping(call)) for call in items(delta.get("tool_calls"))
        ]

    def _tool_call(self, piece: Mapping[str, Any]) -> StreamEvent:
        told = whole(piece.get("index", 0))
        if told is None:
            raise malformed("a tool call in the stream has no index")
        function, identifier = mapping(piece.get("function")), whole_characters(text(piece.get("id")))
        index, arguments = self._place(told, identifier), arguments_of(function.get("arguments"))
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        name = whole_characters(text(function.get("name")))
        new = ToolCall(identifier, name, self._pieces[index].take(arguments))
        call["id"] = call["id"] or new.id
        call["name"] = call["name"] or new.name
        call["arguments"] += arguments
        return StreamEvent(tool_call=(index, new))

    def _place(self, told: int, identifier: str) -> int:
        """Where a piece of a call belongs: some servers give every call one index, or none, and an id of its own."""
        place = self._places.get(told, told)
        there = self._calls.get(place, {}).get("id", "")
        taken = place in self._calls and told not in self._places
        if taken or (identifier and there and identifier != there):
            place = max(self._calls) + 1
        self._places[told] = place
        return place
