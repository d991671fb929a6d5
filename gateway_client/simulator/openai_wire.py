"""The simulator's side of OpenAI's wire format."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from gateway_client.messages import FinishReason, Usage
from gateway_client.simulator.answer import Answer
from gateway_client.simulator.asked import (
    Asked,
    NotUnderstood,
    chat_messages,
    chat_tokens,
    content_text,
    most_tokens,
    tokens,
)
from gateway_client.simulator.chance import draw
from gateway_client.simulator.wire import ErrorKind, Frames, limit_headers

FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "stop",
}
CODES: dict[ErrorKind, tuple[str, str | None]] = {
    "rate_limited": ("requests", "rate_limit_exceeded"),
    "overloaded": ("server_error", "overloaded"),
    "server_error": ("server_error", None),
    "unauthorized": ("invalid_request_error", "invalid_api_key"),
    "forbidden": ("invalid_request_error", "unsupported_country_region_territory"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "bad_request": ("invalid_request_error", None),
    "content_policy": ("invalid_request_error", "content_policy_violation"),
    "context_overflow": ("invalid_request_error", "context_length_exceeded"),
    "out_of_credit": ("insufficient_quota", "insufficient_quota"),
}


class OpenAIWire:
    """See WireFormat."""

    name = "openai"
    id_header = "x-request-id"

    def read(self, path: str, body: Mapping[str, Any]) -> Asked:
        if path.endswith("/embeddings"):
            return _embedding(body)
        messages = chat_messages(body)
        wanted = body.get("max_completion_tokens", body.get("max_tokens", 16))
        return Asked(
            format=self.name,
            kind="chat",
            version=body["model"],
            prompt=chat_tokens(body, messages, "tools", "response_format") + _called(messages),
            stream=body.get("stream") is True,
            max_tokens=most_tokens(wanted, "max_tokens is no count"),
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            last=content_text(messages[-1].get("content")),
            schema=((body.get("response_format") or {}).get("json_schema") or {}).get("schema"),
            tool=_tool(body),
            body=body,
        )

    def whole(self, asked: Asked, answer: Answer, reply_id: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
        if answer.tool:
            message |= {"content": None, "tool_calls": [_call(reply_id, answer.tool, answer.text)]}
        if answer.refusal or answer.finish is FinishReason.CONTENT_FILTER:
            message["content"] = None
        found: dict[str, Any] = {
            "id": reply_id,
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": answer.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}],
            "usage": usage_json(answer.usage),
        }
        return {key: value for key, value in found.items() if value is not None}

    def frames(self, asked: Asked, answer: Answer, reply_id: str) -> Frames:
        def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return _event(self._chunk(answer, reply_id) | {"choices": [choice]})

        first: dict[str, Any] = {"role": "assistant", "content": None if answer.tool else ""}
        if answer.tool:
            first["tool_calls"] = [{"index": 0, **_call(reply_id, answer.tool, "")}]
        if answer.refusal:
            first["refusal"] = answer.refusal
        tail = [] if answer.finish is None else [chunk({}, _finish(answer))]
        if asked.include_usage and answer.usage is not None:
            tail.append(
                _event(self._chunk(answer, reply_id) | {"choices": [], "usage": usage_json(answer.usage)})
            )
        hidden = answer.finish is FinishReason.CONTENT_FILTER
        pieces = [] if hidden else [chunk(_delta(piece, answer)) for piece in answer.pieces]
        return Frames((chunk(first),), tuple(pieces), tuple(tail), (b"data: [DONE]\n\n",))

    def embeddings(self, asked: Asked, usage: Usage, seed: int) -> dict[str, Any]:
        vectors = [_vector(text, asked.dimensions, seed) for text in asked.texts]
        return {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _packed(vector) if asked.base64 else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "model": asked.version,
            "usage": {"prompt_tokens": usage.prompt, "total_tokens": usage.prompt},
        }

    def error(self, kind: ErrorKind, message: str) -> dict[str, Any]:
        type_, code = CODES[kind]
        return {"error": {"message": message, "type": type_, "param": None, "code": code}}

    def error_event(self, kind: ErrorKind, message: str) -> bytes:
        return _event(self.error(kind, message))

    def limit_headers(self, limits: Mapping[str, tuple[int, int]], seconds: float) -> list[tuple[str, str]]:
        return limit_headers("x-ratelimit-{what}-{unit}", limits, f"{seconds:.3f}s")

    def _chunk(self, answer: Answer, reply_id: str) -> dict[str, Any]:
        head = {"id": reply_id, "object": "chat.completion.chunk", "created": 1_790_000_000}
        return head | ({"model": answer.model} if answer.model is not None else {})


def usage_json(usage: Usage | None) -> dict[str, Any] | None:
    """Usage as OpenAI tells it: cached tokens within the prompt, reasoning within the completion."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _called(messages: list[dict[str, Any]]) -> int:
    return sum(tokens(message["tool_calls"]) for message in messages if message.get("tool_calls"))


def _tool(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The tool that must be called: the one named, or the first where one is required."""
    choice, offered = body.get("tool_choice"), body.get("tools") or []
    functions = [entry.get("function", {}) for entry in offered if isinstance(entry, dict)]
    wanted = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if not functions or (wanted is None and choice != "required"):
        return None
    found = next((function for function in functions if function.get("name") == wanted), functions[0])
    return found["name"], found.get("parameters") or {}


def _embedding(body: Mapping[str, Any]) -> Asked:
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(body.get("model"), str) or not isinstance(texts, list) or not texts:
        raise NotUnderstood("model and input are required")
    if not all(isinstance(text, str) and text for text in texts):
        raise NotUnderstood("every input must be a text")
    return Asked(
        format="openai",
        kind="embeddings",
        version=body["model"],
        prompt=sum(tokens(text) for text in texts),
        max_tokens=0,
        last=texts[-1],
        texts=tuple(texts),
        dimensions=int(body.get("dimensions", 64)),
        base64=body.get("encoding_format") == "base64",
        body=body,
    )


def _finish(answer: Answer) -> str | None:
    return None if answer.finish is None else FINISH[answer.finish]


def _delta(piece: str, answer: Answer) -> dict[str, Any]:
    if answer.tool:
        return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    return {"content": piece}


def _call(reply_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{reply_id[-12:]}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _vector(text: str, dimensions: int, seed: int) -> list[float]:
    """A vector that is the same for the same text, of length 1."""
    raw = [draw(seed, text, index) - 0.5 for index in range(dimensions)]
    length = sum(value * value for value in raw) ** 0.5 or 1.0
    return [value / length for value in raw]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
