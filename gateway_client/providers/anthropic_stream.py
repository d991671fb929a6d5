"""Anthropic's stream: a message's start, its blocks, its stop reason with the usage, its stop."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from gateway_client.errors import ProviderError
from gateway_client.messages import Reply, StreamEvent, ToolCall, Usage
from gateway_client.providers.anthropic_usage import usage_of
from gateway_client.providers.characters import Characters
from gateway_client.providers.event_stream import EventStream, truncated
from gateway_client.providers.sse import Event
from gateway_client.providers.wire import json_object, malformed, mapping, some_text, text, whole_characters

_PIECES = {"text_delta": "text", "input_json_delta": "partial_json"}
_SPOKEN = ("text", "tool_use")


class AnthropicStream(EventStream):
    """One streamed answer. `reply_of` reads a whole message, `error_of` an error object; the arguments of a call
    of `answer_tool` are the answer's text."""

    def __init__(
        self,
        reply_of: Callable[[Mapping[str, Any]], Reply],
        error_of: Callable[[Mapping[str, Any]], ProviderError],
        answer_tool: str,
    ) -> None:
        super().__init__()
        self._reply_of = reply_of
        self._error_of = error_of
        self._answer_tool = answer_tool
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._pieces: defaultdict[int, Characters] = defaultdict(Characters)
        self._usage: dict[str, Any] = {}
        self._counted = False  # the start counts the output of its first moment only

    @property
    def usage(self) -> Usage | None:
        return usage_of(self._usage)

    def close(self) -> Reply:
        """See StreamParser."""
        if not self._done:
            raise truncated("message_stop")
        if self._open or not some_text(self._message.get("stop_reason")):
            raise truncated("a stop reason")
        blocks = [_whole(block) for _, block in sorted(self._blocks.items())]
        return self._reply_of(
            self._message | {"content": blocks, "usage": self._usage if self._counted else None}
        )

    def _take(self, event: Event) -> list[StreamEvent]:
        body = json_object(event.data)
        match text(body.get("type")) or event.type:
            case "message_start":
                self._start(mapping(body.get("message")))
            case "content_block_start":
                return self._start_block(body)
            case "content_block_delta":
                return self._delta(body)
            case "content_block_stop":
                self._open.discard(_index(body))
            case "message_delta":
                self._end(body)
            case "message_stop":
                self._done = True
            case "error":
                raise self._error_of(body)
        return []  # a ping, or an event of later years: to be ignored, says the documentation

    def _start(self, message: Mapping[str, Any]) -> None:
        if self._message:
            raise malformed("the stream starts twice")
        self._message = {"type": "message", "role": "assistant"} | dict(message)
        self._usage = dict(mapping(message.get("usage")))

    def _end(self, body: Mapping[str, Any]) -> None:
        self._message |= {
            key: value for key, value in mapping(body.get("delta")).items() if value is not None
        }
        # Counts here are cumulative: they replace those of the start.
        self._counted = self._counted or mapping(body.get("usage")).get("output_tokens") is not None
        self._usage |= {key: value for key, value in mapping(body.get("usage")).items() if value is not None}

    def _start_block(self, body: Mapping[str, Any]) -> list[StreamEvent]:
        index, block = _index(body), dict(mapping(body.get("content_block")))
        if not self._message or index in self._blocks:
            raise malformed("a block in the stream starts before its message, or twice")
        first = text(block.get("text"))
        self._blocks[index] = block | {"pieces": [first] if first else []}
        self._open.add(index)
        if block.get("type") == "tool_use" and block.get("name") != self._answer_tool:
            identifier, name = (whole_characters(text(block.get(key))) for key in ("id", "name"))
            return [StreamEvent(tool_call=(index, ToolCall(identifier, name, "")))]
        return self._say(first) if block.get("type") in _SPOKEN else []

    def _delta(self, body: Mapping[str, Any]) -> list[StreamEvent]:
        index, delta = _index(body), mapping(body.get("delta"))
        if index not in self._open:
            raise malformed("a piece in the stream belongs to no open block")
        block = self._blocks[index]
        kind = text(delta.get("type"))
        field = _PIECES.get(kind)
        if field is None:
            self.thoughts += kind == "thinking_delta"
            return []
        piece = text(delta.get(field))
        block["pieces"].append(piece)
        if field == "text" or block.get("name") == self._answer_tool:
            return self._say(piece) if block.get("type") in _SPOKEN else []
        said = self._pieces[index].take(piece)
        return [StreamEvent(tool_call=(index, ToolCall("", "", said)))] if said else []


def _index(body: Mapping[str, Any]) -> int:
    index = body.get("index")
    if type(index) is not int:
        raise malformed("a block in the stream has no index")
    return index


def _whole(block: dict[str, Any]) -> dict[str, Any]:
    """The block as an answer that was not streamed would hold it; arguments that are not JSON stay text."""
    pieces = "".join(block["pieces"])
    found = {key: value for key, value in block.items() if key != "pieces"}
    if found.get("type") == "text":
        found["text"] = whole_characters(pieces)
    elif pieces:
        try:
            found["input"] = json.loads(pieces)
        except (ValueError, RecursionError):
            found["input"] = pieces
    return found
